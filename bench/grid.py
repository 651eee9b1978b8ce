"""A governed call over the grid: client, host and runtime are processes of their own, mTLS and both commits are on.

One connection with 1, 64 and 256 calls in flight, one with large ones, and 64 client processes with one call each.
Two more scenes read streams, 64 at a time and one at a time.
CPU comes from the kernel's accounting of each process.
Fsyncs are the commits that the host counts: each is one `fdatasync`, as `strace -c` on a host shows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from altar.testing import LocalGrid, until

__all__ = ["BESIDE", "SCENES", "Grid", "Scene"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Scene:
    """How many client processes, how many calls each has in flight, and which tool they call.

    Of ``streams`` chunks are counted like calls, and a latency is that of a first chunk.
    """

    name: str
    processes: int
    in_flight: int
    tool: str = "probe"
    streams: bool = False


SCENES = (
    Scene("1 in flight", 1, 1),
    Scene("64 in flight", 1, 64),
    Scene("256 in flight", 1, 256),
    Scene("256 in flight, plain function", 1, 256, "probe_sync"),
    Scene("1 in flight, read_only", 1, 1, "probe_read"),
    Scene("256 in flight, read_only", 1, 256, "probe_read"),
    Scene("64 in flight, 64 KiB both ways", 1, 64, "echo"),
    Scene("64 in flight, 64 KiB of bytes both ways", 1, 64, "mirror"),
    Scene("64 processes, 1 each", 64, 1),
    Scene("64 streams, by chunk", 1, 64, "ticks", streams=True),
    Scene("1 stream of 1 chunk, by chunk", 1, 1, "tick", streams=True),
)

BESIDE = SCENES[1]
"""What is measured beside others."""


class Grid:
    """One host and one runtime that are up for a whole run, and the load that is put on them."""

    def __init__(self) -> None:
        self._grid = LocalGrid(
            ["bench.tools"],
            runtimes=1,
            settings={"runtime.concurrency": 256},
            environ={"PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, sys.path)])},
        )

    def __enter__(self) -> Self:
        self._grid.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._grid.__exit__(kind, value, trace)

    def measure(self, scene: Scene, *, seconds: float) -> dict[str, float]:
        """One round: calls/s, latencies in ms, CPU µs per call of each party, commits per call."""
        clients = self._clients(scene, seconds)
        try:
            for _ in range(scene.processes):
                _line(clients)
            before = self._counters()
            clients.stdin.write(b"go\n" * scene.processes)
            clients.stdin.flush()
            reports = [json.loads(_line(clients)) for _ in range(scene.processes)]
            after = self._counters()
        finally:
            clients.stdin.close()
            clients.wait(30)
            clients.stdout.close()
        # The load ran for a quarter longer than it was measured, warming up; CPU and commits are of all of it.
        calls = sum(report["calls"] for report in reports)
        every = max(1, sum(report["all"] for report in reports))
        used = {key: after[key] - before[key] for key in after}
        return {
            "calls/s": calls / seconds,
            "p50 ms": sum(report["p50"] for report in reports) / len(reports),
            "p99 ms": max(report["p99"] for report in reports),
            "client µs": sum(report["cpu"] for report in reports) / every * 1e6,
            "host µs": used["host"] / every * 1e6,
            "runtime µs": used["runtime"] / every * 1e6,
            "fsyncs per call": used["commits"] / every,
        }

    def _clients(self, scene: Scene, seconds: float) -> Any:
        tls = {f"ALTAR_TLS_{part.upper()}": str(path) for part, path in self._grid.options.items()}
        orders = [
            "--processes",
            str(scene.processes),
            "--tool",
            scene.tool,
            "--in-flight",
            str(scene.in_flight),
            "--seconds",
            str(seconds),
            *(["--streams"] if scene.streams else []),
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "bench.load", *orders, "--warm", str(seconds / 4)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | tls | {"ALTAR_SOURCE": self._grid.source},
        )

    def _counters(self) -> dict[str, float]:
        host, runtime = self._grid.host, self._grid.runtimes[1]
        if host is None:
            raise RuntimeError("the host is not running")
        seen = host.log.count('"log": "status"')
        os.kill(host.pid, signal.SIGUSR1)
        until(lambda: host.log.count('"log": "status"') > seen, what="status of the host")
        status = next(line for line in map(json.loads, reversed(host.log.splitlines())) if line["log"] == "status")
        return {
            "host": _cpu(host.pid),
            "runtime": _cpu(runtime.pid),
            "commits": status["commits"],
            "entries": status["entries"],
        }


def _line(client: Any) -> bytes:
    line: bytes = client.stdout.readline()
    if not line:
        raise RuntimeError(f"a client of the load ended with {client.wait(30)}")
    return line


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
