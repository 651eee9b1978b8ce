"""Judging declared tools: is this a good tool for a model, and can it be promoted as it is?

In: tools, and which rules count.
Out: findings, each with its rule, its words and its place in the code.
:func:`allow` lets a tool say which rules it breaks on purpose, and why.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from altar.adm.errors import ConfigurationError
from altar.later.introspection.docstring import underlying
from altar.later.linting.rules import RULES, Found, Rule, Severity

if TYPE_CHECKING:
    from altar.later.tool import ToolFunction

__all__ = ["RULES", "UNUSED", "Finding", "Rule", "Severity", "allow", "lint", "selected"]

T = TypeVar("T", bound=Callable[..., Any])

UNUSED: Final = Rule(
    "A901",
    "unused-allowance",
    "warning",
    "An allowance for a rule that the tool does not break hides what it may break tomorrow.",
    "take the rule out of allow(…)",
    lambda _tool: iter(()),  # told by lint(), which knows what was found
)
"""The one rule about allowances themselves."""

_ALLOWED: Final = "__altar_allowed__"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found.

    `path` is a JSON Pointer into the tool's ADM document; `file` and `line` say where the function stands, and are
    None for one without source; a tool that was made of something else, such as a program of DSPy, has no line.
    """

    rule: Rule
    tool: str
    message: str
    path: str = ""
    file: str | None = None
    line: int | None = None


def lint(tool: ToolFunction[..., Any], *, rules: Collection[Rule] = (*RULES, UNUSED)) -> list[Finding]:
    """Judge one tool by some rules, in their order; what the tool allows itself is left out."""
    file, line = _location(tool)
    allowed: dict[str, str] = dict(getattr(tool, _ALLOWED, {}))
    found: list[tuple[Rule, Found]] = []
    broken: set[str] = set()
    for rule in rules:
        for one in rule.find(tool):
            broken.add(rule.id)
            if rule.id not in allowed:
                found.append((rule, one))
    if UNUSED in rules:
        judged = {rule.id for rule in rules}
        found += [
            (UNUSED, Found(f"{rule} is allowed and not broken"))
            for rule in allowed
            if rule in judged and rule not in broken
        ]
    return [Finding(rule, tool.name, one.message, one.path, file, line) for rule, one in found]


def allow(*rules: str, because: str) -> Callable[[T], T]:
    """Let a tool break some rules, by their ids, on purpose: a decorator above or below `@altar.tool`.

    It is no part of the contract.
    Raises ConfigurationError INVALID_CONFIG for a rule that does not exist, and for an empty reason.
    """
    known = {rule.id for rule in RULES}
    for rule in rules:
        if rule not in known:
            raise ConfigurationError(
                "INVALID_CONFIG", f"There is no rule {rule!r}", hint="`altar lint --rules` lists them"
            )
    if not because.strip():
        raise ConfigurationError("INVALID_CONFIG", "An allowance needs a reason", hint="allow('A101', because='…')")

    def allowing(function: T) -> T:
        earlier = getattr(function, _ALLOWED, {})
        setattr(function, _ALLOWED, {**earlier, **dict.fromkeys(rules, because)})
        return function

    return allowing


def selected(*, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[Rule]:
    """The rules whose ids begin with one of `select` (all when it is empty) and with none of `ignore`.

    Raises ConfigurationError INVALID_CONFIG for a word with which no id begins.
    """
    everything = (*RULES, UNUSED)
    chosen, dropped = tuple(select), tuple(ignore)
    for word in (*chosen, *dropped):
        if not word or not any(rule.id.startswith(word) for rule in everything):
            raise ConfigurationError(
                "INVALID_CONFIG", f"No rule begins with {word!r}", hint="`altar lint --rules` lists them"
            )
    return [
        rule
        for rule in everything
        if (not chosen or rule.id.startswith(chosen)) and not rule.id.startswith(dropped or ("-",))
    ]


def _location(tool: ToolFunction[..., Any]) -> tuple[str | None, int | None]:
    """The file of a function and the line of its `def`; of one that was made for a module, that module's file alone."""
    function = inspect.unwrap(underlying(tool.function))
    home = sys.modules.get(str(function.__module__))
    if home is not None and getattr(function, "__globals__", vars(home)) is not vars(home):
        return getattr(home, "__file__", None), None
    try:
        file = inspect.getsourcefile(function)
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return None, None
    return file, first + next(_definitions(lines), 0)


def _definitions(lines: list[str]) -> Iterator[int]:
    """Which of the lines begin the function itself, after its decorators."""
    return (at for at, line in enumerate(lines) if line.lstrip().startswith(("def ", "async def ")))
