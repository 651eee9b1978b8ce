"""STRICT: a host takes signed manifests only, never an older one, and swaps them while it runs."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from altar._proto.altar.grid.v1 import runtime_pb2
from altar.adm.call import ToolResult
from altar.adm.canonical import digest
from altar.grid.manifests.envelope import Envelope
from altar.grid.manifests.manifest_statement import Statement, rollback_statement, statement_in, write_signed
from altar.later.session import Session
from altar.testing import LocalGrid, until
from tests.integration import raw
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

SHOP = '''import altar


@altar.tool
def price(item: str) -> int:
    """Tell a price."""
    return 3
'''
NEWER = '''

@altar.tool(version="2.0.0")
def slow(path: str) -> str:
    """Wait until somebody writes into a file."""
    import pathlib, time
    pathlib.Path(path).touch()
    while not pathlib.Path(path).read_text():
        time.sleep(0.01)
    return pathlib.Path(path).read_text()


@altar.tool(version="1.1.0")
def price(item: str, count: int = 1) -> int:
    """Tell a price, for several."""
    return 3 * count
'''


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    at = tmp_path_factory.mktemp("strict")
    (at / "shop.py").write_text(SHOP + NEWER)
    with LocalGrid([str(at / "shop.py")], runtimes=1, directory=at) as running:
        yield running
        sign(running, only(running, "1.0.0"))
        stop_and_audit(running)


@pytest.fixture(autouse=True)
def begun(grid: LocalGrid) -> None:
    """Each test begins with version 1.0.0 of the tool alone, and with a host and a runtime that run."""
    if grid.host is None or not grid.host.alive:
        sign(grid, only(grid, "1.0.0", "1.1.0"))
        start(grid)
    take(grid, only(grid, "1.0.0"))
    if not grid.runtimes[1].alive:
        grid.start_runtime(1)


def only(grid: LocalGrid, *versions: str) -> dict[str, Any]:
    """The manifest of the modules with these versions only."""
    document: dict[str, Any] = json.loads(grid.manifest.read_text())
    for contract in document["contracts"]:
        functions = contract["function_declarations"]
        contract["function_declarations"] = [one for one in functions if one.get("version", "1.0.0") in versions]
    return document


def highest(grid: LocalGrid) -> int:
    return int(json.loads((grid.directory / "data/manifest.active").read_text())["highest"])


def sign(
    grid: LocalGrid, manifest: dict[str, Any], *, version: int = 0, lifetime: timedelta = timedelta(days=1)
) -> Envelope:
    """Sign a manifest, with the next version unless given, into the file that the host reads."""
    now = datetime.now(UTC).replace(microsecond=0)
    sealed = Statement(version or highest(grid) + 1, now, now + lifetime, "", manifest).seal(grid.manifest_signer)
    write_signed(grid.signed_manifest, sealed)
    return sealed


def hang_up(grid: LocalGrid) -> None:
    """Let the host look at its manifest now."""
    assert grid.host is not None
    grid.host.send(signal.SIGHUP)


def take(grid: LocalGrid, manifest: dict[str, Any], **more: Any) -> Envelope:
    """Sign a manifest and wait until the host has taken it."""
    sealed = sign(grid, manifest, **more)
    hang_up(grid)
    until(lambda: digest(sealed.payload) == memory(grid)["digest"], what="activation")
    return sealed


def memory(grid: LocalGrid) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((grid.directory / "data/manifest.active").read_text())
    return document


def activated(grid: LocalGrid) -> list[str]:
    """What the log of calls says of manifests."""
    return [f"{one['subject']}: {one['note']}" for one in grid.entries() if one.get("event") == "manifest.activated"]


def refused(grid: LocalGrid) -> list[str]:
    """What the log of the process says of manifests it did not take."""
    assert grid.host is not None
    lines = (json.loads(line) for line in grid.host.log.splitlines() if line.startswith("{"))
    return [line["reason"] for line in lines if line.get("log") == "manifest refused"]


def start(grid: LocalGrid) -> None:
    """Start the host on the signed manifest as it is, without signing it again."""
    kept, grid.manifest = grid.manifest, grid.directory / "unsigned.json"
    grid.manifest.write_bytes(
        json.dumps(statement_in(Envelope.read(grid.signed_manifest.read_bytes())).manifest).encode()
    )
    try:
        grid.start_host()
    finally:
        grid.manifest = kept


# ------------------------------------------------------------------------------------------------- at the start


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda grid: grid.signed_manifest.write_bytes(grid.manifest.read_bytes()), "it is not in a signed envelope"),
        (lambda grid: sign(grid, only(grid, "1.0.0"), version=1), "version 1 is not above version"),
    ],
)
def test_a_host_does_not_start_on_a_manifest_it_may_not_trust(
    grid: LocalGrid, make: Callable[[LocalGrid], object], words: str
) -> None:
    assert grid.host is not None
    make(grid)
    files = grid.certificate("host", "host-1")
    tls = {"CERTIFICATE": files.certificate, "KEY": files.key, "AUTHORITY": files.authority}
    environ = {f"ALTAR_HOST_TLS_{name}": str(path) for name, path in tls.items()}
    environ |= {
        "ALTAR_HOST_MANIFEST": str(grid.signed_manifest),
        "ALTAR_HOST_MANIFEST_KEYS": str(grid.directory / "keys/manifest.vkey"),
        "ALTAR_HOST_SIGNING_KEY": str(grid.directory / "keys/ledger.pem"),
        "ALTAR_HOST_DATA": str(grid.directory / "data"),
        "ALTAR_HOST_LISTEN": "127.0.0.1:0",
    }

    with pytest.raises(RuntimeError) as ended:
        grid.altar("host", environ=environ)

    errors = [line for line in str(ended.value).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "is refused: " + words in errors[0]


# -------------------------------------------------------------------------------------------------- while it runs


async def test_a_newer_manifest_is_taken_up_by_itself_and_everybody_is_told(grid: LocalGrid) -> None:
    async with grid.session() as session:
        before = (await session.call("price", item="tea")).unwrap()
        declared = session.declaration("price")
        sealed = sign(grid, only(grid, "1.0.0", "1.1.0"))

        await asyncio.to_thread(until, lambda: session_version(session) == "1.1.0", what="the new contract")
        after = await session.call("price", item="tea", count=2)

    assert declared is not None
    assert ("1.0.0", 3, 6) == (declared.version, before, after.unwrap())
    event = activated(grid)[-1]
    assert event == f"version {highest(grid)}: {digest(sealed.payload)} signed by altar.local/manifest"


def session_version(session: Session) -> str:
    declaration = session.declaration("price")
    return declaration.version if declaration is not None else ""


async def test_a_session_of_one_version_goes_on_when_another_joins_it_and_ends_with_it(grid: LocalGrid) -> None:
    async with grid.session(["price@1.0.0"]) as session:
        await asyncio.to_thread(take, grid, only(grid, "1.0.0", "1.1.0"))
        kept = await session.call("price", item="tea")
        await asyncio.to_thread(take, grid, only(grid, "1.1.0"))
        gone = await session.call("price", item="tea")

    assert 3 == kept.unwrap()
    assert gone.error is not None
    assert gone.error.ran == "no"
    assert gone.error.type in {"UNSUPPORTED_TOOL", "VERSION_MISMATCH"}


async def test_a_call_in_flight_keeps_the_contract_it_began_with(grid: LocalGrid) -> None:
    waiting = grid.directory / "waiting"
    waiting.unlink(missing_ok=True)
    async with grid.session() as session:
        await asyncio.to_thread(take, grid, only(grid, "1.0.0", "2.0.0"))
        running = asyncio.create_task(session.call("slow", path=str(waiting)))
        await asyncio.to_thread(until, waiting.exists, what="the call to begin")
        await asyncio.to_thread(take, grid, only(grid, "1.1.0"))
        waiting.write_text("go on")
        result = await running
        after = await session.call("slow", path=str(waiting))

    assert "go on" == result.unwrap()
    assert after.error is not None
    assert "UNSUPPORTED_TOOL" == after.error.type


async def test_a_manifest_that_may_not_be_trusted_changes_nothing(grid: LocalGrid) -> None:
    sign(grid, only(grid, "1.1.0"), version=1)
    hang_up(grid)
    await asyncio.to_thread(
        until, lambda: any("version 1 is not above" in one for one in refused(grid)), what="refusal"
    )

    async with grid.session() as session:
        result = await session.call("price", item="tea")

    assert 3 == result.unwrap()


async def test_an_expired_manifest_lets_nothing_run_until_it_is_signed_again(grid: LocalGrid) -> None:
    async with grid.session() as session:
        await asyncio.to_thread(take, grid, only(grid, "1.0.0"), lifetime=timedelta(seconds=2))
        results: list[ToolResult] = []
        async with asyncio.timeout(30):
            while not results or results[-1].error is None:
                results.append(await session.call("price", item="tea"))
        await asyncio.to_thread(take, grid, only(grid, "1.0.0"))
        again = await session.call("price", item="tea")

    assert results[-1].error is not None
    assert ("NOT_ACTIVE", "no") == (results[-1].error.type, results[-1].error.ran)
    assert 3 == again.unwrap()


async def test_a_signed_rollback_brings_the_older_contracts_back(grid: LocalGrid) -> None:
    older = take(grid, only(grid, "1.0.0"))
    newer = take(grid, only(grid, "1.1.0"))
    back = rollback_statement(older, replaces=newer, now=datetime.now(UTC), lifetime=timedelta(days=1))
    write_signed(grid.signed_manifest, back.seal(grid.manifest_signer))
    hang_up(grid)
    await asyncio.to_thread(until, lambda: memory(grid)["version"] == back.version, what="rollback")

    async with grid.session() as session:
        version = session_version(session)
        result = await session.call("price", item="tea")

    assert ("1.0.0", 3) == (version, result.unwrap())
    assert back.version < highest(grid)


# --------------------------------------------------------------------------------------------------- registration


def test_a_runtime_that_registers_is_refused_tool_by_tool_and_keeps_what_it_fulfils(grid: LocalGrid) -> None:
    declaration = {"name": "fresh", "description": "Does it.", "parameters": {"type": "OBJECT", "properties": {}}}
    with raw.runtime(grid, "by-hand") as peer:
        raw.announce(peer, "by-hand", [])
        register = runtime_pb2.RegisterTools(declarations=[json.dumps(declaration).encode(), b"{"])
        peer.send(runtime_pb2.AttachRequest(register=register))
        answer = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("registered")).registered

    assert runtime_pb2.FULFILLMENT_STATUS_FAILURE == answer.status
    assert ["INCOMPATIBLE_MODE"] * 2 == [one.error.type for one in answer.rejected]
    assert ["fresh", ""] == [one.contract.name for one in answer.rejected]
    until(lambda: refusals(grid), what="the record")
    assert "fresh@ for all sessions: INCOMPATIBLE_MODE" in refusals(grid)


def refusals(grid: LocalGrid) -> list[str]:
    return [one["note"] for one in grid.entries() if one.get("event") == "tools.refused"]
