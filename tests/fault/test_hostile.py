"""A client and a runtime with valid certificates and bad intentions: the host lives, and all others are served."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from altar.adm.call import ToolResult
from altar.testing import LocalGrid, until
from altar.verify import verify
from tests.fault.raw import CLIENT, RUNTIME, RawPeer, RawStream, raw_peer
from tests.fault.scene import TOOLS, told, told_key, unanswered, when

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 2**20
GROWTH = 100 * MIB
"""Bytes of memory that a host may have gained when the attack is over."""


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[LocalGrid]:
    """A grid with one honest runtime; afterwards the host still lives, small and with a log that verifies."""
    (tmp_path / "ran").touch()
    made = LocalGrid([TOOLS], runtimes=1, directory=tmp_path, environ={"FAULT_RAN": str(tmp_path / "ran")})
    with made as grid:
        assert grid.host is not None
        host = grid.host
        before = psutil.Process(host.pid).memory_info().rss
        yield grid
        until(lambda: unanswered(grid) == [], what="an outcome for each intent")
        grown = psutil.Process(host.pid).memory_info().rss - before
        assert host.alive
        assert grown < GROWTH, f"the host has grown by {grown / MIB:.0f} MiB"
        print(f"the host has grown by {grown / MIB:.1f} MiB")
        grid.stop()
        assert () == verify(grid.export(), vkey=grid.vkey).findings


@asynccontextmanager
async def bystander(grid: LocalGrid) -> AsyncIterator[None]:
    """An honest client that calls all the while; every call of it must succeed."""
    over = asyncio.Event()

    async def work() -> list[ToolResult]:
        results: list[ToolResult] = []
        async with grid.session(timeout=20) as session:
            while not results or not over.is_set():
                results.append(await session.call("once", key=f"honest-{len(results)}", attempt=1))
        return results

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        over.set()
        results = await working
    assert results
    assert [] == [told(result) for result in results if result.error is not None]


@asynccontextmanager
async def attacker(grid: LocalGrid) -> AsyncIterator[RawPeer]:
    """A peer with the certificate of a client."""
    async with bystander(grid), raw_peer(grid.port, grid.certificate("client", "mallory")) as peer:
        yield peer


def hello(**more: Any) -> bytes:
    """A good first frame of a client, with more in it."""
    from altar._proto.altar.grid.v1 import host_pb2

    frame = host_pb2.ConnectRequest(hello={"protocol_versions": ["1.0"]}, **more)
    return frame.SerializeToString()


def calls(*given: dict[str, Any]) -> bytes:
    """A frame of calls, each good but for what is given."""
    from altar._proto.altar.grid.v1 import host_pb2

    frame = host_pb2.ConnectRequest()
    for tag, changes in enumerate(given, 1):
        function = {"call_id": f"c{tag}", "name": "once", "args": b'{"attempt":1,"key":"bad"}'} | changes.pop(
            "call", {}
        )
        frame.calls.add(**({"tag": tag, "remaining_ms": 5000, "call": function} | changes))
    return frame.SerializeToString()


async def results_of(stream: RawStream, count: int) -> dict[int, Any]:
    """The results by their tags, as soon as there are ``count``; fewer when the stream ends before."""
    from altar._proto.altar.grid.v1 import host_pb2

    found: dict[int, Any] = {}
    while len(found) < count:
        data = await stream.read()
        if data is None:
            break
        found |= {result.tag: result.result for result in host_pb2.ConnectResponse.FromString(data).results}
    return found


async def farewell(stream: RawStream, *, runtime: bool = False) -> str:
    """The code with which the host ends a stream, empty when it ends without a word."""
    from altar._proto.altar.grid.v1 import host_pb2, runtime_pb2

    code = ""
    kind: Any = runtime_pb2.AttachResponse if runtime else host_pb2.ConnectResponse
    while (data := await stream.read()) is not None:
        code = kind.FromString(data).closing.type or code
    return code


# ------------------------------------------------------------------------------------------------------ the client


async def test_five_hundred_frames_of_random_bytes_harm_nobody(grid: LocalGrid) -> None:
    chance = random.Random(20_261_122)
    good = [hello(), hello(create_sessions=[{"tag": 1}]), calls({}, {}), hello() + calls({}) + calls({})]

    async with attacker(grid) as peer:
        for _ in range(100):
            stream = peer.stream(CLIENT)
            if chance.random() < 0.7:
                await stream.send(hello())
            for _ in range(5):
                await stream.send(mangled(chance, chance.choice(good)))
            if chance.random() < 0.5:
                await stream.end()
            else:
                stream.leave()


def mangled(chance: random.Random, frame: bytes) -> bytes:
    """Random bytes, or a good frame in which some are wrong, missing or too many."""
    if chance.random() < 0.3:
        return chance.randbytes(chance.randrange(200))
    data = bytearray(frame)
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(data)) if data else 0
        match chance.randrange(3):
            case 0 if data:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                del data[place : place + chance.randrange(1, 9)]
            case _:
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
    return bytes(data)


MALFORMED: dict[str, dict[str, Any]] = {
    "deep": {"call": {"args": b'{"key":' + b"[" * 100_000 + b"]" * 100_000 + b"}"}},
    "deep and open": {"call": {"args": b'{"key":' + b'{"a":' * 100_000}},
    "no UTF-8": {"call": {"args": b'{"attempt":1,"key":"\xff\xfe"}'}},
    "half a surrogate": {"call": {"args": b'{"attempt":1,"key":"\\ud800"}'}},
    "a member twice": {"call": {"args": b'{"attempt":1,"attempt":1,"key":"x"}'}},
    "NaN": {"call": {"args": b'{"attempt":NaN,"key":"x"}'}},
    "infinite": {"call": {"args": b'{"attempt":1e999,"key":"x"}'}},
    "a number of many digits": {"call": {"args": b'{"attempt":' + b"9" * 100_000 + b',"key":"x"}'}},
    "not canonical": {"call": {"args": b'{"key":"x", "attempt":1}'}},
    "a list": {"call": {"args": b"[1]"}},
    "nothing": {"call": {"args": b""}},
    "zeros": {"call": {"args": bytes(1000)}},
    "unknown tool": {"call": {"name": "no_such_tool"}},
    "a long name": {"call": {"name": "x" * 100_000}},
    "no call id": {"call": {"call_id": ""}},
    "a long call id": {"call": {"call_id": "x" * 1000}},
    "a call id of controls": {"call": {"call_id": "a\nb"}},
    "no time": {"remaining_ms": 0},
    "a session of nobody": {"session_id": "session-0"},
    "a long session": {"session_id": "s" * 1000},
    "a long correlation": {"correlation_id": "ü" * 1000},
    "a version of no kind": {"version": ">= 1 || rm"},
    "a digest of one byte": {"contract_digest": b"x"},
    "a digest of many bytes": {"contract_digest": bytes(10_000)},
    "a tag in use": {"tag": 1, "call": {"name": "no_such_tool"}},
    "arguments beyond the limit": {"call": {"args": b'"' + b"x" * (5 * MIB) + b'"'}},
}


async def test_every_malformed_call_is_refused_by_itself_and_the_stream_goes_on(grid: LocalGrid) -> None:
    from altar._proto.altar.adm.v1 import adm_pb2

    async with attacker(grid) as peer:
        stream = peer.stream(CLIENT)
        await stream.send(hello())
        refused = {}
        for name, call in MALFORMED.items():
            await stream.send(calls({**call}))
            refused[name] = (await results_of(stream, 1))[1]
        await stream.send(calls({"remaining_ms": 2**32 - 1}))
        good = (await results_of(stream, 1))[1]
        stream.leave()

    assert {adm_pb2.RESULT_STATUS_ERROR} == {result.status for result in refused.values()}
    assert {} == {name: result.error for name, result in refused.items() if result.error.ran != adm_pb2.RAN_NO}
    assert {} == {name: result.error for name, result in refused.items() if result.error.type == "INTERNAL"}
    assert adm_pb2.RESULT_STATUS_SUCCESS == good.status


async def test_ten_thousand_calls_in_one_frame_are_each_answered(grid: LocalGrid) -> None:
    async with attacker(grid) as peer:
        stream = peer.stream(CLIENT)
        await stream.send(hello())
        await stream.send(calls(*({"remaining_ms": 20_000} for _ in range(10_000))))
        results = await results_of(stream, 10_000)
        stream.leave()

    assert 10_000 == len(results)
    assert {"", "RESOURCE_EXHAUSTED", "TIMEOUT"} >= {result.error.type for result in results.values()}


async def test_sixty_four_megabytes_end_only_the_stream_they_came_on(grid: LocalGrid) -> None:
    async with attacker(grid) as peer:
        streams = [peer.stream(CLIENT) for _ in range(3)]
        for stream in streams:
            await stream.send(hello())
            await stream.send(calls({"call": {"args": b'"' + b"x" * (64 * MIB) + b'"'}}))

        assert ["", "", ""] == [await farewell(stream) for stream in streams]


@pytest.mark.parametrize("field", ["create_sessions", "calls", "cancels", "destroy_sessions"])
async def test_millions_of_empty_items_are_refused_before_they_cost_anything(grid: LocalGrid, field: str) -> None:
    from altar._proto.altar.grid.v1 import host_pb2

    tag = host_pb2.ConnectRequest.DESCRIPTOR.fields_by_name[field].number << 3 | 2
    async with attacker(grid) as peer:
        stream = peer.stream(CLIENT)
        await stream.send(hello())
        await stream.send(bytes((tag, 0)) * (3 * MIB))

        assert "PROTOCOL_VIOLATION" == await farewell(stream)


async def test_a_client_that_never_listens_is_not_listened_to(grid: LocalGrid) -> None:
    flood = calls(*({"call": {"name": "no_such_tool"}} for _ in range(5000)))
    async with attacker(grid) as peer:
        stream = peer.stream(CLIENT)
        await stream.send(hello())
        sending = asyncio.create_task(_send_for_ever(stream, flood))
        await asyncio.wait([sending], timeout=5)
        held_back = not sending.done()
        sending.cancel()
        stream.leave()

    assert held_back, "the host took all that was sent"


async def test_a_stream_that_breaks_the_rules_and_does_not_listen_is_ended_all_the_same(grid: LocalGrid) -> None:
    async with attacker(grid) as peer:
        stream = peer.stream(CLIENT)
        await stream.send(hello())
        await stream.send(calls(*({"call": {"name": "no_such_tool"}} for _ in range(5000))))
        await stream.send(b"\xff")
        await asyncio.sleep(2)  # longer than the host lets a farewell wait

        await stream.end()


async def _send_for_ever(stream: RawStream, frame: bytes) -> None:
    for _ in range(2000):
        await stream.send(frame)


async def test_unknown_fields_enums_and_tags_mean_nothing(grid: LocalGrid) -> None:
    unknown = b"\xfa\x3e\x03abc" + b"\x98\x75\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # fields 1007 and 1875
    async with attacker(grid) as peer:
        stream = peer.stream(CLIENT)
        await stream.send(
            hello(cancels=[{"tag": 2**64 - 1}], destroy_sessions=[{"tag": 1, "session_id": "x"}]) + unknown
        )
        await stream.send(calls({"tag": 2**64 - 1}) + unknown)
        result = (await results_of(stream, 1))[2**64 - 1]
        stream.leave()

    assert "" == result.error.type


async def test_a_stream_that_does_not_begin_with_a_hello_is_ended_with_the_reason(grid: LocalGrid) -> None:
    async with attacker(grid) as peer:
        silent, twice = peer.stream(CLIENT), peer.stream(CLIENT)
        await silent.send(calls({}))
        await twice.send(hello())
        await twice.send(hello())

        assert "VERSION_MISMATCH" == await farewell(silent)
        assert "PROTOCOL_VIOLATION" == await farewell(twice)


async def test_a_client_may_not_attach_as_a_runtime(grid: LocalGrid) -> None:
    async with attacker(grid) as peer:
        stream = peer.stream(RUNTIME)
        await stream.send(announcement("mallory"))

        assert await stream.read() is None


# ----------------------------------------------------------------------------------------------------- the runtime


def announcement(name: str, **more: Any) -> bytes:
    """A good first frame of a runtime, with more in it."""
    from altar._proto.altar.grid.v1 import runtime_pb2

    frame = runtime_pb2.AttachRequest(announce={"runtime_id": name, "protocol_versions": ["1.0"]}, **more)
    return frame.SerializeToString()


def answers(*results: dict[str, Any]) -> bytes:
    """A frame of results."""
    from altar._proto.altar.grid.v1 import runtime_pb2

    return runtime_pb2.AttachRequest(results=list(results)).SerializeToString()


@asynccontextmanager
async def hostile_runtime(grid: LocalGrid, *tools: str) -> AsyncIterator[RawStream]:
    """A runtime called mallory that fulfils these tools and may be sent any number of calls."""
    from altar._proto.altar.grid.v1 import runtime_pb2

    async with raw_peer(grid.port, grid.certificate("runtime", "mallory")) as peer:
        stream = peer.stream(RUNTIME)
        await stream.send(announcement("mallory"))
        data = await stream.read()
        assert data is not None
        offered = runtime_pb2.AttachResponse.FromString(data).announced.available_contracts
        contracts = [contract for contract in offered if contract.name in tools]
        wanted = runtime_pb2.AttachRequest(fulfill={"contracts": contracts}, credits=2**32 - 1)
        await stream.send(wanted.SerializeToString())
        yield stream
        stream.leave()


async def next_call(stream: RawStream) -> Any:
    """The next call that the host sends."""
    from altar._proto.altar.grid.v1 import runtime_pb2

    while (data := await stream.read()) is not None:
        frame = runtime_pb2.AttachResponse.FromString(data)
        if frame.calls:
            return frame.calls[0]
    raise AssertionError("the host ended the stream")


LIES: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "not canonical": ({"status": 1, "content": b'{"key": 1}'}, ("SERIALIZATION_ERROR", "yes")),
    "no JSON": ({"status": 1, "content": b"\xff\x00"}, ("SERIALIZATION_ERROR", "yes")),
    "nothing": ({"status": 1}, ("SERIALIZATION_ERROR", "yes")),
    "NaN": ({"status": 1, "content": b"NaN"}, ("SERIALIZATION_ERROR", "yes")),
    "deep": ({"status": 1, "content": b"[" * 100_000 + b"]" * 100_000}, ("SERIALIZATION_ERROR", "yes")),
    "another type": ({"status": 1, "content": b"7"}, ("SCHEMA_VIOLATION", "yes")),
    "no status": ({"content": b'"x"'}, ("PROTOCOL_VIOLATION", "unknown")),
    "an unknown status": ({"status": 77, "content": b'"x"'}, ("PROTOCOL_VIOLATION", "unknown")),
    "an error without a word": ({"status": 2}, ("INTERNAL", "unknown")),
    "an unknown code": ({"status": 2, "error": {"type": "PWNED", "message": "x", "ran": 2}}, ("INTERNAL", "yes")),
    "an unknown ran": ({"status": 2, "error": {"type": "TIMEOUT", "ran": 99}}, ("TIMEOUT", "unknown")),
    "a long message": (
        {"status": 2, "error": {"type": "TOOL_EXECUTION_FAILED", "message": "x" * MIB, "ran": 2}},
        ("TOOL_EXECUTION_FAILED", "yes"),
    ),
}


async def test_whatever_a_hostile_runtime_answers_the_call_ends_as_a_failure(grid: LocalGrid) -> None:
    told_of = {}
    grid.kill_runtime(1)
    async with hostile_runtime(grid, "once") as runtime, grid.session(timeout=10) as session:
        for name, (result, _) in LIES.items():
            call = asyncio.create_task(session.call("once", key=name, attempt=1))
            tag = (await next_call(runtime)).tag
            await runtime.send(answers({"tag": tag, "result": result}, {"tag": tag, "result": result}))
            told_of[name] = told(await call)

    assert {name: due for name, (_, due) in LIES.items()} == told_of


async def test_a_runtime_can_answer_no_call_but_its_own_and_a_flood_of_answers_harms_nobody(
    grid: LocalGrid, tmp_path: Path
) -> None:
    forged = {"status": 1, "content": b'"forged"'}
    async with bystander(grid), hostile_runtime(grid, "held_once") as runtime, grid.session() as session:
        honest = grid.runtimes[1].pid
        names = [f"a{number}" for number in range(4)]
        waiting = [asyncio.create_task(session.call("held_once", directory=str(tmp_path), name=name)) for name in names]
        await when(lambda: any((tmp_path / f"{name}.{honest}").exists() for name in names), what="an honest run")
        for first in range(0, 100_000, 10_000):
            tags = range(first, first + 10_000)
            await runtime.send(answers(*({"tag": tag, "result": forged} for tag in tags)))
        for name in names:
            (tmp_path / f"{name}.go").touch()
        results = dict(zip(names, await asyncio.gather(*waiting), strict=True))

    ran = [name for name in names if (tmp_path / f"{name}.{honest}").exists()]
    assert ran == [name for name in ran if results[name].unwrap() == name]


async def test_a_runtime_that_never_answers_costs_its_calls_their_time_and_nothing_else(grid: LocalGrid) -> None:
    async with hostile_runtime(grid, "again"), grid.session(timeout=1) as session:
        grid.kill_runtime(1)
        results = await asyncio.gather(*(session.call("again", key=f"k{number}", attempt=1) for number in range(50)))
        await asyncio.to_thread(grid.start_runtime, 1)

    assert {("TIMEOUT", "unknown")} >= {told(result) for result in results} - {("TIMEOUT", "no")}
    async with grid.session(timeout=20) as session:
        assert "later" == told_key(await session.call("once", key="later", attempt=1))


async def test_a_second_runtime_cannot_deny_what_the_first_may_have_done(grid: LocalGrid) -> None:
    grid.kill_runtime(1)
    async with grid.session(timeout=10) as session:
        async with hostile_runtime(grid, "again") as first:
            call = asyncio.create_task(session.call("again", key="k", attempt=1))
            await next_call(first)
        async with hostile_runtime(grid, "again") as second:
            tag = (await next_call(second)).tag
            denial = {"type": "RESOURCE_EXHAUSTED", "message": "never began", "ran": 1}
            await second.send(answers({"tag": tag, "result": {"status": 2, "error": denial}}))

            assert ("RESOURCE_EXHAUSTED", "unknown") == told(await call)


async def test_a_call_that_is_cancelled_between_two_attempts_may_have_run(grid: LocalGrid) -> None:
    grid.kill_runtime(1)
    async with grid.session(timeout=10) as session:
        async with hostile_runtime(grid, "again") as first:
            call = asyncio.create_task(session.call("again", key="k", attempt=1))
            await next_call(first)
        await when(lambda: _events(grid).count("runtime.detached") == 2, what="the loss of the runtime")
        call.cancel()
        await when(lambda: unanswered(grid) == [], what="the outcome")

    (outcome,) = [entry for entry in grid.entries() if entry["kind"] == "outcome"]
    assert ("CANCELLED", "unknown") == (outcome["code"], outcome["ran"])


def _events(grid: LocalGrid) -> list[str]:
    return [entry["event"] for entry in grid.entries() if entry["kind"] == "event"]


async def test_a_runtime_may_not_call_itself_by_another_name(grid: LocalGrid) -> None:
    async with bystander(grid), raw_peer(grid.port, grid.certificate("runtime", "mallory")) as peer:
        stream = peer.stream(RUNTIME)
        await stream.send(announcement("runtime-1", credits=100))

        assert "PERMISSION_DENIED" == await farewell(stream, runtime=True)


async def test_a_runtime_with_other_contracts_is_sent_nothing(grid: LocalGrid) -> None:
    from altar._proto.altar.grid.v1 import runtime_pb2

    lie = {"contracts": [{"name": "once", "version": "1.0.0", "digest": bytes(32)}, {"name": "x", "digest": b"y"}]}
    async with raw_peer(grid.port, grid.certificate("runtime", "mallory")) as peer:
        stream = peer.stream(RUNTIME)
        async with bystander(grid):
            await stream.send(announcement("mallory", fulfill=lie, credits=2**32 - 1))
            frames = [runtime_pb2.AttachResponse.FromString(await stream.read() or b"") for _ in range(1)]
            await stream.send(announcement("mallory"))
            frames += [runtime_pb2.AttachResponse.FromString(data) for data in await _rest(stream)]

    rejected = [entry.contract.name for frame in frames for entry in frame.fulfilled.rejected]
    assert ["once", "x"] == rejected
    assert [] == [call for frame in frames for call in frame.calls]
    assert "PROTOCOL_VIOLATION" == frames[-1].closing.type


@pytest.mark.parametrize("frame", [b"\x12\x00", b"\x1a\x00"], ids=["fulfil", "results"])
async def test_millions_of_empty_items_of_a_runtime_are_refused(grid: LocalGrid, frame: bytes) -> None:
    contracts = b"\x12" + _varint(2 * 3 * MIB) + b"\x0a\x00" * (3 * MIB) if frame == b"\x12\x00" else b""
    async with bystander(grid), raw_peer(grid.port, grid.certificate("runtime", "mallory")) as peer:
        stream = peer.stream(RUNTIME)
        await stream.send(announcement("mallory"))
        await stream.send(contracts or frame * (3 * MIB))

        assert "PROTOCOL_VIOLATION" == await farewell(stream, runtime=True)


async def _rest(stream: RawStream) -> list[bytes]:
    frames = []
    while (data := await stream.read()) is not None:
        frames.append(data)
    return frames


def _varint(number: int) -> bytes:
    data = b""
    while number > 127:
        data += bytes((number & 127 | 128,))
        number >>= 7
    return data + bytes((number,))
