"""The OpenAI Agents SDK: the tools of a session for its agents, and its function tools as tools of ALTAR.

:func:`to_openai_agents` gives a session's tools as ``FunctionTool``; :func:`from_openai_agents` makes a tool of ALTAR
from one.
This needs the extra ``openai-agents``; importing this module loads nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal

from altar.later.both_ways import BothWays
from altar.later.extras import loaded
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = ["from_openai_agents", "to_openai_agents"]

_EXTRA = "openai-agents"


def to_openai_agents(
    session: Session | SyncSession,
    names: Iterable[str] | None = None,
    *,
    strict: bool = False,
    approval: Literal["interrupt", "wait", "return"] = "interrupt",
) -> list[Any]:
    """The tools of an open session as function tools of the Agents SDK, a ``FunctionTool`` each; all for None.

    The model reads the result as text, and of one that failed what to do better; the whole result is the
    ``custom_data`` of its output item, under ``altar``, as an ADM document.
    ``strict`` gives the schemas in OpenAI's strict form, which loses what that form cannot hold.
    ``approval`` says what a call does that a person must approve: ``interrupt`` ends the run with an interruption, and
    the call is made when the run goes on, if it is approved on the host by then; ``wait`` until the deadline of the
    call; or ``return``, so that the model reads that it is pending.
    Raises UNSUPPORTED_TOOL for a name that is not in the session, ENVIRONMENT_ERROR without the extra.
    """
    loaded("agents", extra=_EXTRA, what="A tool for the OpenAI Agents SDK")
    from altar.adapters.openai_agents.exported import exported

    asked = BothWays(session, approval="wait" if approval == "wait" else "return")
    interrupts = approval == "interrupt"
    return [exported(one, asked=asked, strict=strict, interrupts=interrupts) for one in asked.contracts(names)]


def from_openai_agents(
    tool: Any,
    *,
    name: str | None = None,
    version: str = "1.0.0",
    context: Any = None,
    adopted: Collection[str] = (),
    register: bool = False,
) -> ToolFunction[..., Any]:
    """A tool of ALTAR that invokes a function tool of the Agents SDK.

    ``context`` is what the tool is given as the context of a run.
    ``adopted`` are digests of declarations that were read and accepted although their texts give orders.
    Raises INVALID_DECLARATION for what is no function tool, for a schema that ALTAR refuses, for texts that give
    orders, and for a tool with guardrails or ``needs_approval``, which only a run of the SDK would heed;
    ENVIRONMENT_ERROR without the extra.
    """
    loaded("agents", extra=_EXTRA, what="A tool of the OpenAI Agents SDK")
    from altar.adapters.openai_agents.taken import taken

    made: ToolFunction[..., Any] = taken(
        tool, name=name, version=version, context=context, adopted=adopted, register=register
    )
    return made
