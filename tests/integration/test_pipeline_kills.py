"""A pipeline whose process is killed at each moment of a run goes on, and nothing that must not happen twice does.

The verdict comes from what the tools wrote down themselves, each line synced.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from altar.ai.pipelines.checkpoint_file import reading
from altar.ai.pipelines.checkpoint_rows import put_steps, steps_of
from altar.ai.pipelines.run_list import list_runs
from altar.testing import LocalGrid
from tests.integration import pipeline_kill_client
from tests.integration import pipeline_kill_tools as scene

pytestmark = pytest.mark.timeout(180)

EVERY = {"charge": 1, "mail": 1, "ship-ink": 1, "ship-pen": 1, "book": 1}
"""What must be done, and once, of the pipeline that has every kind of step."""
UNDONE = {"charge": 1, "refuse": 2, "mail": 1, "ship-ink": 1, "book": 1}
"""The same of the one that fails and undoes: `refuse` is two of its steps, `book` its compensation."""
KEYS = {"paid/charge": "charge", "tell/mailed": "mail", "ship[0]": "ship-ink", "ship[1]": "ship-pen"} | {
    "close/booked/book": "book",
    "charge": "charge",
    "refuse (fallback)": "mail",
    "ship": "ship-ink",
    "charge (compensation)": "book",
    "refuse": "refuse",
    "last": "refuse",
}


@dataclass(slots=True)
class Client:
    """The process that forks a child for each time."""

    process: subprocess.Popen[str]
    folder: Path
    source: str = "later:"
    options: dict[str, Any] = field(default_factory=dict)

    def go(self, pipeline: str, *, unknown: dict[str, Any] | None, kill: str = "") -> int:
        """One time, killed at that moment; gives the signal that ended it, or 0."""
        if kill:
            (self.folder / "kill").write_text(kill)
        given = {"folder": str(self.folder), "pipeline": pipeline, "unknown": unknown}
        given |= {"source": self.source, "options": self.options}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @property
    def answer(self) -> dict[str, Any]:
        """What the last time answered."""
        found: dict[str, Any] = json.loads((self.folder / "answer").read_text())
        return found

    def moments(self) -> list[str]:
        """The moments of the last times, each once."""
        return list(dict.fromkeys((self.folder / "moments").read_text().splitlines()))

    def clear(self) -> None:
        """An empty scene."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", pipeline_kill_client.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as running:
        yield running
        assert running.stdin is not None
        running.stdin.close()


@pytest.fixture
def here(process: subprocess.Popen[str], tmp_path: Path) -> Client:
    client = Client(process, tmp_path / "scene")
    client.clear()
    return client


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([scene.__file__], runtimes=1) as running:
        yield running


@pytest.fixture
def there(process: subprocess.Popen[str], grid: LocalGrid, tmp_path: Path) -> Client:
    client = Client(process, tmp_path / "scene", grid.source, json.loads(json.dumps(grid.options, default=str)))
    client.clear()
    return client


def moments_of(client: Client, pipeline: str) -> list[str]:
    """Every moment of a run that nobody kills."""
    assert 0 == client.go(pipeline, unknown=None)
    return client.moments()


def done(folder: Path) -> dict[str, int]:
    """How often each thing that must not happen twice was done."""
    return dict(Counter(line.removeprefix("done ") for line in scene.lines(folder) if line.startswith("done ")))


def begun(folder: Path) -> dict[str, int]:
    return dict(Counter(line.removeprefix("began ") for line in scene.lines(folder) if line.startswith("began ")))


def without_notes(counts: dict[str, int]) -> dict[str, int]:
    return {key: count for key, count in counts.items() if key not in {"note", "read"}}


def looked_at(client: Client) -> dict[str, Any]:
    """What a person says who looks at the witness: the result of what was done, else that it is to be done again."""
    (run,) = list_runs(client.folder / "runs.db")
    did = done(client.folder)
    times = {"last": 2}  # the second step that does the same
    return {
        path: f"{KEYS[path]} is done" if did.get(KEYS[path], 0) >= times.get(path, 1) else "AGAIN" for path in run.begun
    }


def resumed(client: Client, pipeline: str, *, kill: str = "") -> int:
    """Go on; a step of unknown outcome is looked at by a person, who is asked for it by its name."""
    if not list_runs_of(client):
        return client.go(pipeline, unknown=None, kill=kill)  # it was killed before it was begun
    ended = client.go(pipeline, unknown={}, kill=kill)
    for _ in range(3):  # a host may say of one step after the other that it does not know
        if ended or client.answer.get("code") != "OUTCOME_UNKNOWN":
            break
        said = {path: word for path, word in looked_at(client).items() if repr(path) in client.answer["message"]}
        assert said
        ended = client.go(pipeline, unknown=said, kill=kill)
    return ended


def list_runs_of(client: Client) -> list[Any]:
    file = client.folder / "runs.db"
    return list(list_runs(file)) if file.exists() else []


def status(client: Client) -> tuple[str, dict[str, Any]]:
    return client.answer["status"], client.answer["outputs"]


OUTPUTS = {"shipped": ["ship-ink is done", "ship-pen is done"], "booking": "book is done"}


def test_killed_at_each_moment_in_this_process_it_goes_on_and_does_nothing_twice(here: Client) -> None:
    moments = moments_of(here, "EVERY")
    assert len(moments) > 40
    for moment in moments:
        here.clear()
        assert signal.SIGKILL == here.go("EVERY", unknown=None, kill=moment), moment
        assert 0 == resumed(here, "EVERY"), moment

        assert ("SUCCESS", OUTPUTS) == status(here), moment
        assert without_notes(done(here.folder)) == EVERY, moment


def test_killed_while_it_undoes_what_it_did_it_goes_on_undoing(here: Client) -> None:
    for moment in moments_of(here, "UNDOING"):
        if moment in {"done refuse", "before ended refuse", "before ended last"}:
            continue  # a person cannot give the result of a step that fails
        here.clear()
        assert signal.SIGKILL == here.go("UNDOING", unknown=None, kill=moment), moment
        assert 0 == resumed(here, "UNDOING"), moment

        assert "ERROR" == here.answer["status"], moment
        assert ["charge"] == here.answer["compensated"], moment
        assert "Step 'last'" in here.answer["error"]["message"], moment
        assert UNDONE == done(here.folder), moment


def test_killed_again_and_again_it_still_does_nothing_twice(here: Client) -> None:
    chance = chance_of_this_run()
    moments = moments_of(here, "EVERY")
    for _ in range(10):
        here.clear()
        killed = here.go("EVERY", unknown=None, kill=chance.choice(moments))
        while killed:
            killed = resumed(here, "EVERY", kill=chance.choice(moments))
            (here.folder / "kill").unlink(missing_ok=True)
        if here.answer.get("code") == "OUTCOME_UNKNOWN":
            assert 0 == resumed(here, "EVERY")

        assert ("SUCCESS", OUTPUTS) == status(here)
        assert without_notes(done(here.folder)) == EVERY


def test_killed_at_each_moment_as_the_client_of_a_host_it_needs_nobody_and_does_nothing_twice(there: Client) -> None:
    for moment in moments_of(there, "EVERY"):
        there.clear()
        assert signal.SIGKILL == there.go("EVERY", unknown=None, kill=moment), moment
        if list_runs_of(there):
            assert 0 == there.go("EVERY", unknown={}), moment
        else:
            assert 0 == there.go("EVERY", unknown=None), moment

        assert ("SUCCESS", OUTPUTS) == status(there), moment
        assert without_notes(done(there.folder)) == EVERY, moment
        assert without_notes(begun(there.folder)) == EVERY, moment


@pytest.mark.parametrize("change", [{"begun_ms": 1}, {"place": "grid://127.0.0.1:1"}, {"place": ""}])
def test_a_host_is_not_asked_for_what_it_does_not_keep_any_more_or_never_had(
    there: Client, change: dict[str, Any]
) -> None:
    assert signal.SIGKILL == there.go("EVERY", unknown=None, kill="done charge")
    rewrite(there, "paid/charge", **change)

    assert 0 == there.go("EVERY", unknown={})
    assert "OUTCOME_UNKNOWN" == there.answer["code"]
    assert "'paid/charge'" in there.answer["message"]
    assert {"charge": 1} == done(there.folder)


def test_killed_at_each_moment_of_going_on_it_goes_on_again(here: Client) -> None:
    chance = chance_of_this_run()
    moments = moments_of_going_on(here)
    assert {"before settle ", "after settle ", "began charge", "after begin paid/charge"} <= set(moments)
    for place, moment in enumerate(moments[chance.randrange(3) :: 3]):
        cut_off(here)
        assert signal.SIGKILL == resumed(here, "EVERY", kill=moment), moment
        if place % 3 == 0:
            resumed(here, "EVERY", kill=chance.choice(here.moments()))
            (here.folder / "kill").unlink(missing_ok=True)
        assert 0 == resumed(here, "EVERY"), moment

        assert ("SUCCESS", OUTPUTS) == status(here), moment
        assert without_notes(done(here.folder)) == EVERY, moment


@pytest.mark.parametrize("moment", ["done charge", "done ship-pen"])
def test_a_host_that_is_killed_and_started_again_meanwhile_does_nothing_twice(
    there: Client, grid: LocalGrid, moment: str
) -> None:
    assert signal.SIGKILL == there.go("EVERY", unknown=None, kill=moment)
    grid.restart_host(signal.SIGKILL)

    assert 0 == resumed(there, "EVERY")
    assert ("SUCCESS", OUTPUTS) == status(there)
    assert without_notes(done(there.folder)) == EVERY


def test_a_host_that_is_started_with_an_empty_log_is_not_asked_for_what_it_never_knew(
    there: Client, grid: LocalGrid
) -> None:
    assert signal.SIGKILL == there.go("EVERY", unknown=None, kill="done charge")
    start_with_an_empty_log(grid)

    assert 0 == there.go("EVERY", unknown={})
    assert "OUTCOME_UNKNOWN" == there.answer["code"]
    assert "'paid/charge'" in there.answer["message"]
    assert {"charge": 1} == done(there.folder)


def test_a_run_is_resumed_in_the_name_in_which_it_began_alone(there: Client, grid: LocalGrid) -> None:
    other = grid.certificate("client", "somebody-else")
    assert signal.SIGKILL == there.go("EVERY", unknown=None, kill="done charge")
    mine, source = there.options, there.source
    there.options = {"certificate": str(other.certificate), "key": str(other.key), "authority": str(other.authority)}
    assert 0 == there.go("EVERY", unknown={})
    refused = there.answer
    there.options, there.source = {}, "later:"
    assert 0 == there.go("EVERY", unknown={"paid/charge": "AGAIN"})
    alone = there.answer
    there.options, there.source = mine, source

    assert "PERMISSION_DENIED" == refused["code"] == alone["code"]
    assert refused["message"].endswith("/client/somebody-else'")
    assert "/client/client-1', and cannot" in refused["message"]
    assert {"charge": 1} == without_notes(done(there.folder))
    assert 0 == there.go("EVERY", unknown={})
    assert ("SUCCESS", OUTPUTS) == status(there)


def start_with_an_empty_log(grid: LocalGrid) -> None:
    """Kill the host, and start it at the same address with nothing of what it wrote down."""
    assert grid.host is not None
    grid.host.end(signal.SIGKILL)
    assert isinstance(grid.log, Path)
    for file in grid.log.parent.glob(f"{grid.log.name}*"):
        file.unlink()
    grid.mend()


def cut_off(client: Client) -> None:
    """A run that was killed within a step of which nobody knows whether it ran."""
    client.clear()
    assert signal.SIGKILL == client.go("EVERY", unknown=None, kill="began charge")


def moments_of_going_on(client: Client) -> list[str]:
    """Every moment of a resume that nobody kills."""
    cut_off(client)
    (client.folder / "moments").unlink()
    assert 0 == resumed(client, "EVERY")
    return client.moments()


def chance_of_this_run() -> random.Random:
    seed = int(os.environ.get("ALTAR_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"ALTAR_FAULT_SEED={seed}")
    return random.Random(seed)


def rewrite(client: Client, path: str, **change: Any) -> None:
    """Change what is written of a step, as if it had been written so."""
    file = str(client.folder / "runs.db")
    with reading(file) as connection:
        row = steps_of(connection, "r1", file)[path]
        put_steps(connection, row.run_id, [replace(row, **change)])
