"""`altar pipeline run`, `resume`, `runs` and `forget`, used wrongly, interrupted, and by two people at once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from altar.ai.pipelines.checkpoint_file import reading
from altar.ai.pipelines.run_list import list_runs
from altar.cli.main import main
from altar.testing import until
from tests.e2e.command import COMMAND, altar

APP = '''
import os
import altar
from altar.ai.pipelines import pipeline, tool

@altar.tool
def cli_runs_pay(amount: int) -> int:
    """Pay.

    Args:
        amount: How much.
    """
    with open("witness", "a") as witness:
        witness.write(f"paid {os.getpid()}\\\\n")
    if amount > 100:
        open("pipe").read()
    return amount

cli_runs = pipeline("cli_runs", [tool(cli_runs_pay, name="pay", output="paid")])
'''
KEPT = ("--checkpoint", "runs.db")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "app.py").write_text(APP)
    os.mkfifo(folder / "pipe")
    (folder / "a_folder").mkdir()
    with sqlite3.connect(folder / "other.db") as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    return folder


@pytest.fixture(autouse=True)
def empty(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run is kept, and nothing was done."""
    monkeypatch.chdir(at)
    for path in at.glob("runs.db*"):
        path.unlink()
    (at / "witness").unlink(missing_ok=True)


@contextmanager
def going(*arguments: str, at: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that is under way."""
    with subprocess.Popen(
        [COMMAND, "pipeline", *arguments], cwd=at, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def paid(at: Path) -> int:
    witness = at / "witness"
    return len(witness.read_text().splitlines()) if witness.exists() else 0


def test_a_run_that_is_being_resumed_is_neither_resumed_once_more_nor_forgotten(at: Path) -> None:
    run = ("run", "app.py", "--input", "amount=500", *KEPT, "--run-id", "r1")
    with going(*run, at=at) as killed:
        until(lambda: paid(at) == 1, what="the tool runs")
        killed.kill()
        killed.wait()
    (at / "witness").unlink()
    resume = ("resume", "r1", "app.py", *KEPT, "--unknown", "again", "--json")
    with going(*resume, at=at) as first:
        until(lambda: paid(at) == 1, what="the tool runs")
        second = altar("pipeline", *resume, at=at)
        forgotten = altar("pipeline", "forget", "r1", *KEPT, "--json", at=at)
        listed = altar("pipeline", "runs", *KEPT, "--json", at=at)
        (at / "pipe").write_text("go on")
        out, _ = first.communicate(timeout=30)

    assert (2, "RESOURCE_CONFLICT") == (second.code, second.json["error"]["type"])
    assert (2, "RESOURCE_CONFLICT") == (forgotten.code, forgotten.json["error"]["type"])
    assert f"is being run by process {first.pid}" in second.json["error"]["message"]
    assert ["running"] == [one["status"] for one in listed.json]
    assert (0, {"paid": 500}) == (first.returncode, json.loads(out)["outputs"])
    assert 1 == paid(at)


def test_a_run_that_is_interrupted_at_the_keyboard_stays_one_that_can_be_resumed(at: Path) -> None:
    with going("run", "app.py", "--input", "amount=500", *KEPT, "--run-id", "r2", "--json", at=at) as interrupted:
        until(lambda: paid(at) == 1, what="the tool runs")
        interrupted.send_signal(signal.SIGINT)
        out, err = interrupted.communicate(timeout=30)

    assert (130, "CANCELLED") == (interrupted.returncode, json.loads(out)["error"]["type"])
    assert "`altar pipeline resume r2 … --checkpoint runs.db` goes on with it" in err
    assert [("stopped", ("pay",))] == [(one.status, one.begun) for one in list_runs(at / "runs.db")]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "app.py", "--input", "amount=1", "--checkpoint", "a_folder"), "ENVIRONMENT_ERROR"),
        (("run", "app.py", "--input", "amount=1", "--checkpoint", "pipe"), "ENVIRONMENT_ERROR"),
        (("run", "app.py", "--input", "amount=1", "--checkpoint", "nowhere/runs.db"), "ENVIRONMENT_ERROR"),
        (("run", "app.py", "--input", "amount=1", "--checkpoint", "other.db"), "LOG_DAMAGED"),
        (("run", "app.py", "--input", "amount=1", *KEPT, "--run-id", "a b"), "MALFORMED_REQUEST"),
        (("run", "app.py", "--input", "amount=1", "--run-id", "r1"), "MALFORMED_REQUEST"),
        (("run", "app.py", "--input-json", "[]"), "MALFORMED_REQUEST"),
        (("run", "app.py", "--input-json", "{"), "MALFORMED_REQUEST"),
        (("resume", "r1", "app.py", "--checkpoint", "a_folder"), "ENVIRONMENT_ERROR"),
        (("resume", "r1", "app.py", "--checkpoint", "pipe"), "ENVIRONMENT_ERROR"),
        (("resume", "r1", "app.py", "--checkpoint", "other.db"), "LOG_DAMAGED"),
        (("resume", "r1", "app.py", *KEPT), "UNKNOWN_RESOURCE"),
        (("resume", "r1", "app.py", *KEPT, "--unknown", "pay=paid"), "MALFORMED_REQUEST"),
        (("resume", "r1", "app.py", *KEPT, "--unknown", "pay=1", "--unknown", "pay=2"), "MALFORMED_REQUEST"),
        (("runs", "--checkpoint", "a_folder"), "ENVIRONMENT_ERROR"),
        (("runs", "--checkpoint", "pipe"), "ENVIRONMENT_ERROR"),
        (("runs", "--checkpoint", "app.py"), "LOG_DAMAGED"),
        (("runs", *KEPT), "UNKNOWN_RESOURCE"),
        (("forget", "r1", "--checkpoint", "pipe"), "ENVIRONMENT_ERROR"),
        (("forget", "r1", *KEPT), "UNKNOWN_RESOURCE"),
    ],
)
def test_wrong_use_is_one_json_value_with_its_code_and_leaves_nothing_behind(
    at: Path, arguments: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(at.iterdir())

    assert 2 == main(["pipeline", *arguments, "--json"])
    assert code == json.loads(capsys.readouterr().out)["error"]["type"]
    assert 0 == paid(at)
    assert set(at.iterdir()) - set(before) <= {at / "app.py.lock", at / "other.db.lock", at / "__pycache__"}


def test_none_is_forgotten_where_one_is_not_there(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["pipeline", "run", "app.py", "--input", "amount=1", *KEPT, "--run-id", "r1"])
    capsys.readouterr()

    assert 2 == main(["pipeline", "forget", "r1", "r9", *KEPT, "--json"])
    assert "UNKNOWN_RESOURCE" == json.loads(capsys.readouterr().out)["error"]["type"]
    assert ["r1"] == [one.run_id for one in list_runs("runs.db")]
    assert 0 == main(["pipeline", "forget", "r1", *KEPT, "--older-than", "0", "--json"])
    assert ["r1"] == json.loads(capsys.readouterr().out)
    with reading(str(at / "runs.db")) as database:
        assert [(0, 0, 0)] == list(
            database.execute("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM steps), count(*) FROM sums")
        )
