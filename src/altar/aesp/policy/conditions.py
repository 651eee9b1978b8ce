"""Why a condition is true or false: taken apart at its logic, each part judged by itself, and put together again.

In comes the text of a condition (CEL, of type bool) and a function that judges a part of it; out comes a `Reading`: the
parts with what each is, what the whole is by them, and the fewest parts that would have to be otherwise to turn it.
A condition is only taken apart at its outermost ``&&``, ``||``, ``!`` and ``? :``, within parentheses too; what is in
a macro such as ``xs.all(x, …)`` stays one part.
Parts are taken as independent of each other, which they need not be: what would turn a condition is a true statement
of its logic, and not a promise that such a call exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

__all__ = ["MAX_PARTS", "Known", "Part", "Reading", "Turn", "parts_of", "read_condition"]

MAX_PARTS = 64
"""Conditions with more parts than this are shown as a whole."""
MAX_TURNED = 16
"""Up to so many different parts, the fewest that turn a condition are looked for."""
MAX_AT_ONCE = 3
"""How many parts at most are thought of as being otherwise together."""
MAX_TURNS = 4
"""How many ways of turning a condition are told."""

Known = Literal["true", "false", "error", "unknown"]
"""What is known of a condition: ``unknown`` when it reads what was not recorded."""
_VALUES: tuple[Known, ...] = ("true", "false")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a condition that has no logic of its own, such as ``args.amount > 100``, and what it is."""

    text: str
    value: Known


Turn = tuple[Part, ...]
"""Parts with the values that together would turn a condition."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A condition taken apart: its parts in the order of the text, each once; the whole; and what would turn it.

    ``turns`` is empty when none of so few parts turn it, or when there are too many to try.
    """

    value: Known
    parts: tuple[Part, ...]
    turns: tuple[Turn, ...]


def read_condition(
    text: str, judge: Callable[[str], Known], *, fixed: Callable[[str], bool] = lambda _: False
) -> Reading:
    """Take a condition apart, judge each part, and find what would turn the whole.

    ``judge`` says what a part is; ``fixed`` says which parts cannot be otherwise, such as constants.
    """
    node = _parse(text, 0)
    texts = list(dict.fromkeys(_atoms(node)))
    if len(texts) > MAX_PARTS:
        value = judge(text)
        return Reading(value, (Part(text.strip(), value),), ())
    values: dict[str, Known] = {each: judge(each) for each in texts}
    whole = _value(node, values)
    parts = tuple(Part(each, values[each]) for each in texts)
    free = [each for each in texts if not fixed(each)]
    return Reading(whole, parts, _turns(node, values, free, whole))


def parts_of(text: str) -> tuple[str, ...]:
    """Give the parts of a condition, each once, in the order of the text."""
    return tuple(dict.fromkeys(_atoms(_parse(text, 0))))


@dataclass(frozen=True, slots=True)
class _Node:
    """``atom`` with its text, or ``and``, ``or``, ``not``, ``choice`` of others."""

    kind: Literal["atom", "and", "or", "not", "choice"]
    text: str = ""
    of: tuple[_Node, ...] = ()


_DEEPEST = 50
_RELATION = re.compile(r"==|!=|<=|>=|<|>|\bin\b")
_STRING = re.compile(
    r"(?P<raw>[rR][bB]?|[bB][rR])?(?:[bB])?(?P<quote>\"\"\"|'''|\"|')",
)
_COMMENT = re.compile(r"//[^\n]*")
_OPEN, _CLOSE = "([{", ")]}"


def _parse(text: str, depth: int) -> _Node:
    """Read one condition; what is not understood is one part."""
    text = text.strip()
    whole = _Node("atom", text)
    if depth > _DEEPEST:
        return whole
    marks = list(_marks(text))
    asked = [at for at, mark in marks if mark == "?"]
    if asked:
        colons = [at for at, mark in marks if mark == ":"]
        end = _matching(marks, asked[0])
        if end is None or not colons:
            return whole
        three = (text[: asked[0]], text[asked[0] + 1 : end], text[end + 1 :])
        return (
            _Node("choice", of=tuple(_parse(each, depth + 1) for each in three))
            if all(map(str.strip, three))
            else whole
        )
    for mark, kind in (("||", "or"), ("&&", "and")):
        places = [at for at, found in marks if found == mark]
        if places:
            pieces = [
                text[start:end]
                for start, end in zip([0, *(at + 2 for at in places)], [*places, len(text)], strict=True)
            ]
            if not all(map(str.strip, pieces)):
                return whole
            return _Node("or" if kind == "or" else "and", of=tuple(_parse(each, depth + 1) for each in pieces))
    if text.startswith("!") and not text.startswith("!=") and not any(mark == "relation" for _, mark in marks):
        return _Node("not", of=(_parse(text[1:], depth + 1),))
    if text.startswith("(") and _closes(text) == len(text) - 1:
        return _parse(text[1:-1], depth + 1)
    return whole


def _marks(text: str) -> Iterator[tuple[int, str]]:
    """Give the places of the outermost operators: ``&&``, ``||``, ``?``, ``:`` and relations."""
    depth, at = 0, 0
    while at < len(text):
        skipped = _skip(text, at)
        if skipped > at:
            at = skipped
            continue
        one, two = text[at], text[at : at + 2]
        if one in _OPEN:
            depth += 1
        elif one in _CLOSE:
            depth -= 1
        elif depth == 0 and two in {"&&", "||"}:
            yield at, two
            at += 1
        elif depth == 0 and one in "?:":
            yield at, one
        elif depth == 0 and (relation := _RELATION.match(text, at)) is not None and not _within_word(text, at):
            yield at, "relation"
            at = relation.end() - 1
        at += 1


def _within_word(text: str, at: int) -> bool:
    return text[at].isalpha() and at > 0 and (text[at - 1].isalnum() or text[at - 1] in "_.")


def _skip(text: str, at: int) -> int:
    """Give the place behind a string or a comment that begins here; `at` itself when none does."""
    comment = _COMMENT.match(text, at)
    if comment is not None:
        return comment.end()
    if text[at] not in "rRbB\"'" or (at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_")):
        return at
    found = _STRING.match(text, at)
    if found is None:
        return at
    quote, raw, place = found["quote"], bool(found["raw"]), found.end()
    while place < len(text):
        if text[place] == "\\" and not raw:
            place += 2
        elif text.startswith(quote, place):
            return place + len(quote)
        else:
            place += 1
    return len(text)


def _matching(marks: list[tuple[int, str]], first: int) -> int | None:
    """Give the place of the ``:`` that belongs to the ``?`` at `first`."""
    waiting = 0
    for at, mark in marks:
        if at <= first:
            continue
        if mark == "?":
            waiting += 1
        elif mark == ":":
            if waiting == 0:
                return at
            waiting -= 1
    return None


def _closes(text: str) -> int:
    """Give the place of the parenthesis that closes the first one."""
    depth, at = 0, 0
    while at < len(text):
        skipped = _skip(text, at)
        if skipped > at:
            at = skipped
            continue
        if text[at] in _OPEN:
            depth += 1
        elif text[at] in _CLOSE:
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


def _atoms(node: _Node) -> Iterator[str]:
    if node.kind == "atom":
        yield node.text
    for each in node.of:
        yield from _atoms(each)


def _value(node: _Node, values: Mapping[str, Known]) -> Known:
    """Judge as CEL does: what decides alone decides, whatever the others are; an error beside it does no harm."""
    if node.kind == "atom":
        return values[node.text]
    known = [_value(each, values) for each in node.of]
    if node.kind == "not":
        return _not(known[0])
    if node.kind == "choice":
        return known[0] if known[0] in {"error", "unknown"} else known[1 if known[0] == "true" else 2]
    decides: Known = "true" if node.kind == "or" else "false"
    for each in (decides, "unknown", "error"):
        if each in known:
            return each
    return _not(decides)


def _not(value: Known) -> Known:
    return {"true": "false", "false": "true"}.get(value, value)  # type: ignore[return-value]  # of the same four words


def _turns(node: _Node, values: Mapping[str, Known], free: list[str], whole: Known) -> tuple[Turn, ...]:
    """Find the smallest sets of parts that turn the whole; only sets of one size are given."""
    if whole == "unknown" or len(free) > MAX_TURNED:
        return ()
    wanted = {_not(whole)} if whole != "error" else {"true", "false"}
    for size in range(1, MAX_AT_ONCE + 1):
        found: list[Turn] = []
        for chosen in combinations(free, size):
            others = [[each for each in _VALUES if each != values[name]] for name in chosen]
            for combination in product(*others):
                turned = dict(zip(chosen, combination, strict=True))
                if _value(node, {**values, **turned}) in wanted:
                    found.append(tuple(Part(name, value) for name, value in turned.items()))
        if found:
            return tuple(found[:MAX_TURNS])
    return ()
