"""The facts of a call: the value of each variable that policies read, and what of it the record may hold.

Facts are one flat mapping of names to values, such as ``{"args.amount": 250.0, "request.environment": "production"}``.
Only what the policies of a tool read is worked out, by a plan that is made once per tool.
An argument that is not given has no entry; ``has_args.…`` says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from altar.adm.blobs import base64_text
from altar.adm.errors import AuthorizationError
from altar.aesp.policy.cel import NUL, NUMBER, has_nul, unevaluable
from altar.aesp.policy.recorded_facts import ABSENT, Recording, plain_text, value_at

if TYPE_CHECKING:
    from altar.adm.blobs import Blob
    from altar.aesp.directory import Directory
    from altar.aesp.policy.counters import Counters
    from altar.aesp.principal import Principal
    from altar.aesp.snapshot import Person, Tenant
    from altar.grid.manifests.manifest import HostContract
    from altar.later.invocation import Invocation

__all__ = ["MAX_ITEMS", "MAX_READ_BYTES", "Circumstances", "Costs", "Desk", "Plan", "static_facts"]

Costs = Callable[[str], "str | None"]
"""Gives what a call of a tool is taken to cost, as decimal text; None where a price list does not say it."""

MAX_ARGUMENTS_BYTES: Final = 1024 * 1024
"""Largest arguments that policies read anything of."""
MAX_READ_BYTES: Final = 64 * 1024
"""Largest value of an argument that policies read."""
MAX_ITEMS: Final = 1_000
"""Most members of lists and maps, at any depth, among the arguments that are read where policies go through them."""
_MAX_CALLERS: Final = 2_048


@dataclass(slots=True, kw_only=True, eq=False)
class Desk:
    """What facts are taken from, beside the call: the same for all calls of a host.

    ``environment`` is the word for where the host runs, such as ``production``; a configuration may change it.
    ``now`` gives seconds since 1970, ``clock`` seconds of the clock of deadlines.
    ``has_approval`` says whether a call comes with an approval that stands for it.
    """

    directory: Directory
    counters: Counters | None = None
    environment: str = ""
    now: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    has_approval: Callable[[Invocation], bool] = lambda _: False
    _callers: dict[int, CallerFacts] = field(default_factory=dict, init=False, repr=False)

    def caller(self, who: Principal) -> CallerFacts:
        """Give the facts of whoever asks, which are found once for as long as the directory says the same of them."""
        person = self.directory.principal(who.id)
        known = self._callers.get(id(who))
        if known is None or known.person is not person:
            if len(self._callers) >= _MAX_CALLERS:
                self._callers.clear()
            known = self._callers[id(who)] = CallerFacts(who, person)  # it holds who, so that nobody else has the id
        return known


class CallerFacts(dict[str, Any]):
    """The facts of somebody who asks, and their texts for the record; each is found when it is first read."""

    __slots__ = ("_texts", "person", "who")

    def __init__(self, who: Principal, person: Person | None) -> None:
        self.who = who
        self.person = person
        self._texts: dict[str, str | None] = {}

    def __missing__(self, name: str) -> Any:
        value = self[name] = _OF_CALLER[name](self)
        return value

    def text(self, name: str) -> str | None:
        """Give a fact as the record has it; None where it is not plain."""
        if name not in self._texts:
            self._texts[name] = plain_text(self[name])
        return self._texts[name]


class Circumstances:
    """One call and all that is known around it; each fact is taken from here when it is read."""

    __slots__ = ("_counted", "caller", "desk", "invocation", "now")

    def __init__(self, desk: Desk, invocation: Invocation) -> None:
        self.desk = desk
        self.invocation = invocation
        self.caller = desk.caller(invocation.who)
        self.now = desk.now()
        self._counted: tuple[int, int] | None = None

    @property
    def tenant(self) -> Tenant | None:
        """The tenant of the call, as it is now."""
        return self.desk.directory.tenant(self.invocation.tenant)

    @property
    def counted(self) -> tuple[int, int]:
        """How many calls of today there are with this one: of whoever asks, and of the tenant."""
        if self._counted is None:
            counters, call = self.desk.counters, self.invocation
            mine, all_of_it = (0, 0) if counters is None else counters.of(call.tenant, call.principal)
            self._counted = mine + 1, all_of_it + 1
        return self._counted

    @property
    def time(self) -> datetime:
        """When the call is decided on."""
        return datetime.fromtimestamp(self.now, UTC)


class Plan:
    """How the facts of one tool are worked out: made once, followed for each call.

    ``needs`` are the variables that its policies read, ``static`` those facts that are the same for every call,
    ``record`` the arguments that may be recorded; ``walks`` says that a policy goes through lists or maps.
    """

    __slots__ = ("_args", "_from_call", "_is_cut", "_of_caller", "_recording", "_static", "_walks", "_whole")

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
        self._of_caller = tuple(name for name in names if name in _OF_CALLER)
        self._from_call = tuple((name, _GETTERS[name]) for name in names if name in _GETTERS)
        self._whole = "args" in names
        self._args = tuple(
            (name, tuple(name.split(".")[1:]), types.get(name, "dyn"), f"has_{name}" in names)
            for name in sorted({each.removeprefix("has_") for each in names if _is_argument(each)})
        )
        self._recording = Recording(names, static=self._static, record=record, of_caller=self._of_caller)

    def facts(self, circumstances: Circumstances) -> dict[str, Any]:
        """Give the facts of a call. Raises AuthorizationError POLICY_ERROR for what policies cannot read."""
        if self._is_cut:
            raise unevaluable(NUL)
        values = self._static.copy()
        known = circumstances.caller
        for name in self._of_caller:
            values[name] = known[name]
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
            value = value_at(given, path)
            if asked:
                values[f"has_{name}"] = value is not ABSENT
            if value is ABSENT:
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

    def record(self, values: Mapping[str, Any], would: Mapping[str, str], *, caller: CallerFacts | None = None) -> str:
        """Give what the log may hold of the facts, as canonical JSON text; the largest are left out until it fits.

        ``would`` names the dry-run policies that were true, with their effects.
        ``caller`` is whose facts they are, who keeps the texts of its own for the next call.
        """
        return self._recording.text(values, would, None if caller is None else caller.text)


def static_facts(
    contract: HostContract,
    *,
    constants: Mapping[str, Any],
    environment: Mapping[str, str],
    costs: Costs | None = None,
) -> dict[str, Any]:
    """Give the facts that every call of a contract has: what its manifest says, and the constants.

    What ``costs`` say of it comes before what its manifest says.
    """
    governance, notes = contract.governance, contract.annotations
    cost = (costs(contract.name) if costs is not None else None) or (governance.estimated_cost if governance else "")
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


_LONGEST_SECONDS = 365 * 86_400.0
_TOO_LARGE = " " * (MAX_READ_BYTES + 1)
_HOLDERS = frozenset({list, dict})

_OF_PERSON: dict[str, Callable[[CallerFacts], Any]] = {
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
    "tenant.daily_invocations": lambda call: call.counted[1],
    "principal.daily_invocations": lambda call: call.counted[0],
    "request.principal.daily_invocations": lambda call: call.counted[0],
}
"""How each fact of a call is found; those of its contract are static, those of its arguments have a path."""
_OF_CALLER: Final[Mapping[str, Callable[[CallerFacts], Any]]] = {
    f"{root}.{name}": get for root in ("principal", "request.principal") for name, get in _OF_PERSON.items()
}
"""How each fact of whoever asks is found."""


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
