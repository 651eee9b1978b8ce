"""Cancellation shown: whoever ends a call and however, it reaches the function, the caller and the record.

Each kind of function is ended in each way on a real grid.
What is looked at: what the function wrote down, what its caller got, and the outcome in the log.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.call import ToolResult
from altar.adm.errors import AltarError
from altar.later.session import Session
from altar.testing import PATIENCE, LocalGrid, until
from tests.integration import cancel_tools, raw
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(240)

LONG = 4 * PATIENCE
"""Seconds until the deadline of a call that is ended by something else."""
SAW = ["began", "cancelled", "finally"]
KILLED = ["began"]
CLOSED = ["began", "finally"]

KINDS: dict[str, tuple[list[str], ...]] = {
    "plain": (SAW,),
    "coroutine": (SAW,),
    "generator": (SAW,),
    "async_generator": (SAW,),
    "isolated": (KILLED,),
    "isolated_generator": (KILLED, CLOSED),  # it may see its deadline itself, just before it is killed for it
    "nests": (SAW,),
    "nests_plainly": (SAW,),
    "nests_a_stream": (SAW,),
}
"""Each tool, and what it may see of its end."""

INNER = {"nests": "coroutine", "nests_plainly": "plain", "nests_a_stream": "async_generator"}
STREAMED = {"generator", "async_generator", "isolated_generator"}
"""Those whose values are read one by one as well."""


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([cancel_tools.__file__], runtimes=1) as running:
        yield running
        stop_and_audit(running)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


def lines(evidence: Path) -> list[str]:
    """What the function wrote down so far, without the process it ran in."""
    return [line.split(" in ")[0] for line in evidence.read_text().splitlines()] if evidence.exists() else []


def witness(evidence: Path, tool: str) -> Path:
    """Where the deepest function that runs for a tool writes to."""
    return Path(f"{evidence}.inner") if tool in INNER else evidence


async def began(evidence: Path, tool: str) -> None:
    """Wait until the deepest function runs."""
    await asyncio.to_thread(until, lambda: lines(witness(evidence, tool)), what=f"the beginning of {tool!r}")


def outcomes(grid: LocalGrid, session_id: str) -> dict[str, tuple[str, str, str]]:
    """What was recorded for the calls of a session, by tool: status, code, ran."""
    entries = grid.entries()
    intents = {
        each["invocation"]: each["tool"]
        for each in entries
        if each["kind"] == "intent" and each["session"] == session_id
    }
    return {
        intents[each["invocation"]]: (each["status"], each["code"], each["ran"])
        for each in entries
        if each["kind"] == "outcome" and each["invocation"] in intents
    }


async def made(session: Session, tool: str, evidence: Path, *, streamed: bool) -> ToolResult:
    """Call the tool, or read its values to the end; how that ended."""
    if not streamed:
        return await session.call(tool, evidence=str(evidence))
    stream = session.stream(tool, evidence=str(evidence))
    try:
        async for _ in stream:
            pass
    except AltarError:
        pass  # the result says it as well
    return stream.result


# ---------------------------------------------------------------------------------------- ways to end a call


async def the_client_cancels(grid: LocalGrid, session: Session, tool: str, evidence: Path, *, streamed: bool) -> str:
    call = asyncio.create_task(made(session.options(timeout=LONG), tool, evidence, streamed=streamed))
    await began(evidence, tool)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    return "CancelledError"


async def the_time_is_up(grid: LocalGrid, session: Session, tool: str, evidence: Path, *, streamed: bool) -> str:
    result = await made(session.options(timeout=2.5), tool, evidence, streamed=streamed)
    assert result.error is not None
    return f"{result.error.type} {result.error.ran}"


async def the_client_is_killed(grid: LocalGrid, session: Session, tool: str, evidence: Path, *, streamed: bool) -> str:
    """Another process of the same principal calls in this session, and is killed."""
    environ = {f"ALTAR_TLS_{part.upper()}": str(path) for part, path in grid.options.items()}
    doing = f"s.options(timeout={LONG}).{'stream' if streamed else 'call'}({tool!r}, evidence={str(evidence)!r})"
    program = f"import altar\nwith altar.session(source={grid.source!r} + '/' + {session.session_id!r}) as s:\n"
    program += f"    for _ in {doing}: pass\n" if streamed else f"    {doing}\n"
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=os.environ | environ, cwd=grid.directory
    )
    try:
        await began(evidence, tool)
    finally:
        client.kill()
    await client.wait()
    return "nothing"


async def the_session_is_destroyed(
    grid: LocalGrid, session: Session, tool: str, evidence: Path, *, streamed: bool
) -> str:
    call = asyncio.create_task(made(session.options(timeout=LONG), tool, evidence, streamed=streamed))
    await began(evidence, tool)

    def destroy(*, force: bool) -> host_pb2.SessionDestroyed:
        with raw.client(grid, "client-1") as peer:
            ended = host_pb2.DestroySession(tag=7, session_id=session.session_id, force=force)
            peer.send(host_pb2.ConnectRequest(hello=raw.HELLO, destroy_sessions=[ended]))
            frame = peer.receive(host_pb2.ConnectResponse, lambda each: each.sessions_destroyed)
            return frame.sessions_destroyed[0]

    refused = await asyncio.to_thread(destroy, force=False)
    assert refused.error.type == "INVALID_SESSION"
    assert not (await asyncio.to_thread(destroy, force=True)).HasField("error")
    result = await call
    assert result.error is not None
    return f"{result.error.type} {result.error.ran}"


End = Callable[..., Coroutine[Any, Any, str]]

WAYS: list[tuple[End, str, str]] = [
    (the_client_cancels, "CancelledError", "CANCELLED"),
    (the_time_is_up, "TIMEOUT yes", "TIMEOUT"),
    (the_client_is_killed, "nothing", "CANCELLED"),
    (the_session_is_destroyed, "CANCELLED yes", "CANCELLED"),
]
"""How a call is ended, what the caller gets, and what is recorded."""


@pytest.mark.parametrize(
    ("tool", "streamed"),
    [(tool, False) for tool in KINDS] + [(tool, True) for tool in sorted(STREAMED)],
    ids=lambda each: {True: "streamed", False: "called"}.get(each, each),
)
@pytest.mark.parametrize(("end", "told", "code"), WAYS, ids=lambda each: getattr(each, "__name__", ""))
async def test_the_end_of_a_call_reaches_the_function_the_caller_and_the_record(
    grid: LocalGrid, evidence: Path, end: End, told: str, code: str, tool: str, *, streamed: bool
) -> None:
    async with grid.session() as session:
        assert await end(grid, session, tool, evidence, streamed=streamed) == told

        await asyncio.to_thread(until, lambda: lines(evidence) in KINDS[tool], what=f"the end that {tool!r} saw")
        streams = {tool: streamed}
        if tool in INNER:
            streams[INNER[tool]] = INNER[tool] in STREAMED
            inner = witness(evidence, tool)
            await asyncio.to_thread(until, lambda: lines(inner) == SAW, what="the end that the inner tool saw")
        await asyncio.to_thread(
            until, lambda: outcomes(grid, session.session_id).keys() == streams.keys(), what="the outcomes"
        )
        for name, (status, told_code, ran) in outcomes(grid, session.session_id).items():
            assert (told_code, ran) == (code, "yes")
            # a stream that ended before its first value had been passed on is not a partial one
            assert status in (("PARTIAL", "ERROR") if streams[name] else ("ERROR",))
    if KILLED in KINDS[tool]:
        process = Path("/proc", evidence.read_text().split()[2])
        await asyncio.to_thread(
            until, lambda: lines(evidence) == CLOSED or not process.exists(), what="the end of the process"
        )
