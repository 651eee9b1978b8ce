"""What was decided and done, committed together in one append-only, signed log.

A host hands entries (`Intent`, `Outcome`, `Event`) to a `Ledger` and is told when they are durable.
The log is a Merkle tree in an SQLite database, with signed checkpoints in the open C2SP formats.
"""

from __future__ import annotations

from altar.ledger.entry import Event, Intent, Outcome
from altar.ledger.export import read_checkpoint, write_export
from altar.ledger.ledger import EntriesRefusedError, Ledger
from altar.ledger.signer import FileSigner, Signer

__all__ = [
    "EntriesRefusedError",
    "Event",
    "FileSigner",
    "Intent",
    "Ledger",
    "Outcome",
    "Signer",
    "read_checkpoint",
    "write_export",
]
