"""Sessions over the wire: seen, extended and ended by their principal, and kept by a host that is killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import altar
from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.grid.client.remote_sessions import require_sessions
from altar.grid.client.session_admin import administration
from altar.grid.host.session_desk import MOST as MOST_ASKED
from altar.later.session import Options, Session
from altar.testing import LocalGrid, until
from tests.integration import raw, tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

TTL, LONGEST, MOST = 60, 120, 4


TOOLS = '''
import asyncio
from pathlib import Path
import altar

@altar.tool
async def sees_the_end(directory: str) -> None:
    """Say that it began, and that it was cancelled."""
    (Path(directory) / "began").touch()
    try:
        await asyncio.Event().wait()
    finally:
        (Path(directory) / "cancelled").touch()
'''


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    module = tmp_path_factory.mktemp("tools") / "session_tools.py"
    module.write_text(TOOLS)
    settings = {"host.session_ttl": TTL, "host.max_session_ttl": LONGEST, "host.sessions_per_principal": MOST}
    with LocalGrid([tools.__file__, str(module)], runtimes=1, settings=settings) as running:
        yield running
        stop_and_audit(running)


def options_of(grid: LocalGrid, principal: str) -> dict[str, Any]:
    files = grid.certificate("client", principal)
    return {"certificate": files.certificate, "key": files.key, "authority": files.authority}


def session(grid: LocalGrid, principal: str, *names: str, ttl: float | None = None) -> Session:
    limit = None if ttl is None else timedelta(seconds=ttl)
    return Session(Options(names, grid.source, ttl=limit, source_options=options_of(grid, principal)))


def seconds(time: timedelta) -> float:
    return time.total_seconds()


# --------------------------------------------------------------------------------------------------- seen and extended


async def test_an_open_session_says_what_it_is(grid: LocalGrid) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    async with session(grid, "describes", "add", "echo") as opened:
        info = await opened.describe()

        assert (opened.session_id, ("add", "echo"), 0, 0, 1) == (
            info.session_id,
            info.tools,
            info.calls,
            info.variables,
            info.connections,
        )
        assert info.created is not None
        assert before <= info.created <= datetime.now(UTC)
        assert (TTL, True) == (seconds(info.ttl), TTL - 30 <= seconds(info.left) <= TTL)
        await opened.variables.declare("n", int, value=1)
        assert 1 == (await opened.describe()).variables


async def test_calls_in_flight_and_connections_are_counted(grid: LocalGrid, tmp_path: Path) -> None:
    async with session(grid, "counts") as opened:
        call = asyncio.create_task(opened.call("held_once", directory=str(tmp_path), name="x"))
        await asyncio.to_thread(until, lambda: list(tmp_path.glob("x.*")), what="the call began")
        joined = Session(
            Options(source=f"{grid.source}/{opened.session_id}", source_options=options_of(grid, "counts"))
        )
        async with joined:
            info = await joined.describe()
        (tmp_path / "go").touch()
        await call

    assert (1, 2) == (info.calls, info.connections)


async def test_a_session_is_extended_as_far_as_the_host_allows(grid: LocalGrid) -> None:
    async with session(grid, "extends", ttl=30) as opened:
        assert 30 == seconds((await opened.describe()).ttl)
        assert 90 == seconds((await opened.extend(timedelta(seconds=90))).ttl)
        assert 90 == seconds((await opened.extend()).ttl)
        capped = await opened.extend(10 * LONGEST)

        assert (LONGEST, True) == (seconds(capped.ttl), seconds(capped.left) > 90)
        with pytest.raises(altar.ConfigurationError, match="neither negative nor endless"):
            await opened.extend(-1)


def test_without_an_event_loop_the_same_words_do_the_same(grid: LocalGrid) -> None:
    with session(grid, "plain", "add") as opened:
        assert opened.session_id == opened.describe().session_id
        assert 90 == seconds(opened.extend(90).ttl)


async def test_a_session_is_described_over_a_connection_that_broke(grid: LocalGrid) -> None:
    async with session(grid, "comes-back") as opened:
        before = await opened.describe()
        await asyncio.to_thread(grid.restart_host, signal.SIGKILL)

        after = await opened.describe()

    assert (before.session_id, before.created) == (after.session_id, after.created)


async def test_a_principal_lists_its_own_sessions_the_oldest_first_without_opening_one(grid: LocalGrid) -> None:
    files = grid.certificate("client", "lists")

    async with session(grid, "lists") as first, session(grid, "lists") as second, session(grid, "other") as foreign:
        async with administration(grid.source, files) as admin:
            found = await admin.sessions()
            for refused in (
                admin.describe(foreign.session_id),
                admin.extend(foreign.session_id, ttl=None),
                admin.destroy(foreign.session_id, force=True),
                admin.describe("session-0"),
            ):
                with pytest.raises(ValidationError) as hidden:
                    await refused
                assert ("INVALID_SESSION", "There is no such session") == (hidden.value.code, hidden.value.message)

        assert [first.session_id, second.session_id] == [info.session_id for info in found]


def test_a_request_that_asks_for_nothing_is_refused(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        empty = host_pb2.SessionRequest(tag=7)
        peer.send(host_pb2.ConnectRequest(hello=raw.HELLO, session_requests=[empty]))
        frame = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.session_answers)

    (answer,) = frame.session_answers
    assert (7, "MALFORMED_REQUEST") == (answer.tag, answer.error.type)


def test_one_frame_asks_for_so_many_things_and_no_more(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        asked = [host_pb2.SessionRequest(tag=tag, list={}) for tag in range(1, MOST_ASKED + 3)]
        peer.send(host_pb2.ConnectRequest(hello=raw.HELLO, session_requests=asked))
        answers: list[host_pb2.SessionAnswer] = []
        while len(answers) < len(asked):
            answers += peer.receive(host_pb2.ConnectResponse, lambda frame: frame.session_answers).session_answers

    refused = {answer.tag: answer.error.type for answer in answers if answer.HasField("error")}
    assert {MOST_ASKED + 1: "RATE_LIMIT_EXCEEDED", MOST_ASKED + 2: "RATE_LIMIT_EXCEEDED"} == refused


def test_a_host_that_knows_no_such_requests_is_not_asked() -> None:
    require_sessions(["variables", "sessions"])

    with pytest.raises(altar.ConfigurationError, match="needs 'sessions', which this host cannot do") as refused:
        require_sessions(["variables"])
    assert ("FEATURE_UNAVAILABLE", "no") == (refused.value.code, refused.value.ran)


@pytest.mark.parametrize("address", ["later:", "grid://nowhere", "grid://127.0.0.1:1/session-1"])
async def test_only_a_host_has_sessions_to_look_at(grid: LocalGrid, address: str) -> None:
    with pytest.raises(altar.ConfigurationError, match="are not kept on a host"):
        async with administration(address, grid.client):
            pass


async def test_a_host_that_is_not_there_is_told_as_that(grid: LocalGrid) -> None:
    with pytest.raises(altar.TransportError, match="nothing listens at"):
        async with administration("grid://127.0.0.1:9", grid.client) as admin:
            await admin.sessions()


# --------------------------------------------------------------------------------------------------------------- ended


async def test_a_session_with_a_call_in_flight_is_kept_unless_it_is_forced_which_reaches_the_function(
    grid: LocalGrid, tmp_path: Path
) -> None:
    files = grid.certificate("client", "forces")
    async with session(grid, "forces") as opened, administration(grid.source, files) as admin:
        call = asyncio.create_task(opened.call("sees_the_end", directory=str(tmp_path)))
        await asyncio.to_thread(until, (tmp_path / "began").exists, what="the call began")

        with pytest.raises(ValidationError, match="The session has calls in flight: 1") as refused:
            await admin.destroy(opened.session_id, force=False)
        await admin.destroy(opened.session_id, force=True)
        result = await call

        assert "wait for them, or force it to cancel them" == refused.value.hint
        assert result.error is not None
        assert "CANCELLED" == result.error.type
        await asyncio.to_thread(until, (tmp_path / "cancelled").exists, what="the function saw it")
        again = await opened.call("add", a=1)
        assert again.error is not None
        assert "INVALID_SESSION" == again.error.type
    entries = grid.entries()
    (intent,) = (one for one in entries if one["kind"] == "intent" and one["call"] == result.call_id)
    (outcome,) = (one for one in entries if one["kind"] == "outcome" and one["invocation"] == intent["invocation"])
    assert ("ERROR", "CANCELLED") == (outcome["status"], outcome["code"])


async def test_a_session_that_expired_is_told_as_that_also_when_it_has_been_swept(grid: LocalGrid) -> None:
    files = grid.certificate("client", "expires")
    async with session(grid, "expires", ttl=1) as opened, administration(grid.source, files) as admin:
        session_id = opened.session_id

        def swept() -> bool:
            return any(entry.get("subject") == session_id and entry["note"] == "expired" for entry in grid.entries())

        await asyncio.to_thread(until, swept, what="the sweep")

        with pytest.raises(AuthorizationError) as looked_at:
            await admin.describe(session_id)
        called = await opened.call("add", a=1)
    assert "SESSION_EXPIRED" == looked_at.value.code
    assert called.error is not None
    assert ("SESSION_EXPIRED", "no") == (called.error.type, called.error.ran)


def test_a_principal_has_as_many_sessions_as_the_setting_says(grid: LocalGrid) -> None:
    with raw.client(grid, "greedy") as peer:
        wanted = [host_pb2.CreateSession(tag=tag) for tag in range(1, MOST + 2)]
        peer.send(host_pb2.ConnectRequest(hello=raw.HELLO, create_sessions=wanted))
        created: list[host_pb2.SessionCreated] = []
        while len(created) < len(wanted):
            created += peer.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_created).sessions_created

    errors = {one.tag: one.error.type for one in created if one.HasField("error")}
    assert {MOST + 1: "RATE_LIMIT_EXCEEDED"} == errors


# -------------------------------------------------------------------------------------------- nothing told of is lost


def test_a_session_that_was_told_of_is_there_when_the_host_is_killed_at_once(grid: LocalGrid) -> None:
    with raw.client(grid, "keeps") as peer:
        session_id = raw.open_session(peer, "add").session_id
        assert grid.host is not None
        grid.host.end(signal.SIGKILL)
    grid.start_host()

    with raw.client(grid, "keeps") as peer:
        again = host_pb2.CreateSession(tag=1, session_id=session_id)
        peer.send(host_pb2.ConnectRequest(hello=raw.HELLO, create_sessions=[again]))
        (created,) = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_created).sessions_created

    assert (session_id, ["add"]) == (created.session_id, [contract.ref.name for contract in created.contracts])


def test_a_session_that_was_told_to_be_gone_does_not_come_back_when_the_host_is_killed_at_once(
    grid: LocalGrid,
) -> None:
    with raw.client(grid, "ends") as peer:
        session_id = raw.open_session(peer, "add").session_id
        peer.send(host_pb2.ConnectRequest(destroy_sessions=[host_pb2.DestroySession(tag=2, session_id=session_id)]))
        peer.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_destroyed)
        assert grid.host is not None
        grid.host.end(signal.SIGKILL)
    grid.start_host()

    async def look() -> None:
        async with administration(grid.source, grid.certificate("client", "ends")) as admin:
            await admin.describe(session_id)

    with pytest.raises(AltarError) as refused:
        asyncio.run(look())
    assert "INVALID_SESSION" == refused.value.code
