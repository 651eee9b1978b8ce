"""Which idempotency keys are claimed, as the log itself says it.

A claim is an intent with the member ``key``; how it ended is its outcome.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from altar.ledger.entry import entry_members
from altar.ledger.log import leaf_hash
from altar.ledger.sqlite import damaged, translated

__all__ = ["RecordedClaim", "recorded_claims"]

_MARK = b'"key":"once"'
"""Inside a JSON string every quote is escaped, so these bytes can only be the member itself."""


@dataclass(frozen=True, slots=True)
class RecordedClaim:
    """A call under a key, as it was recorded; ``ended_ms`` is in milliseconds since 1970.

    ``key`` is tenant, principal and call id; ``tool``, ``version`` and the digest ``arguments`` say what was called.
    ``code`` is empty for a call that succeeded.
    """

    intent: int
    invocation: str
    key: tuple[str, str, str]
    tool: str
    version: str
    arguments: str
    code: str
    ran: str
    ended_ms: int


def recorded_claims(path: str, *, floor: int = 0) -> Iterator[RecordedClaim]:
    """The claims of the log at `path` whose intents stand at `floor` or later, in order.

    The log must have been opened, which gives every intent of an earlier process an outcome, and no call may have been
    taken since.
    SQLite looks for the intents itself, so that this costs one look at each entry from `floor` on, and no more.
    Raises ConfigurationError LOG_DAMAGED when one of them is not what its leaf hash says.
    """
    address = f"{Path(path).resolve().as_uri()}?mode=ro"
    with translated(path), closing(sqlite3.connect(address, uri=True, timeout=5)) as db:
        found = db.execute(
            "SELECT e.seq, e.body, e.leaf, a.seq, a.body, a.leaf FROM entries e"
            " CROSS JOIN outcomes o ON o.intent = e.seq CROSS JOIN entries a ON a.seq = o.seq"
            " WHERE e.seq >= ? AND instr(e.body, ?) ORDER BY e.seq",
            (floor, _MARK),
        )
        for seq, body, leaf, answer_seq, answer, answer_leaf in found:
            for at, data, due in ((seq, body, leaf), (answer_seq, answer, answer_leaf)):
                if leaf_hash(data) != due:
                    raise damaged(path, f"entry {at} is not what its leaf hash says")
            intent, outcome = entry_members(body), entry_members(answer)
            yield RecordedClaim(
                seq,
                str(intent["invocation"]),
                (str(intent["tenant"]), str(intent["principal"]), str(intent["call"])),
                str(intent["tool"]),
                str(intent["version"]),
                str(intent["arguments"]),
                str(outcome["code"]),
                str(outcome["ran"]),
                int(outcome["time"]),
            )
