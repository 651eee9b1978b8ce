"""The tests of a bundle: calls that were written down, and what is to become of them.

::

    [[tests]]
    name = "a large refund waits for finance"
    tool = "payments.refund"                     # the newest version that is there, or `version = "1.2.0"`
    args = { amount = 900 }
    time = "2026-01-05T10:00:00Z"                # this one, a Monday, when left out
    facts = { "principal.kind" = "service_account", "request.environment" = "development" }
    environment = { region = "eu" }
    expect = "REQUIRE_APPROVAL"                  # or ALLOW, DENY, AUDIT, ERROR
    policy = "refunds-need-a-person"             # which policy decides; any when left out

What a test does not say has the value that it would have for a new user without roles, in production.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ValidationError
from altar.aesp.policy.types import VOCABULARY

if TYPE_CHECKING:
    from altar.aesp.policy.policy import Bundle
    from altar.grid.manifests.manifest import HostContract

__all__ = ["EXPECTED", "MONDAY", "Case", "CaseResult", "Decided", "Values", "cases_of", "run_case"]

EXPECTED: Final = ("ALLOW", "DENY", "REQUIRE_APPROVAL", "AUDIT", "ERROR")
"""What may become of a call; ERROR is a denial because a policy could not be evaluated."""

MONDAY: Final = datetime(2026, 1, 5, 10, tzinfo=UTC)
"""When a call of a test is made, unless the test says otherwise."""

Values = Mapping[str, Any]
"""The values of variables by their names."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test: a call, and what is expected; ``facts`` are by the names of variables."""

    name: str
    tool: str
    version: str
    arguments: Mapping[str, Any]
    facts: Values
    environment: Mapping[str, str]
    time: datetime
    expect: str
    policy: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of a call: one of `EXPECTED`, the policy that decides ("" for the default), and why for an error."""

    verdict: str
    policy: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a test ended; ``message`` says in words what is not as expected."""

    name: str
    passed: bool
    expected: str
    decided: str
    policy: str
    message: str


Decide = Callable[["HostContract", Case], Decided]
"""Decides on the call of a test."""


def cases_of(bundle: Bundle) -> list[Case]:
    """Read the tests of a bundle. Raises ValidationError INVALID_POLICY, naming the test, for one that is none."""
    seen: set[str] = set()
    made = []
    for number, table in enumerate(bundle.tests, 1):
        case = _case(table, number)
        if case.name in seen:
            raise _wrong(case.name, "there are two tests of that name")
        seen.add(case.name)
        made.append(case)
    return made


def run_case(case: Case, contracts: Sequence[HostContract], decide: Decide) -> CaseResult:
    """Decide on the call of a test, and compare."""
    try:
        contract = _contract(case, contracts)
        contract.check(canonical(dict(case.arguments)))
        decided = decide(contract, case)
    except AltarError as refused:
        return CaseResult(case.name, passed=False, expected=case.expect, decided="", policy="", message=refused.message)
    wrong = "; ".join(_differences(case, decided))
    return CaseResult(
        case.name,
        passed=not wrong,
        expected=case.expect,
        decided=decided.verdict,
        policy=decided.policy,
        message=wrong,
    )


def default_values(case: Case, contract: HostContract) -> dict[str, Any]:
    """The value of each variable that is always there, for a call that says nothing of it."""
    values: dict[str, Any] = {name: _NOTHING[kind.partition("<")[0]] for name, kind in VOCABULARY.items()}
    for place in ("request.principal", "principal"):
        values |= {f"{place}.{name}": held for name, held in _SOMEBODY.items()}
    return values | {
        "request.time": case.time,
        "request.source": "192.0.2.1",
        "request.session_id": "session",
        "request.correlation_id": "correlation",
        "request.deadline_seconds": 60.0,
        "request.environment": "production",
        "tenant.name": "acme",
        "resource.type": "tool",
        "resource.name": contract.name,
        "resource.version": contract.version,
        "tool.name": contract.name,
        "tool.version": contract.version,
        "tool.digest": contract.digest,
        "time": case.time,
        "environment": dict(case.environment),
    }


def said_values(case: Case) -> dict[str, Any]:
    """The values that a test says; what it says of the principal counts under both of its names."""
    values: dict[str, Any] = {}
    for name, held in case.facts.items():
        value = float(held) if VOCABULARY[name] == "number" and type(held) is int else held
        values[name] = _moment(value, case.name) if VOCABULARY[name] == "timestamp" else value
        for short, long in (("principal.", "request.principal."), ("request.principal.", "principal.")):
            if name.startswith(short):
                values[long + name.removeprefix(short)] = values[name]
                break
    return values


_NOTHING: Final[Mapping[str, Any]] = {
    "string": "",
    "bool": False,
    "int": 0,
    "number": 0.0,
    "list": [],
    "map": {},
    "timestamp": MONDAY,
}
_SOMEBODY: Final[Mapping[str, Any]] = {
    "id": "acme/somebody",
    "name": "somebody",
    "kind": "user",
    "authenticated_by": "password",
}
_MEMBERS = {"name", "tool", "version", "args", "time", "facts", "environment", "expect", "policy"}
_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "bool": bool,
    "int": int,
    "number": (int, float),
    "list": list,
    "map": dict,
    "timestamp": str,
}


def _case(table: Mapping[str, Any], number: int) -> Case:
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise _wrong(f"number {number}", "it has no name")
    unknown = sorted(set(table) - _MEMBERS)
    if unknown:
        raise _wrong(name, f"there is no member {unknown[0]!r}", hint=f"there are {', '.join(sorted(_MEMBERS))}")
    expect = table.get("expect")
    if expect not in EXPECTED:
        raise _wrong(name, f"`expect` must be one of {', '.join(EXPECTED)}, not {expect!r:.40}")
    tool, version = _text(table, "tool", name), _text(table, "version", name)
    if not tool:
        raise _wrong(name, "it names no tool")
    return Case(
        name=name,
        tool=tool.partition("@")[0],
        version=version or tool.partition("@")[2],
        arguments=_table(table, "args", name),
        facts=_facts(_table(table, "facts", name), name),
        environment=_environment(_table(table, "environment", name), name),
        time=_moment(table["time"], name) if "time" in table else MONDAY,
        expect=str(expect),
        policy=_text(table, "policy", name),
    )


def _facts(facts: Mapping[str, Any], case: str) -> Mapping[str, Any]:
    for name, held in facts.items():
        kind = VOCABULARY.get(name, "")
        if not kind or name in {"args", "environment"}:
            near = difflib.get_close_matches(name, VOCABULARY, n=1)
            raise _wrong(case, f"there is no fact {name!r}", hint=f"did you mean {near[0]!r}?" if near else None)
        wanted = _KINDS[kind.partition("<")[0]]
        if not isinstance(held, wanted) or (isinstance(held, bool) and wanted is not bool):
            raise _wrong(case, f"the fact {name!r} is of the type {kind}, not {held!r:.60}")
        if kind.endswith(("<string>", ", string>")) and not all(isinstance(one, str) for one in _held(held)):
            raise _wrong(case, f"the fact {name!r} is of the type {kind}, not {held!r:.60}")
    return facts


def _held(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, Mapping) else value


def _environment(table: Mapping[str, Any], case: str) -> Mapping[str, str]:
    if not all(isinstance(held, str) for held in table.values()):
        raise _wrong(case, "`environment` holds texts only")
    return table


def _moment(text: object, case: str) -> datetime:
    try:
        made = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        made = None
    if made is None or made.tzinfo is None:
        raise _wrong(case, f"{text!r:.40} is no time", hint='write it as "2026-01-05T10:00:00Z"')
    return made.astimezone(UTC)


def _text(table: Mapping[str, Any], member: str, case: str) -> str:
    held = table.get(member, "")
    if not isinstance(held, str):
        raise _wrong(case, f"`{member}` must be a text, not {held!r:.40}")
    return held


def _table(table: Mapping[str, Any], member: str, case: str) -> Mapping[str, Any]:
    held = table.get(member, {})
    if not isinstance(held, Mapping):
        raise _wrong(case, f"`{member}` must be a table, not {held!r:.40}")
    return held


def _contract(case: Case, contracts: Sequence[HostContract]) -> HostContract:
    of_name = [one for one in contracts if one.name == case.tool]
    if not of_name:
        near = difflib.get_close_matches(case.tool, {one.name for one in contracts}, n=1)
        raise _wrong(case.name, f"there is no tool {case.tool!r}", hint=f"did you mean {near[0]!r}?" if near else None)
    for contract in of_name:
        if contract.version == case.version:
            return contract
    if case.version:
        raise _wrong(case.name, f"{case.tool!r} has no version {case.version!r}")
    return max(of_name, key=lambda one: _parts(one.version))


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].partition("+")[0].split(".") if part.isdigit())


def _differences(case: Case, decided: Decided) -> Iterator[str]:
    by = f" by {decided.policy!r}" if decided.policy else ""
    why = f" ({decided.reason})" if decided.reason else ""
    if decided.verdict != case.expect:
        yield f"expected {case.expect}, and it is {decided.verdict}{by}{why}"
    elif case.policy and case.policy != decided.policy:
        yield f"expected {case.policy!r} to decide, and {decided.policy or 'no policy'!r} does"


def _wrong(case: str, message: str, *, hint: str | None = None) -> ValidationError:
    return ValidationError("INVALID_POLICY", f"test {case[:80]!r}: {message}", ran="no", hint=hint)
