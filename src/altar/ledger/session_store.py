"""The sessions of a host and their variables, in an SQLite database beside the log.

They are not in the log's own file: that is a public format of rows that never change, which an auditor is handed as
it is, and sessions change, end, and hold values that are nobody else's business.
The sessions of a log are in the file of its name with ``.sessions`` behind it, held by the same process under the
same lock.

Changes are handed over from any thread and written by one, in group commits, as entries of the log are.
Each row carries a digest of itself, so that a damaged one is never taken for what was kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from altar.ledger.beside import UNREADABLE, Beside, Layout, Then, Work, seal

__all__ = ["Kept", "KeptSession", "KeptVariable", "SessionStore", "Then"]

APPLICATION_ID = 0x414C5453  # "ALTS"
USER_VERSION = 1
DDL = (
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, body BLOB NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID",
    (
        "CREATE TABLE variables (session TEXT, name TEXT, version INTEGER NOT NULL, schema BLOB NOT NULL,"
        " value BLOB NOT NULL, seal BLOB NOT NULL, PRIMARY KEY (session, name)) WITHOUT ROWID"
    ),
)


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session: whose it is, which tools it has, how long it lives after its last use, and until when.

    ``ttl_ms`` is in milliseconds, ``expires_ms`` in milliseconds since 1970.
    ``floor`` is the highest version of a deleted variable whose name has been forgotten.
    ``names`` is how many variables are kept, deleted ones among them, so that one that is missing is missed.
    ``created_ms`` is in milliseconds since 1970, and 0 when an older ALTAR kept it; ``labels`` are sorted pairs.
    """

    session_id: str
    principal: str
    tools: tuple[str, ...]
    ttl_ms: int
    expires_ms: int
    floor: int = 0
    names: int = 0
    created_ms: int = 0
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KeptVariable:
    """A variable: its version, its schema and its value as canonical JSON; without a value it was deleted."""

    name: str
    version: int
    schema: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A session as it was found, with its variables."""

    session: KeptSession
    variables: tuple[KeptVariable, ...]


class SessionStore(Beside):
    """The sessions of one host: open it, `load` what was kept, `save` and `drop`, close it."""

    layout = Layout(APPLICATION_ID, USER_VERSION, DDL, what="Sessions and variables", without="sessions")

    def load(self) -> tuple[list[Kept], list[str]]:
        """Every session that was kept, and the ids of those that are damaged. Call it before anything is saved."""
        try:
            sessions = list(self._connection.execute("SELECT id, body, seal FROM sessions"))
            rows = list(self._connection.execute("SELECT session, name, version, schema, value, seal FROM variables"))
        except UNREADABLE as error:
            raise self._damaged(str(error)) from error
        variables: dict[str, list[KeptVariable]] = {}
        damaged: set[str] = set()
        for session, name, version, schema, value, sealed in rows:
            if sealed != seal(session, name, version, schema, value):
                damaged.add(session)
            variables.setdefault(session, []).append(KeptVariable(name, version, schema, value))
        damaged |= variables.keys() - {session_id for session_id, _, _ in sessions}
        kept = []
        for session_id, body, sealed in sessions:
            if sealed != seal(session_id, body):
                damaged.add(session_id)
                continue
            found = Kept(_session(session_id, body), tuple(variables.get(session_id, ())))
            if not len({each.name for each in found.variables}) == len(found.variables) == found.session.names:
                damaged.add(session_id)
            if session_id not in damaged:
                kept.append(found)
        return kept, sorted(map(str, damaged))

    def save(
        self,
        session: KeptSession | None = None,
        *,
        session_id: str = "",
        variables: Sequence[KeptVariable] = (),
        forgotten: Sequence[str] = (),
        then: Then | None = None,
    ) -> None:
        """Keep a session, or what has changed in the one of ``session_id``; all of it or nothing.

        ``then(None)`` is called when it is durable, after everything that was handed over before it;
        ``then(error)`` with LOG_UNAVAILABLE when nobody may rely on it.
        """
        work = Work(then=then)
        if session is not None:
            session_id, body = session.session_id, _body(session)
            statement = "INSERT OR REPLACE INTO sessions VALUES (?,?,?)"
            work.statements.append((statement, (session_id, body, seal(session_id, body))))
        for each in variables:
            row = (session_id, each.name, each.version, each.schema, each.value)
            work.statements.append(("INSERT OR REPLACE INTO variables VALUES (?,?,?,?,?,?)", (*row, seal(*row))))
        for name in forgotten:
            work.statements.append(("DELETE FROM variables WHERE session = ? AND name = ?", (session_id, name)))
        self.put(work)

    def drop(self, session_id: str, *, then: Then | None = None) -> None:
        """Forget a session and all of its variables; ``then`` is called as by :meth:`save`."""
        self.put(
            Work(
                [
                    ("DELETE FROM sessions WHERE id = ?", (session_id,)),
                    ("DELETE FROM variables WHERE session = ?", (session_id,)),
                ],
                then,
            )
        )


def _body(session: KeptSession) -> bytes:
    return orjson.dumps(
        {
            "created_ms": session.created_ms,
            "expires_ms": session.expires_ms,
            "floor": session.floor,
            "labels": dict(session.labels),
            "names": session.names,
            "principal": session.principal,
            "tools": session.tools,
            "ttl_ms": session.ttl_ms,
        }
    )


def _session(session_id: str, body: bytes) -> KeptSession:
    members = orjson.loads(body)
    return KeptSession(
        session_id,
        members["principal"],
        tuple(members["tools"]),
        members["ttl_ms"],
        members["expires_ms"],
        members["floor"],
        members["names"],
        members.get("created_ms", 0),  # older files have neither of the two
        tuple(sorted(members.get("labels", {}).items())),
    )
