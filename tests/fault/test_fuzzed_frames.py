"""Twenty thousand frames that nobody honest sends, as clients and as runtimes: the host serves on and stays small.

``ALTAR_FAULT_FRAMES`` says how many in all (22000), ``ALTAR_FAULT_SEED`` repeats the choices of an earlier run.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from google.protobuf.message import DecodeError, Message

from altar.testing import LocalGrid, until
from altar.verify import verify
from tests.fault.frames import Forge, hints, hostile, messages_within
from tests.fault.raw import CLIENT, RUNTIME, RawPeer, RawStream, raw_peer
from tests.fault.scene import TOOLS, told, unanswered

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 2**20
GROWTH = 150 * MIB
"""Bytes of memory that a host may have gained when the attack is over."""
AT_ONCE = 6
"""Streams of either kind."""
LONGEST = 24
"""Frames on one stream before it is ended."""
FRAMES = int(os.environ.get("ALTAR_FAULT_FRAMES", "22000"))


class Attack:
    """Streams of one kind, until a number of frames has been sent."""

    def __init__(self, *, frames: int, seed: int, digests: dict[str, bytes], name: str) -> None:
        self.forge = Forge(seed, hints(digests, name=name))
        self.frames = frames
        self.sent = 0
        self.streams = 0
        self.farewells: Counter[str] = Counter()

    async def client(self, peer: RawPeer) -> None:
        """Attack as a client."""
        from altar._proto.altar.grid.v1 import host_pb2

        first = host_pb2.ConnectRequest(
            hello={"protocol_versions": ["1.0"], "capabilities": ["streaming", "contracts"]},
            create_sessions=[{"tag": 1}],
        ).SerializeToString()
        while self.sent < self.frames:
            await self._stream(peer.stream(CLIENT), host_pb2.ConnectRequest, host_pb2.ConnectResponse, first, "hello")

    async def runtime(self, peer: RawPeer, name: str) -> None:
        """Attack as a runtime of this name."""
        from altar._proto.altar.grid.v1 import runtime_pb2

        digest = self.forge.values["digest"][0]
        first = runtime_pb2.AttachRequest(
            announce={"runtime_id": name, "protocol_versions": ["1.0"], "capabilities": ["streaming", "nested"]},
            fulfill={"contracts": [{"name": "again", "version": "1.0.0", "digest": digest}]},
            credits=100,
        ).SerializeToString()
        while self.sent < self.frames:
            await self._stream(
                peer.stream(RUNTIME), runtime_pb2.AttachRequest, runtime_pb2.AttachResponse, first, "announce"
            )

    async def _stream(
        self, stream: RawStream, kind: type[Message], answers: type[Message], first: bytes, opening: str
    ) -> None:
        chance = self.forge.chance
        self.streams += 1
        hearing = asyncio.create_task(self._hear(stream, answers))
        begins_well = chance.random() < 0.95
        frames = [first] if begins_well else [hostile(self.forge, kind, first=first)]
        frames += [
            self.forge.frame(kind, without=frozenset({opening})) for _ in range(chance.randrange(LONGEST) * begins_well)
        ]
        frames.append(hostile(self.forge, kind, first=first))
        for frame in frames:
            if not await stream.send(frame):
                break
            self.sent += 1
        if chance.random() < 0.3:
            stream.leave()
        else:
            await stream.close_writing()
        await asyncio.wait({hearing})
        if not hearing.cancelled():  # gRPC cancels who reads from a stream that was left
            hearing.result()

    async def _hear(self, stream: RawStream, kind: type[Message]) -> None:
        """Listen to the end, and learn what can be used again."""
        while (data := await stream.read()) is not None:
            try:
                frame: object = kind.FromString(data)
            except DecodeError as not_ours:  # a host never sends such a thing
                raise AssertionError(data) from not_ours
            for created in getattr(frame, "sessions_created", ()):
                if created.session_id:
                    self.forge.learn("session_id", created.session_id)
            for authorized in getattr(frame, "authorized", ()):
                if authorized.invocation_id:
                    self.forge.learn("invocation_id", authorized.invocation_id)
            for call in getattr(frame, "calls", ()):
                self.forge.learn("tag", call.tag)
                self.forge.learn("call_tag", call.tag)
                self.forge.learn("parent_tag", call.tag)
            closing = frame.closing  # type: ignore[attr-defined]  # both kinds of answers have it
            if closing.type:
                self.farewells[closing.type] += 1


@pytest.mark.parametrize("mode", ["strict", "development"])
async def test_frames_that_nobody_honest_sends_harm_nobody(tmp_path: Path, mode: str) -> None:
    seed = int(os.environ.get("ALTAR_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"ALTAR_FAULT_SEED={seed}")
    (tmp_path / "ran").touch()
    settings = {"host.mode": mode, "host.local_dispatch": "mallory", "host.heartbeat": 1}
    if mode == "development":
        settings["environment"] = "development"
    with LocalGrid(
        [TOOLS], runtimes=1, directory=tmp_path, settings=settings, environ={"FAULT_RAN": str(tmp_path / "ran")}
    ) as grid:
        host = grid.host
        assert host is not None
        before = psutil.Process(host.pid).memory_info().rss
        began = time.monotonic()

        attacks = await attacked(grid, seed)
        took = time.monotonic() - began
        grown = psutil.Process(host.pid).memory_info().rss - before

        async with grid.session(timeout=20) as session:
            honest = [await session.call("once", key=f"after-{number}", attempt=1) for number in range(3)]
        until(lambda: unanswered(grid) == [], what="an outcome for each intent")
        assert host.alive
        log = host.log
        grid.stop()
        report = verify(grid.export(), vkey=grid.vkey)

    told_of = {kind: dict(attack.farewells) for kind, attack in attacks.items()}
    sent = sum(attack.sent for attack in attacks.values())
    streams = sum(attack.streams for attack in attacks.values())
    print(f"{sent} frames on {streams} streams in {took:.0f} s; grown by {grown / MIB:.0f} MiB; {told_of}")
    assert [(None, None)] * 3 == [told(result) for result in honest]
    assert sent >= FRAMES // 2
    assert grown < GROWTH
    assert "INTERNAL" not in {code for attack in attacks.values() for code in attack.farewells}
    assert [] == [line for line in log.splitlines() if "Traceback" in line or '"level": "error"' in line][:3]
    assert ((), 0) == (report.findings, report.open_intents)
    assert messages_sent_by_peers() == messages_sent_by_peers() & {
        name for attack in attacks.values() for name in attack.forge.made
    }


async def attacked(grid: LocalGrid, seed: int) -> dict[str, Attack]:
    """Send half of the frames to this grid, while an honest client calls and is always served."""
    digests = await digests_of(grid)
    share = FRAMES // 4
    attacks = {
        kind: Attack(frames=share, seed=seed + place, digests=digests, name="mallory")
        for place, kind in enumerate(("client", "runtime"))
    }
    over = asyncio.Event()
    working = asyncio.create_task(honest_calls(grid, over))
    try:
        async with (
            raw_peer(grid.port, grid.certificate("client", "mallory")) as client,
            raw_peer(grid.port, grid.certificate("runtime", "mallory")) as runtime,
            asyncio.TaskGroup() as group,
        ):
            for number in range(1, AT_ONCE + 1):
                group.create_task(attacks["client"].client(client))
                group.create_task(attacks["runtime"].runtime(runtime, f"mallory/{number}"))
    finally:
        over.set()
        failed = await working
    assert [] == failed
    return attacks


async def honest_calls(grid: LocalGrid, over: asyncio.Event) -> list[object]:
    """Call all the while; gives what went wrong."""
    failed: list[object] = []
    async with grid.session(timeout=30) as session:
        number = 0
        while not over.is_set():
            number += 1
            result = await session.call("once", key=f"honest-{number}", attempt=1)
            if result.error is not None:
                failed.append(result.error)
    return failed


async def digests_of(grid: LocalGrid) -> dict[str, bytes]:
    """The contracts that an attacker uses: `again`, which hostile runtimes fulfil too, and no tool of the bystander."""
    from altar._proto.altar.grid.v1 import host_pb2

    async with raw_peer(grid.port, grid.certificate("client", "mallory")) as peer:
        stream = peer.stream(CLIENT)
        hello = host_pb2.ConnectRequest(hello={"protocol_versions": ["1.0"]}, create_sessions=[{"tag": 1}])
        await stream.send(hello.SerializeToString())
        found: dict[str, bytes] = {}
        while not found:
            data = await stream.read()
            assert data is not None
            for created in host_pb2.ConnectResponse.FromString(data).sessions_created:
                found = {each.ref.name: each.ref.digest for each in created.contracts}
        stream.leave()
    wanted = ("again", "values", "nest", "local")
    return {name: found[name] for name in wanted if name in found}


def messages_sent_by_peers() -> set[str]:
    """Every message that a client or a runtime may send on a stream."""
    from altar._proto.altar.grid.v1 import host_pb2, runtime_pb2

    return messages_within(host_pb2.ConnectRequest.DESCRIPTOR) | messages_within(runtime_pb2.AttachRequest.DESCRIPTOR)
