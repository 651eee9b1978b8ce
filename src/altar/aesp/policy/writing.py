"""A bundle written out as TOML again, for whoever looks at it; what `read_bundle` makes of it says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from altar.aesp.policy.policy import Bundle, Effect, Policy

__all__ = ["assigned", "written"]


def written(bundle: Bundle) -> str:
    """Give a bundle as TOML; members that say nothing are left out, and so are the comments of its author."""
    lines = [f"name = {_value(bundle.name)}"]
    if bundle.description:
        lines.append(f"description = {_value(bundle.description)}")
    lines.append(f"default = {_value(str(bundle.default))}")
    if bundle.record:
        lines.append(f"record = {_value(list(bundle.record))}")
    if bundle.constants:
        lines += ["", "[constants]", *(f"{_key(name)} = {_value(held)}" for name, held in bundle.constants.items())]
    for policy in bundle.policies:
        lines += ["", "[[policies]]", *_policy(policy)]
    for test in bundle.tests:
        lines += ["", "[[tests]]", *(f"{_key(name)} = {_value(test[name])}" for name in _ordered(test))]
    return "\n".join(lines) + "\n"


def assigned(name: str, held: Any) -> str:
    """Give one line of TOML that gives a member a value: a text, a number, a truth, a list or a table of those."""
    return f"{_key(name)} = {_value(held)}"


def _ordered(test: Mapping[str, Any]) -> list[str]:
    """The members of a test as one would write them."""
    usual = ("name", "tool", "version", "args", "time", "facts", "environment", "expect", "policy")
    return [*(name for name in usual if name in test), *(name for name in test if name not in usual)]


def _policy(policy: Policy) -> Iterator[str]:
    yield f"name = {_value(policy.name)}"
    if policy.description:
        yield f"description = {_value(policy.description)}"
    if policy.tools != ("*",):
        yield f"tools = {_value(list(policy.tools))}"
    yield f"condition = {_value(policy.condition)}"
    yield f"effect = {_value(str(policy.effect))}"
    if policy.effect is Effect.REQUIRE_APPROVAL:
        yield f"approvers = {_value(list(policy.approvers))}"
        yield f"quorum = {policy.quorum}"
        yield f"expires = {_value(_duration(policy.expires))}"
    if policy.message:
        yield f"message = {_value(policy.message)}"
    for name in ("dry_run", "break_glass"):
        if getattr(policy, name):
            yield f"{name} = true"


def _duration(held: timedelta) -> str:
    seconds = int(held.total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(held: Any) -> str:
    if isinstance(held, str):
        return _text(held)
    if isinstance(held, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in held.items()) + " }"
    if isinstance(held, list | tuple):
        return "[" + ", ".join(map(_value, held)) + "]"
    return json.dumps(held)


def _text(held: str) -> str:
    """A text in single quotes where it can be read so, else with what TOML escapes as JSON does."""
    if '"' in held and "'" not in held and held.isprintable():
        return f"'{held}'"
    if "\n" in held and "'''" not in held and _is_plain(held):
        return f"'''\n{held}'''"
    return json.dumps(held, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_plain(held: str) -> bool:
    return not held.endswith("'") and all(each.isprintable() or each in "\n\t" for each in held)
