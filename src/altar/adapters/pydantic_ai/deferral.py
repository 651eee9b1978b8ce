"""What people decided of calls that a run stopped for.

The decision is the host's to know, not the application's to say: it is asked for by the handle of each request.
In: the deferred requests of a run. Out: the results to go on with; an approved call is made under its handle, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pydantic_ai.tools import DeferredToolResults, ToolApproved, ToolDenied

from altar.adapters.pydantic_ai.toolset import HANDLE
from altar.adm.errors import AltarError, ConfigurationError
from altar.later.approvals import Approval, ApprovalSource
from altar.later.front import SyncSession
from altar.later.session import Session

__all__ = ["decided"]


async def decided(session: Session | SyncSession, requests: Any, *, seconds: float) -> Any:
    """The results for deferred requests, by how each stands with the host.

    Raises FEATURE_UNAVAILABLE for a session without a host, where nobody is asked.
    """
    results = DeferredToolResults(metadata=dict(requests.metadata))
    for asked in requests.approvals:
        handle = requests.metadata.get(asked.tool_call_id, {}).get(HANDLE, "")
        if handle:  # another tool's request for approval is not ours to decide
            results.approvals[asked.tool_call_id] = await _verdict(session, handle, seconds)
    return results


async def _verdict(session: Session | SyncSession, handle: str, seconds: float) -> Any:
    underneath = session.underneath if isinstance(session, SyncSession) else session
    source: object = underneath.asker.live.source
    if not isinstance(source, ApprovalSource):
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            "Nobody is asked for approval in this session",
            ran="no",
            hint="use a session on a host, 'grid://host:port'",
        )
    try:
        told = await _asked(session, underneath, source.await_approval(handle, seconds=seconds))
    except AltarError as refused:
        return ToolDenied(refused.message)
    if told.state in {"APPROVED", "CONSUMED"}:
        return ToolApproved()
    return ToolDenied(_WORDS.get(told.state, "The call was not approved; it did not run."))


async def _asked(
    session: Session | SyncSession, underneath: Session, asking: Coroutine[Any, Any, Approval]
) -> Approval:
    """The answer of the host, which is asked in the event loop of the session."""
    if isinstance(session, SyncSession):
        return await asyncio.wrap_future(session.begin(lambda _: asking))
    loop = underneath.asker.live.loop
    if loop is None or loop is asyncio.get_running_loop():
        return await asking
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, loop))


_WORDS = {
    "PENDING": "Nobody has decided on this call yet; it did not run.",
    "REFUSED": "A person refused this call; it did not run.",
    "WITHDRAWN": "The request for approval of this call was withdrawn; it did not run.",
    "EXPIRED": "Nobody decided on this call in time; it did not run.",
}
