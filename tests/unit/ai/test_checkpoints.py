"""What is kept of a run: rows, the file, who holds it, and what a person says of steps of unknown outcome."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.call import ErrorObject
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.ai.pipelines.checkpoint_file import SCHEMA
from altar.ai.pipelines.checkpoints import AGAIN, Checkpoints, new_run, resumed_run
from altar.ai.pipelines.definition import Pipeline, pipeline
from altar.ai.pipelines.making import tool
from altar.ai.pipelines.run_list import forget_runs, list_runs
from altar.later.session import Session


@altar.tool
async def checkpoint_pay(amount: int) -> int:
    """Pay an amount.

    Args:
        amount: In cents.
    """
    return amount * 2


@altar.tool(idempotent=True)
async def checkpoint_look(amount: int) -> int:
    """Look at an amount.

    Args:
        amount: In cents.
    """
    return amount


PAY = pipeline("checkpoint_payment", [tool(checkpoint_pay, name="pay"), tool(checkpoint_pay, name="mail")])
DONE = {"path": "pay", "status": "done", "attempts": 1, "seconds": 0.1}


def failed(code: str, *, ran: str = "unknown") -> dict[str, Any]:
    return {"status": "failed", "error": ErrorObject("it failed", code, ran=ran).to_adm()}  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def contract(declared: Any = checkpoint_pay) -> FunctionDeclaration:
    found: FunctionDeclaration = declared.declaration
    return found


async def cut_off(file: Path, session: Session, run_id: str = "r1", *, of: Pipeline = PAY) -> None:
    """A run that ended after `pay` and within `mail`, as if its process had been killed."""
    async with new_run(file, of, session, {"amount": 3}, run_id) as kept:
        await kept.begin("pay", contract())
        await kept.ended("pay", {"paid": 6}, DONE, begins=[("mail", contract())])


async def refused(wanted: Any) -> AltarError:
    with pytest.raises(AltarError) as caught:
        async with wanted:
            pass
    return caught.value


async def test_a_run_is_read_back_as_it_was_written(file: Path) -> None:
    result = {"status": "SUCCESS", "outputs": {"paid": 6}, "fields": {"text": "ä\n", "none": None, "list": [1.5]}}
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {"amount": 3}, "r1") as kept:
            begun = await kept.begin("pay", contract())
            answer = await begun.call(session, "checkpoint_pay", {"amount": 3})
            await kept.ended("pay", {"content": answer.content}, DONE)
            await kept.over("SUCCESS", result)
        async with resumed_run(file, PAY, session, "r1") as kept:
            restored = kept.restored("pay")

            assert restored is not None
            assert ({"content": 6}, DONE) == (restored.fields, restored.record)
            assert {"amount": 3} == kept.inputs
            assert result == kept.result
            assert kept.restored("mail") is None


async def test_only_its_owner_can_read_the_file(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session, new_run(file, PAY, session, {}, "r1"):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}

    assert {"runs.db": 0o600, "runs.db-wal": 0o600, "runs.db-shm": 0o600, "runs.db.lock": 0o600} == modes


async def test_the_id_of_a_run_is_taken_once(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {}, "r1"):
            pass
        error = await refused(new_run(file, PAY, session, {}, "r1"))

    assert ("RESOURCE_CONFLICT", "There is a run 'r1' already") == (error.code, error.message)


@pytest.mark.parametrize("run_id", ["", "a b", "-a", "a" * 65, "ä", "a\n"])
async def test_what_is_no_id_of_a_run_is_refused_before_anything_is_written(file: Path, run_id: str) -> None:
    async with altar.session([checkpoint_pay]) as session:
        error = await refused(new_run(file, PAY, session, {}, run_id))

    assert "MALFORMED_REQUEST" == error.code
    assert not file.exists()


async def test_a_run_is_gone_on_with_by_one_at_a_time_in_this_process_too(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {}, "r1"):
            held = await refused(resumed_run(file, PAY, session, "r1"))
            assert ["running"] == [one.status for one in list_runs(file)]
        assert ["stopped"] == [one.status for one in list_runs(file)]
        async with resumed_run(file, PAY, session, "r1") as kept:
            assert kept.result is None

    assert "RESOURCE_CONFLICT" == held.code
    assert "is being run by process" in held.message


HOLDER = """
import asyncio, os, sys
import altar
from altar.ai.pipelines.checkpoints import resumed_run
from tests.unit.ai.test_checkpoints import PAY, checkpoint_pay
async def main():
    async with altar.session([checkpoint_pay]) as session:
        async with resumed_run(sys.argv[1], PAY, session, "r1", "again"):
            print("held", flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_run_that_another_process_holds_is_refused_until_that_is_killed(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        command = [sys.executable, "-c", HOLDER, str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:  # noqa: ASYNC220 - it is waited for
            try:
                assert holder.stdout is not None
                assert "held\n" == await asyncio.to_thread(holder.stdout.readline)
                error = await refused(resumed_run(file, PAY, session, "r1", "again"))
            finally:
                holder.send_signal(signal.SIGKILL)
                holder.wait()
        async with resumed_run(file, PAY, session, "r1", "again") as kept:
            assert kept.restored("pay") is not None

    assert ("RESOURCE_CONFLICT", f"The run 'r1' is being run by process {holder.pid}") == (error.code, error.message)


async def test_a_run_of_another_pipeline_is_refused_and_both_versions_are_named(file: Path) -> None:
    newer = pipeline("checkpoint_payment", [tool(checkpoint_pay)], version="2.0.0")
    alike = pipeline("checkpoint_payment", [tool(checkpoint_pay)])
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        error = await refused(resumed_run(file, newer, session, "r1"))
        same = await refused(resumed_run(file, alike, session, "r1"))

    assert "VERSION_MISMATCH" == error.code == same.code
    assert "checkpoint_payment 1.0.0, and cannot be resumed by checkpoint_payment 2.0.0" in error.message
    assert PAY.digest[:19] in same.message
    assert alike.digest[:19] in same.message


async def test_a_run_that_is_not_there_is_unknown_and_no_file_is_made(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        nowhere = await refused(resumed_run(file, PAY, session, "r1"))
        assert not file.exists()
        await cut_off(file, session)
        error = await refused(resumed_run(file, PAY, session, "r2"))

    assert "UNKNOWN_RESOURCE" == error.code == nowhere.code


# ----------------------------------------------------------------------------------------------- the end of a step


async def test_a_step_that_began_and_did_not_end_is_named_and_nothing_runs(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        error = await refused(resumed_run(file, PAY, session, "r1"))

    assert ("OUTCOME_UNKNOWN", "unknown") == (error.code, error.ran)
    assert "Step 'mail' of run 'r1'" in error.message


async def test_a_step_whose_contract_lets_it_happen_twice_is_never_unknown(file: Path) -> None:
    async with altar.session([checkpoint_pay, checkpoint_look]) as session:
        async with new_run(file, PAY, session, {}, "r1") as kept:
            await kept.begin("look", contract(checkpoint_look))
            await kept.ended("pay", {}, DONE, begins=[("again", contract(checkpoint_look))])
        async with resumed_run(file, PAY, session, "r1") as kept:
            assert kept.restored("look") is None


async def test_a_step_whose_contract_is_not_known_is_taken_for_one_that_must_not_happen_twice(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {}, "r1") as kept:
            await kept.begin("mail", None)
        error = await refused(resumed_run(file, PAY, session, "r1"))

    assert "OUTCOME_UNKNOWN" == error.code


@pytest.mark.parametrize("said", ["again", AGAIN, {"mail": AGAIN}])
async def test_a_person_lets_an_unknown_step_be_called_again(file: Path, said: Any) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        async with resumed_run(file, PAY, session, "r1", said) as kept:
            begun = await kept.begin("mail", contract())
            result = await begun.call(session, "checkpoint_pay", {"amount": 5})
            assert 10 == result.content
        still = await refused(resumed_run(file, PAY, session, "r1"))

    assert "OUTCOME_UNKNOWN" == still.code, "it began once more, and did not end"


async def test_a_person_gives_the_result_of_an_unknown_step_and_it_is_not_called(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        async with resumed_run(file, PAY, session, "r1", {"mail": 77}) as kept:
            begun = await kept.begin("mail", contract())
            result = await begun.call(session, "checkpoint_pay", {"amount": 5})
            await kept.ended("mail", {"content": result.content}, DONE)

        assert (77, {"given": True}) == (result.content, result.metadata)
        async with resumed_run(file, PAY, session, "r1") as kept:
            restored = kept.restored("mail")
            assert restored is not None
            assert {"content": 77} == restored.fields


async def test_a_given_result_that_the_contract_does_not_allow_is_refused(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        async with resumed_run(file, PAY, session, "r1", {"mail": "seventy"}) as kept:
            with pytest.raises(AltarError, match="The result given for step 'mail'") as caught:
                await kept.begin("mail", contract())
        still = await refused(resumed_run(file, PAY, session, "r1"))

    assert ("MALFORMED_REQUEST", "no") == (caught.value.code, caught.value.ran)
    assert "seventy" not in caught.value.message
    assert "OUTCOME_UNKNOWN" == still.code


@pytest.mark.parametrize("said", [{"pay": 1}, {"nothing": 1}, "twice", 7])
async def test_what_is_said_of_a_step_that_is_not_unknown_is_refused(file: Path, said: Any) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        error = await refused(resumed_run(file, PAY, session, "r1", said))

    assert "MALFORMED_REQUEST" == error.code


async def test_a_failure_to_reach_anything_leaves_the_run_to_be_resumed(file: Path) -> None:
    outcome = failed("CONNECTION_FAILED", ran="no")
    lost = failed("OUTCOME_UNKNOWN")
    async with altar.session([checkpoint_pay]) as session:
        for run_id, told in (("r1", outcome), ("r2", lost)):
            await cut_off(file, session, run_id)
            async with resumed_run(file, PAY, session, run_id, "again") as kept:
                await kept.begin("mail", contract())
                await kept.ended("mail", {}, told)
                await kept.over("ERROR", {**told, "status": "ERROR"})
        async with resumed_run(file, PAY, session, "r1") as kept:  # it had not run: nothing is unknown
            assert (None, None) == (kept.result, kept.restored("mail"))
        error = await refused(resumed_run(file, PAY, session, "r2"))

    assert "OUTCOME_UNKNOWN" == error.code


async def test_a_failure_of_the_tool_itself_ends_the_run(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        async with resumed_run(file, PAY, session, "r1", "again") as kept:
            await kept.ended("mail", {}, failed("TOOL_EXECUTION_FAILED", ran="yes"))
            await kept.over("ERROR", failed("TOOL_EXECUTION_FAILED", ran="yes"))
        async with resumed_run(file, PAY, session, "r1") as kept:
            assert failed("TOOL_EXECUTION_FAILED", ran="yes") == kept.result
        assert ["failed"] == [one.status for one in list_runs(file)]


async def test_a_run_that_undoes_its_steps_is_over_whatever_it_failed_with(file: Path) -> None:
    undoing = pipeline("checkpoint_undone", [tool(checkpoint_pay, compensate=tool(checkpoint_pay, name="back"))])
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, undoing, session, {"amount": 3}, "r1") as kept:
            await kept.ended("pay", {}, failed("CONNECTION_FAILED", ran="no"))
            await kept.over("ERROR", failed("CONNECTION_FAILED", ran="no"))
        async with resumed_run(file, undoing, session, "r1") as kept:
            assert kept.result is not None


@pytest.mark.parametrize("path", ["mail", "both/mail", "pages[3]/mail"])
async def test_a_step_that_another_one_stood_in_for_stays_failed_when_the_run_is_opened_again(
    file: Path, path: str
) -> None:
    unreached = failed("CONNECTION_FAILED", ran="no")
    above = path.partition("/")[0]
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {}, "r1") as kept:
            await kept.ended(path, {}, unreached)
            await kept.ended(f"{above} (fallback)", {"x": 1}, DONE)
            await kept.ended("last", {}, unreached)
            await kept.over("ERROR", unreached)
        async with resumed_run(file, PAY, session, "r1") as kept:
            assert kept.restored(path) is not None
            assert kept.restored("last") is None


# ---------------------------------------------------------------------------------------------------------- the file


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


@contextmanager
def no_more_than(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
