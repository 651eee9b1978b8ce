"""What can be done with the log of a host: ask it, hand it out, send it on, anchor it, keep it small.

Everything here reads what the ledger has committed, through a `LogReader`; nothing here writes the log but through the
ledger itself.
What is kept beside the log (an index, cursors of sinks, cosigned checkpoints) can be lost without losing an entry.
"""

from __future__ import annotations
