"""Which tool a step of a run calls, told from the path that it has in that run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from altar.ai.pipelines.flow import below, compensation_of, fallback_of
from altar.ai.pipelines.steps import BranchStep, MapStep, ParallelStep, PipelineStep, Step, ToolStep

if TYPE_CHECKING:
    from altar.ai.pipelines.shape import Shape

__all__ = ["called_at"]

_NUMBER: Final = re.compile(r"\[[0-9]+\]")


def called_at(pipeline: Shape, path: str) -> str | None:
    """What the step at ``path``, such as ``pages[3]/fetch (fallback)``, calls; None where no such step calls a tool."""
    return _among(pipeline, pipeline.steps, "", _NUMBER.sub("[]", path))


def _among(pipeline: Shape, steps: Iterable[Step], at: str, wanted: str) -> str | None:
    found = (_of(pipeline, step, below(at, step.name), wanted) for step in steps)
    return next((tool for tool in found if tool is not None), None)


def _of(pipeline: Shape, step: Step, at: str, wanted: str) -> str | None:
    """The tool of the step at ``at``, of one inside of it, or of one that stands in for it or undoes it."""
    if not wanted.startswith(at):
        return None
    if at == wanted:
        return step.tool if isinstance(step, ToolStep) else None
    inside = None
    if isinstance(step, ParallelStep):
        inside = _among(pipeline, step.steps, at, wanted)
    elif isinstance(step, MapStep):
        inside = _of(pipeline, step.step, f"{at}[]", wanted)
    elif isinstance(step, PipelineStep):
        inside = _among(pipeline, pipeline.pipelines[step.pipeline], at, wanted)
    elif isinstance(step, BranchStep):
        ways = {way for way in (*step.cases.values(), step.default) if way is not None}
        found = (_among(pipeline, pipeline.pipelines[way], below(at, way), wanted) for way in ways)
        inside = next((tool for tool in found if tool is not None), None)
    for other, beside in ((step.fallback, fallback_of(at)), (step.compensate, compensation_of(at))):
        if inside is None and other is not None:
            inside = _of(pipeline, other, beside, wanted)
    return inside
