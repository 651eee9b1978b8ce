"""The calls that wait for approval, encrypted, in an SQLite file beside the log.

The log says that a request was made, by commitments only; what is shown to approvers is here, for as long as the
request lasts.
Each row is encrypted (AES-256-GCM) under a key that is made of the key of the requester in the log: when that is
destroyed, to forget somebody, nobody can read the row any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from altar.adm.errors import AltarError
from altar.ledger.beside import UNREADABLE, Beside, Layout, Then, Work
from altar.ledger.sqlite import Connection
from altar.ledger.subjects import Subject, mac

__all__ = ["KeptCalls", "Row", "calls_path", "opened", "sealed"]

Row = tuple[str, bytes]
_FLOOR = ""
_NONCE = 12


class KeptCalls(Beside):
    """Encrypted calls by the id of their request: `save`, `fetch`, `drop`; and from where on the log tells of any."""

    layout = Layout(
        0x414C5441,  # "ALTA"
        1,
        ("CREATE TABLE calls (id TEXT PRIMARY KEY, body BLOB NOT NULL)",),
        what="Calls that wait for approval",
        without="them",
    )

    def load(self) -> tuple[int, list[Row]]:
        """From which commit on the log may tell of requests that are open, and all rows; before anything is asked."""
        try:
            rows = {str(one): bytes(body) for one, body in self._connection.execute("SELECT id, body FROM calls")}
        except UNREADABLE as error:
            raise self._damaged(str(error)) from error
        floor = rows.pop(_FLOOR, b"0")
        return (int(floor) if floor.isdigit() else 0), list(rows.items())

    def save(self, request_id: str, body: bytes, *, then: Then) -> None:
        """Keep a call; ``then(None)`` is called when it is durable."""
        self.put(Work([("INSERT OR REPLACE INTO calls VALUES (?,?)", (request_id, body))], then))

    def fetch(self, request_id: str, found: Callable[[bytes | None, AltarError | None], None]) -> None:
        """Read one: ``found(body, None)``, or ``found(None, …)`` when it is gone or cannot be read."""
        read: list[bytes] = []

        def look(connection: Connection) -> None:
            try:
                rows = list(connection.execute("SELECT body FROM calls WHERE id = ?", (request_id,)))
            except UNREADABLE:
                return
            read.extend(bytes(body) for (body,) in rows)

        self.put(Work(then=lambda error: found(read[0] if read else None, error), read=look))

    def drop(self, ids: Sequence[str], *, floor: int | None = None) -> None:
        """Forget calls; ``floor`` is from which commit on the log may tell of open requests now."""
        work = Work([("DELETE FROM calls WHERE id = ?", (one,)) for one in ids])
        if floor is not None:
            work.statements.append(("INSERT OR REPLACE INTO calls VALUES (?,?)", (_FLOOR, str(floor).encode())))
        if work.statements:
            self.put(work)


def calls_path(ledger: str | Path) -> Path:
    """Where the calls that wait are, for the log at this path."""
    return Path(f"{ledger}.approvals")


def sealed(subject: Subject, request_id: str, text: bytes) -> bytes:
    """Encrypt what is kept of a request under the key of its requester."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_key(subject, request_id)).encrypt(nonce, text, request_id.encode())


def opened(subject: Subject, request_id: str, body: bytes) -> bytes | None:
    """Decrypt it; None when it is not what was kept for this request of this requester."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(_key(subject, request_id)).decrypt(body[:_NONCE], body[_NONCE:], request_id.encode())
    except (InvalidTag, ValueError):
        return None


def _key(subject: Subject, request_id: str) -> bytes:
    return mac(subject.key, b"call for approval " + request_id.encode())
