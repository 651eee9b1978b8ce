"""Pipelines: tools and modules joined by the fields that they take and give. Importing this loads no framework."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altar.ai.pipelines.checkpoints import Checkpoints
    from altar.ai.pipelines.definition import Pipeline, pipeline
    from altar.ai.pipelines.events import PipelineEvent
    from altar.ai.pipelines.flaws import Flaw
    from altar.ai.pipelines.flow import Flow
    from altar.ai.pipelines.kept import AGAIN
    from altar.ai.pipelines.making import branch, map, module, parallel, sub, tool, transform  # noqa: A004 - its name
    from altar.ai.pipelines.result import PipelineResult, StepRecord
    from altar.ai.pipelines.steps import Retry, Step
    from altar.ai.pipelines.stream import PipelineStream, SyncPipelineStream
    from altar.ai.pipelines.yaml_form import load_pipeline

__all__ = [
    "AGAIN",
    "Checkpoints",
    "Flaw",
    "Flow",
    "Pipeline",
    "PipelineEvent",
    "PipelineResult",
    "PipelineStream",
    "Retry",
    "Step",
    "StepRecord",
    "SyncPipelineStream",
    "branch",
    "load_pipeline",
    "map",
    "module",
    "parallel",
    "pipeline",
    "sub",
    "tool",
    "transform",
]

_HOME = {
    "checkpoints": ("Checkpoints",),
    "events": ("PipelineEvent",),
    "flaws": ("Flaw",),
    "flow": ("Flow",),
    "kept": ("AGAIN",),
    "making": ("branch", "map", "module", "parallel", "sub", "tool", "transform"),
    "definition": ("Pipeline", "pipeline"),
    "result": ("PipelineResult", "StepRecord"),
    "steps": ("Retry", "Step"),
    "stream": ("PipelineStream", "SyncPipelineStream"),
    "yaml_form": ("load_pipeline",),
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and knows a wrong name when it sees one

    def __getattr__(name: str) -> Any:
        for module, names in _HOME.items():
            if name in names:
                value = getattr(import_module(f"altar.ai.pipelines.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'altar.ai.pipelines' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
