"""Variables and sessions on a host: what outlives connections and the host itself, and what does not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest

import altar
from altar.adm.errors import AltarError
from altar.later.session import Options, Session
from altar.later.variables import Variable, VariableConflictError
from altar.testing import LocalGrid, until
from tests.integration import variable_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([variable_tools.__file__], runtimes=1) as running:
        yield running
        stop_and_audit(running)


def joined(grid: LocalGrid, session_id: str, *, client: str = "") -> Session:
    """Another client's session, on the session of that id."""
    options = grid.options
    if client:
        files = grid.certificate("client", client)
        options = {"certificate": files.certificate, "key": files.key, "authority": files.authority}
    return Session(Options(source=f"{grid.source}/{session_id}", source_options=options))


async def restart(grid: LocalGrid) -> None:
    """Kill the host as a machine that loses power would, and start it again."""
    attached = {number: len(process.announced) for number, process in grid.runtimes.items()}
    await asyncio.to_thread(grid.restart_host, signal.SIGKILL)
    for number, process in grid.runtimes.items():
        await asyncio.to_thread(process.ready, attached[number] + 1)


# ------------------------------------------------------------------------------------------------- restarts


async def test_what_was_set_is_there_when_the_host_was_killed_right_after(grid: LocalGrid) -> None:
    async with grid.session() as s:
        await s.variables.declare("a", int, value=1)
        await s.variables.declare("gone", int, value=1)
        await s.variables.delete("gone")
        before = s.session_id
        changed = await s.variables.set("a", 2, expected_version=1)

        await restart(grid)

        assert s.session_id == before
        assert await s.variables.snapshot() == {"a": changed}
        with pytest.raises(VariableConflictError):
            await s.variables.set("a", 3, expected_version=1)
        assert (await s.variables.declare("gone", str, value="x")).version == 3
        assert (await s.call("variable_count", name="a")).unwrap() == 3
        assert s.session_id == before


async def test_a_killed_host_loses_nothing_that_it_acknowledged_and_invents_nothing(grid: LocalGrid) -> None:
    acknowledged = 0
    async with grid.session() as s:
        await s.variables.declare("n", int, value=0)

        async def count() -> None:
            nonlocal acknowledged
            while True:
                await s.variables.set("n", acknowledged + 1)
                acknowledged += 1

        counting = asyncio.create_task(count())
        await asyncio.to_thread(until, lambda: acknowledged > 50, what="fifty sets")
        await restart(grid)
        with pytest.raises(altar.TransportError) as raised:
            await counting

        found = await s.variables.get("n")
    assert (raised.value.code, raised.value.ran) == ("CONNECTION_FAILED", "unknown")
    assert found.value in {acknowledged, acknowledged + 1}
    assert found.version == found.value + 1


async def test_a_read_that_waits_when_the_host_is_lost_is_answered_by_the_next_one(grid: LocalGrid) -> None:
    assert grid.host is not None
    async with grid.session() as s, asyncio.timeout(60):
        await s.variables.declare("a", int, value=1)
        grid.host.send(signal.SIGSTOP)
        reading = asyncio.create_task(s.variables.get("a"))
        await asyncio.wait({reading}, timeout=0)

        await restart(grid)

        assert (await reading).value == 1


async def test_a_watch_goes_on_across_a_restart_with_what_there_is_then(grid: LocalGrid) -> None:
    async with grid.session() as s, asyncio.timeout(60):
        for name in ("a", "b", "c"):
            await s.variables.declare(name, int, value=1)
        watch = s.variables.watch()
        assert {(await anext(watch)).name for _ in range(3)} == {"a", "b", "c"}

        await restart(grid)
        assert await s.variables.list() == ["a", "b", "c"]
        await s.variables.set("a", 2)
        await s.variables.delete("c")

        first, second = await anext(watch), await anext(watch)
        assert (first.name, first.value, first.version) == ("a", 2, 2)
        assert (second.name, second.deleted) == ("c", True)


async def test_a_change_that_is_made_while_a_watcher_is_cut_off_is_not_missed(grid: LocalGrid) -> None:
    async with grid.session() as s, asyncio.timeout(60):
        await s.variables.declare("a", int, value=1)
        await s.variables.declare("b", int, value=1)
        watch = s.variables.watch("a", "b")
        await anext(watch)
        await anext(watch)
        session_id = s.session_id
        async with joined(grid, session_id) as other:
            await asyncio.to_thread(grid.restart_host, signal.SIGKILL)
            await other.variables.update({"a": 2})
            await other.variables.delete("b")

        changes = [await anext(watch), await anext(watch)]
    assert {(each.name, each.value, each.deleted) for each in changes} == {("a", 2, False), ("b", None, True)}


def test_a_session_outlives_a_stop_of_the_host_in_good_order(grid: LocalGrid) -> None:
    with grid.session() as s:
        s.variables.declare("a", str, value="x")
        grid.restart_host()

        assert s.variables.get("a").value == "x"


# --------------------------------------------------------------------------------------- more than one client


async def test_two_clients_share_a_session_by_its_id_and_see_the_same_values(grid: LocalGrid) -> None:
    async with grid.session() as one, asyncio.timeout(60):
        await one.variables.declare("a", int, value=1)
        watch = one.variables.watch("a")
        await anext(watch)
        async with joined(grid, one.session_id) as other:
            assert other.session_id == one.session_id
            await other.variables.set("a", 2)

        assert (await anext(watch)).value == 2
        assert (await one.variables.get("a")).value == 2  # the other one left, and the session stayed


def test_a_session_is_joined_by_its_address_as_an_application_writes_it(
    grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, path in grid.options.items():
        monkeypatch.setenv(f"ALTAR_TLS_{part.upper()}", str(path))
    with grid.session() as one:
        one.variables.declare("n", int, value=1)
        with altar.session(source=f"{grid.source}/{one.session_id}") as other:
            assert other.call("variable_count", name="n").unwrap() == 2
            assert other.variables.get("n").version == 2


async def test_of_conditional_sets_at_the_same_time_exactly_one_wins(grid: LocalGrid) -> None:
    async with grid.session() as one:
        await one.variables.declare("n", int, value=0)
        async with joined(grid, one.session_id) as other:
            for turn in range(1, 21):
                tries = [
                    session.variables.set("n", turn * 10 + number, expected_version=turn)
                    for number, session in enumerate((one, other, one, other))
                ]
                ended = await asyncio.gather(*tries, return_exceptions=True)

                (won,) = (each for each in ended if isinstance(each, Variable))
                lost = [each for each in ended if isinstance(each, VariableConflictError)]
                assert [each.current for each in lost] == [{"n": turn + 1}] * 3
                assert (await other.variables.get("n")).value == won.value


async def test_counting_with_conditional_sets_from_two_clients_loses_no_count(grid: LocalGrid) -> None:
    async def count(session: Session, times: int) -> None:
        while times:
            now = await session.variables.get("n")
            try:
                await session.variables.set("n", now.value + 1, expected_version=now.version)
            except VariableConflictError:
                continue
            times -= 1

    async with grid.session() as one:
        await one.variables.declare("n", int, value=0)
        async with joined(grid, one.session_id) as other:
            await asyncio.gather(count(one, 40), count(other, 40), count(one, 40))
        assert (await one.variables.get("n")).value == 120


@pytest.mark.parametrize("session_id", ["session-" + "0" * 32, "x", ""])
def test_the_session_of_another_principal_is_refused_as_one_that_never_was(grid: LocalGrid, session_id: str) -> None:
    with grid.session() as s:
        s.variables.declare("a", int, value=1)
        wanted = session_id or s.session_id
        with pytest.raises(altar.ValidationError) as raised, joined(grid, wanted, client="somebody-else"):
            pass

    assert (raised.value.code, raised.value.message) == ("INVALID_SESSION", "There is no such session")


def test_when_its_owner_closes_a_session_those_who_joined_it_hear_so(grid: LocalGrid) -> None:
    with grid.session() as owner:
        owner.variables.declare("a", int, value=1)
        other = joined(grid, owner.session_id)
        guest = other.__enter__()
        watch = guest.variables.watch("a")
        next(watch)

    try:
        with pytest.raises(AltarError) as ended:
            next(watch)
        with pytest.raises(AltarError) as gone:
            guest.variables.get("a")
        assert ended.value.code == gone.value.code == "INVALID_SESSION"
        result = guest.call("variable_count", name="a")
        assert result.error is not None
        assert result.error.type == "INVALID_SESSION"
    finally:
        other.__exit__(None, None, None)


# ------------------------------------------------------------------------------------------------------ expiry


def test_a_session_that_has_expired_takes_its_variables_with_it(grid: LocalGrid) -> None:
    options = Options(source=grid.source, source_options=grid.options, ttl=timedelta(seconds=1))
    with Session(options) as s:
        s.variables.declare("a", int, value=1)
        watch = s.variables.watch("a")
        next(watch)
        with pytest.raises(altar.AuthorizationError) as told:
            next(watch)
        with pytest.raises(AltarError) as raised:
            s.variables.get("a")
        session_id = s.session_id

    assert told.value.code == "SESSION_EXPIRED"
    assert raised.value.code in {"SESSION_EXPIRED", "INVALID_SESSION"}
    with pytest.raises(altar.AuthorizationError, match="has expired"), joined(grid, session_id):
        pass


def test_a_session_expires_while_the_host_is_down_too(grid: LocalGrid) -> None:
    assert grid.host is not None
    options = Options(source=grid.source, source_options=grid.options, ttl=timedelta(seconds=1))
    with Session(options) as s:
        s.variables.declare("a", int, value=1)
        grid.host.end(signal.SIGKILL)
        before = grid.directory.joinpath("data/ledger.db").stat().st_mtime
        until(lambda: _age(grid) > before + 1.2, what="its time to pass")
        grid.start_host()

        with pytest.raises(altar.AuthorizationError) as raised:
            s.variables.get("a")
    assert raised.value.code == "SESSION_EXPIRED"


def _age(grid: LocalGrid) -> float:
    """What the clock of the file system says now."""
    mark = grid.directory / "now"
    mark.write_text("")
    return mark.stat().st_mtime


# ------------------------------------------------------------------------------------------------- used by tools


@pytest.fixture(params=["later", "grid"])
def session(request: pytest.FixtureRequest) -> Session:
    if request.param == "later":
        return Session(Options(("variable_count", "variable_count_awaited", "variable_reaches", "variable_misuse")))
    made: Session = request.getfixturevalue("grid").session()
    return made


@pytest.mark.parametrize("tool", ["variable_count", "variable_count_awaited"])
async def test_a_tool_uses_the_variables_of_the_session_it_is_called_in(session: Session, tool: str) -> None:
    async with session as s:
        await s.variables.declare("n", int, value=40)

        assert (await s.call(tool, name="n")).unwrap() == 41
        assert (await s.call(tool, name="n")).unwrap() == 42
        assert (await s.variables.get("n")).version == 3


def test_a_plain_tool_called_through_the_front_uses_them_too(session: Session) -> None:
    with session as s:
        s.variables.declare("n", int, value=40)

        assert s.call("variable_count", name="n").unwrap() == 41
        assert s.call("variable_count_awaited", name="n").unwrap() == 42


async def test_a_tool_can_wait_for_what_its_caller_sets(session: Session) -> None:
    async with session as s, asyncio.timeout(60):
        await s.variables.declare("n", int, value=0)
        call = asyncio.create_task(s.call("variable_reaches", name="n", at_least=3))
        for number in range(1, 4):
            await s.variables.set("n", number)

        assert (await call).unwrap() == 3


async def test_a_tool_hears_of_a_name_there_is_not_as_its_caller_would(session: Session) -> None:
    async with session as s:
        result = await s.call("variable_misuse")

    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("UNKNOWN_VARIABLE", "yes")
    assert result.error.message == "There is no variable 'nothing_of_that_name' in this session"
