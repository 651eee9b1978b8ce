"""The command line: daily verbs (`altar call`) and administrative nouns (`altar manifest check`).

`main` finds the command, `output` prints, and each other module is one command or one noun.
"""

from __future__ import annotations

__all__: list[str] = []
