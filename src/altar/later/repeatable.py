"""Idempotency keys in a session of this process: for the life of the session, in memory.

What a host does for its principals (`altar.grid.host.idempotency`) is done here for one session, in the same words.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field, replace
from typing import Any

from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.canonical import digest
from altar.adm.errors import AltarError, ExecutionError
from altar.later.fingerprint import conflict, fingerprint, waits_for_itself
from altar.later.invocation import Invocation, late

__all__ = ["MOST_KEYS", "LocalKeys"]

MOST_KEYS = 10_000
"""Most keys of one session."""


@dataclass(slots=True, eq=False)
class _Claim:
    """One key: whose call it is, how many wait for it, and its result once there is one."""

    fingerprint: bytes
    runner: Invocation
    done: Future[ToolResult] = field(default_factory=Future)
    waiting: int = 0
    task: asyncio.Task[None] | None = None


class LocalKeys:
    """The keys of one session; used from any thread."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()

    async def call(
        self, invocation: Invocation, version: str, run: Callable[[], Coroutine[Any, Any, ToolResult]]
    ) -> ToolResult:
        """Run a call, or wait for the one under its key; ``version`` is the exact one of its tool.

        The run goes on while anybody waits for it; the last one who is cancelled cancels it.
        """
        claim = self._claim(invocation, version)
        if isinstance(claim, ToolResult):
            return claim
        is_first = claim.runner is invocation
        if is_first:
            claim.task = asyncio.get_running_loop().create_task(self._run(claim, run))
        claim.waiting += 1
        try:
            async with asyncio.timeout(None if is_first else max(0.0, invocation.deadline - time.monotonic())):
                result = await asyncio.shield(asyncio.wrap_future(claim.done))
        except TimeoutError:
            return _failed(invocation, late(invocation, ran="unknown"))
        finally:
            claim.waiting -= 1
            if not claim.waiting and claim.task is not None and not claim.done.done():
                claim.task.cancel()
        return result if is_first else _again(result)

    def call_here(self, invocation: Invocation, version: str, run: Callable[[], ToolResult]) -> ToolResult:
        """The same for a call that runs in the thread of its caller."""
        claim = self._claim(invocation, version)
        if isinstance(claim, ToolResult):
            return claim
        if claim.runner is invocation:
            try:
                self._settle(claim, result := run())
            except BaseException:
                self._settle(claim, _failed(invocation, _cancelled()))
                raise
            return result
        patience = min(max(0.0, invocation.deadline - time.monotonic()), threading.TIMEOUT_MAX)
        try:
            return _again(claim.done.result(patience))
        except NotInTime:
            return _failed(invocation, late(invocation, ran="unknown"))

    def _claim(self, invocation: Invocation, version: str) -> _Claim | ToolResult:
        """The claim of a call's key, which is its own when it is the first; the result when it is refused."""
        key, made = invocation.call_id, fingerprint(invocation.name, version, digest(invocation.arguments))
        with self._lock:
            claim = self._claims.get(key)
            if claim is None and len(self._claims) < MOST_KEYS:
                claim = self._claims[key] = _Claim(made, invocation)
                return claim
        if claim is None:
            return _failed(invocation, _full())
        if claim.fingerprint != made:
            return _failed(invocation, conflict(key))
        above = invocation.parent
        while above is not None:
            if above is claim.runner and not claim.done.done():
                return _failed(invocation, waits_for_itself(key))
            above = above.parent
        return claim

    async def _run(self, claim: _Claim, run: Callable[[], Coroutine[Any, Any, ToolResult]]) -> None:
        try:
            self._settle(claim, await run())
        except asyncio.CancelledError:
            self._settle(claim, _failed(claim.runner, _cancelled()))
            raise
        except BaseException as broken:  # noqa: BLE001 - whoever waits for it is to hear of it
            self._drop(claim)
            claim.done.set_exception(broken)

    def _settle(self, claim: _Claim, result: ToolResult) -> None:
        if result.error is not None and result.error.ran == "no":
            self._drop(claim)
        claim.done.set_result(result)

    def _drop(self, claim: _Claim) -> None:
        with self._lock:
            del self._claims[claim.runner.call_id]


def _again(result: ToolResult) -> ToolResult:
    """The same result, marked as one of an earlier call; what did not run is no earlier call."""
    if result.error is not None and result.error.ran == "no":
        return result
    return replace(result, metadata={**(result.metadata or {}), "replayed": True})


def _failed(invocation: Invocation, error: AltarError) -> ToolResult:
    return ToolResult(invocation.call_id, invocation.name, ResultStatus.ERROR, error=ErrorObject.of(error))


def _cancelled() -> AltarError:
    return ExecutionError("CANCELLED", "The call was cancelled", ran="unknown")


def _full() -> AltarError:
    return ExecutionError(
        "RESOURCE_EXHAUSTED",
        f"A session keeps {MOST_KEYS} idempotency keys, and no more",
        ran="no",
        hint="open a new session",
    )
