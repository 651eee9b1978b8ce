"""The facts of a call: the value of each variable that policies read, and what of it the record may hold.

Facts are one flat mapping of names to values, such as ``{"args.amount": 250.0, "request.environment": "production"}``.
Only what the policies of a tool read is worked out, by a plan that is made once per tool.
An argument that is not given has no entry; ``has_args.…`` says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from altar.adm.blobs import base64_text
from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.policy.cel import NUL, NUMBER, has_nul, unevaluable
from altar.aesp.policy.types import OF_PRINCIPAL

if TYPE_CHECKING:
    from altar.adm.blobs import Blob
    from altar.aesp.directory import Directory
    from altar.aesp.policy.counters import Counters
    from altar.aesp.principal import Principal
    from altar.aesp.snapshot import Person, Tenant
    from altar.grid.manifests.manifest import HostContract
    from altar.later.invocation import Invocation

__all__ = ["MAX_FACTS_BYTES", "MAX_ITEMS", "MAX_READ_BYTES", "Circumstances", "Desk", "Plan", "static_facts"]

MAX_ARGUMENTS_BYTES: Final = 1024 * 1024
"""Largest arguments that policies read anything of."""
MAX_READ_BYTES: Final = 64 * 1024
"""Largest value of an argument that policies read."""
MAX_ITEMS: Final = 1_000
"""Most members of lists and maps, at any depth, among the arguments that are read where policies go through them."""
MAX_FACTS_BYTES: Final = 768
"""Most bytes of recorded facts, as they stand in an entry of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What facts are taken from, beside the call: the same for all calls of a host.

    ``environment`` is the word for where the host runs, such as ``production``.
    ``now`` gives seconds since 1970, ``clock`` seconds of the clock of deadlines.
    ``has_approval`` says whether a call comes with an approval that stands for it.
    """

    directory: Directory
    counters: Counters | None = None
    environment: str = ""
    now: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    has_approval: Callable[[Invocation], bool] = lambda _: False


class Circumstances:
    """One call and all that is known around it; each fact is taken from here when it is read."""

    __slots__ = ("desk", "invocation", "now", "person", "who")

    def __init__(self, desk: Desk, invocation: Invocation) -> None:
        self.desk = desk
        self.invocation = invocation
        self.who: Principal = invocation.who
        self.person: Person | None = desk.directory.principal(self.who.id)
        self.now = desk.now()

    @property
    def tenant(self) -> Tenant | None:
        """The tenant of the call, as it is now."""
        return self.desk.directory.tenant(self.invocation.tenant)

    @property
    def time(self) -> datetime:
        """When the call is decided on."""
        return datetime.fromtimestamp(self.now, UTC)


class Plan:
    """How the facts of one tool are worked out: made once, followed for each call.

    ``needs`` are the variables that its policies read, ``static`` those facts that are the same for every call,
    ``record`` the arguments that may be recorded; ``walks`` says that a policy goes through lists or maps.
    """

    __slots__ = ("_args", "_from_call", "_is_cut", "_kept", "_kept_arguments", "_static", "_walks", "_whole")

    def __init__(
        self,
        needs: Iterable[str],
        *,
        types: Mapping[str, str],
        static: Mapping[str, Any],
        record: tuple[str, ...],
        walks: bool = False,
    ) -> None:
        names = sorted(set(needs))
        self._walks = walks
        self._static = {name: static[name] for name in names if name in static}
        self._is_cut = has_nul(self._static)
        self._from_call = tuple((name, _GETTERS[name]) for name in names if name in _GETTERS)
        self._whole = "args" in names
        self._args = tuple(
            (name, tuple(name.split(".")[1:]), types.get(name, "dyn"), f"has_{name}" in names)
            for name in sorted({each.removeprefix("has_") for each in names if _is_argument(each)})
        )
        self._kept = tuple((_SAME.get(name, name), name) for name in names if _is_kept(name, record))
        read = {name.removeprefix("has_") for name in names if _is_argument(name)} | (
            {"args"} if self._whole else set()
        )
        self._kept_arguments = tuple((name, tuple(name.split(".")[1:])) for name in _recordable(read, record))

    def facts(self, circumstances: Circumstances) -> dict[str, Any]:
        """Give the facts of a call. Raises AuthorizationError POLICY_ERROR for what policies cannot read."""
        if self._is_cut:
            raise unevaluable(NUL)
        values = dict(self._static)
        for name, get in self._from_call:
            values[name] = get(circumstances)
        if self._args or self._whole:
            self.add_arguments(values, circumstances.invocation.arguments, circumstances.invocation.blobs or ())
        return values

    def add_arguments(self, values: dict[str, Any], arguments: bytes, blobs: Sequence[Blob] = ()) -> None:
        """Add what is read of the arguments (JSON) to ``values``; ``blobs`` are the bytes that they refer to.

        Bytes are judged as the base64 text that they are, whether they came beside the JSON or in it.
        """
        if len(arguments) > MAX_ARGUMENTS_BYTES:
            raise AuthorizationError(
                "POLICY_ERROR",
                f"The arguments have {len(arguments)} bytes; policies read up to {MAX_ARGUMENTS_BYTES}",
                ran="no",
                hint="send less, or pass what is large by reference",
            )
        given = orjson.loads(arguments)
        for blob in blobs:
            _put(given, blob)
        careful = len(arguments) > MAX_READ_BYTES or bool(blobs) or b"\\u0000" in arguments
        room = MAX_ITEMS if self._walks and len(arguments) > MAX_ITEMS else math.inf
        if self._whole:
            values["args"] = _readable(given, "args") if careful else given
            room -= _items(given) if room < math.inf else 0
        for name, path, kind, asked in self._args:
            value = _at(given, path)
            if asked:
                values[f"has_{name}"] = value is not _ABSENT
            if value is _ABSENT:
                continue
            if kind == NUMBER and type(value) is int:
                value = float(value)
            elif kind == "int" and type(value) is float and value.is_integer():
                value = int(value)
            values[name] = _readable(value, name) if careful else value
            room -= _items(value) if room < math.inf else 0
        if room < 0:
            raise AuthorizationError(
                "POLICY_ERROR",
                f"The arguments have more than {MAX_ITEMS} members that policies go through one by one",
                ran="no",
                hint="send fewer at a time",
            )

    def record(self, values: Mapping[str, Any], would: Mapping[str, str]) -> str:
        """Give what the log may hold of the facts, as canonical JSON text; the largest are left out until it fits.

        ``would`` names the dry-run policies that were true, with their effects.
        """
        kept = {key: values[name] for key, name in self._kept if name in values}
        absent = []
        for name, path in self._kept_arguments:
            value = _recorded_value(values, name, path)
            if value is _ABSENT:
                absent.append(name)
            else:
                kept[name] = value
        if absent:
            kept["absent"] = absent
        if would:
            kept["would"] = dict(would)
        return _fitting(kept) if kept else ""


def static_facts(
    contract: HostContract, *, constants: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Give the facts that every call of a contract has: what its manifest says, and the constants."""
    governance, notes = contract.governance, contract.annotations
    cost = governance.estimated_cost if governance is not None else ""
    return {
        "resource.type": "tool",
        "resource.name": contract.name,
        "resource.version": contract.version,
        "resource.metadata.contains_pii": governance.contains_pii if governance is not None else False,
        "resource.metadata.estimated_cost": float(cost or 0),
        "resource.metadata.classification": governance.security_classification if governance is not None else "",
        "resource.metadata.risk": governance.risk_assessment if governance is not None else "",
        "resource.metadata.tags": list(governance.compliance_tags) if governance is not None else [],
        "resource.metadata.read_only": notes.read_only,
        "resource.metadata.destructive": notes.destructive,
        "resource.metadata.idempotent": notes.idempotent,
        "resource.metadata.open_world": notes.open_world,
        "resource.labels": dict(governance.governance_metadata) if governance is not None else {},
        "tool.name": contract.name,
        "tool.version": contract.version,
        "tool.digest": contract.digest,
        "environment": dict(environment),
        **{
            f"constants.{name}": list(value) if isinstance(value, list | tuple) else value
            for name, value in constants.items()
        },
    }


class _Absent:
    """What an argument is that was not given."""


_ABSENT: Final = _Absent()
_LONGEST_SECONDS = 365 * 86_400.0
_TOO_LARGE = " " * (MAX_READ_BYTES + 1)
_HOLDERS = frozenset({list, dict})

_OF_PERSON: dict[str, Callable[[Circumstances], Any]] = {
    "id": lambda call: call.who.id,
    "name": lambda call: call.who.id.partition("/")[2],
    "kind": lambda call: str(call.who.kind),
    "roles": lambda call: [] if call.person is None else list(call.person.roles),
    "groups": lambda call: [] if call.person is None else list(call.person.groups),
    "clearance": lambda call: "" if call.person is None else _text(call.person.clearance),
    "organization": lambda call: "" if call.person is None else _text(call.person.organization),
    "business_unit": lambda call: "" if call.person is None else _text(call.person.business_unit),
    "authenticated_by": lambda call: call.who.authenticated_by,
    "mfa": lambda call: call.who.mfa,
    "claims": lambda call: _texts(dict(call.who.claims)),
    "daily_invocations": lambda call: _counted(call)[0],
}
_GETTERS: Final[Mapping[str, Callable[[Circumstances], Any]]] = {
    "request.time": lambda call: call.time,
    "time": lambda call: call.time,
    "request.source": lambda call: _text(call.invocation.source),
    "request.session_id": lambda call: _text(call.invocation.session_id),
    "request.correlation_id": lambda call: _text(call.invocation.correlation_id),
    "request.deadline_seconds": lambda call: max(
        0.0, min(call.invocation.deadline - call.desk.clock(), _LONGEST_SECONDS)
    ),
    "request.environment": lambda call: call.desk.environment,
    "request.has_approval": lambda call: call.desk.has_approval(call.invocation),
    "tenant.name": lambda call: call.invocation.tenant,
    "tenant.organization": lambda call: "" if call.tenant is None else _text(call.tenant.organization),
    "tenant.business_unit": lambda call: "" if call.tenant is None else _text(call.tenant.business_unit),
    "tenant.daily_invocations": lambda call: _counted(call)[1],
    **{f"request.principal.{name}": _OF_PERSON[name] for name in OF_PRINCIPAL},
    **{f"principal.{name}": _OF_PERSON[name] for name in OF_PRINCIPAL},
}
"""How each fact of a call is found; those of its contract are static, those of its arguments have a path."""

_SAME = {f"principal.{name}": f"request.principal.{name}" for name in OF_PRINCIPAL}
_NEVER_KEPT = frozenset(
    {
        *(f"{root}.{name}" for root in ("principal", "request.principal") for name in ("id", "name", "claims")),
        *("request.time", "time", "request.session_id", "request.correlation_id", "tenant.name"),
        *("tool.name", "tool.version", "tool.digest", "resource.type", "resource.name", "resource.version"),
    }
)
"""What names a person, or stands in the entry anyway."""


def _counted(call: Circumstances) -> tuple[int, int]:
    counters = call.desk.counters
    passed = (0, 0) if counters is None else counters.of(call.invocation.tenant, call.invocation.principal)
    return passed[0] + 1, passed[1] + 1  # the call that is decided on is one of them


def _text(value: str) -> str:
    if "\x00" in value:
        raise unevaluable(NUL)
    return value


def _texts(values: dict[str, str]) -> dict[str, str]:
    if has_nul(values):
        raise unevaluable(NUL)
    return values


def _is_argument(name: str) -> bool:
    return name.startswith(("args.", "has_args."))


def _at(given: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if type(given) is not dict or name not in given:
            return _ABSENT
        given = given[name]
    return given


def _put(given: Any, blob: Blob) -> None:
    """Put the text of a blob in the place of its reference; of one too large to be read, a text that is as well."""
    if not blob.path:
        return  # arguments are an object, which no bytes stand for
    *above, last = (part.replace("~1", "/").replace("~0", "~") for part in blob.path.split("/")[1:])
    for part in above:
        given = given[int(part)] if type(given) is list else given[part]
    text = _TOO_LARGE if len(blob.data) > MAX_READ_BYTES else base64_text(blob.data)
    given[int(last) if type(given) is list else last] = text


def _items(value: Any) -> int:
    """Count the members of lists and maps at any depth."""
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return 0
    return len(value) + sum(_items(each) for each in value if type(each) in _HOLDERS)


def _readable(value: Any, name: str) -> Any:
    """Give the value back when the engine can be given it."""
    size = len(value) if isinstance(value, str) else len(orjson.dumps(value))
    if size > MAX_READ_BYTES:
        raise AuthorizationError(
            "POLICY_ERROR",
            f"{name!r} has {size} bytes; policies read up to {MAX_READ_BYTES} of one argument",
            ran="no",
            hint="send less, or pass what is large by reference",
        )
    if has_nul(value):
        raise unevaluable(NUL)
    return value


def _is_kept(name: str, record: tuple[str, ...]) -> bool:
    if _is_argument(name) or name == "args" or name.startswith("constants.") or name in _NEVER_KEPT:
        return False
    return name != "request.source" or name in record


def _recordable(read: set[str], record: tuple[str, ...]) -> list[str]:
    """Give the arguments that are recorded: those of ``record``, or parts of them, as far as they are read."""
    found = {name for name in read if any(f"{name}.".startswith(f"{each}.") for each in record)}
    return sorted(found | {each for each in record if any(each.startswith(f"{name}.") for name in read)})


def _recorded_value(values: Mapping[str, Any], name: str, path: tuple[str, ...]) -> Any:
    if name in values:
        return values[name]
    for end in range(len(path), -1, -1):
        holder = ".".join(("args", *path[:end]))
        if holder in values:
            return _at(values[holder], path[end:])
    return _ABSENT


def _fitting(kept: dict[str, Any]) -> str:
    """Write facts; the largest values are left out until they fit."""
    text = _quickly(kept)
    if text and len(text) + text.count('"') + text.count("\\") <= MAX_FACTS_BYTES:
        return text
    while True:
        try:
            text = canonical(kept).decode()
        except AltarError:  # a value that no canonical form takes, such as an integer beyond 64 bits
            kept = {key: value for key, value in kept.items() if _is_canonical({key: value})}
            continue
        if len(orjson.dumps(text)) <= MAX_FACTS_BYTES:
            return text if kept else ""
        largest = max(kept, key=lambda key: len(canonical(kept[key])) + len(key))
        kept = {key: value for key, value in kept.items() if key != largest}


def _quickly(kept: dict[str, Any]) -> str:
    """Write plain facts as they mostly are; "" where the canonical form is not surely what is written."""
    plain = kept
    for name, value in kept.items():
        kind = type(value)
        if kind is float:
            if not (value == 0 or _SMALLEST <= abs(value) < _LARGEST):
                return ""
            if value.is_integer():
                plain = plain if plain is not kept else dict(kept)
                plain[name] = int(value)
        elif kind not in _PLAIN:
            return ""
    try:
        text = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return ""
    return text if text.isascii() and text.isprintable() else ""


_PLAIN = frozenset({str, int, bool, list})
_SMALLEST, _LARGEST = 1e-3, 1e15
"""Between these a number is written without an exponent, as RFC 8785 has it."""


def _is_canonical(value: Any) -> bool:
    try:
        canonical(value)
    except AltarError:
        return False
    return True
