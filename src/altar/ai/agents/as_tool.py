"""An agent as a tool: a prompt comes in, its output goes out, and what it calls are children of the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, error_of
from altar.adm.formats.names import fitting
from altar.adm.schema import Schema
from altar.ai.agents.turn import Task
from altar.later.imported import imported
from altar.later.nesting import calls_of

if TYPE_CHECKING:
    from altar.later.context import ToolContext
    from altar.later.tool import ToolFunction

__all__ = ["agent_tool"]


def agent_tool(
    run: Callable[..., Any],
    task: Task,
    *,
    name: str | None,
    description: str,
    version: str,
    register: bool,
) -> ToolFunction[..., Any]:
    """The tool; ``run`` is that of an agent which remembers nothing."""
    named = name or fitting(task.name)
    calls = None if task.tools is None else [each.partition("@")[0] for each in task.tools]
    returns: dict[str, Any] = {"type": "string"} if task.form is None else task.form.returns
    declaration = FunctionDeclaration(
        named,
        description or task.instructions or f"Ask the agent {named!r}.",
        Schema.from_json_schema(
            {
                "type": "object",
                "properties": {"prompt": {"type": "string", "minLength": 1, "description": "What it is asked."}},
                "required": ["prompt"],
            }
        ),
        returns=Schema.from_json_schema(returns),
        version=version,
        metadata={"framework": "agent", **calls_of(calls, named)},
    )

    async def asked(arguments: Mapping[str, Any], context: ToolContext) -> Any:
        result = await run(context.session, arguments["prompt"])
        if result.usage:
            context.used(**result.usage)
        if result.error is not None:
            raise _told(result.error)
        return task.form.plain(result.output) if task.form is not None else result.output

    return imported(declaration, asked, origin=f"agent:{task.name}", register=register)


def _told(error: Any) -> AltarError:
    """The error of the run; what a person has to approve first cannot be waited for inside of a call."""
    raised: AltarError = error.to_error()
    if raised.code != "APPROVAL_PENDING":
        return raised
    return error_of(
        "TOOL_EXECUTION_FAILED",
        f"A call of this agent waits for a person, which an agent that is a tool cannot: {raised.message}",
        hint="let the session wait: session.options(approval='wait')",
    )
