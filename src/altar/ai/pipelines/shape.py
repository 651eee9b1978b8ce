"""What a pipeline is: a name and steps, and what follows from them. Nothing here runs or checks anything.

In: the parts. Out: a frozen value with a digest, its tools, and its form as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical
from altar.adm.canonical import digest as digest_of
from altar.ai.pipelines.steps import MapStep, ParallelStep, Step, ToolStep

if TYPE_CHECKING:
    from altar.later.tool import ToolFunction

__all__ = ["Shape", "documents_of", "walked"]

_DEEPEST = 200


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Shape:
    """What a pipeline is, without what can be done with it: :class:`altar.ai.pipelines.Pipeline` is one that runs.

    ``inputs`` is the JSON Schema of an object, or None when nobody said what a run begins with.
    ``timeout`` is in seconds. ``pipelines`` are the steps of every named pipeline in it.
    ``plans`` are what runs have worked out, by the contracts of their sessions; no part of what it is.
    """

    name: str
    steps: tuple[Step, ...]
    pipelines: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    inputs: Mapping[str, Any] | None = None
    outputs: tuple[str, ...] | None = None
    timeout: float | None = None
    version: str = "1.0.0"
    description: str = ""
    plans: dict[Any, Any] = field(default_factory=dict, init=False)

    def __repr__(self) -> str:
        """Name it."""
        return f"<pipeline {self.name} {self.version}, {len(self.steps)} steps>"

    def __eq__(self, other: object) -> bool:
        """Whether the other one is a pipeline that does the same."""
        return isinstance(other, Shape) and (self is other or self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    # ------------------------------------------------------------------------------------------------- what it is

    @cached_property
    def digest(self) -> str:
        """`sha256:…` of all that a run depends on; functions are in it by the name of their module and their own."""
        return digest_of(canonical(self.to_json(), max_depth=_DEEPEST))

    def to_json(self) -> dict[str, Any]:
        """Everything that makes it this pipeline, as a JSON object; a function is ``module:qualname``."""
        document: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "steps": documents_of(self.steps),
            "pipelines": {name: documents_of(steps) for name, steps in self.pipelines.items()},
        }
        for name in ("inputs", "outputs", "timeout"):
            held = getattr(self, name)
            if held is not None:
                document[name] = list(held) if name == "outputs" else held
        return document

    @cached_property
    def tools(self) -> list[str | ToolFunction[..., Any]]:
        """Its tools, as ``altar.session(…)`` takes them: each once, itself where it was given so, else by its name."""
        found: dict[str, str | ToolFunction[..., Any]] = {}
        for step in self.tool_steps:
            found.setdefault(step.tool, step.made or step.tool)
        return list(found.values())

    @cached_property
    def tool_steps(self) -> tuple[ToolStep, ...]:
        """The steps that call a tool, wherever they stand."""
        every = (self.steps, *self.pipelines.values())
        return tuple(step for steps in every for step in walked(steps) if isinstance(step, ToolStep))

    @cached_property
    def undoes(self) -> bool:
        """Whether a step of it says how it is undone."""
        every = (self.steps, *self.pipelines.values())
        return any(step.compensate is not None for steps in every for step in walked(steps))


def walked(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, and those inside and beside of them; named pipelines are not entered."""
    for step in steps:
        yield step
        if isinstance(step, ParallelStep):
            yield from walked(step.steps)
        elif isinstance(step, MapStep):
            yield from walked((step.step,))
        yield from walked([each for each in (step.fallback, step.compensate) if each is not None])


def documents_of(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """The steps as JSON objects, which hold what is not its default."""
    return [_document(step) for step in steps]


# ---------------------------------------------------------------------------------------------------------- inside


def _document(step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": type(step).__name__, "name": step.name}
    for name in step.__dataclass_fields__:
        held = getattr(step, name)
        if name in {"name", "made", "is_named"} or held is None or held == ():
            continue
        if name == "retry":
            if held.attempts > 1:
                document[name] = [held.attempts, held.base, held.cap, held.jitter]
        elif isinstance(held, Step):
            document[name] = _document(held)
        elif name == "steps":
            document[name] = documents_of(held)
        elif name in {"function", "on"} and callable(held):
            document[name] = f"{getattr(held, '__module__', '')}:{getattr(held, '__qualname__', type(held).__name__)}"
        elif isinstance(held, tuple):
            document[name] = list(held)
        else:
            document[name] = dict(held) if isinstance(held, Mapping) else held
    return document
