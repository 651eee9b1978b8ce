"""Tools that run where they are called: client, host and runtime are three processes in three directories."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

import altar
import altar.grid.client.host_gate  # before a test puts something in the place of the Grant that this takes
from altar.grid.client.governed_link import Grant
from altar.grid.client.journal import Began, JournalFile, read_journal
from altar.later.session import Options, Session
from altar.testing import LocalGrid, until
from tests.fault.proxy import Proxy
from tests.integration import governed_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

MODULE = governed_tools.__file__


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    settings = {"host.local_dispatch": "client-1,client-2", "host.permit_close": 600}
    with LocalGrid([MODULE], runtimes=1, settings=settings) as running:
        yield running
        stop_and_audit(running)


class Client:
    """A client in a process and a directory of its own; see `governed_client`."""

    def __init__(
        self,
        grid: LocalGrid,
        place: Path,
        *,
        source: str = "",
        mode: str = "governed_local",
        fallback: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
    ) -> None:
        place.mkdir(exist_ok=True)
        files = {name: str(path) for name, path in grid.options.items()}
        given = {
            "source": source or grid.source,
            "options": {**files, "execution_mode": mode, "journal": "journal", "fallback": fallback},
        }
        command = [*without, sys.executable, "-m", "tests.integration.governed_client", json.dumps(given)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))}
        self.directory = place
        self.journal = place / "journal"
        with (place / "client.log").open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=place, env=environ, text=True
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        assert "ready" in self.answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call, and wait for what comes of it."""
        self.tell(tool, **arguments)
        return self.answer()

    def tell(self, tool: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"tool": tool, "arguments": arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError((self.directory / "client.log").read_text())
        said: dict[str, Any] = json.loads(line)
        return said

    def kill(self) -> None:
        """As a machine that loses power would."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Let it leave in order, if it is still there."""
        self._process.communicate(timeout=60)

    def lines(self) -> int:
        """How many lines its journals have."""
        return sum(file.read_bytes().count(b"\n") for file in self.journal.glob("*.jsonl"))


def entries_of(grid: LocalGrid, answer: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The intent and the outcome of a call, once both are in the log."""
    until(lambda: recorded(grid, call=answer["call"]), what=f"the outcome of {answer['call']}")
    return recorded(grid, call=answer["call"])[0]


def recorded(grid: LocalGrid, **facts: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Intents with these facts, each with its outcome."""
    entries = grid.entries()
    outcomes = {entry["intent"]: entry for entry in entries if entry["kind"] == "outcome"}
    return [
        (entry, outcomes[seq])
        for seq, entry in enumerate(entries)
        if entry["kind"] == "intent" and facts.items() <= entry.items() and seq in outcomes
    ]


def events(grid: LocalGrid, name: str) -> list[dict[str, Any]]:
    return [entry for entry in grid.entries() if entry.get("event") == name]


def here(grid: LocalGrid, place: Path, **options: Any) -> Session:
    """A session of this process that runs tools here; ``mode`` unless another is given is to run nothing elsewhere."""
    given = {"execution_mode": "governed_local", "journal": place / "journal", **options}
    return Session(Options(source=grid.source, source_options={**grid.options, **given}))


# ------------------------------------------------------------------------------------------------ three processes


def test_a_call_runs_in_the_process_that_makes_it_and_stands_in_the_log_of_the_host(
    grid: LocalGrid, tmp_path: Path
) -> None:
    with Client(grid, tmp_path / "client") as client:
        answers = [client.ask("pid_here"), client.ask("pid_async")]

    for answer in answers:
        assert (answer["content"], answer["metadata"]) == (client.pid, None)
        intent, outcome = entries_of(grid, answer)
        assert (intent["where"], intent["principal"]) == ("caller", "client-1")
        assert (outcome["status"], outcome["runtime"]) == ("SUCCESS", "")
    assert [entries_of(grid, answer)[1]["reported"].partition(":")[2] for answer in answers] == ["1", "2"]
    assert list(client.journal.iterdir()) == [], "what the host has recorded is not kept"


def test_local_first_goes_to_the_grid_where_it_may_not_run_here(grid: LocalGrid, tmp_path: Path) -> None:
    with Client(grid, tmp_path / "client", mode="local_first") as client:
        there = client.ask("pid_there")
        assert client.ask("pid_here")["content"] == client.pid

    assert there["content"] != client.pid
    intent, outcome = entries_of(grid, there)
    assert "where" not in intent
    assert outcome["runtime"] == "runtime-1"


def test_what_cannot_write_its_journal_runs_nothing_and_says_so_to_the_host(grid: LocalGrid, tmp_path: Path) -> None:
    place = tmp_path / "client"
    place.mkdir()
    (place / "client.log").touch()
    place.chmod(0o555)
    try:
        with Client(grid, place, without=without_root()) as client:
            answer = client.ask("add_line", path=str(tmp_path / "ran"), line="x")
    finally:
        place.chmod(0o755)

    assert (answer["code"], answer["ran"]) == ("LOG_UNAVAILABLE", "no")
    assert not (tmp_path / "ran").exists()
    intent, outcome = entries_of(grid, answer)
    assert intent["where"] == "caller"
    assert (outcome["status"], outcome["code"], outcome["ran"]) == ("ERROR", "LOG_UNAVAILABLE", "no")


def test_what_finds_its_disk_full_runs_nothing_and_goes_on_when_there_is_room(grid: LocalGrid, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with Client(grid, tmp_path / "client") as client:
        resource.prlimit(client.pid, resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
        refused = client.ask("pid_here")
        resource.prlimit(client.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        answer = client.ask("add_line", path=str(ran), line="x")

    assert (refused["code"], refused["ran"]) == ("LOG_UNAVAILABLE", "no")
    assert entries_of(grid, refused)[1]["code"] == "LOG_UNAVAILABLE"
    assert (answer["code"], answer["content"]) == ("", client.pid)
    assert ran.read_text() == "x\n"
    assert entries_of(grid, answer)[1]["status"] == "SUCCESS"


def test_a_disk_that_fills_up_while_a_tool_runs_has_room_for_its_end(grid: LocalGrid, tmp_path: Path) -> None:
    go, began = tmp_path / "go", tmp_path / "began"
    with Client(grid, tmp_path / "client") as client:
        client.tell("wait_for_file", path=str(go), began=str(began))
        until(began.exists, what="the tool runs")
        size = max(file.stat().st_size for file in client.journal.iterdir())
        resource.prlimit(client.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        go.touch()
        answer = client.answer()

    assert (answer["code"], answer["content"]) == ("", "done")
    assert entries_of(grid, answer)[1]["status"] == "SUCCESS"


def test_what_a_killed_client_has_not_reported_is_shipped_by_its_next_start(grid: LocalGrid, tmp_path: Path) -> None:
    go, began = tmp_path / "go", tmp_path / "began"
    with Proxy(grid.port) as proxy:
        client = Client(grid, tmp_path / "client", source=f"grid://{proxy.address}")
        with client:
            client.tell("wait_for_file", path=str(go), began=str(began))
            until(began.exists, what="the tool runs")
            proxy.stall()
            go.touch()
            answer = client.answer()
            client.kill()
        proxy.cut()
        proxy.resume()
        assert answer["content"] == "done", "the caller is answered when the journal has it"
        assert recorded(grid, call=answer["call"]) == []

        with Client(grid, tmp_path / "client", source=f"grid://{proxy.address}") as again:
            intent, outcome = entries_of(grid, answer)
            until(lambda: not list(again.journal.iterdir()), what="the journal is deleted")

    assert (intent["where"], outcome["status"]) == ("caller", "SUCCESS")
    assert outcome["reported"].endswith(":1")


def test_what_ran_when_its_client_was_killed_is_reported_as_unknown(grid: LocalGrid, tmp_path: Path) -> None:
    began = tmp_path / "began"
    with Client(grid, tmp_path / "client") as client:
        client.tell("wait_for_file", path=str(tmp_path / "never"), began=str(began))
        until(began.exists, what="the tool runs")
        (call,) = (read_journal(file).calls[1].began.call for file in client.journal.iterdir())
        client.kill()

    with Client(grid, tmp_path / "client"):
        _, outcome = entries_of(grid, {"call": call})

    assert (outcome["code"], outcome["ran"]) == ("OUTCOME_UNKNOWN", "unknown")
    assert outcome["reported"].endswith(":1")


def test_a_journal_of_another_client_or_for_another_host_is_left_alone(grid: LocalGrid, tmp_path: Path) -> None:
    target = grid.source.removeprefix("grid://")
    for principal, host in (("client-2", target), ("client-1", "127.0.0.1:1")):
        file = JournalFile(tmp_path / "client/journal", principal=principal, target=host)
        digest = "sha256:" + "a" * 64
        file.write([Began(1, "host-1-1-1", "c", "pid_here", "1.0.0", digest, digest, "", "", 1)], open_calls=1)
        file.close(answered=False, disputed=False)

    with Client(grid, tmp_path / "client") as client:
        assert client.ask("pid_here")["content"] == client.pid

    assert len(list(client.journal.glob("*.jsonl"))) == 2


def test_a_report_whose_connection_is_cut_is_sent_again_and_recorded_once(grid: LocalGrid, tmp_path: Path) -> None:
    go, began = tmp_path / "go", tmp_path / "began"
    with Proxy(grid.port) as proxy, Client(grid, tmp_path / "c", source=f"grid://{proxy.address}") as client:
        client.tell("wait_for_file", path=str(go), began=str(began))
        until(began.exists, what="the tool runs")
        proxy.stall()
        go.touch()
        answer = client.answer()
        proxy.cut()
        proxy.resume()

        intent, outcome = entries_of(grid, answer)

    assert (intent["where"], outcome["status"]) == ("caller", "SUCCESS")
    assert len(recorded(grid, call=answer["call"])) == 1


def test_a_host_that_is_killed_before_the_report_hears_it_and_the_journal_is_kept(
    grid: LocalGrid, tmp_path: Path
) -> None:
    go, began = tmp_path / "go", tmp_path / "began"
    with Client(grid, tmp_path / "client") as client:
        client.tell("wait_for_file", path=str(go), began=str(began))
        until(began.exists, what="the tool runs")
        grid.restart_host(signal.SIGKILL)
        grid.mend()
        go.touch()
        answer = client.answer()
        intent, outcome = entries_of(grid, answer)
        until(lambda: events(grid, "report.rejected"), what="the host refuses the report")

    assert answer["content"] == "done"
    assert (outcome["code"], "reported" in outcome) == ("OUTCOME_UNKNOWN", False)
    (rejected,) = [event for event in events(grid, "report.rejected") if event["subject"] == intent["invocation"]]
    assert "says SUCCESS yes sha256:" in rejected["note"]
    (kept,) = client.journal.iterdir()
    assert (kept.suffix, read_journal(kept).calls[1].disputed) == (".disputed", "OUTCOME_UNKNOWN")


# ----------------------------------------------------------------------------------------------------- one process


async def test_a_result_the_journal_does_not_take_is_answered_when_the_host_has_it(
    grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_for_ends(monkeypatch)
    async with here(grid, tmp_path) as session:
        result = await session.call("pid_here")

    assert result.unwrap() == os.getpid()
    assert entries_of(grid, {"call": result.call_id})[1]["status"] == "SUCCESS"


async def test_a_result_that_neither_the_journal_nor_the_host_has_is_withheld(
    grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_for_ends(monkeypatch)
    monkeypatch.setattr("altar.grid.client.host_gate.WITHHELD_SECONDS", 0.2)
    go, began = tmp_path / "go", tmp_path / "began"
    assert grid.host is not None
    async with here(grid, tmp_path) as session:
        call = asyncio.create_task(session.call("wait_for_file", path=str(go), began=str(began)))
        await asyncio.to_thread(until, began.exists, what="the tool runs")
        grid.host.send(signal.SIGSTOP)
        try:
            go.touch()
            result = await call
        finally:
            grid.host.send(signal.SIGCONT)

    assert result.error is not None
    assert (result.error.type, result.error.ran, result.content) == ("OUTCOME_UNKNOWN", "unknown", None)
    _, outcome = entries_of(grid, {"call": result.call_id})
    assert outcome["status"] == "SUCCESS", "the host hears of it all the same"


async def test_a_call_whose_permit_has_ended_asks_for_another_and_runs_on_that(
    grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits: list[str] = []

    def granted(permit: str, until: float, variables: str) -> Grant:
        permits.append(permit)
        return Grant(permit, until if len(permits) > 1 else 0.0, variables)

    monkeypatch.setattr("altar.grid.client.governed_link.Grant", granted)
    ran = tmp_path / "ran"
    async with here(grid, tmp_path) as session:
        result = await session.call("add_line", path=str(ran), line="x")

    assert ran.read_text() == "x\n"
    ended = {intent["invocation"]: outcome for intent, outcome in recorded(grid, call=result.call_id)}
    assert [(ended[permit]["code"], ended[permit]["ran"]) for permit in permits] == [("TIMEOUT", "no"), ("", "yes")]


async def test_a_call_whose_permits_all_end_too_soon_is_late(
    grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "altar.grid.client.governed_link.Grant", lambda permit, _, variables: Grant(permit, 0.0, variables)
    )
    async with here(grid, tmp_path) as session:
        error = (await session.call("pid_here")).error

    assert error is not None
    assert (error.type, error.ran) == ("TIMEOUT", "no")


async def test_a_call_that_is_cancelled_while_it_waits_for_its_permit_gives_it_back(
    grid: LocalGrid, tmp_path: Path
) -> None:
    assert grid.host is not None
    async with here(grid, tmp_path) as session:
        await session.call("pid_here")
        grid.host.send(signal.SIGSTOP)
        try:
            call = asyncio.create_task(session.call("add_line", path=str(tmp_path / "ran"), line="x"))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        finally:
            grid.host.send(signal.SIGCONT)
        await session.call("pid_here")

    assert not (tmp_path / "ran").exists()
    (_, outcome), *_ = [pair for pair in recorded(grid, tool="add_line") if pair[1]["code"] == "CANCELLED"]
    assert outcome["ran"] == "no"


async def test_a_call_that_is_cancelled_while_it_runs_is_reported_as_that(grid: LocalGrid, tmp_path: Path) -> None:
    began = tmp_path / "began"
    async with here(grid, tmp_path) as session:
        call = asyncio.create_task(session.call("wait_for_file", path=str(tmp_path / "never"), began=str(began)))
        await asyncio.to_thread(until, began.exists, what="the tool runs")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    _, outcome = recorded(grid, tool="wait_for_file")[-1]
    assert (outcome["code"], outcome["ran"]) == ("CANCELLED", "yes")
    assert "reported" in outcome


async def test_many_calls_at_once_have_a_permit_each_and_leave_no_journal(grid: LocalGrid, tmp_path: Path) -> None:
    async with here(grid, tmp_path) as session:
        results = await asyncio.gather(*(session.call("pid_async", n=n) for n in range(300)))

    assert {result.unwrap() for result in results} == {os.getpid()}
    calls = {result.call_id for result in results}
    until(lambda: calls <= {intent["call"] for intent, _ in recorded(grid, tool="pid_async")}, what="all outcomes")
    assert list((tmp_path / "journal").iterdir()) == []


@pytest.mark.parametrize(
    ("tool", "code"),
    [("pid_there", "FEATURE_UNAVAILABLE"), ("absent", "UNSUPPORTED_TOOL"), ("pid_her", "UNSUPPORTED_TOOL")],
)
async def test_governed_local_runs_nothing_elsewhere(grid: LocalGrid, tmp_path: Path, tool: str, code: str) -> None:
    async with here(grid, tmp_path) as session:
        error = (await session.call(tool)).error

    assert error is not None
    assert (error.type, error.ran) == (code, "no")


async def test_a_tool_that_is_another_contract_here_goes_to_the_grid_or_is_refused(
    grid: LocalGrid, tmp_path: Path, altar_registry: Any
) -> None:
    @altar.tool(local_dispatch=True)
    def pid_here(n: int = 0) -> str:
        """Say something else."""
        return "here"

    async with here(grid, tmp_path) as session:
        refused = (await session.call("pid_here")).error
    async with here(grid, tmp_path, execution_mode="local_first") as session:
        there = await session.call("pid_here")

    assert refused is not None
    assert (refused.type, refused.ran) == ("VERSION_MISMATCH", "no")
    assert there.unwrap() not in {"here", os.getpid()}


async def test_a_client_that_is_not_named_runs_nothing_itself(grid: LocalGrid, tmp_path: Path) -> None:
    files = grid.certificate("client", "client-9")
    options = {"certificate": files.certificate, "key": files.key, "authority": files.authority}
    async with here(grid, tmp_path, **options) as session:
        refused = (await session.call("pid_here")).error
    async with here(grid, tmp_path, **options, execution_mode="local_first") as session:
        there = await session.call("pid_here")

    assert refused is not None
    assert (refused.type, refused.ran) == ("FEATURE_UNAVAILABLE", "no")
    assert there.unwrap() != os.getpid()


async def test_the_gate_of_the_session_is_asked_first_and_told_everything(grid: LocalGrid, tmp_path: Path) -> None:
    from altar.testing import RecordingGate

    gate = RecordingGate(refuse={"add_line": altar.AuthorizationError("PERMISSION_DENIED", "not today", ran="no")})
    given = {"execution_mode": "governed_local", "journal": tmp_path / "journal"}
    async with Session(Options(source=grid.source, source_options={**grid.options, **given}, gate=gate)) as session:
        await session.call("pid_here", n=1)
        refused = await session.call("add_line", path="x", line="x")

    assert refused.error is not None
    assert refused.error.message == "not today"
    assert gate.calls == [("pid_here", {"n": 1})]
    assert [outcome.error for _, outcome in gate.outcomes] == [None]


async def test_a_call_that_runs_here_follows_the_variables_that_its_host_has_recorded(
    grid: LocalGrid, tmp_path: Path
) -> None:
    async with here(grid, tmp_path) as session:
        await session.variables.declare("warmth", float, value=0.5)
        followed = await session.call("follow_warmth")
        changed = await session.call("follow_warmth", change=True)

    intent, _ = entries_of(grid, {"call": followed.call_id})
    assert intent["variables"] == followed.unwrap() != ""
    assert changed.error is not None
    assert "VARIABLE_CONFLICT" == changed.error.type


async def test_an_error_of_the_tool_is_told_in_its_words_and_recorded_by_its_code(
    grid: LocalGrid, tmp_path: Path
) -> None:
    async with here(grid, tmp_path) as session:
        result = await session.call("fail_with", code="DEPENDENCY_UNAVAILABLE")

    assert result.error is not None
    assert (result.error.type, result.error.message, result.error.ran) == (
        "DEPENDENCY_UNAVAILABLE",
        "as you wish",
        "yes",
    )
    assert entries_of(grid, {"call": result.call_id})[1]["code"] == "DEPENDENCY_UNAVAILABLE"


async def test_a_result_beyond_the_limit_of_the_host_is_refused_here_too(grid: LocalGrid, tmp_path: Path) -> None:
    async with here(grid, tmp_path) as session:
        error = (await session.call("letters", size=5 * 1024 * 1024)).error

    assert error is not None
    assert (error.type, error.ran) == ("MESSAGE_TOO_LARGE", "yes")


def no_room_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every write of an end fail, as on a file system that does not keep the room that it promised."""
    write = JournalFile.write

    def full(self: JournalFile, began: Any = (), ended: Any = (), *, open_calls: int = 0) -> None:
        if ended:
            raise OSError(28, "No space left on device")
        write(self, began, ended, open_calls=open_calls)

    monkeypatch.setattr(JournalFile, "write", full)


def without_root() -> tuple[str, ...]:
    """What takes the right to write everywhere away from a process, where the tests have it."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("this user may write everywhere, and there is no setpriv to change that")
    rights = "-dac_override,-dac_read_search"
    return ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}")
