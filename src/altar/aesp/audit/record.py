"""One entry of a log, told flat and complete: `Record`, and `Records`, which reads them.

An outcome in the log names its intent by position only.
A record of it repeats who asked, for which tool, in which session, so that each line can be judged by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import orjson

from altar.adm.errors import ConfigurationError

__all__ = ["MAX_OPEN_INTENTS", "Log", "Reader", "Record", "Records", "Row", "members_of", "named"]

MAX_OPEN_INTENTS = 20_000
"""How many intents are remembered for the outcomes that follow; an older one is read again."""


class Log(Protocol):
    """One log of a host: its number in the database, whose it is, its name in checkpoints, and how long it is."""

    @property
    def log(self) -> int:
        """Give the number of the log in its database; 0 is the host's own."""

    @property
    def tenant(self) -> str:
        """Give the tenant, "" for the host's own log."""

    @property
    def origin(self) -> str:
        """Give the origin that stands in the log's checkpoints."""

    @property
    def size(self) -> int:
        """Give how many entries it has."""


class Row(Protocol):
    """One entry in the order of commits: `seq` counts over all logs, `position` within the log of the tenant."""

    @property
    def seq(self) -> int:
        """Give the place in the order of commits."""

    @property
    def tenant(self) -> str:
        """Give the tenant whose log it is in."""

    @property
    def position(self) -> int:
        """Give the place in that log."""

    @property
    def body(self) -> bytes:
        """Give the entry itself."""


class Reader(Protocol):
    """What is asked of the log: entries by position, checkpoints and proofs."""

    def logs(self) -> Sequence[Log]:
        """Give the logs there are, with their sizes now."""

    def entries(self, tenant: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Give positions and bytes of the entries of one log from `start` to before `stop`."""

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Give the entries of all logs in the order of their commits, by the number of the commit."""

    def size(self) -> int:
        """Give the number that the next commit will have."""

    def checkpoint(self, tenant: str) -> bytes:
        """Give the newest signed checkpoint of the tenant's log."""

    def inclusion(self, tenant: str, position: int, size: int) -> list[bytes]:
        """Give the path from an entry to the root of the first `size` entries."""

    def consistency(self, tenant: str, old: int, new: int) -> list[bytes]:
        """Give the proof that the first `old` entries are a beginning of the first `new`."""

    def edge(self, tenant: str, size: int) -> bytes:
        """Give the roots along the right edge of the tree over the first `size` entries, largest first."""

    def close(self) -> None:
        """Let go of the log."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a log.

    ``id`` is ``<origin>#<position>``: unique, and the same each time the entry is told, so that doubles can be dropped.
    ``time_ms`` is when it was committed, in milliseconds since 1970 UTC.
    ``event`` is the name of an event, or ``call.started``, ``call.ended``, ``log.started``, ``log.stopped``.
    ``outcome`` is SUCCESS, FAILURE, PARTIAL, DENIED, or "" where nothing has ended.
    ``resource`` and ``action`` are what was asked for, such as ``tools/get_weather`` and ``execute``.
    ``data`` is a JSON object as text, or "".
    ``count`` is how many times it happened, 0 where that is once.
    ``entry`` holds the bytes that stand in the log.
    """

    id: str
    origin: str
    tenant: str
    position: int
    time_ms: int
    event: str
    entry: bytes
    principal: str = ""
    session: str = ""
    correlation: str = ""
    invocation: str = ""
    tool: str = ""
    version: str = ""
    resource: str = ""
    action: str = ""
    outcome: str = ""
    code: str = ""
    runtime: str = ""
    subject: str = ""
    note: str = ""
    data: str = ""
    count: int = 0


class Records:
    """Reads the entries of a log as records. For one thread."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._intents: OrderedDict[tuple[str, int], Mapping[str, Any]] = OrderedDict()

    def read(self, log: Log, start: int, stop: int) -> Iterator[Record]:
        """Give the records from position `start` to before `stop`, in order.

        Raises ConfigurationError LOG_DAMAGED for what is no entry.
        """
        for position, body in self.reader.entries(log.tenant, start, stop):
            yield self._record(log, position, body)

    def committed(self, start: int, *, most: int) -> Iterator[tuple[int, Record]]:
        """Give at most `most` records of all logs in the order of their commits, each with its number there.

        `start` is the number to begin at.
        """
        yield from self._told(islice(self.reader.rows(start), most))

    def _told(self, rows: Iterable[Row]) -> Iterator[tuple[int, Record]]:
        logs: dict[str, Log] = {}
        for row in rows:
            if row.tenant not in logs:
                logs = {log.tenant: log for log in self.reader.logs()}
            yield row.seq, self._record(logs[row.tenant], row.position, row.body)

    def one(self, log: Log, position: int) -> Record | None:
        """Give one record; None where there is none, or none any more."""
        return next(self.read(log, position, position + 1), None)

    def _record(self, log: Log, position: int, body: bytes) -> Record:
        try:
            entry = orjson.loads(body)
            kind = entry["kind"]
            if type(entry["time"]) is not int or not 0 <= entry["time"] <= _LATEST_MS:
                raise ValueError("its time is none")
            head = (f"{log.origin}#{position}", log.origin)
            if kind == "intent":
                self._remember(log.tenant, position, entry)
                return _started(head, position, entry, body)
            if kind == "outcome":
                return _ended(head, position, entry, body, self._intent(log, entry["intent"]) or {"tenant": log.tenant})
            if kind == "event":
                return _event(head, position, entry, body, log.tenant)
            event = {"start": "log.started", "stop": "log.stopped"}[kind]
            note = f"epoch {entry['epoch']}"
            return Record(
                *head, log.tenant, position, entry["time"], event, body, subject=entry.get("host", ""), note=note
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                "LOG_DAMAGED",
                f"Entry {position} of the log {log.origin!r} is no entry",
                hint="`altar audit verify` names what is damaged",
                detail=repr(error),
            ) from error

    def _remember(self, tenant: str, position: int, intent: Mapping[str, Any]) -> None:
        self._intents[tenant, position] = intent
        if len(self._intents) > MAX_OPEN_INTENTS:
            self._intents.popitem(last=False)

    def _intent(self, log: Log, position: int) -> Mapping[str, Any]:
        """Give the intent at a position; nothing where it was removed with an older part of the log."""
        known = self._intents.pop((log.tenant, position), None)
        if known is not None:
            return known
        for _, body in self.reader.entries(log.tenant, position, position + 1):
            intent: Mapping[str, Any] = orjson.loads(body)
            return intent
        return {}


def named(record: Record, name_of: Callable[[str], tuple[str, str] | None]) -> Record:
    """Put names in the place of the pseudonyms of who did it and whom it was done to.

    ``name_of`` gives tenant and id of the principal of a pseudonym, None when nobody knows; that stays a pseudonym.
    """
    who = name_of(record.principal) if record.principal.startswith(_PSEUDONYM) else None
    if who is not None:
        record = replace(record, principal=who[1])
    kind, _, name = record.resource.partition("/")
    about = name_of(name) if name.startswith(_PSEUDONYM) else None
    if about is None:
        return record
    resource = f"{kind}/{about[1].removeprefix(f'{about[0]}/')}"
    return replace(record, resource=resource, subject=resource if record.subject == record.resource else record.subject)


def members_of(record: Record) -> dict[str, str | int]:
    """Give the members of a record that say something, without the entry's bytes; `id` comes first."""
    members: dict[str, str | int] = {}
    for name in _MEMBERS:
        value = getattr(record, name)
        if value not in {"", 0} or name in _ALWAYS:
            members[name] = value
    return members


_PSEUDONYM = "p-"
_ALWAYS = frozenset({"position", "tenant", "time_ms"})
_MEMBERS = tuple(name for name in Record.__dataclass_fields__ if name != "entry")
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, which is as far as dates go
_OUTCOMES = {"SUCCESS": "SUCCESS", "ERROR": "FAILURE", "PARTIAL": "PARTIAL"}
_Head = tuple[str, str]


def _started(head: _Head, position: int, entry: Mapping[str, Any], body: bytes) -> Record:
    return Record(*head, entry["tenant"], position, entry["time"], "call.started", body, **_call(entry))


def _ended(head: _Head, position: int, entry: Mapping[str, Any], body: bytes, intent: Mapping[str, Any]) -> Record:
    call = _call(intent)
    call["invocation"] = entry["invocation"]
    return Record(
        *head,
        intent["tenant"],
        position,
        entry["time"],
        "call.ended",
        body,
        **call,
        outcome=_OUTCOMES[entry["status"]],
        code=entry["code"],
        runtime=entry["runtime"],
    )


def _call(intent: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {
        name: intent.get(name, "") for name in ("principal", "session", "correlation", "invocation", "tool", "version")
    }
    if known["tool"]:
        known |= {"resource": f"tools/{known['tool']}", "action": "execute"}
    return known


_OF_CALL = ("principal", "session", "correlation", "invocation", "tool", "version")


def _event(head: _Head, position: int, entry: Mapping[str, Any], body: bytes, tenant: str) -> Record:
    said = {name: entry.get(name, "") for name in _OF_EVENT}
    if said["resource"].startswith("tools/"):
        said["tool"] = said["resource"].removeprefix("tools/")
    return Record(
        *head,
        entry.get("tenant", tenant),
        position,
        entry["time"],
        entry["event"],
        body,
        **said,
        count=entry.get("count", 0),
    )


_OF_EVENT = (
    "principal",
    "session",
    "correlation",
    "resource",
    "action",
    "outcome",
    "code",
    "subject",
    "note",
    "data",
)
