"""One application and one altar.toml: the profile alone decides where its tools run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.testing import GridProcess, LocalGrid
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(120)

APPLICATION = '''
"""An application that knows nothing of where its tools run."""

import json
import altar


@altar.tool(read_only=True)
def price(item: str, count: int = 1) -> dict[str, int]:
    """What some of an item cost."""
    return {item: 3 * count}


def main() -> None:
    with altar.session(("price",)) as session:
        results = [session.call("price", item="tea", count=2), session.call("price", item=7)]
    print(json.dumps([{**result.to_adm(), "call_id": ""} for result in results]))


if __name__ == "__main__":
    main()
'''

SETTINGS = """
timeout = 20

[tls]
certificate = "certificates/client-client-1.pem"
key = "certificates/client-client-1.key"
authority = "certificates/authority.pem"

[runtime]
runtime_id = "py-${{REGION:-local}}-${{NODE_ID:-0}}"
connect = "127.0.0.1:{port}"
tools = ["application"]

[runtime.tls]
certificate = "certificates/runtime-py-${{REGION:-local}}-${{NODE_ID:-0}}.pem"
key = "certificates/runtime-py-${{REGION:-local}}-${{NODE_ID:-0}}.key"
authority = "certificates/authority.pem"

[profile.dev]
source = "later:"

[profile.staging]
source = "grid://127.0.0.1:{port}"

[profile.prod]
source = "grid://localhost:{port}"
timeout = 10
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    at = tmp_path_factory.mktemp("profiles")
    application = at / "application.py"
    application.write_text(APPLICATION)
    with LocalGrid([str(application)], runtimes=0, directory=at) as running:
        (at / "altar.toml").write_text(SETTINGS.format(port=running.port))
        running.certificate("runtime", "py-eu-7")
        runtime = GridProcess(
            ["runtime", "--profile", "prod"],
            environ=environ() | {"REGION": "eu", "NODE_ID": "7"},
            at=at,
            log=at / "runtime.log",
        )
        running.runtimes[1] = runtime
        assert runtime.ready()["runtime"] == "py-eu-7"
        yield running
        stop_and_audit(running)


def environ() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    return inherited | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NO_COLOR": "1"}


def output(at: Path, profile: str) -> str:
    done = subprocess.run(
        [sys.executable, "application.py"],
        cwd=at,
        env=environ() | {"ALTAR_PROFILE": profile},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_same_application_answers_the_same_under_every_profile(grid: LocalGrid) -> None:
    outputs = {profile: output(grid.directory, profile) for profile in ("dev", "staging", "prod")}

    assert len(set(outputs.values())) == 1, outputs
    assert '"content": {"tea": 6}' in outputs["dev"]
    assert "Argument `item` must be a string, not a number" in outputs["dev"]
    intents = [entry for entry in grid.entries() if entry["kind"] == "intent"]
    outcomes = [entry for entry in grid.entries() if entry["kind"] == "outcome"]
    assert [intent["tool"] for intent in intents] == ["price", "price"]
    assert {outcome["runtime"] for outcome in outcomes} == {"py-eu-7"}


async def test_a_contract_that_changed_meanwhile_is_refused_once_and_then_known(grid: LocalGrid) -> None:
    """The manifest is deployed again while a client is connected and a runtime still has the old code."""
    async with grid.session(("price",)) as session:
        assert (await session.call("price", item="tea")).unwrap() == {"tea": 3}
        application = grid.directory / "application.py"
        application.write_text(APPLICATION.replace("count: int = 1", "count: int = 2"))
        await asyncio.to_thread(grid.altar, "manifest", "build", "application", "-o", str(grid.manifest))
        older = grid.runtimes.pop(1)
        await asyncio.to_thread(grid.restart_host)
        assert await asyncio.to_thread(older.wait) == 2
        assert "The runtime's 'price' at 1.0.0 is not the contract of the host" in older.log
        await asyncio.to_thread(grid.start_runtime, 2)

        stale = await session.call("price", item="tea")
        known = await session.call("price", item="tea")

    assert stale.error is not None
    assert (stale.error.type, stale.error.ran) == ("VERSION_MISMATCH", "no")
    assert stale.error.message == "The contract of 'price' is not the one the caller knows"
    assert known.unwrap() == {"tea": 6}
