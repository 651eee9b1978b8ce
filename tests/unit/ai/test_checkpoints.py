"""What is kept of a run: rows, the file, who holds it, and what a person says of steps of unknown outcome."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.call import ErrorObject
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.ai.pipelines import checkpoints
from altar.ai.pipelines.called_at import called_at
from altar.ai.pipelines.checkpoint_file import Lease, reading
from altar.ai.pipelines.checkpoint_rows import forget_run, insert_run, run_of
from altar.ai.pipelines.checkpoints import AGAIN, new_run, resumed_run
from altar.ai.pipelines.definition import Pipeline, pipeline
from altar.ai.pipelines.making import branch, parallel, sub, tool
from altar.ai.pipelines.making import map as each
from altar.ai.pipelines.run_list import list_runs
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


def rows_of(file: Path) -> list[Any]:
    """All steps of a file, as they are written."""
    with reading(str(file)) as database:
        return list(database.execute("SELECT * FROM steps ORDER BY number"))


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


async def test_a_run_that_is_forgotten_and_begun_anew_meanwhile_is_not_the_one_that_is_resumed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(path: str, **held: Any) -> Lease:
        with reading(path) as database:
            run = run_of(database, "r1", path)
            assert run is not None
            forget_run(database, "r1")
            insert_run(database, replace(run, lock=run.lock + 1))
        return Lease(path, **held)

    async with altar.session([checkpoint_pay]) as session:
        await cut_off(file, session)
        monkeypatch.setattr(checkpoints, "Lease", late)
        error = await refused(resumed_run(file, PAY, session, "r1", "again"))

    assert "UNKNOWN_RESOURCE" == error.code


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
        before = rows_of(file)
        error = await refused(resumed_run(file, PAY, session, "r1", {"mail": "seventy"}))
        assert before == rows_of(file)
        still = await refused(resumed_run(file, PAY, session, "r1"))

    assert ("MALFORMED_REQUEST", "no") == (error.code, error.ran)
    assert "The result given for step 'mail'" in error.message
    assert "seventy" not in error.message
    assert "OUTCOME_UNKNOWN" == still.code


async def test_a_result_is_checked_before_another_step_is_let_go_again(file: Path) -> None:
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, PAY, session, {"amount": 3}, "r1") as kept:
            await kept.begin("pay", contract())
            await kept.begin("mail", contract())
        before = rows_of(file)
        error = await refused(resumed_run(file, PAY, session, "r1", {"pay": AGAIN, "mail": "seventy"}))

        assert "MALFORMED_REQUEST" == error.code
        assert before == rows_of(file)


LOOK = tool(checkpoint_look, inputs={"amount": "one_of"}, name="look", fallback=tool(checkpoint_pay, name="else"))
MANY = pipeline(
    "checkpoint_many",
    [
        each(LOOK, over="amounts", item="one_of", output="all", name="all"),
        parallel(sub("inner", name="two"), one=tool(checkpoint_pay), name="both"),
        branch(str, {"x": "then"}, default="other", name="way"),
        tool(checkpoint_pay, name="end", compensate=tool(checkpoint_look, name="back")),
    ],
    pipelines={
        "inner": [tool(checkpoint_look, name="see", output="seen")],
        "then": [tool(checkpoint_look, name="see", output="again")],
        "other": [tool(checkpoint_pay)],
    },
    inputs={"amounts": list[int], "amount": int},
)


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("all[17]", "checkpoint_look"),
        ("all[17] (fallback)", "checkpoint_pay"),
        ("both/one", "checkpoint_pay"),
        ("both/two/see", "checkpoint_look"),
        ("way/then/see", "checkpoint_look"),
        ("way/other/checkpoint_pay", "checkpoint_pay"),
        ("end", "checkpoint_pay"),
        ("end (compensation)", "checkpoint_look"),
        ("both", ""),
        ("way/other/see", ""),
        ("nothing", ""),
    ],
)
def test_the_path_of_a_step_in_a_run_tells_which_tool_it_calls(path: str, called: str) -> None:
    assert called == (called_at(MANY, path) or "").partition("@")[0]


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


async def test_a_run_that_undoes_its_steps_is_opened_again_like_any_other(file: Path) -> None:
    undoing = pipeline("checkpoint_undone", [tool(checkpoint_pay, compensate=tool(checkpoint_pay, name="back"))])
    async with altar.session([checkpoint_pay]) as session:
        async with new_run(file, undoing, session, {"amount": 3}, "r1") as kept:
            await kept.ended("pay", {}, failed("CONNECTION_FAILED", ran="no"))
            await kept.over("ERROR", failed("CONNECTION_FAILED", ran="no"))
        async with resumed_run(file, undoing, session, "r1") as kept:
            assert (None, None) == (kept.result, kept.restored("pay"))


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
