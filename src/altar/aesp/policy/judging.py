"""The conditions of several policies judged at one go: in Python where that is sure, by the engine for the rest.

What is left to the engine is joined into one program, which gives the list of what they are.
When that list has no value, because one of them has an error, its parts have to be asked one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.policy.cel import Expression, compile_expression
from altar.aesp.policy.native import Judge, Native, UnsureError, native_judge

__all__ = ["Judges", "Judging", "Key"]

Key = tuple[int, str]
"""A policy by its place in its bundle, and the digest of the contract that it was compiled for, if that matters."""


class Judges:
    """Judges conditions that are known by their places; made by `Judging`.

    ``whole`` are judged in Python, ``partly`` may be; ``joined`` is about the latter and about all others, and is asked
    ``always`` when there are others.
    ``unfit`` have to be asked one by one.
    """

    __slots__ = ("_always", "_joined", "_partly", "_unfit", "_whole")

    def __init__(
        self,
        *,
        whole: Sequence[tuple[int, Judge]],
        partly: Sequence[tuple[int, Judge]],
        joined: Sequence[_Joint],
        always: bool,
        unfit: Sequence[int],
    ) -> None:
        self._whole = tuple(whole)
        self._partly = tuple(partly)
        self._joined = tuple(joined)
        self._always = always
        self._unfit = tuple(unfit)

    def judge(self, facts: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        """Give the places of the conditions that are true, and of those that have to be asked one by one.

        Of what has to be asked, some have an error. The texts of ``facts`` are known to hold no NUL.
        """
        true, unsure = list[int](), list(self._unfit)
        for place, judge in self._whole:
            try:
                if judge(facts):
                    true.append(place)
            except UnsureError:
                unsure.append(place)
        found = None if self._always else self._decided(facts)
        if found is not None:
            return true + found, unsure
        for program, places in self._joined:
            try:
                given = program.evaluate_checked(facts)
            except AuthorizationError:
                given = ()
            if len(given) != len(places):
                unsure += places
            elif True in given:
                true += [place for place, is_true in zip(places, given, strict=True) if is_true]
        return true, unsure

    def _decided(self, facts: Mapping[str, Any]) -> list[int] | None:
        """Give which of those are true that may be judged in Python; None when the engine has to be asked of one."""
        try:
            return [place for place, judge in self._partly if judge(facts)]
        except UnsureError:
            return None


class Judging:
    """Makes the `Judges` of a bundle for each tool; what is the same for several is made once."""

    def __init__(self) -> None:
        self._native: dict[Key, Native | None] = {}
        self._joined: dict[tuple[Key, ...], tuple[tuple[Expression, int], ...]] = {}

    def clear(self) -> None:
        """Forget what was made."""
        self._native.clear()
        self._joined.clear()

    def judges(self, conditions: Sequence[tuple[Key, Expression | None]], *, types: Mapping[str, str]) -> Judges:
        """Make what judges conditions; None stands for one that fits no call, and has to be asked.

        ``types`` are those of all variables.
        """
        whole: list[tuple[int, Judge]] = []
        partly: list[tuple[int, Judge]] = []
        asked: list[tuple[int, Key, Expression]] = []
        unfit: list[int] = []
        for place, (key, expression) in enumerate(conditions):
            if expression is None:
                unfit.append(place)
                continue
            if key not in self._native:
                self._native[key] = native_judge(expression, types=types)
            found = self._native[key]
            if found is not None:
                (whole if found.is_whole else partly).append((place, found.judge))
            if found is None or not found.is_whole:
                asked.append((place, key, expression))
        places, keys = [place for place, _, _ in asked], tuple(key for _, key, _ in asked)
        if keys not in self._joined:
            self._joined[keys] = _joined([expression for _, _, expression in asked], types)
        joints = list(_placed(self._joined[keys], places))
        if not joints:
            unfit += places
        return Judges(
            whole=whole,
            partly=partly if joints else (),
            joined=joints,
            always=len(asked) > len(partly),
            unfit=unfit,
        )


class _Joint(NamedTuple):
    """A program that gives a list, and the places of the conditions that it is about."""

    program: Expression
    places: tuple[int, ...]


_MAX_JOINED: Final = 24_000


def _placed(programs: Iterable[tuple[Expression, int]], places: Sequence[int]) -> Iterable[_Joint]:
    at = 0
    for program, count in programs:
        yield _Joint(program, tuple(places[at : at + count]))
        at += count


def _joined(expressions: Sequence[Expression], types: Mapping[str, str]) -> tuple[tuple[Expression, int], ...]:
    """Join conditions into programs that give the lists of what they are; () when they cannot be joined."""
    made: list[tuple[Expression, int]] = []
    texts: list[str] = []
    for each in (*expressions, None):
        text = "" if each is None else _text_of(each)
        if texts and (each is None or sum(map(len, texts)) + len(text) > _MAX_JOINED):
            try:
                program = compile_expression(
                    f"[{','.join(texts)}]", variables=types, result="", longest=2 * _MAX_JOINED
                )
            except AltarError:  # such as one that alone is nested as deep as can be
                return ()
            made.append((program, len(texts)))
            texts = []
        texts.append(text)
    return tuple(made)


def _text_of(expression: Expression) -> str:
    """Give an expression as a part of a list; one whose type is only known when it is read must be a yes or no then."""
    text = f"(\n{expression.source}\n)"
    return text if expression.type == "bool" else f"({text} ? true : false)"
