"""Tools of a session for agents of Pydantic-AI, and its tools as ALTAR tools.

:func:`to_pydantic_ai` gives a toolset, :func:`tool_to_pydantic_ai` one tool, :func:`decided` what people decided of the
calls that an agent's run stopped for, and :func:`from_pydantic_ai` a tool or a toolset as ALTAR tools.
The package ``pydantic_ai`` is loaded by the functions, not by this module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from altar.later.extras import loaded

if TYPE_CHECKING:
    from altar.adm.call import ToolResult
    from altar.later.front import SyncSession
    from altar.later.options import ApprovalMode
    from altar.later.session import Session
    from altar.later.tool import ToolFunction

__all__ = ["decided", "from_pydantic_ai", "to_pydantic_ai", "tool_to_pydantic_ai"]


def to_pydantic_ai(
    session: Session | SyncSession,
    names: Iterable[str] | None = None,
    *,
    id: str | None = "altar",
    streams: Iterable[str] = (),
    retries: int = 2,
    approval: ApprovalMode | None = "return",
    on_result: Callable[[ToolResult], object] | None = None,
) -> Any:
    """The tools of an open session as a toolset: ``Agent(…, toolsets=[to_pydantic_ai(session)])``.

    ``names`` are the tools to offer, each a name or ``name@range``; all of the session for None, asked anew before each
    step of a run.
    ``streams`` names tools whose values, as they come, are events of the run: ``ToolValue``.
    ``retries`` is how often a model may correct its arguments.
    ``approval`` is what a call does that a person must approve: ``return`` ends the run, None is as the session says.
    ``on_result`` is told the result of each call before the framework is.
    Raises UNSUPPORTED_TOOL for a name that is not there, ENVIRONMENT_ERROR without the extra ``pydantic-ai``.
    """
    return _module("toolset").SessionToolset(
        session,
        names,
        id=id,
        streams=frozenset(streams),
        retries=retries,
        approval=approval,
        on_result=on_result,
    )


def tool_to_pydantic_ai(session: Session | SyncSession, name: str, *, retries: int = 2) -> Any:
    """One tool of an open session as a ``pydantic_ai.Tool``: ``Agent(…, tools=[…])``."""
    return _module("toolset").single(session, name, retries=retries)


async def decided(session: Session | SyncSession, requests: Any, *, seconds: float = 0.0) -> Any:
    """What people have decided of the calls that a run stopped for, as ``DeferredToolResults`` to go on with.

    ``requests`` are the ``DeferredToolRequests`` that the run gave; ``seconds`` is how long to wait for each.
    A call on which nobody has decided yet is told to the model as not approved.
    """
    return await _module("deferral").decided(session, requests, seconds=seconds)


def from_pydantic_ai(
    tool: Any,
    *,
    deps: Any = None,
    model: Any = None,
    governed: bool = False,
    adopted: Collection[str] = (),
    register: bool = True,
) -> list[ToolFunction[..., Any]]:
    """A ``pydantic_ai.Tool``, or those of a ``FunctionToolset``, as ALTAR tools.

    ``deps`` and ``model`` are what its functions find in their ``RunContext``.
    A tool that requires approval is taken only with ``governed=True``, which puts that into its contract, where a host
    of the tier ADVANCED sees to it.
    ``adopted`` are digests of contracts whose texts a person has read, where they look as if they gave orders.
    Raises INVALID_DECLARATION for what cannot be a contract or gives orders in its texts, ENVIRONMENT_ERROR without the
    extra ``pydantic-ai``.
    """
    found: list[ToolFunction[..., Any]] = _module("imported_tools").bring(
        tool, deps=deps, model=model, governed=governed, adopted=adopted, register=register
    )
    return found


def _module(name: str) -> Any:
    """A module of this package that needs the extra."""
    loaded("pydantic_ai", extra="pydantic-ai", what="A tool for Pydantic-AI")
    return import_module(f"altar.adapters.pydantic_ai.{name}")
