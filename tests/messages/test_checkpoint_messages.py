"""What a user is told who resumes a run that cannot be gone on with as it is."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.ai.pipelines import pipeline, tool
from altar.ai.pipelines.checkpoint_file import reading
from altar.ai.pipelines.checkpoint_rows import forget_run, insert_run, run_of, steps_of
from altar.ai.pipelines.checkpoints import new_run, resumed_run
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error


@altar.tool(name="message_charge")
def charge(cents: int) -> int:
    """Charge.

    Args:
        cents: How much.
    """
    return cents


ORDER = pipeline("order", [tool(charge, name="charge", output="paid")])
NEWER = pipeline("order", [tool(charge, name="charge", output="paid")], version="1.1.0")


def newer_file(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 9")


def older_file(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 1")


def missing_step(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("DELETE FROM steps")


def of_somebody_else(file: Path) -> None:
    with reading(str(file)) as database:
        run = run_of(database, "r1", str(file))
        assert run is not None
        steps = steps_of(database, "r1", str(file))
        forget_run(database, "r1")
        insert_run(database, replace(run, owner="acme/alice"), steps.values())


def no_file(file: Path) -> None:
    for path in file.parent.glob("runs.db*"):
        path.unlink()
    file.mkdir()


def changed_row(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("UPDATE runs SET version = '9.0.0'")


def as_it_is(_file: Path) -> None:
    """Nothing has happened to the file."""


ANSWERS: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "checkpoint_of_another_version": (as_it_is, {"pipeline": NEWER}),
    "checkpoint_of_a_step_that_nobody_knows_of": (as_it_is, {}),
    "checkpoint_of_a_step_that_is_known": (as_it_is, {"unknown": {"paid": 1}}),
    "checkpoint_of_a_run_that_is_not_there": (as_it_is, {"run_id": "r2"}),
    "checkpoint_of_a_newer_altar": (newer_file, {}),
    "checkpoint_of_an_older_altar": (older_file, {}),
    "checkpoint_that_is_damaged": (changed_row, {}),
    "checkpoint_without_a_step": (missing_step, {}),
    "checkpoint_of_somebody_else": (of_somebody_else, {}),
    "checkpoint_in_a_directory": (no_file, {}),
    "checkpoint_with_a_result_that_is_none": (as_it_is, {"unknown": {"charge": "ten"}}),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_run_that_cannot_be_resumed(tmp_path: Path, told: Told, name: str) -> None:
    file = tmp_path / "runs.db"
    change, given = ANSWERS[name]
    wanted: dict[str, Any] = {"pipeline": ORDER, "run_id": "r1", "unknown": None} | given
    async with altar.session(["message_charge"]) as session:
        async with new_run(file, ORDER, session, {"cents": 1}, "r1") as kept:
            await kept.begin("charge", session.declaration("message_charge"))
        change(file)
        with pytest.raises(altar.AltarError) as refused:
            async with resumed_run(file, session=session, **wanted):
                pass

    told(name, of_error(refused.value).replace(str(tmp_path), "FOLDER"))


async def test_a_run_that_is_being_run(tmp_path: Path, told: Told) -> None:
    async with altar.session(["message_charge"]) as session, new_run(tmp_path / "r", ORDER, session, {}, "r1"):
        with pytest.raises(altar.AltarError) as refused:
            async with resumed_run(tmp_path / "r", ORDER, session, "r1"):
                pass

    told("checkpoint_of_a_run_that_is_being_run", re.sub(rf"\b{os.getpid()}\b", "PID", of_error(refused.value)))
