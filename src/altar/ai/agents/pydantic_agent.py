"""An agent under Pydantic-AI: its ``Agent``, stepped through so that limits and refusals count as everywhere.

Loaded with Pydantic-AI only.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic_ai import Agent as Framework
from pydantic_ai import ModelRetry, RunContext, StructuredDict, ToolOutput, UsageLimits
from pydantic_ai.capabilities import PrepareOutputTools
from pydantic_ai.exceptions import AgentRunError, ApprovalRequired, UserError
from pydantic_ai.messages import (
    FunctionToolResultEvent,
    OutputToolResultEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.toolsets import WrapperToolset

from altar.adapters.pydantic_ai import to_pydantic_ai
from altar.adm.call import ErrorObject
from altar.adm.errors import AltarError, ExecutionError
from altar.ai.agents.output import SUBMIT, OutputForm
from altar.ai.agents.pydantic_messages import pydantic_messages, said, taken, told_of, uses
from altar.ai.agents.turn import USE, Turn, apart
from altar.ai.lm.chat import ChatMessage, ToolUse
from altar.ai.lm.errors import lm_error

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

__all__ = ["run"]

_MANY = 1_000_000  # the turn counts, and ends the run before


async def run(turn: Turn, model: Any, settings: dict[str, Any]) -> None:
    """Drive a run to its end; what it gives is in the turn. Raises the AltarError that ends it.

    ``settings`` are those with which the model is asked.
    """
    task = turn.task
    tools = to_pydantic_ai(turn.session, task.tools, retries=_MANY, approval=None, on_result=turn.heard)
    agent = Framework(
        model,
        model_settings=settings,
        instructions=task.instructions or None,
        output_type=str if task.form is None else _handed_in(task.form, turn),
        toolsets=[_Watched(tools, turn)],
        capabilities=[] if task.form is None else [_as_declared(task.form)],
        retries=_MANY,
        name=task.name,
    )
    try:
        await _stepped(agent, turn)
    except AltarError:
        raise
    except (AgentRunError, UserError) as raised:
        raise lm_error(raised) or _defect(task.name, raised) from raised
    except Exception as raised:
        error = lm_error(raised)
        if error is None:
            raise
        raise error from raised


async def _stepped(agent: Any, turn: Turn) -> None:
    *before, last = turn.said
    prompt = last.text if last.role == "user" else None
    history = pydantic_messages(before if prompt is not None else turn.said)
    async with agent.iter(prompt, message_history=history, usage_limits=UsageLimits(request_limit=None)) as steps:
        node = steps.next_node
        while not Framework.is_end_node(node):
            if Framework.is_model_request_node(node):
                _corrected(node.request, turn)
                turn.before_request()
                if turn.is_streamed:
                    await _heard(node, steps, turn)
            elif Framework.is_call_tools_node(node):
                await _called(node, steps, turn)
                if turn.is_over:
                    return
            node = await steps.next(node)
        turn.output = steps.result.output if turn.task.form is None else turn.output


async def _heard(node: Any, steps: Any, turn: Turn) -> None:
    """Tell the text of an answer as it comes."""
    async with node.stream(steps.ctx) as stream:
        async for event in stream:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                await turn.piece(event.part.content)
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                await turn.piece(event.delta.content_delta)


async def _called(node: Any, steps: Any, turn: Turn) -> None:
    """Take note of an answer, and of what becomes of the calls that it wants."""
    response = node.model_response
    usage = taken(response.usage)
    with suppress(LookupError, ValueError, AssertionError):  # no price is known
        usage["cost_usd"] = float(response.cost().total_price)
    _told_apart(response)
    wanted = uses(response)
    by_id = {use.id: use for use in wanted}
    await turn.answered(said(response), wanted, usage)
    async with node.stream(steps.ctx) as events:
        async for event in events:
            if isinstance(event, FunctionToolResultEvent | OutputToolResultEvent):
                part = event.part
                use = by_id.get(part.tool_call_id, ToolUse(part.tool_name))
                await turn.told(use, told_of(part), wrong=_wrong(part))
    if wanted:
        turn.step_ended()


def _told_apart(response: Any) -> None:
    """Give each call that an answer wants an id of its own; the framework knows its calls by it, and so do we."""
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    for part, own in zip(calls, apart([part.tool_call_id for part in calls]), strict=True):
        part.tool_call_id = own


def _wrong(part: Any) -> str:
    """The code of what was wrong with a call that was not made; "" for one that was made."""
    if part.outcome != "retried":
        return ""
    cause = None if part.retry is None else part.retry.cause
    return "UNSUPPORTED_TOOL" if cause in {"unknown_tool", "unavailable_tool"} else "INVALID_TOOL_ARGS"


def _corrected(request: Any, turn: Turn) -> None:
    """Where the model neither answered nor wants a tool, what it is told of that is ours, and counted."""
    for at, part in enumerate(request.parts):
        if part.part_kind == "retry-feedback":
            words = turn.nothing_said()
            request.parts = [*request.parts[:at], UserPromptPart(words), *request.parts[at + 1 :]]
            turn.messages.append(ChatMessage("user", words))


def _handed_in(form: OutputForm, turn: Turn) -> Any:
    """The tool of the framework that hands in the answer; ours says whether it fits."""

    def submit(answer: Any) -> Any:
        try:
            turn.handed_in(answer)
        except AltarError as unfit:
            raise ModelRetry(ErrorObject.of(unfit).text) from unfit
        return turn.output

    submit.__annotations__["answer"] = StructuredDict({"type": "object"})  # as it stands: any object, and no member
    return ToolOutput(submit, name=SUBMIT, description=form.declaration.description)


def _as_declared(form: OutputForm) -> Any:
    """Has the framework offer that tool with the schema of its contract, as it stands."""

    async def prepared(_: RunContext[Any], tools: list[ToolDefinition]) -> list[ToolDefinition]:
        return [replace(tool, parameters_json_schema=form.schema) for tool in tools]

    return PrepareOutputTools(prepared)


@dataclass
class _Watched(WrapperToolset[Any]):
    """The tools of the session; what ends the run is kept for the end of the step, when all calls have ended."""

    turn: Turn

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: Any) -> Any:
        """Make a call under the id by which the model knows it."""
        USE.set(ctx.tool_call_id or "")
        try:
            return await super().call_tool(name, tool_args, ctx, tool)
        except ApprovalRequired:
            return ""
        except AltarError as over:
            self.turn.stop(over)
            return over.message


def _defect(name: str, raised: Exception) -> ExecutionError:
    return ExecutionError(
        "LM_BAD_ANSWER",
        f"The run of the agent {name!r} could not go on: Pydantic-AI did not accept what the language model answered",
        detail=f"{type(raised).__name__}: {raised}",
    )
