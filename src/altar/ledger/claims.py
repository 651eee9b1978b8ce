"""Which idempotency keys are claimed, as the log itself says it.

A claim is an intent with the member ``key``; how it ended is its outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from altar.ledger.entry import entry_members
from altar.ledger.format1 import sealed_path
from altar.ledger.log import leaf_hash
from altar.ledger.places import DatabaseLog, Place
from altar.ledger.reading import Reading, reading
from altar.ledger.sqlite import damaged

__all__ = ["RecordedClaim", "recorded_claims"]

_MARK = b'"key":"once"'
"""Inside a JSON string every quote is escaped, so these bytes can only be the member itself."""


@dataclass(frozen=True, slots=True)
class RecordedClaim:
    """A call under a key, as it was recorded; ``ended_ms`` is in milliseconds since 1970.

    ``intent`` is its ``seq``.
    ``key`` is tenant, principal (or its pseudonym) and call id; ``tool``, ``version`` and ``arguments``, a digest or a
    commitment, say what was called.
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


def recorded_claims(place: Place, *, floor: int = 0) -> Iterator[RecordedClaim]:
    """The claims of the logs at `place` whose intents have their ``seq`` at `floor` or later, in order.

    The logs must have been opened, which gives every intent of an earlier process an outcome, and no call may have been
    taken since.
    The database looks for the intents itself, so that this costs one look at each entry from `floor` on, and no more.
    Raises ConfigurationError LOG_DAMAGED when one of them is not what its leaf hash says.
    """
    older = None if isinstance(place, DatabaseLog) else sealed_path(place)
    with reading(place) as db:
        ((first,),) = db.execute("SELECT min(seq) FROM entries")
        if first is not None and floor < first and older is not None and older.is_file():
            with reading(older) as before:
                yield from _claims(before, str(older), floor, stored="leaf")
        yield from _claims(db, str(place), floor, stored="hashes")


def _claims(db: Reading, path: str, floor: int, *, stored: str) -> Iterator[RecordedClaim]:
    found = db.execute(
        f"SELECT e.seq, e.body, e.{stored}, a.seq, a.body, a.{stored} FROM entries e"  # noqa: S608 - our own words
        " CROSS JOIN outcomes o ON o.intent = e.seq CROSS JOIN entries a ON a.seq = o.seq"
        " WHERE e.seq >= ? AND instr(e.body, ?) ORDER BY e.seq",
        (floor, _MARK),
    )
    for seq, body, hashes, answer_seq, answer, answer_hashes in found:
        for at, data, due in ((seq, body, hashes), (answer_seq, answer, answer_hashes)):
            if leaf_hash(data) != due[:32]:
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
