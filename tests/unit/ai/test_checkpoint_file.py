"""The file of what is kept of runs: shared, damaged, full, of another version, and how often it is synced."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.errors import AltarError
from altar.ai.pipelines import checkpoint_file
from altar.ai.pipelines.checkpoint_file import SCHEMA
from altar.ai.pipelines.checkpoints import Checkpoints, new_run, resumed_run
from altar.ai.pipelines.definition import pipeline
from altar.ai.pipelines.making import tool
from altar.ai.pipelines.run_list import forget_runs, list_runs
from altar.ai.pipelines.run_owner import owner_of
from altar.later.invocation import Invocation
from altar.later.session import Session
from tests.unit.ai.test_checkpoints import DONE, PAY, checkpoint_look, checkpoint_pay, contract, cut_off, refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


async def test_many_steps_that_end_at_once_are_all_kept(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {}, "r1") as kept:

            async def step(number: int) -> None:
                await kept.begin(f"pages[{number}]", contract())
                await kept.ended(f"pages[{number}]", {"content": number}, DONE)

            await asyncio.gather(*(step(number) for number in range(200)))
        async with resumed_run(file, PAY, session, "r1") as kept:
            found = [kept.restored(f"pages[{number}]") for number in range(200)]

    assert list(range(200)) == [one and one.fields["content"] for one in found]


async def test_several_runs_share_one_file_and_its_thread(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        shared = Checkpoints(file)

        async def one(number: int) -> None:
            async with new_run(shared, PAY, session, {"amount": number}, f"r{number}") as kept:
                await kept.ended("pay", {"content": number}, DONE)
                await kept.over("SUCCESS", {"status": "SUCCESS", "outputs": {"n": number}})

        await asyncio.gather(*map(one, range(20)))
        await shared.writer.close()

    assert {f"r{number}" for number in range(20)} == {run.run_id for run in list_runs(file)}
    assert ["runs.db", "runs.db.lock"] == sorted(path.name for path in file.parent.iterdir())


async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        with sqlite3.connect(file) as database:
            database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
        database.close()
        before = file.read_bytes()
        old = await refused(resumed_run(file, PAY, session, "r1"))
        new = await refused(new_run(file, PAY, session, {}, "r2"))

    assert "VERSION_MISMATCH" == old.code == new.code
    assert f"of version {SCHEMA + 1}, this ALTAR knows {SCHEMA}" in old.message
    assert before == file.read_bytes()


async def test_what_is_no_file_of_checkpoints_is_refused_and_left_as_it_is(file: Path) -> None:
    foreign = file.with_name("foreign.db")
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    file.write_bytes(b"not a database at all" * 100)
    async with altar.session([checkpoint_pay]) as session:
        for path in (file, foreign):
            before = path.read_bytes()
            error = await refused(new_run(path, PAY, session, {}, "r1"))
            assert "LOG_DAMAGED" == error.code
            assert before == path.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE steps SET fields = CAST(replace(CAST(fields AS TEXT), '6', '7') AS BLOB)",
        "UPDATE steps SET state = 'ended' WHERE path = 'mail'",
        "UPDATE runs SET inputs = CAST('{}' AS BLOB)",
        "UPDATE runs SET digest = digest || '0'",
        "DELETE FROM steps WHERE path = 'pay'",
        "DELETE FROM steps WHERE path = 'mail'",
        "DELETE FROM sums",
        "UPDATE sums SET steps = zeroblob(16)",
    ],
)
async def test_a_row_that_is_not_as_it_was_written_is_not_gone_on_from(file: Path, change: str) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        with sqlite3.connect(file) as database:
            database.execute(change)
        database.close()
        error = await refused(resumed_run(file, PAY, session, "r1", "again"))

    assert "LOG_DAMAGED" == error.code


async def test_a_file_of_the_version_before_is_refused_in_one_sentence(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA user_version = 1")
        database.close()
        error = await refused(resumed_run(file, PAY, session, "r1"))

    assert "VERSION_MISMATCH" == error.code
    assert error.message.endswith(f"are of version 1, and this ALTAR reads version {SCHEMA} alone")


async def test_a_run_goes_on_in_the_name_in_which_it_began_and_in_no_other(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        session.asker.live.source = Owned("alice")  # type: ignore[assignment]
        asker = replace(session.asker, tools=None)
        other = await refused(resumed_run(file, PAY, Session(asker.options, asker=asker), "r1", "again"))
        async with new_run(file, PAY, Session(asker.options, asker=asker), {}, "r2"):
            pass
        alone = await refused(resumed_run(file, PAY, session, "r2"))
        asker.live.source = Owned("bob")  # type: ignore[assignment]
        bob = await refused(resumed_run(file, PAY, Session(asker.options, asker=asker), "r2"))
        asker.live.source = Owned("alice")  # type: ignore[assignment]
        async with resumed_run(file, PAY, Session(asker.options, asker=asker), "r2") as kept:
            assert kept.result is None

    assert {("PERMISSION_DENIED", "no")} == {(error.code, error.ran) for error in (other, alone, bob)}
    assert "was begun as 'alice', and cannot be resumed as 'bob'" in bob.message
    assert "was begun without a host, and cannot be resumed as 'alice'" in other.message


async def test_inside_of_a_tool_the_name_is_that_of_the_principal_of_its_call() -> None:
    context = altar.ToolContext(Invocation("checkpoint_pay", b"{}", "c1", principal="acme/alice"))
    async with altar.session([checkpoint_pay]) as session:
        inside = replace(session.asker, parent=context)
        elsewhere = replace(inside, tools=None)

        assert "" == owner_of(session) == owner_of(Session(inside.options, asker=inside))
        assert "acme/alice" == owner_of(Session(elsewhere.options, asker=elsewhere))


class Owned:
    """A source that knows in whose name it is; it carries nothing out."""

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def owner(self) -> str:
        return self._owner


async def test_a_damaged_page_is_told_as_such(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        data = bytearray(file.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        file.write_bytes(data)
        error = await refused(resumed_run(file, PAY, session, "r1", "again"))

    assert "LOG_DAMAGED" == error.code


async def test_a_disk_that_takes_no_more_stops_the_run_which_can_be_resumed_afterwards(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {}, "r1") as kept:
            await kept.begin("pay", contract())
            await kept.ended("pay", {"content": 6}, DONE)
            with pytest.raises(AltarError) as caught, no_more_than(file.with_name("runs.db-wal").stat().st_size):
                await kept.begin("mail", contract())
        async with resumed_run(file, PAY, session, "r1") as kept:
            assert kept.restored("pay") is not None

    assert "DEPENDENCY_UNAVAILABLE" == caught.value.code


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        error = await refused(new_run(tmp_path / "nowhere" / "runs.db", PAY, session, {}, "r1"))

    assert "ENVIRONMENT_ERROR" == error.code


async def test_what_is_too_large_or_no_json_is_refused_before_it_is_written(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session, new_run(file, PAY, session, {}, "r1") as kept:
        with pytest.raises(AltarError) as large:
            await kept.ended("pay", {"content": "x" * (64 * 1024 * 1024)}, DONE)
        with pytest.raises(AltarError) as unfit:
            await kept.ended("pay", {"content": float("nan")}, DONE)
        await kept.ended("pay", {"content": 1}, DONE)

    assert "MESSAGE_TOO_LARGE" == large.value.code
    assert "SERIALIZATION_ERROR" == unfit.value.code


async def test_a_run_is_forgotten_with_all_that_was_kept_of_it(file: Path) -> None:
    secret: Mapping[str, Any] = {"amount": "a-word-that-is-nowhere-else"}
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, secret, "r1") as kept:
            await kept.ended("pay", secret, DONE)
            with pytest.raises(AltarError) as held:
                forget_runs(file, ["r1"])
        await cut_off(file, session, "r2")

    assert "RESOURCE_CONFLICT" == held.value.code
    assert ["r1"] == forget_runs(file, ["r1", "r3"])
    assert ["r2"] == [one.run_id for one in list_runs(file)]
    assert b"nowhere-else" not in file.read_bytes()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many errands each transaction was made for."""
    counted: list[int] = []
    commit = checkpoint_file._commit

    def counting(connection: sqlite3.Connection, errands: list[Any]) -> None:
        counted.append(len(errands))
        commit(connection, errands)

    monkeypatch.setattr(checkpoint_file, "_commit", counting)
    return counted


async def test_what_may_happen_twice_is_not_waited_for_and_is_kept_when_the_run_stops(
    file: Path, commits: list[int]
) -> None:
    async with altar.session([checkpoint_pay, checkpoint_look]) as session:
        with Checkpoints(file) as shared:
            async with new_run(shared, PAY, session, {}, "r1") as kept:
                for number in range(100):
                    await kept.ended(f"looks[{number}]", {"content": number}, DONE)
        assert len(commits) < 10
        async with resumed_run(file, PAY, session, "r1") as kept:
            assert all(kept.restored(f"looks[{number}]") for number in range(100))


async def test_a_run_of_steps_that_must_not_happen_twice_is_written_once_for_each_and_once_more(
    file: Path, commits: list[int]
) -> None:
    made = pipeline("checkpoint_ten", [tool(checkpoint_pay, output=f"paid{n}") for n in range(10)])
    async with altar.session([checkpoint_pay]) as session:
        with Checkpoints(file) as shared:
            result = await made.run(session, amount=1, checkpoint=shared)
            assert result.error is None
    assert [1] * 11 == commits
    assert [10] == [one.steps for one in list_runs(file)]


async def test_after_a_write_that_failed_nothing_is_written_any_more(file: Path) -> None:
    async with altar.session([checkpoint_pay, checkpoint_look]) as session:
        async with new_run(file, PAY, session, {}, "r1") as kept:
            await kept.begin("pay", contract())
            with no_more_than(file.with_name("runs.db-wal").stat().st_size):
                await kept.ended("look", {"content": 1}, DONE)  # nobody waits for it
                with pytest.raises(AltarError) as full:
                    await kept.ended("pay", {"content": 6}, DONE)
            with pytest.raises(AltarError) as after:
                await kept.begin("mail", contract())
        error = await refused(resumed_run(file, PAY, session, "r1"))

    assert "DEPENDENCY_UNAVAILABLE" == full.value.code == after.value.code
    assert "Step 'pay' of run 'r1'" in error.message


@contextmanager
def no_more_than(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
