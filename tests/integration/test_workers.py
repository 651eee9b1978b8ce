"""Workers: several processes of one runtime under a supervisor, that die, drain, are replaced and take up changes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from altar._proto.altar.grid.v1 import runtime_pb2
from altar.testing import LocalGrid, until
from altar.testing.local_grid import GridProcess
from tests.integration import raw
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

TOOLS = '''
import os, time
from pathlib import Path
import altar

@altar.tool(read_only=True)
def where() -> int:
    """Say which process this is."""
    print("a tool may print")
    return os.getpid()

@altar.tool(read_only=True)
def answer() -> int:
    """Give the answer."""
    return {answer}

@altar.tool
def held(directory: str, name: str) -> int:
    """Say that it began, wait to be let go, and say which process this is."""
    (Path(directory) / f"{{name}}.{{os.getpid()}}").touch()
    while not (Path(directory) / "go").exists():
        time.sleep(0.005)
    return os.getpid()

@altar.tool
async def blocks(directory: str) -> None:
    """Say that it began, and hold up the loop of its process for good."""
    (Path(directory) / f"blocks.{{os.getpid()}}").touch()
    while True:
        time.sleep(0.05)
'''


def tools(answer: object = 1) -> str:
    return TOOLS.format(answer=answer)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    module = tmp_path_factory.mktemp("tools") / "worker_tools.py"
    module.write_text(tools())
    with LocalGrid([str(module)], runtimes=0) as running:
        yield running
        stop_and_audit(running)


class Runtimes:
    """Starts `altar runtime` with options, on a file of tools that a test may change, and ends what is left."""

    def __init__(self, grid: LocalGrid, directory: Path) -> None:
        self.grid = grid
        self.directory = directory
        self.file = directory / "worker_tools.py"
        self.file.write_text(tools())
        self.started: list[GridProcess] = []

    def start(self, *options: str, name: str = "w", drain: float = 30, ready: bool = True) -> GridProcess:
        files = self.grid.certificate("runtime", name)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("ALTAR_")} | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ALTAR_RUNTIME_DRAIN": str(drain),
            "ALTAR_RUNTIME_TLS_CERTIFICATE": str(files.certificate),
            "ALTAR_RUNTIME_TLS_KEY": str(files.key),
            "ALTAR_RUNTIME_TLS_AUTHORITY": str(files.authority),
        }
        command = ["runtime", "--tools", str(self.file), "--connect", f"127.0.0.1:{self.grid.port}", "--id", name]
        log = self.directory / f"{name}.{len(self.started)}.log"
        process = GridProcess([*command, *options], environ=environ, at=self.directory, log=log)
        self.started.append(process)
        if ready:
            process.ready()
        return process

    def end(self) -> None:
        for process in self.started:
            if process.alive:
                process.end(signal.SIGTERM)


@pytest.fixture
def runtimes(grid: LocalGrid, tmp_path: Path) -> Iterator[Runtimes]:
    (tmp_path / "r").mkdir()
    made = Runtimes(grid, tmp_path / "r")
    yield made
    (tmp_path / "go").touch()
    made.end()


def pids(holds: dict[str, Any]) -> list[int]:
    """The processes of the workers in an announcement."""
    return [worker["pid"] for worker in holds["workers"]]


def announced(process: GridProcess, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until the newest announcement is as wanted."""
    until(lambda: process.announced and wanted(process.announced[-1]), what="the announcement")
    return process.announced[-1]


def logged(process: GridProcess, phrase: str) -> dict[str, Any]:
    """Wait for a line of the log."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["log"] == phrase]

    line: dict[str, Any] = until(found, what=phrase)[-1]
    return line


async def began(directory: Path, count: int) -> list[Path]:
    """Wait until so many held calls run."""

    def files() -> list[Path]:
        return list(directory.glob("*.*"))

    await asyncio.to_thread(until, lambda: len(files()) >= count, what=f"{count} calls began")
    return files()


# ------------------------------------------------------------------------------------------------------ several of them


async def test_workers_are_runtimes_of_their_own_and_announced_when_all_are_ready(
    grid: LocalGrid, runtimes: Runtimes, tmp_path: Path
) -> None:
    process = await asyncio.to_thread(runtimes.start, "--workers", "3", "--concurrency", "1")

    (first,) = process.announced
    assert (True, "w", ["answer", "blocks", "held", "where"]) == (first["ready"], first["runtime"], first["tools"])
    assert ["w/1", "w/2", "w/3"] == [worker["runtime"] for worker in first["workers"]]
    async with grid.session() as session:
        calls = [asyncio.create_task(session.call("held", directory=str(tmp_path), name=f"c{n}")) for n in range(3)]
        await began(tmp_path, 3)
        (tmp_path / "go").touch()
        ran_in = sorted([(await call).unwrap() for call in calls])
    assert sorted(pids(first)) == ran_in
    assert process.pid not in ran_in
    recorded = {entry["runtime"] for entry in grid.entries() if entry["kind"] == "outcome" and entry["runtime"]}
    assert {"w/1", "w/2", "w/3"} <= recorded


async def test_a_worker_that_dies_is_started_again_and_the_others_serve_on(grid: LocalGrid, runtimes: Runtimes) -> None:
    process = await asyncio.to_thread(runtimes.start, "--workers", "2")
    lost, kept = pids(process.announced[0])

    os.kill(lost, signal.SIGKILL)
    less = await asyncio.to_thread(announced, process, lambda holds: not holds["ready"])
    async with grid.session() as session:
        assert kept == (await session.call("where")).unwrap()
    again = await asyncio.to_thread(announced, process, lambda holds: holds["ready"])

    assert [None, kept] == pids(less)
    assert kept == pids(again)[1]
    assert lost != pids(again)[0]
    line = logged(process, "worker ended")
    assert (1, "signal 9", 0.5) == (line["worker"], line["reason"], line["again_in"])


def test_a_certificate_is_good_for_its_own_name_and_its_workers_and_for_no_other(grid: LocalGrid) -> None:
    def refused(runtime_id: str) -> str | None:
        with raw.stream(grid, grid.certificate("runtime", "cert"), "/altar.grid.v1.RuntimeService/Attach") as peer:
            peer.send(
                runtime_pb2.AttachRequest(
                    announce=runtime_pb2.AnnounceRuntime(runtime_id=runtime_id, protocol_versions=["1.0"])
                )
            )
            frame = peer.receive(
                runtime_pb2.AttachResponse, lambda frame: frame.HasField("announced") or frame.HasField("closing")
            )
            return str(frame.closing.type) if frame.HasField("closing") else None

    assert [None, None, None] == [refused(name) for name in ("cert", "cert/1", "cert/64")]
    strange = ("cert/0", "cert/01", "cert/65", "cert/1/1", "cert/", "other", "other/1", "cert/-1", "cert/1 ")
    assert ["PERMISSION_DENIED"] * len(strange) == [refused(name) for name in strange]


# -------------------------------------------------------------------------------------------------------------- the end


async def test_told_to_leave_the_workers_finish_their_calls(
    grid: LocalGrid, runtimes: Runtimes, tmp_path: Path
) -> None:
    process = await asyncio.to_thread(runtimes.start, "--workers", "2", "--concurrency", "1")
    async with grid.session() as session:
        calls = [asyncio.create_task(session.call("held", directory=str(tmp_path), name=f"c{n}")) for n in range(2)]
        await began(tmp_path, 2)

        process.send(signal.SIGTERM)
        await asyncio.to_thread(announced, process, lambda holds: not holds["ready"])
        (tmp_path / "go").touch()

        assert sorted(pids(process.announced[0])) == sorted([(await call).unwrap() for call in calls])
    assert 0 == await asyncio.to_thread(process.wait)


async def test_told_twice_to_leave_the_workers_are_killed(grid: LocalGrid, runtimes: Runtimes, tmp_path: Path) -> None:
    process = await asyncio.to_thread(runtimes.start, "--workers", "2", "--concurrency", "1")
    workers = [psutil.Process(pid) for pid in pids(process.announced[0])]
    async with grid.session() as session:
        call = asyncio.create_task(session.call("held", directory=str(tmp_path), name="c"))
        await began(tmp_path, 1)

        process.send(signal.SIGTERM)
        await asyncio.to_thread(announced, process, lambda holds: not holds["ready"])
        process.send(signal.SIGTERM)

        error = (await call).error
    assert error is not None
    assert ("RUNTIME_CRASH", "unknown") == (error.type, error.ran)
    assert 1 == await asyncio.to_thread(process.wait)
    assert not any(worker.is_running() for worker in workers)


async def test_the_workers_of_a_supervisor_that_is_killed_finish_their_calls_and_are_gone(
    grid: LocalGrid, runtimes: Runtimes, tmp_path: Path
) -> None:
    process = await asyncio.to_thread(runtimes.start, "--workers", "2")
    workers = [psutil.Process(pid) for pid in pids(process.announced[0])]
    async with grid.session() as session:
        call = asyncio.create_task(session.call("held", directory=str(tmp_path), name="c"))
        await began(tmp_path, 1)

        await asyncio.to_thread(process.end, signal.SIGKILL)
        (tmp_path / "go").touch()

        assert (await call).unwrap() in pids(process.announced[0])
    for worker in workers:
        await asyncio.to_thread(until, _gone(worker), what=f"the end of {worker.pid}")


def _gone(process: psutil.Process) -> Callable[[], bool]:
    return lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 1), (signal.SIGKILL, -9)], ids=["told", "killed"])
async def test_a_worker_that_does_not_react_is_ended_all_the_same(
    grid: LocalGrid, runtimes: Runtimes, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = await asyncio.to_thread(runtimes.start, "--workers", "2", drain=0.1)
    async with grid.session() as session:
        call = asyncio.create_task(session.call("blocks", directory=str(tmp_path)))
        (file,) = await began(tmp_path, 1)
        worker = psutil.Process(int(file.suffix[1:]))

        assert code == await asyncio.to_thread(process.end, number)

        await asyncio.to_thread(until, _gone(worker), what="the end of the worker")
        error = (await call).error
    assert error is not None
    assert ("RUNTIME_CRASH", "unknown") == (error.type, error.ran)


def test_workers_whose_place_another_process_takes_end_and_do_not_fight_back(runtimes: Runtimes) -> None:
    older = runtimes.start("--workers", "2")

    newer = runtimes.start("--workers", "2")

    assert 5 == older.wait()
    line = logged(older, "worker replaced by another process")
    assert "give each runtime an id and a certificate of its own" == line["hint"]
    assert newer.alive
    assert [True] == [holds["ready"] for holds in newer.announced]


def test_a_runtime_that_cannot_start_says_why_and_ends(runtimes: Runtimes) -> None:
    runtimes.file.write_text("import altar\n1 / 0\n")

    process = runtimes.start("--workers", "2", ready=False)

    assert 2 == process.wait()
    assert [] == process.announced
    assert "ZeroDivisionError: division by zero (INVALID_CONFIG)" in process.log
    assert f"{runtimes.file}:2" in process.log
    assert 1 == process.log.count("error:")


# ---------------------------------------------------------------------------------------------------------------- ready


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_the_ready_file_is_there_while_the_host_is_and_until_the_runtime_leaves(
    grid: LocalGrid, runtimes: Runtimes, options: tuple[str, ...]
) -> None:
    file = runtimes.directory / "ready"
    file.write_text("left by one that was killed")

    process = runtimes.start("--ready-file", str(file), *options)
    until(lambda: file.exists() and json.loads(file.read_text()), what="the file")
    assert process.pid == json.loads(file.read_text())["pid"]

    assert grid.host is not None
    grid.host.end(signal.SIGKILL)
    until(lambda: not file.exists(), what="no file without a host")
    grid.start_host()
    until(file.exists, what="the file again")

    process.send(signal.SIGTERM)
    assert 0 == process.wait()
    assert not file.exists()


def test_a_ready_file_that_cannot_be_written_is_told_before_anything_starts(runtimes: Runtimes) -> None:
    process = runtimes.start("--ready-file", "no/such/folder/ready", ready=False)

    assert 2 == process.wait()
    assert "The file 'no/such/folder/ready' cannot be written" in process.log


# ------------------------------------------------------------------------------------------------------------ reloading


async def test_changed_code_is_taken_up_and_no_call_is_lost_meanwhile(grid: LocalGrid, runtimes: Runtimes) -> None:
    process = await asyncio.to_thread(runtimes.start, "--reload")
    (first,) = pids(process.announced[0])

    async with grid.session() as session:
        assert 1 == (await session.call("answer")).unwrap()
        runtimes.file.write_text(tools(42))
        answers = [1]
        while answers[-1] == 1:
            answers.append((await session.call("answer")).unwrap())

    assert {1, 42} == set(answers)
    assert not psutil.pid_exists(first)
    again = await asyncio.to_thread(announced, process, lambda holds: holds["ready"] and pids(holds) != [first])
    assert "w" == again["workers"][0]["runtime"]
    await asyncio.to_thread(logged, process, "reloaded")


@contextmanager
def unchanged(process: GridProcess) -> Iterator[None]:
    """What happens here leaves the worker as it is, and ready."""
    before = process.announced[-1]
    yield
    assert before == process.announced[-1]


async def test_code_that_does_not_load_is_told_and_the_old_code_goes_on(grid: LocalGrid, runtimes: Runtimes) -> None:
    process = await asyncio.to_thread(runtimes.start, "--reload")
    neighbour = runtimes.directory / "neighbour_of_tools.py"

    async with grid.session() as session:
        with unchanged(process):
            neighbour.write_text("def broken(:\n")
            runtimes.file.write_text("import neighbour_of_tools\n" + tools(42))
            line = await asyncio.to_thread(logged, process, "reload refused, the old code goes on")
            assert 1 == (await session.call("answer")).unwrap()
        assert ("INVALID_CONFIG", f"raised at {neighbour}:1") == (line["code"], line["hint"])
        assert "SyntaxError: invalid syntax" in line["reason"]

        neighbour.write_text("")
        await asyncio.to_thread(logged, process, "reloaded")

        assert 42 == (await session.call("answer")).unwrap()


async def test_code_whose_contract_has_changed_is_refused_by_name_and_can_be_mended(
    grid: LocalGrid, runtimes: Runtimes
) -> None:
    process = await asyncio.to_thread(runtimes.start, "--reload")

    runtimes.file.write_text(tools(42).replace("def answer() -> int", "def answer() -> float"))
    less = await asyncio.to_thread(announced, process, lambda holds: "answer" not in holds["tools"] and holds["ready"])
    runtimes.file.write_text(tools(43))
    await asyncio.to_thread(announced, process, lambda holds: "answer" in holds["tools"])

    assert ["blocks", "held", "where"] == less["tools"]
    assert "The runtime's 'answer' at 1.0.0 is not the contract of the host" in process.log
    async with grid.session() as session:
        assert 43 == (await session.call("answer")).unwrap()


async def test_a_changed_contract_is_registered_where_the_host_is_in_development(
    tmp_path: Path,
) -> None:
    module = tmp_path / "worker_tools.py"
    module.write_text(tools())
    settings = {"host.mode": "development", "environment": "development"}
    with LocalGrid([str(module)], runtimes=0, settings=settings, directory=tmp_path) as grid:
        runtimes = Runtimes(grid, tmp_path)
        process = await asyncio.to_thread(runtimes.start, "--reload", "--register")

        added = '\n@altar.tool\ndef brand_new(n: int) -> int:\n    "Double."\n    return {factor} * n\n'
        runtimes.file.write_text(tools() + added.format(factor=2))
        await asyncio.to_thread(announced, process, lambda holds: "brand_new" in holds["tools"] and holds["ready"])
        async with grid.session() as session:
            assert 4 == (await session.call("brand_new", n=2)).unwrap()
        before = pids(process.announced[-1])
        runtimes.file.write_text(tools() + added.format(factor=3).replace("int", "float"))
        await asyncio.to_thread(announced, process, lambda holds: holds["ready"] and pids(holds) != before)
        async with grid.session() as session:
            assert 7.5 == (await session.call("brand_new", n=2.5)).unwrap()


async def test_all_workers_are_replaced_one_after_the_other(grid: LocalGrid, runtimes: Runtimes) -> None:
    process = await asyncio.to_thread(runtimes.start, "--reload", "--workers", "2")
    before = set(pids(process.announced[0]))

    runtimes.file.write_text(tools(42))
    await asyncio.to_thread(logged, process, "reloaded")

    after = await asyncio.to_thread(announced, process, lambda holds: holds["ready"])
    assert set() == before & set(pids(after))
    assert not any(set() == {pid for pid in pids(holds) if pid} for holds in process.announced)
    async with grid.session() as session:
        assert 42 == (await session.call("answer")).unwrap()
