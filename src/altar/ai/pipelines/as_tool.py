"""A pipeline as a tool: an ordinary contract, and a function that runs the pipeline in the session of its call.

So it is called, decided, recorded and promoted like any tool, and its steps are calls inside of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.schema import Schema
from altar.ai.configuration import configured
from altar.ai.pipelines.flow import require_flow
from altar.ai.pipelines.making import refused
from altar.ai.pipelines.plan import known_contract
from altar.ai.pipelines.running import Wanted, run_in
from altar.later.imported import imported
from altar.later.nesting import calls_of

if TYPE_CHECKING:
    from altar.ai.pipelines.events import PipelineEvent
    from altar.ai.pipelines.shape import Shape
    from altar.later.context import ToolContext
    from altar.later.tool import ToolFunction

__all__ = ["tool_of"]


def tool_of(pipeline: Shape, *, name: str | None, register: bool) -> ToolFunction[..., Any]:
    """The tool; raises INVALID_PIPELINE when a contract of its tools is not known in this process."""
    contract = known_contract(pipeline, None)
    flow = require_flow(pipeline, contract)
    called: list[FunctionDeclaration] = []
    for step in pipeline.tool_steps:
        found = contract(step.tool)
        if found is None:
            raise refused(
                f"The pipeline {pipeline.name!r} cannot be a tool: the contract of {step.tool!r} is not known here",
                "import the module that declares it before",
            )
        called.append(found)
    made_as = name or pipeline.name
    seconds = pipeline.timeout or configured().pipeline_timeout
    declaration = FunctionDeclaration(
        name=made_as,
        description=pipeline.description or f"Runs the pipeline {pipeline.name}.",
        parameters=Schema.from_json_schema(dict(flow.inputs)),
        returns=Schema.from_json_schema(dict(flow.outputs)),
        version=pipeline.version,
        annotations=_annotations(called),
        metadata={
            "pipeline": pipeline.digest,
            "timeout_ms": max(1, round(seconds * 1000)),
            **calls_of({each.name for each in called}, made_as),
        },
    )

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> dict[str, Any]:
        def told(event: PipelineEvent) -> None:
            context.progress(event.done, event.total, event.path or None)

        result = await run_in(context.session, Wanted(pipeline, dict(arguments), timeout=seconds), tell=told)
        if result.usage:
            context.used(**result.usage)
        return result.unwrap()

    return imported(declaration, run, origin=f"pipeline:{pipeline.name}", register=register)


def _annotations(called: list[FunctionDeclaration]) -> Annotations:
    """What holds for the whole: harmless if every call is, and not if one is not."""
    said = [each.annotations for each in called]
    return Annotations(
        read_only=all(each.read_only for each in said),
        idempotent=all(each.idempotent or each.read_only for each in said),
        destructive=any(each.destructive for each in said),
        open_world=any(each.open_world for each in said),
        stateful=any(each.stateful for each in said),
    )
