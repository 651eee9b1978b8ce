"""What runtimes may say of contracts in one frame: so much, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from altar._proto.altar.grid.v1 import runtime_pb2
from altar.grid.host.contract_desk import MAX_FULFILLED, RuntimeContracts
from altar.grid.host.host import Host
from altar.grid.host.runtimes import AttachedRuntime
from altar.testing import PATIENCE
from tests.unit.grid.contracts import MANIFEST, Link
from tests.unit.ledger.samples import entries_in, open_ledger, signer_in


class Place:
    """A strict host with one runtime, and what the runtime is told."""

    def __init__(self, host: Host, path: Path) -> None:
        self.path = path
        self.told = runtime_pb2.AttachResponse()
        self.runtime: AttachedRuntime = host.runtimes.attach("runtime-1", Link())
        self.desk = RuntimeContracts(host, self.put)
        self.desk.announced(self.runtime, runtime_pb2.AnnounceRuntimeResponse())

    def put(self, fill: Callable[[Any], object]) -> None:
        fill(self.told)

    def events(self) -> list[dict[str, Any]]:
        return [entry for entry in entries_in(self.path) if entry.get("event") == "tools.refused"]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    path = tmp_path / "ledger.db"
    loop = asyncio.get_running_loop()

    def deliver(answer: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(answer)

    ledger = open_ledger(path, signer_in(tmp_path), deliver=deliver)
    yield Place(Host(name="host-1", manifest=MANIFEST, ledger=ledger), path)
    await asyncio.to_thread(ledger.close)


async def test_a_frame_that_fulfils_too_many_contracts_is_refused_in_one_answer(place: Place) -> None:
    contract = MANIFEST.find("send")
    right = {
        "name": contract.name,
        "version": contract.version,
        "digest": bytes.fromhex(contract.digest.removeprefix("sha256:")),
    }
    frame = runtime_pb2.AttachRequest(fulfill={"contracts": [right] * (MAX_FULFILLED + 1)})

    place.desk.take(frame)

    (refused,) = place.told.fulfilled.rejected
    assert (refused.error.type, len(place.told.fulfilled.fulfilled)) == ("MALFORMED_REQUEST", 0)
    assert place.told.fulfilled.status == runtime_pb2.FULFILLMENT_STATUS_FAILURE
    assert not place.runtime.fulfils


async def test_a_flood_of_refused_tools_is_mostly_one_count_in_the_record(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.desk.take(runtime_pb2.AttachRequest(register={"declarations": [b"{}"] * 1000}))

    assert len(place.told.registered.rejected) == 1000
    async with asyncio.timeout(PATIENCE):
        while not any(event["note"].startswith("936 more") for event in place.events()):  # noqa: ASYNC110 - the ledger writes in its own thread
            await asyncio.sleep(0.001)
    assert len(place.events()) == 65
    assert len([line for line in caplog.records if line.message == "tool refused"]) == 64
