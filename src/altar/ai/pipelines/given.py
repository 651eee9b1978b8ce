"""The fields that are known at a place of a pipeline before it runs: who gives each, what it looks like, who may not.

Ways come together here: the step and its fallback, the pipelines of a branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from altar.ai.pipelines.forms import ANYTHING, Form, either, joined

__all__ = ["Given", "Known", "givers", "list_of", "object_of", "of_fallback", "of_ways"]


@dataclass(frozen=True, slots=True)
class Given:
    """A field: its form, the path of the step that gives it ("" for an input), and which pipelines do not give it.

    ``is_sure`` is false where whoever gives it may leave it out, and its contract says so.
    ``ways`` are the forms that it has when one step or another gave it, and who; empty where it is always the same.
    """

    form: Form
    by: str
    missing: tuple[str, ...] = ()
    is_sure: bool = True
    ways: tuple[tuple[Form, str], ...] = ()


@dataclass(slots=True)
class Known:
    """Fields by name; ``open`` says that there are others, which only the run will show."""

    held: dict[str, Given] = field(default_factory=dict)
    open: bool = False

    def with_others(self, others: Known) -> Known:
        """These and ``others``, which count where both have a field."""
        return Known({**self.held, **others.held}, open=self.open or others.open)

    def add(self, others: Known) -> None:
        """Put ``others`` into these, where they count."""
        self.held.update(others.held)
        self.open = self.open or others.open


def of_fallback(given: Known, other: Known, path: str) -> Known:
    """The fields after the step at ``path``, if it gives ``given`` and its fallback ``other``."""
    held: dict[str, Given] = {}
    for name, one in given.held.items():
        instead = other.held.get(name) or Given(ANYTHING, path, is_sure=False)
        missing = tuple(dict.fromkeys((*one.missing, *instead.missing)))
        form, is_sure = either([one.form, instead.form]), one.is_sure and instead.is_sure
        held[name] = Given(form, one.by, missing, is_sure, _ways_of([one, instead]))
    for name, one in other.held.items():
        if name not in held:
            held[name] = replace(one, is_sure=False) if given.open else replace(one, missing=(path,))
    return Known(held, open=given.open or other.open)


def of_ways(ways: Mapping[str, Known], before: Mapping[str, Given], path: str) -> Known:
    """The fields after the branch at ``path`` that goes one of several ways; ``before`` are those from before it."""
    names = dict.fromkeys(name for way in ways.values() for name in way.held)
    held = {name: _of_ways(name, ways, before.get(name), path) for name in names}
    return Known(held, open=any(way.open for way in ways.values()))


def givers(fields: Mapping[str, Given]) -> dict[str, str]:
    """Who gives each field, "" for an input."""
    return {name: given.by for name, given in fields.items()}


def object_of(fields: Mapping[str, Given], *, is_open: bool) -> dict[str, Any]:
    """The JSON Schema of an object with these fields, required unless somebody may leave them out."""
    defs: dict[str, Any] = {}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: joined(given.form, defs) for name, given in fields.items()},
        "required": [name for name, given in fields.items() if given.is_sure and not given.missing],
        "additionalProperties": is_open,
    }
    return {**schema, "$defs": defs} if defs else schema


def list_of(form: Form) -> Form:
    """A list of such values."""
    return Form({"type": "array", "items": form.schema}, form.defs)


def _of_ways(name: str, ways: Mapping[str, Known], before: Given | None, path: str) -> Given:
    """A field that all of the ways give, or that some leave out."""
    found = [way.held[name] for way in ways.values() if name in way.held]
    missing = [label for one in found for label in one.missing]
    others: list[Given] = []
    for label, way in ways.items():
        if name in way.held:
            continue
        if before is not None:
            others.append(before)
            missing += before.missing
        elif way.open:
            others.append(Given(ANYTHING, path))
        else:
            missing.append(label)
    by = found[0].by if len(found) == 1 else path
    is_sure = all(one.is_sure for one in found) and (len(found) == len(ways) or before is not None)
    form = either(one.form for one in (*found, *others))
    return Given(form, by, tuple(dict.fromkeys(missing)), is_sure, _ways_of([*found, *others]))


def _ways_of(found: Iterable[Given]) -> tuple[tuple[Form, str], ...]:
    """The forms that a field has by who gave it, each once; nothing where there is one."""
    ways: list[tuple[Form, str]] = []
    for one in found:
        for way in one.ways or ((one.form, one.by),):
            if all(way[0] != each for each, _ in ways):
                ways.append(way)
    return tuple(ways[:_MOST_WAYS]) if len(ways) > 1 else ()


_MOST_WAYS = 64
"""So many forms of a field are looked at one by one; branches of branches could make more."""
