"""The directory of compiled programs, with several processes at once and with some that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import dspy
import pytest

from altar.ai import compiled_programs
from altar.ai.compiled_programs import OLDEST_PART, CompiledPrograms

KEY = "0" * 64
TO_BE_KILLED = """
import os, sys
import dspy
from pathlib import Path
from altar.ai.compiled_programs import CompiledPrograms

def stop_here(handle):
    print("written", flush=True)
    sys.stdin.read()

os.fsync = stop_here
CompiledPrograms(Path("kept")).keep(dspy.Predict("question -> answer"), "0" * 64)
"""
BOTH_AT_ONCE = """
import json, sys
from pathlib import Path
import dspy
from altar import ai
from altar.testing import ScriptedLM

ai.configure(compiled_programs=Path("kept"))
examples = [dspy.Example(question=f"{n}+1", answer=str(n + 1)).with_inputs("question") for n in range(4)]

def exact(example, prediction, trace=None):
    return example.answer == prediction.answer

def sums(request):
    question = request.prompt.rpartition("[[ ## question ## ]]")[2].split()[0]
    return {"answer": str(sum(map(int, question.split("+"))))}

def wait(done, total):
    if done == 1:  # both have begun before either has ended
        print("begun", file=sys.__stdout__, flush=True)
        sys.stdin.readline()

sys.stdout = sys.stderr  # DSPy prints
made = ai.compilation(
    dspy.Predict("question -> answer"), trainset=examples, metric=exact, lm=ScriptedLM(sums).dspy(), on_progress=wait
)
sys.stdout = sys.__stdout__
print(json.dumps([made.is_cached, made.key, made.not_kept, ai.state_digest(made.program)]), flush=True)
"""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "kept"


def started(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_what_a_killed_writer_left_is_removed_when_it_is_old_and_never_what_is_being_written(kept: Path) -> None:
    with started(TO_BE_KILLED) as writer:
        assert "written" == line(writer)
        writer.send_signal(signal.SIGKILL)
    (left,) = kept.iterdir()
    assert left.suffix == ".part"
    assert left.stat().st_size > 0
    programs = CompiledPrograms(kept)
    program = dspy.Predict("question -> answer")

    assert programs.keep(program, KEY)
    young = sorted(path.suffix for path in kept.iterdir())
    old = left.stat().st_mtime - OLDEST_PART - 60
    os.utime(left, (old, old))
    assert programs.keep(program, KEY)

    assert [".json", ".part"] == young
    assert [f"{KEY}.json"] == [path.name for path in kept.iterdir()]
    assert programs.load(dspy.Predict("question -> answer"), KEY)


def test_files_of_others_in_the_directory_are_left_alone(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.mkdir(mode=0o700)
    theirs = [kept / "orders.json", kept / ".film.part"]
    for path in theirs:
        path.write_text("theirs")
        os.utime(path, (0, 0))
    monkeypatch.setattr(compiled_programs, "MOST_PROGRAMS", 1)
    programs = CompiledPrograms(kept)

    for digit in "01":
        assert programs.keep(dspy.Predict("question -> answer"), digit * 64)

    assert sorted([*theirs, programs.path("1" * 64)]) == sorted(kept.iterdir())


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_directory_that_others_may_write_to_is_not_used(kept: Path, mode: int) -> None:
    programs = CompiledPrograms(kept)
    assert programs.keep(dspy.Predict("question -> answer"), KEY)
    kept.chmod(mode)

    assert not programs.load(dspy.Predict("question -> answer"), KEY)
    assert not programs.keep(dspy.Predict("question -> answer"), "1" * 64)
    assert [programs.path(KEY)] == list(kept.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_a_directory_of_somebody_else_is_not_used(kept: Path) -> None:
    programs = CompiledPrograms(kept)
    assert programs.keep(dspy.Predict("question -> answer"), KEY)
    os.chown(kept, 65534, -1)

    assert not programs.load(dspy.Predict("question -> answer"), KEY)


def test_what_is_no_file_is_not_read(kept: Path) -> None:
    programs = CompiledPrograms(kept)
    assert programs.keep(dspy.Predict("question -> answer"), KEY)
    elsewhere = programs.path(KEY).rename(kept / "elsewhere")
    programs.path(KEY).symlink_to(elsewhere)
    os.mkfifo(programs.path("1" * 64))

    assert not programs.load(dspy.Predict("question -> answer"), KEY)
    assert not programs.load(dspy.Predict("question -> answer"), "1" * 64)  # and nobody waits for a writer


def test_two_processes_that_compile_the_same_at_once_make_the_same_program_and_leave_one_file(kept: Path) -> None:
    with started(BOTH_AT_ONCE) as one, started(BOTH_AT_ONCE) as other:
        assert ["begun", "begun"] == [line(one), line(other)]
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        first, second = (json.loads(line(process)) for process in (one, other))

    (file,) = kept.iterdir()
    is_cached, key, not_kept, digest = first
    assert first == second
    assert (False, "") == (is_cached, not_kept)
    assert f"{key}.json" == file.name
    assert digest == json.loads(file.read_bytes())["digest"]
