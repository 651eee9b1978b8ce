"""One policy and one call: what its condition is, what it read, and what would turn it.

The condition is judged as a whole and part by part with the same engine; where the parts do not add up to the whole,
only the whole is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from altar.adm.errors import AltarError
from altar.aesp.policy.cel import Expression, compile_expression
from altar.aesp.policy.conditions import Known, Reading, read_condition
from altar.aesp.policy.explanation import PolicyStep
from altar.aesp.policy.policy import Policy
from altar.aesp.policy.programs import CompiledPolicy

__all__ = ["PRESENCE", "judged", "walk_policy"]

PRESENCE: Final = "has_"
"""What a variable's name begins with that says whether another one has a value."""
_ROLES = frozenset({"roles", "groups", "permissions"})


def walk_policy(
    compiled: CompiledPolicy,
    *,
    types: Mapping[str, str],
    values: Mapping[str, Any],
    missing: Collection[str] = (),
    full: bool = True,
    decides: bool = False,
) -> PolicyStep:
    """Explain one policy for a call.

    ``types`` are those of the variables of its tool, ``values`` the facts by the names of variables, ``missing`` the
    names whose values are not known, which is not the same as having none.
    Without ``full`` a condition that speaks of roles or groups is left out.
    """
    policy, whole = compiled.policy, compiled.expression
    if whole is None:
        return PolicyStep(
            name=policy.name,
            effect=str(policy.effect),
            line=policy.line,
            condition=policy.condition if full else "",
            result="error",
            decides=decides,
            dry_run=policy.dry_run,
            hidden=not full,
            error=("" if compiled.problem is None else compiled.problem.message)
            if full
            else "it does not fit this tool",
        )
    absent = frozenset(missing)
    hidden = not full and any(_ROLES.intersection(path) for path in whole.reads)
    reading, error = _read(policy, whole, types, values, absent)
    unknown = sorted({_path_of(name) for name in whole.needs if name in absent})
    return PolicyStep(
        name=policy.name,
        effect=str(policy.effect),
        line=policy.line,
        condition="" if hidden else policy.condition,
        result=reading.value,
        message=policy.message,
        decides=decides,
        dry_run=policy.dry_run,
        parts=() if hidden else reading.parts,
        turns=() if hidden else reading.turns,
        facts={} if hidden else _facts(whole, values, absent),
        missing=() if hidden else tuple(unknown),
        hidden=hidden,
        error="" if hidden else error,
    )


def judged(expression: Expression, values: Mapping[str, Any], missing: Collection[str] = ()) -> tuple[Known, str]:
    """Say what a condition is, and for an error why; ``unknown`` when it reads what is missing."""
    if any(name in missing for name in expression.needs):
        return "unknown", ""
    try:
        value = expression.evaluate(values)
    except AltarError as error:
        return "error", str(error)
    if value is True:
        return "true", ""
    if value is False:
        return "false", ""
    return "error", "it is neither true nor false"


def _read(
    policy: Policy,
    whole: Expression,
    types: Mapping[str, str],
    values: Mapping[str, Any],
    missing: frozenset[str],
) -> tuple[Reading, str]:
    """Take the condition apart, and hold the parts to what the whole is."""
    value, error = judged(whole, values, missing)
    compiled: dict[str, Expression] = {}

    def part(text: str) -> Expression:
        if text not in compiled:
            compiled[text] = compile_expression(text, variables=types, line=policy.condition_line)
        return compiled[text]

    try:
        reading = read_condition(
            policy.condition,
            lambda text: judged(part(text), values, missing)[0],
            fixed=lambda text: not part(text).needs or all(n.startswith("constants.") for n in part(text).needs),
        )
    except AltarError:  # a part does not stand by itself: it is told as a whole
        return Reading(value, (), ()), error
    if value == "unknown":  # the parts that are known may decide alone
        return reading, error
    return (reading if reading.value == value else Reading(value, (), ())), error


def _facts(whole: Expression, values: Mapping[str, Any], missing: frozenset[str]) -> dict[str, Any]:
    """Give the values that a condition read, by path, ready for JSON; what is absent is null."""
    found: dict[str, Any] = {}
    for name in sorted(whole.needs):
        if name.startswith(PRESENCE) and name not in missing:
            found[_path_of(name)] = bool(values.get(name, False))
    for path in sorted(whole.reads):
        names = (".".join(path[:end]) for end in range(len(path), 0, -1))
        name = next((each for each in names if each in whole.needs), "")
        if name not in values or name in missing:
            continue
        value = values.get(name)
        for member in path[name.count(".") + 1 :]:
            value = value.get(member) if isinstance(value, Mapping) else None
        found[".".join(path)] = _plain(value)
    return found


def _path_of(name: str) -> str:
    return f"has({name.removeprefix(PRESENCE)})" if name.startswith(PRESENCE) else name


def _plain(value: Any) -> Any:
    """Give a value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return {str(name): _plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value


_EXACT = 2**53
