"""The crowd of `bench.scale`: many runtimes, or many sessions under an open-loop load, in one process.

It speaks the protocol by hand, so that two cores can hold a thousand peers; every peer has a connection and a
certificate of its own.
It prints ``ready``, waits for ``go`` on stdin, and prints one JSON object at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from altar.grid.trust.tls import CertificateFiles, channel_credentials, require_tls13

require_tls13()

import grpc  # noqa: E402 - TLS settings come first

from altar._proto.altar.adm.v1 import adm_pb2  # noqa: E402 - after gRPC
from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2  # noqa: E402 - after gRPC
from altar.adm.canonical import canonical  # noqa: E402 - after gRPC
from bench.tools import ANSWER, ARGUMENTS  # noqa: E402 - after gRPC

__all__ = ["main"]

SLOTS = 4
HEARTBEAT = 3.0
TICK = 0.002
"""Seconds between two looks of the open loop at what is due."""


class _Peer:
    """One stream over a connection of its own."""

    def __init__(self, orders: argparse.Namespace, role: str, name: str, method: str, response: Any) -> None:
        at = Path(orders.certificates)
        files = CertificateFiles(at / f"{role}-{name}.pem", at / f"{role}-{name}.key", at / "authority.pem")
        self.channel = grpc.aio.secure_channel(
            orders.target, channel_credentials(files), options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.name = name
        self.stream: Any = self.channel.stream_stream(
            method,
            request_serializer=lambda frame: frame.SerializeToString(),
            response_deserializer=response.FromString,
        )()


class _Runtime(_Peer):
    """Announces, fulfils the probe, and answers what comes."""

    def __init__(self, orders: argparse.Namespace, name: str) -> None:
        super().__init__(orders, "runtime", name, "/altar.grid.v1.RuntimeService/Attach", runtime_pb2.AttachResponse)
        self.answered = 0
        self._answer = canonical(ANSWER)
        self._writing = asyncio.Lock()

    async def attach(self) -> None:
        announce = runtime_pb2.AnnounceRuntime(
            runtime_id=self.name, language="python", sdk_version="bench", protocol_versions=["1.0"], concurrency=SLOTS
        )
        await self._write(runtime_pb2.AttachRequest(announce=announce))
        announced = (await self.stream.read()).announced
        mine = [ref for ref in announced.available_contracts if ref.name == "probe"]
        await self._write(runtime_pb2.AttachRequest(fulfill=runtime_pb2.FulfillTools(contracts=mine)))
        fulfilled = False
        while not fulfilled:
            frame: runtime_pb2.AttachResponse = await self.stream.read()
            fulfilled = frame.HasField("fulfilled")
        await self._write(runtime_pb2.AttachRequest(credits=SLOTS))

    async def serve(self) -> None:
        while isinstance(frame := await self.stream.read(), runtime_pb2.AttachResponse):
            if frame.HasField("closing"):
                raise RuntimeError(frame.closing.message)
            if frame.calls:
                answers = runtime_pb2.AttachRequest(credits=len(frame.calls))
                for call in frame.calls:
                    result = answers.results.add(tag=call.tag, invocation_id=call.invocation_id)
                    result.result.call_id, result.result.name = call.call.call_id, call.call.name
                    result.result.status, result.result.content = adm_pb2.RESULT_STATUS_SUCCESS, self._answer
                self.answered += len(frame.calls)
                await self._write(answers)

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self._write(runtime_pb2.AttachRequest(heartbeat=runtime_pb2.Heartbeat()))

    async def _write(self, frame: runtime_pb2.AttachRequest) -> None:
        async with self._writing:
            await self.stream.write(frame)


class _Client(_Peer):
    """Opens sessions, then sends calls when they are due, whatever the answers do."""

    def __init__(self, orders: argparse.Namespace, name: str) -> None:
        super().__init__(orders, "client", name, "/altar.grid.v1.HostService/Connect", host_pb2.ConnectResponse)
        self.sessions: list[str] = []
        self.latencies: list[float] = []
        self.failed: dict[str, int] = {}
        self._due: dict[int, float] = {}
        self._all = asyncio.Event()
        self._arguments = canonical(ARGUMENTS)
        self.sent = 0
        self._once_every: int = orders.once_every
        self._run = f"{time.time_ns():x}"

    async def open(self, count: int) -> None:
        hello = host_pb2.ClientHello(protocol_versions=["1.0"], language="python", sdk_version="bench")
        first = host_pb2.ConnectRequest(hello=hello)
        for number in range(count):
            first.create_sessions.add(tag=number + 1)
        await self.stream.write(first)
        while len(self.sessions) < count:
            frame: host_pb2.ConnectResponse = await self.stream.read()
            if frame.HasField("closing"):
                raise RuntimeError(frame.closing.message)
            for created in frame.sessions_created:
                if created.HasField("error"):
                    raise RuntimeError(created.error.message)
                self.sessions.append(created.session_id)

    async def load(self, rate: float, begin: float, end: float) -> None:
        """Send ``rate`` calls a second from begin to end, by the performance counter."""
        while (now := time.perf_counter()) < end:
            frame = host_pb2.ConnectRequest()
            while (due := begin + self.sent / rate) <= now and due < end:
                self.sent += 1
                self._due[self.sent] = due
                self._all.clear()
                call = frame.calls.add(
                    tag=self.sent, session_id=self.sessions[self.sent % len(self.sessions)], remaining_ms=20_000
                )
                call.call.call_id, call.call.name, call.call.args = f"c{self.sent}", "probe", self._arguments
                if self._once_every and self.sent % self._once_every == 0:
                    call.once, call.call.call_id = True, f"{self._run}-{self.sent}"
            if frame.calls:
                await self.stream.write(frame)
            await asyncio.sleep(TICK)

    async def listen(self) -> None:
        while isinstance(frame := await self.stream.read(), host_pb2.ConnectResponse):
            now = time.perf_counter()
            for result in frame.results:
                self._take(result, now)

    def _take(self, result: call_pb2.ToolResult, now: float) -> None:
        due = self._due.pop(result.tag)
        if not self._due:
            self._all.set()
        if result.result.status == adm_pb2.RESULT_STATUS_SUCCESS:
            self.latencies.append(now - due)
        else:
            code = result.result.error.type
            self.failed[code] = self.failed.get(code, 0) + 1

    async def answered(self) -> None:
        if self._due:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all.wait(), 20)
        if self._due:
            self.failed["no answer"] = len(self._due)


async def _runtimes(orders: argparse.Namespace) -> None:
    runtimes = [_Runtime(orders, f"crowd-{number}") for number in range(orders.first, orders.first + orders.count)]
    for some in (runtimes[at : at + 25] for at in range(0, len(runtimes), 25)):
        await asyncio.gather(*(runtime.attach() for runtime in some))
    tasks = [asyncio.get_running_loop().create_task(step) for each in runtimes for step in (each.serve(), each.beat())]
    _say("ready")
    await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1)  # the end of stdin, too, is the end
    ended = sum(task.done() for task in tasks)
    _say(json.dumps({"answered": sum(each.answered for each in runtimes), "lost": ended}))
    os._exit(0)


async def _clients(orders: argparse.Namespace) -> None:
    clients = [_Client(orders, f"crowd-{number}") for number in range(orders.count)]
    for client in clients:
        await client.open(orders.sessions // orders.count)
    _say("ready")
    await asyncio.get_running_loop().run_in_executor(None, os.read, 0, len("go\n"))
    begin = time.perf_counter() + 0.2
    end = begin + orders.seconds
    rate = orders.rate / len(clients)
    listening = [asyncio.get_running_loop().create_task(client.listen()) for client in clients]
    await asyncio.gather(*(client.load(rate, begin, end) for client in clients))
    await asyncio.gather(*(client.answered() for client in clients))
    latencies = sorted(latency for client in clients for latency in client.latencies)
    failed: dict[str, int] = {}
    for client in clients:
        for code, count in client.failed.items():
            failed[code] = failed.get(code, 0) + count
    _say(
        json.dumps(
            {
                "calls/s": len(latencies) / orders.seconds,
                "p50 ms": latencies[len(latencies) // 2] * 1000,
                "p99 ms": latencies[int(len(latencies) * 0.99)] * 1000,
                "failed": failed,
                "cpu": time.process_time(),
            }
        )
    )
    for task in listening:
        task.cancel()
    os._exit(0)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    """Read the orders and obey."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["runtimes", "clients"])
    parser.add_argument("--target", required=True)
    parser.add_argument("--certificates", required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--once-every", type=int, default=0, help="of so many calls one has an idempotency key")
    orders = parser.parse_args()
    asyncio.run(_runtimes(orders) if orders.what == "runtimes" else _clients(orders))


if __name__ == "__main__":
    main()
