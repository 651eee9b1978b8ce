"""What undoes the steps of a pipeline: which steps may, and in a run, what was done and is still to be undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from altar.ai.pipelines.places import Place, is_inside
from altar.ai.pipelines.shape import walked
from altar.ai.pipelines.steps import BranchStep, PipelineStep, Step

if TYPE_CHECKING:
    from altar.ai.pipelines.shape import Shape

__all__ = ["Undoing", "Undoings", "undoing_of_undoing"]


@dataclass(frozen=True, slots=True, eq=False)
class Undoing:
    """How to undo a step that has done its work: where it stands, with which step, and which fields."""

    place: Place
    step: Step
    fields: dict[str, Any]


class Undoings:
    """What was done in one run and is to be undone if it fails."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        self._noted: list[Undoing] = []

    def note(self, step: Step, place: Place, fields: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """A step has done its work, with these fields before it, and gave those.

        To be called at once, before anything is waited for: whoever is cancelled there has been noted.
        """
        if step.compensate is not None:
            self._noted.append(Undoing(place, step.compensate, {**fields, **given}))

    def has_any(self, whole: str) -> bool:
        """Whether something is to be undone inside of the step ``whole``, "" for the pipeline."""
        return any(is_inside(one.place.path, whole) for one in self._noted)

    def taken(self, whole: str) -> Iterator[Undoing]:
        """What is to be undone inside of a step, the last first; what is taken is not given again."""
        for one in [one for one in reversed(self._noted) if is_inside(one.place.path, whole)]:
            self._noted.remove(one)
            yield one


def undoing_of_undoing(pipeline: Shape) -> tuple[Step, Step, Step, Step] | None:
    """What would undo a compensation, and is never called; None for a pipeline that says nothing of the kind.

    The step, its compensation, the step inside of that (or itself) which has a compensation, and that one.
    """
    for steps in (pipeline.steps, *pipeline.pipelines.values()):
        for step in walked(steps):
            back = step.compensate
            for inside in () if back is None else _reached(back, pipeline, set()):
                if back is not None and inside.compensate is not None:
                    return step, back, inside, inside.compensate
    return None


def _reached(step: Step, pipeline: Shape, seen: set[str]) -> Iterator[Step]:
    """A step, those inside and beside of it, and those of the pipelines that they lead to."""
    for one in walked((step,)):
        yield one
        if not isinstance(one, (BranchStep, PipelineStep)):
            continue
        targets = {one.pipeline} if isinstance(one, PipelineStep) else {*one.cases.values(), one.default or ""}
        for name in sorted(targets - seen):
            seen.add(name)
            for each in pipeline.pipelines.get(name, ()):
                yield from _reached(each, pipeline, seen)
