"""The values of variables for a call that was recorded, as far as they are known: what was recorded, and what follows.

Recorded facts are by the names of variables: ``{"args.amount": 250, "absent": ["args.note"]}``.
What an argument is when the record says that it was left out, and what was not recorded, are two different things: the
first has no value, which a condition may ask about, the second makes what reads it undecidable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from altar.aesp.policy.cel import NUMBER, Expression
from altar.aesp.policy.recorded_calls import RecordedCall

__all__ = ["ABSENT", "OF_CALL", "TIMES", "TYPED", "recorded_as", "typed", "value_of_call", "values_of"]

ABSENT: Final = "absent"
"""The member of recorded facts that names the arguments which were not given."""
TIMES: Final = frozenset({"time", "request.time"})
"""The variables that are the time of the decision; the record has that of its commit, moments later."""
OF_CALL: Final[Mapping[str, str]] = {
    "tool.name": "tool",
    "resource.name": "tool",
    "tool.version": "version",
    "resource.version": "version",
    "tenant.name": "tenant",
    "request.session_id": "session",
    "request.correlation_id": "correlation",
}
"""The variables that an entry has beside its facts, and the member each is."""
TYPED: Final = frozenset({NUMBER, "double", "timestamp", "duration"})
"""The types whose values JSON writes in another way."""
_PRESENCE = "has_"
_SECONDS = "s"


def value_of_call(name: str, call: RecordedCall) -> Any:
    """Give the value of a variable of `OF_CALL` or `TIMES`; None where the entry does not have it."""
    if name in TIMES:
        return datetime.fromtimestamp(call.time_ms / 1000, UTC)
    member = OF_CALL.get(name)
    return (getattr(call, member) or None) if member is not None else None


def values_of(
    expressions: Iterable[Expression],
    *,
    types: Mapping[str, str],
    facts: Mapping[str, Any],
    beside: Mapping[str, Any],
) -> tuple[dict[str, Any], frozenset[str]]:
    """Give the values that expressions need, and the names of variables whose values are not known.

    ``facts`` were recorded; ``beside`` is what is known otherwise, ready to be used.
    """
    values: dict[str, Any] = {}
    missing: set[str] = set()
    for expression in expressions:
        for name in expression.needs:
            if name in values or name in missing:
                continue
            if (found := facts.get(recorded_as(name))) is not None:
                values[name] = typed(found, types.get(name, "dyn"))
            elif name in beside:
                values[name] = beside[name]
            elif name.startswith(_PRESENCE):
                _presence(name, facts, values, missing)
            elif name not in facts.get(ABSENT, ()):
                _gather(name, expression, facts, values, missing)
    return values, frozenset(missing)


def recorded_as(name: str) -> str:
    """Give the name that a variable has in recorded facts: who asks, and when, have the longer of their two."""
    return f"request.{name}" if name == "time" or name.startswith("principal.") else name


def typed(value: Any, kind: str) -> Any:
    """Give a value of JSON in the type that its variable has."""
    if kind in {NUMBER, "double"} and type(value) is int:
        return float(value)
    if kind == "timestamp" and isinstance(value, str):
        return datetime.fromisoformat(value)
    if kind == "duration" and isinstance(value, str) and value.endswith(_SECONDS):
        return timedelta(seconds=float(value.removesuffix(_SECONDS)))
    return value


def _presence(name: str, facts: Mapping[str, Any], values: dict[str, Any], missing: set[str]) -> None:
    """Whether something has a value is known when its value is, or that it was absent."""
    of = name.removeprefix(_PRESENCE)
    if of in facts or any(each.startswith(f"{of}.") for each in facts):
        values[name] = True
    elif of in facts.get(ABSENT, ()):
        values[name] = False
    else:
        missing.add(name)


def _gather(
    name: str, expression: Expression, facts: Mapping[str, Any], values: dict[str, Any], missing: set[str]
) -> None:
    """Put a map together from those of its members that are read, when each of them is known."""
    depth = name.count(".") + 1
    below = [path for path in expression.reads if ".".join(path[:depth]) == name]
    made: dict[str, Any] = {}
    for path in below:
        full = ".".join(path)
        if len(path) == depth or (full not in facts and full not in facts.get(ABSENT, ())):
            missing.add(name)
            return
        if full in facts:
            inner = made
            for member in path[depth:-1]:
                inner = inner.setdefault(member, {})
            inner[path[-1]] = facts[full]
    if below:
        values[name] = made
    else:
        missing.add(name)
