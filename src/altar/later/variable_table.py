"""The variables of one session: what may be asked of them, what they are, and who is told when one changes.

In: requests (`Declare`, `Update`, `Delete`, `Read`) whose payloads are canonical JSON bytes.
Out: `Record` values, or an error that changed nothing.
A session in this process and a host keep their variables in the same `VariableTable`, so both answer alike.

Versions count from 1 and grow by one with every set, and with the delete.
A deleted name is remembered with its version, and a new variable of that name goes on from there, so that a version
never means two different values.
At most `MAX_VARIABLES` deleted names are remembered; beyond that the oldest is forgotten, and every name that is new
then begins above the highest version that was forgotten.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from altar.adm.canonical import parse, parse_canonical
from altar.adm.errors import AltarError, ExecutionError, TransportError, ValidationError
from altar.adm.near import nearest
from altar.adm.schema import Schema
from altar.later.app_records import RecordEvent, no_record
from altar.later.bound_variables import values_digest

__all__ = [
    "MAX_SESSION_BYTES",
    "MAX_TYPE_BYTES",
    "MAX_VALUE_BYTES",
    "MAX_VARIABLES",
    "Applied",
    "Declare",
    "Delete",
    "Read",
    "Record",
    "Request",
    "Update",
    "VariableConflictError",
    "VariableTable",
    "Watcher",
    "compiled",
    "require_sendable",
]

MAX_VARIABLES = 1_024
"""Most variables of one session."""
MAX_VALUE_BYTES = 256 * 1024
"""Most bytes of one value, as canonical JSON."""
MAX_TYPE_BYTES = 32 * 1024
"""Most bytes of one type, as the canonical JSON of its schema."""
MAX_SESSION_BYTES = 2 * 1024 * 1024
"""Most bytes of all names, types and values of one session, so that a snapshot is always one message."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_LONGEST_NAME = 64
_VERSIONS = range(1, 2**64)
_SCHEMA_DEPTH = 200


class VariableConflictError(ValidationError):
    """The variables are not as the request expected; nothing was changed.

    ``current`` has the version that each of those variables has now.
    """

    current: Mapping[str, int]

    def __init__(self, code: str, message: str, *, current: Mapping[str, int] | None = None, **parts: Any) -> None:
        """Make the error, as an AltarError is made, with the versions as they are."""
        super().__init__(code, message, **parts)
        self.current = dict(current or {})


@dataclass(frozen=True, slots=True)
class Record:
    """One variable as it is kept: its type as an ADM schema and its value, both canonical JSON.

    A variable that was deleted is a record without a value, under the version of its deletion.
    """

    name: str
    version: int
    schema: bytes = b""
    value: bytes = b""

    @property
    def deleted(self) -> bool:
        """Whether there is no such variable any more."""
        return not self.value

    @property
    def size(self) -> int:
        """What it counts for, in bytes."""
        return len(self.name) + len(self.schema) + len(self.value)


@dataclass(frozen=True, slots=True)
class Declare:
    """Make a variable; one that is there already with the same type stays as it is."""

    name: str
    schema: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """Set all of these or none; ``expected`` has versions that must still hold, also of other variables."""

    values: Mapping[str, bytes]
    expected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one variable; ``expected`` is the version that must still hold, None for any."""

    name: str
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Give these variables as they are at one moment; without names, all of them."""

    names: tuple[str, ...] = ()


Request = Declare | Update | Delete | Read | RecordEvent


@dataclass(frozen=True, slots=True)
class Applied:
    """What a request did: what it is answered with, what has changed, and which deleted names were forgotten."""

    answer: tuple[Record, ...]
    changed: tuple[Record, ...] = ()
    forgotten: tuple[str, ...] = ()


class VariableTable:
    """The variables of one session, in memory. Not safe for several threads at once."""

    __slots__ = ("_gone", "_live", "floor", "size")

    def __init__(self, records: Iterable[Record] = (), *, floor: int = 0) -> None:
        """Begin with what was kept; ``floor`` is the highest version of a name that was forgotten."""
        self._live: dict[str, Record] = {}
        self._gone: dict[str, int] = {}
        self.floor = floor
        self.size = 0
        for record in records:
            if record.deleted:
                self._gone[record.name] = record.version
            else:
                self._live[record.name] = record
                self.size += record.size

    def __len__(self) -> int:
        return len(self._live)

    @property
    def names(self) -> int:
        """How many names it remembers, those of deleted variables among them."""
        return len(self._live) + len(self._gone)

    def digest_of(self, names: Iterable[str]) -> str:
        """``sha256:…`` of the values that these variables have, of those that are there."""
        held = ((name, self._live.get(name)) for name in names)
        return values_digest({name: orjson.loads(record.value) for name, record in held if record is not None})

    def apply(self, request: Request) -> Applied:
        """Do all of what is asked, or raise and do nothing.

        UNKNOWN_VARIABLE, with the nearest name there is; VARIABLE_CONFLICT for another version or type;
        SCHEMA_VIOLATION, with the path ``/<name>/…``, for a value of the wrong type; INVALID_DECLARATION for a type
        that is none; MALFORMED_REQUEST for a name that is none; MESSAGE_TOO_LARGE and RESOURCE_EXHAUSTED beyond the
        limits.
        """
        require_sendable(request)
        match request:
            case Read():
                return Applied(self.read(request.names))
            case Declare():
                return self._declare(request)
            case Update():
                return self._update(request)
            case Delete():
                return self._delete(request)
            case RecordEvent():
                raise no_record()

    def read(self, names: Iterable[str] = ()) -> tuple[Record, ...]:
        """These variables, each of which must be there; without names all of them, sorted by name."""
        wanted = tuple(names)
        if wanted:
            return tuple(self._find(name) for name in wanted)
        return tuple(self._live[name] for name in sorted(self._live))

    def those(self, names: frozenset[str]) -> tuple[Record, ...]:
        """Those of these variables that are there; without names, all of them."""
        return tuple(record for name, record in self._live.items() if not names or name in names)

    def _declare(self, wanted: Declare) -> Applied:
        known = self._live.get(wanted.name)
        if known is not None:
            if known.schema != wanted.schema:
                raise VariableConflictError(
                    "VARIABLE_CONFLICT",
                    f"Variable {wanted.name!r} is declared already, with another type",
                    current={wanted.name: known.version},
                    ran="no",
                    path=f"/{wanted.name}",
                    hint="delete it first, or choose another name",
                )
            return Applied((known,))
        if not _NAME.fullmatch(wanted.name):
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"{wanted.name[:_LONGEST_NAME]!r} is not a name of a variable",
                ran="no",
                hint="a letter or _, then at most 63 letters, digits, '_', '.' and '-'",
            )
        if len(self._live) >= MAX_VARIABLES:
            raise _full(f"The session has {MAX_VARIABLES} variables, which is the limit")
        _require_fit(wanted.name, wanted.schema, wanted.value)
        made = Record(wanted.name, self._gone.get(wanted.name, self.floor) + 1, wanted.schema, wanted.value)
        self._require_room(made.size)
        self._gone.pop(wanted.name, None)
        self._put(made)
        return Applied((made,), (made,))

    def _update(self, wanted: Update) -> Applied:
        records = [self._find(name) for name in wanted.values]
        self._require_versions(wanted.expected)
        for record in records:
            _require_fit(record.name, record.schema, wanted.values[record.name])
        made = tuple(Record(each.name, each.version + 1, each.schema, wanted.values[each.name]) for each in records)
        self._require_room(sum(each.size for each in made) - sum(each.size for each in records))
        for record in made:
            self._put(record)
        return Applied(made, made)

    def _delete(self, wanted: Delete) -> Applied:
        known = self._find(wanted.name)
        if wanted.expected is not None:
            self._require_versions({wanted.name: wanted.expected})
        gone = Record(known.name, known.version + 1)
        self.size -= known.size
        del self._live[known.name]
        self._gone[known.name] = gone.version
        forgotten: list[str] = []
        while len(self._gone) > MAX_VARIABLES:
            oldest = next(iter(self._gone))
            self.floor = max(self.floor, self._gone.pop(oldest))
            forgotten.append(oldest)
        return Applied((gone,), (gone,), tuple(forgotten))

    def _put(self, record: Record) -> None:
        known = self._live.get(record.name)
        self.size += record.size - (known.size if known is not None else 0)
        self._live[record.name] = record

    def _find(self, name: str) -> Record:
        known = self._live.get(name)
        if known is None:
            near = nearest(name, self._live)
            raise ValidationError(
                "UNKNOWN_VARIABLE",
                f"There is no variable {name[:_LONGEST_NAME]!r} in this session",
                ran="no",
                hint=f"did you mean {near!r}?" if near else "declare it first: variables.declare(name, type, value=…)",
            )
        return known

    def _require_versions(self, expected: Mapping[str, int]) -> None:
        other = {name: known.version for name in expected if (known := self._find(name)).version != expected[name]}
        if other:
            name, version = next(iter(other.items()))
            more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
            raise VariableConflictError(
                "VARIABLE_CONFLICT",
                f"Variable {name!r} is at version {version}, not {expected[name]}{more}",
                current=other,
                ran="no",
                path=f"/{name}",
                hint="read it again, and decide anew",
            )

    def _require_room(self, more: int) -> None:
        if more > 0 and self.size + more > MAX_SESSION_BYTES:
            raise _full(
                f"The variables of the session would have {self.size + more} bytes and the limit is {MAX_SESSION_BYTES}"
            )


def require_sendable(request: Request) -> None:
    """Raise MESSAGE_TOO_LARGE for a value or a type beyond its limit, and RESOURCE_EXHAUSTED for too many at once.

    MALFORMED_REQUEST for an expected version that no variable can have: on the wire 0 would say that any will do.
    """
    match request:
        case Declare():
            values: Mapping[str, bytes] = {request.name: request.value}
            if len(request.schema) > MAX_TYPE_BYTES:
                raise _too_large("type", request.name, len(request.schema), MAX_TYPE_BYTES)
        case Update():
            values = request.values
            names: int = max(len(values), len(request.expected))
        case _:
            values, names = {}, len(request.names) if isinstance(request, Read) else 1
    if not isinstance(request, Declare) and names > MAX_VARIABLES:
        raise _full(f"The request names {names} variables and a session has at most {MAX_VARIABLES}")
    for version in _expected(request):
        if version not in _VERSIONS:
            raise ValidationError(
                "MALFORMED_REQUEST", f"{version!r} is not a version", ran="no", hint="versions count from 1"
            )
    for name, value in values.items():
        if len(value) > MAX_VALUE_BYTES:
            raise _too_large("value", name, len(value), MAX_VALUE_BYTES)
    if (total := sum(map(len, values.values()))) > MAX_SESSION_BYTES:
        raise _full(f"The values have {total} bytes and a session holds at most {MAX_SESSION_BYTES}")


def _expected(request: Request) -> Iterable[int]:
    if isinstance(request, Update):
        return request.expected.values()
    return (request.expected,) if isinstance(request, Delete) and request.expected is not None else ()


@lru_cache(maxsize=512)
def compiled(schema: bytes) -> Schema:
    """The schema of an ADM document; the last few hundred are kept, because most variables share a type."""
    document: Any = parse(schema, max_depth=_SCHEMA_DEPTH)
    return Schema.from_adm(document)


def _require_fit(name: str, schema: bytes, value: bytes) -> None:
    kind = compiled(schema)
    found: Any = parse_canonical(value)
    try:
        kind.check(found, at=f"/{name}", code="SCHEMA_VIOLATION")
    except AltarError as unfit:
        unfit.ran = "no"
        unfit.hint = f"the type of variable {name!r} was given when it was declared"
        raise


def _too_large(what: str, name: str, size: int, limit: int) -> AltarError:
    return TransportError(
        "MESSAGE_TOO_LARGE",
        f"The {what} of variable {name[:_LONGEST_NAME]!r} has {size} bytes and the limit is {limit}",
        ran="no",
        hint="keep a name or an address of the data in the variable, and the data elsewhere",
    )


def _full(message: str) -> AltarError:
    return ExecutionError("RESOURCE_EXHAUSTED", message, ran="no", hint="delete what is needed no more")


class Watcher:
    """What one watcher has not seen yet: at most the latest record of each variable, however slow it is.

    ``names`` empty means every variable of the session.
    ``wake`` is called, in whatever thread changes a variable, when there is something to take; it must not block.
    """

    def __init__(self, names: Iterable[str], wake: Callable[[], None]) -> None:
        self.names = frozenset(names)
        self.error: AltarError | None = None
        self.ended = False
        self._wake = wake
        self._pending: dict[str, Record] = {}
        self._told: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, records: Iterable[Record]) -> None:
        """Everything that is watched, as it is now, at the beginning and after a connection was lost."""
        now = tuple(records)
        there = {record.name for record in now}
        with self._lock:
            known = self._told | {name: held.version for name, held in self._pending.items() if not held.deleted}
        self.offer([Record(name, version + 1) for name, version in known.items() if name not in there])
        self.offer(now)

    def offer(self, records: Iterable[Record]) -> None:
        """Some variables have changed; what is not watched, or is known already, is passed over."""
        with self._lock:
            waiting = bool(self._pending)
            for record in records:
                self._note(record)
            wake = not waiting and bool(self._pending)
        if wake:
            self._wake()

    def take(self) -> Record | None:
        """The change that waits longest, or None."""
        with self._lock:
            if not self._pending:
                return None
            name = next(iter(self._pending))
            record = self._pending.pop(name)
            if record.deleted:
                self._told.pop(name, None)
            else:
                self._told[name] = record.version
            return record

    def end(self, error: AltarError | None = None) -> None:
        """Nothing more will change, or nobody can say so any more."""
        self.error = self.error or error
        self.ended = True
        self._wake()

    def _note(self, record: Record) -> None:
        name = record.name
        if self.names and name not in self.names:
            return
        held = self._pending.get(name)
        if record.version <= (held.version if held is not None else self._told.get(name, 0)):
            return
        if record.deleted and name not in self._told and not self.names:
            self._pending.pop(name, None)  # it came and went unseen: what is there is as it was
        else:
            self._pending[name] = record
