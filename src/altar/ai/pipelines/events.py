"""What a run tells on its way, for a progress bar or a page: :class:`PipelineEvent`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from altar.ai.pipelines.result import PipelineResult, StepRecord

__all__ = ["EventKind", "OnEvent", "PipelineEvent"]

EventKind = Literal[
    "run_started", "step_started", "step_retried", "step_replaced", "step_ended", "branch_taken", "run_ended"
]


@dataclass(frozen=True, slots=True)
class PipelineEvent:
    """One thing that happened in a run.

    ``path`` is that of the step, "" for the run itself. ``done`` of ``total`` steps of the pipeline itself have ended.
    ``record`` says what became of a step that has ended, or failed and is tried again; ``message`` which pipeline a
    branch has taken, or which step stands in for one that failed.
    ``result`` is there at the end of the run.
    """

    kind: EventKind
    run_id: str
    path: str
    done: int
    total: int
    record: StepRecord | None = None
    message: str | None = None
    result: PipelineResult | None = None


OnEvent = Callable[[PipelineEvent], object]
"""Told each event as it happens; what it raises goes to the log, and harms no run."""
