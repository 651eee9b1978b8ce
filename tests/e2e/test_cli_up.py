"""`altar up`: a grid on one machine, from nothing to an orderly end, and what survives a kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.cli import children
from altar.cli.local_files import LocalGrid, carry_out, plan
from altar.cli.trust import MEMORY
from altar.grid.manifests.envelope import read_keys
from altar.grid.manifests.manifest_store import open_signed
from altar.grid.trust.authority import Authority
from altar.testing import until
from tests.e2e.command import COMMAND, altar

TOOLS = """
import os
import altar

@altar.tool(read_only=True)
def where(place: str) -> int:
    \"\"\"Say which process this is.\"\"\"
    return os.getpid()
"""

OTHER = """
@altar.tool
def other(n: {type}) -> None:
    \"\"\"Do something else.\"\"\"
"""


def manifest_of(name: str) -> bytes:
    """A manifest of one function."""
    function = {"name": name, "description": "Does it.", "parameters": {"type": "OBJECT", "properties": {}}}
    contract = {"name": "shop", "description": "Shop.", "function_declarations": [function]}
    return json.dumps({"manifest_version": "1.1.0", "contracts": [contract]}).encode()


ONE, TWO = manifest_of("one"), manifest_of("two")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(TOOLS)
    return tmp_path


@contextmanager
def running(here: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """`altar up` when it is ready, with what it said; whatever it started has ended after the block."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    with (here / "stderr").open("wb") as words:
        process = subprocess.Popen(
            [COMMAND, "up", "shop", "--listen", "127.0.0.1:0", *arguments, "--tied"],
            cwd=here,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
        )
    started: list[psutil.Process] = []
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (here / "stderr").read_text()
        started = psutil.Process(process.pid).children(recursive=True)
        yield process, json.loads(line)
    finally:
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(started, timeout=30)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        assert [] == alive


def local(root: Path, **changes: Any) -> LocalGrid:
    members: dict[str, Any] = {
        "settings": root / "altar.toml",
        "host": "host-1",
        "runtimes": ("py-1",),
        "signing_key": root / ".altar" / "keys" / "ledger.pem",
        "listen": "127.0.0.1:7443",
        "modules": ("shop",),
    }
    return LocalGrid(**(members | changes))


def verbs(grid: LocalGrid, *, manifest: bytes = ONE) -> set[str]:
    return {step.verb for step in plan(grid, manifest=manifest, now=datetime.now(UTC))}


def test_check_says_what_would_be_done_and_does_nothing(here: Path) -> None:
    before = sorted(here.iterdir())

    done = altar("up", "shop", "--check", "--json", at=here)
    text = altar("up", "shop", "--check", "--runtimes", "3", at=here)

    assert done.code == 0
    assert {"make", "start"} == {row["verb"] for row in done.json}
    assert 3 == text.out.count("start  runtime")
    assert [] == [path for path in here.iterdir() if path not in before and path.name != "__pycache__"]


def test_a_grid_serves_calls_and_ends_in_order(here: Path) -> None:
    with running(here) as (process, said):
        environ = {"ALTAR_SOURCE": said["source"]}
        call = altar("call", "where", "place=Oslo", at=here, environ=environ)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=40)
    verified = altar("audit", "verify", said["data"], at=here)
    listed = altar("audit", "list", "--json", at=here)

    assert (0, 0) == (call.code, code), call.err
    assert call.json in {runtime["pid"] for runtime in said["runtimes"]}
    assert verified.code == 0
    detached = [row for row in listed.json if row.get("event") == "runtime.detached"]
    assert ["left", "left"] == [row["note"] for row in detached]
    assert "stop" == listed.json[-1]["kind"]


@pytest.mark.slow
def test_nothing_that_exists_is_made_again(here: Path) -> None:
    with running(here, "--runtimes", "1"):
        pass
    before = {path: path.read_bytes() for path in here.rglob(".altar/certificates/*")}

    with running(here, "--runtimes", "1"):
        pass

    assert before == {path: path.read_bytes() for path in here.rglob(".altar/certificates/*")}
    assert "made" not in (here / "stderr").read_text()


@pytest.mark.slow
@pytest.mark.fault
def test_a_runtime_that_dies_is_started_again(here: Path) -> None:
    with running(here, "--runtimes", "1") as (process, said):
        assert process.stdout is not None
        (first,) = said["runtimes"]
        os.kill(first["pid"], signal.SIGKILL)
        call = altar("call", "where", "place=Oslo", at=here, environ={"ALTAR_SOURCE": said["source"]})
        events = altar("audit", "list", "--kind", "event", "--json", at=here)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=40)

    assert (0, 0) == (call.code, code), call.err
    assert call.json != first["pid"]
    assert ["attached", "detached", "attached"] == [
        row["event"].removeprefix("runtime.") for row in events.json if row["subject"] == "py-1"
    ]
    assert f"runtime py-1 is back, as process {call.json}" in (here / "stderr").read_text()


@pytest.mark.slow
@pytest.mark.fault
def test_what_a_runtime_no_longer_serves_after_its_code_has_changed_is_said(here: Path) -> None:
    (here / "shop.py").write_text(TOOLS + OTHER.format(type="int"))
    with running(here, "--runtimes", "1") as (_process, said):
        (here / "shop.py").write_text(TOOLS + OTHER.format(type="str"))
        os.kill(said["runtimes"][0]["pid"], signal.SIGKILL)
        until(lambda: "does not serve other any more" in (here / "stderr").read_text(), what="the warning")


@pytest.mark.slow
def test_settings_that_exist_are_kept_and_what_they_lack_is_said(here: Path) -> None:
    (here / "altar.toml").write_text('[host]\nname = "mine"\n')

    with running(here, "--runtimes", "1") as (_, said):
        pass

    assert "mine" == said["host"]["name"]
    assert '[host]\nname = "mine"\n' == (here / "altar.toml").read_text()
    assert "altar.toml has no [tls], and clients need it" in (here / "stderr").read_text()
    assert "client-me.pem" in (here / "stderr").read_text()


@pytest.mark.slow
@pytest.mark.fault
def test_a_host_that_dies_ends_the_grid_with_an_error(here: Path) -> None:
    with running(here, "--runtimes", "1") as (process, said):
        os.kill(said["host"]["pid"], signal.SIGKILL)
        code = process.wait(timeout=40)

    assert code == 1
    assert "The host 'host-1' ended by itself (signal 9)" in (here / "stderr").read_text()


@pytest.mark.slow
@pytest.mark.fault
def test_nothing_is_left_when_it_is_killed(here: Path) -> None:
    with running(here) as (process, said):
        pids = [said["host"]["pid"], *(runtime["pid"] for runtime in said["runtimes"])]
        started = [psutil.Process(pid) for pid in pids]
        process.kill()
        _, alive = psutil.wait_procs(started, timeout=30)

    assert 3 == len(pids)
    assert [] == alive


def test_a_port_that_is_taken_is_said_in_one_sentence(here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        done = altar("up", "shop", "--listen", address, at=here)

    assert done.code == 2
    assert f"'host-1' did not start: The host cannot listen on '{address}' (ENVIRONMENT_ERROR)\n" in done.err
    assert "hint: the port is taken or the address is not of this machine; choose another with --listen; " in done.err
    assert "host.log" in done.err
    assert f'# source = "grid://{address}"' in (here / "altar.toml").read_text()


def test_only_this_machine_is_served(here: Path) -> None:
    done = altar("up", "shop", "--listen", "0.0.0.0:7443", at=here)

    assert done.code == 2
    assert "serves this machine only, not '0.0.0.0:7443'" in done.err
    assert not (here / ".altar").exists()


def test_tools_must_be_named(tmp_path: Path) -> None:
    done = altar("up", at=tmp_path)

    assert done.code == 2
    assert "name a module: `altar up MODULE`" in done.err


def test_a_module_that_is_missing_makes_no_files(tmp_path: Path) -> None:
    done = altar("up", "no_such_module", at=tmp_path)

    assert done.code == 2
    assert "There is no module 'no_such_module'" in done.err
    assert [] == list(tmp_path.iterdir())


# ── children ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_process_that_is_not_ready_in_time_is_ended_and_said_so(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setattr(children, "READY_SECONDS", 2.0)
    grid = local(here)
    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(ExecutionError, match="'py-1' was not ready within 2 s") as caught:
            await children.start_child(
                "py-1", ("runtime", "--connect", address, "--tools", "shop"), log=here / "py-1.log"
            )

    assert "TIMEOUT" == caught.value.code
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    assert [] == [one for one in alive if "altar" in one.cmdline()]


def test_without_the_grid_extra_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "find_spec", lambda name: None if name == "grpc" else object())

    with pytest.raises(ConfigurationError, match="A grid needs grpc") as caught:
        children.require_grid()

    assert "pip install 'altar-ai[grid]'" == caught.value.hint


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_made_is_kept(tmp_path: Path) -> None:
    grid = local(tmp_path)

    made = carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))

    assert {"make"} == {step.verb for step in made}
    assert {"keep"} == verbs(grid)
    assert 0o600 == grid.signing_key.stat().st_mode & 0o777


def test_a_manifest_follows_the_code(tmp_path: Path) -> None:
    grid = local(tmp_path)
    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))

    changed = carry_out(plan(grid, manifest=TWO, now=datetime.now(UTC)))

    assert [("write", grid.manifest), ("write", grid.signed_manifest)] == [(step.verb, step.path) for step in changed]
    assert TWO == grid.manifest.read_bytes()
    _, statement, _ = open_signed(grid.signed_manifest, read_keys([grid.manifest_verifier]))
    assert 2 == statement.version


def test_a_manifest_near_its_end_is_signed_again(tmp_path: Path) -> None:
    grid = local(tmp_path)
    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))

    signed = carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC) + timedelta(days=340)))

    assert ("write", grid.signed_manifest) in [(step.verb, step.path) for step in signed]


def test_a_signed_manifest_that_is_lost_comes_back_with_a_version_the_host_takes(tmp_path: Path) -> None:
    grid = local(tmp_path, data=tmp_path)
    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))
    (tmp_path / MEMORY).write_text('{"digest": "sha256:0", "highest": 7, "version": 7}')
    grid.signed_manifest.unlink()

    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))

    _, statement, _ = open_signed(grid.signed_manifest, read_keys([grid.manifest_verifier]))
    assert 8 == statement.version


def test_a_certificate_near_its_end_is_renewed(tmp_path: Path) -> None:
    grid = local(tmp_path)
    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))
    files = grid.certificate("runtime", "py-1")
    Authority.open(grid.authority).issue("runtime", "py-1", files.certificate.parent, lifetime=timedelta(days=6))

    renewed = carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))

    assert [("renew", files.certificate)] == [(step.verb, step.path) for step in renewed]
    assert {"keep"} == verbs(grid)


def test_a_new_authority_renews_all_its_certificates(tmp_path: Path) -> None:
    grid = local(tmp_path)
    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))
    (grid.authority / "authority.key").unlink()
    (grid.authority / "authority.pem").unlink()

    done = carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))

    assert ["make", "renew", "renew", "renew"] == [step.verb for step in done]
    assert {"keep"} == verbs(grid)


def test_a_verifier_key_of_another_key_is_refused(tmp_path: Path) -> None:
    grid = local(tmp_path)
    carry_out(plan(grid, manifest=ONE, now=datetime.now(UTC)))
    grid.verifier_key.write_text("someone else's\n")

    with pytest.raises(ConfigurationError, match="does not belong to the key"):
        plan(grid, manifest=ONE, now=datetime.now(UTC))
