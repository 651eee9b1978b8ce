"""LangChain: the tools of a session for its agents, and its tools as tools of ALTAR.

:func:`to_langchain` gives a session's tools as LangChain's, :func:`toolkit` the same as a toolkit;
:func:`from_langchain` makes a tool of ALTAR from one of LangChain's.
This needs the extra ``langchain``; importing this module loads nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from altar.later.both_ways import BothWays
from altar.later.extras import loaded
from altar.later.options import ApprovalMode
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.adapters.langchain.exported import AltarTool, AltarToolkit
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = ["Interrupt", "from_langchain", "to_langchain", "toolkit"]

Interrupt = Callable[[dict[str, Any]], object]
"""What stops a graph until somebody lets it go on: LangGraph's ``interrupt``."""

_EXTRA = "langchain"


def to_langchain(
    session: Session | SyncSession,
    names: Iterable[str] | None = None,
    *,
    approval: ApprovalMode | None = None,
    interrupt: Interrupt | None = None,
) -> list[AltarTool]:
    """The tools of an open session as tools of LangChain, to be invoked and to be awaited; all of them for None.

    The model reads the result as text; ``artifact`` of the ToolMessage is the whole result as an ADM document.
    A call that fails is a message with the status ``error`` that says what to do better.
    ``approval`` says what a call does that a person must approve: ``wait``, or ``return`` at once with
    APPROVAL_PENDING and a handle in the artifact, by which :meth:`AltarToolkit.resume` goes on.
    ``interrupt`` is LangGraph's function of that name: with it such a call stops the graph, with the tool, its
    arguments and the handle as the value, and goes on when the graph is resumed; it implies ``return``.
    Raises UNSUPPORTED_TOOL for a name that is not in the session, ENVIRONMENT_ERROR without the extra.
    """
    loaded("langchain_core.tools", extra=_EXTRA, what="A tool for LangChain")
    from altar.adapters.langchain.exported import AltarTool

    asked = BothWays(session, approval="return" if interrupt is not None else approval)
    return [AltarTool.of(contract, asked=asked, interrupt=interrupt) for contract in asked.contracts(names)]


def toolkit(
    session: Session | SyncSession,
    names: Iterable[str] | None = None,
    *,
    approval: ApprovalMode | None = None,
    interrupt: Interrupt | None = None,
) -> AltarToolkit:
    """The tools of an open session as a toolkit; the arguments are those of :func:`to_langchain`."""
    tools = to_langchain(session, names, approval=approval, interrupt=interrupt)
    from altar.adapters.langchain.exported import AltarToolkit

    made: AltarToolkit = AltarToolkit.of(tools, asked=BothWays(session))
    return made


def from_langchain(
    tool: Any,
    *,
    name: str | None = None,
    version: str = "1.0.0",
    injected: Mapping[str, Any] | None = None,
    adopted: Collection[str] = (),
    register: bool = False,
) -> ToolFunction[..., Any]:
    """A tool of ALTAR that invokes a tool of LangChain.

    Its arguments are those that LangChain shows to a model; ``injected`` gives values for those that it hides, the id
    of the call is given by itself.
    What the tool returns is the result; of one that returns content and artifact, both are, as members of an object.
    ``adopted`` are digests of declarations that were read and accepted although their texts give orders.
    Raises INVALID_DECLARATION for what is no tool of LangChain, for a schema that ALTAR refuses, for hidden arguments
    without a value, and for texts that give orders; ENVIRONMENT_ERROR without the extra.
    """
    loaded("langchain_core.tools", extra=_EXTRA, what="A tool of LangChain")
    from altar.adapters.langchain.taken import taken

    made: ToolFunction[..., Any] = taken(
        tool, name=name, version=version, injected=dict(injected or {}), adopted=adopted, register=register
    )
    return made
