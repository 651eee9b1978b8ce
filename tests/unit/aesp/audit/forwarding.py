"""Sinks of a log, run for a test, and how far they have come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from altar.aesp.audit.opening import open_records
from altar.aesp.audit.sinks.cursors import Cursors, SinkStatus
from altar.aesp.audit.sinks.forwarder import Forwarder
from altar.aesp.audit.sinks.sink import SinkOptions
from tests.unit.aesp.audit.scene import TIME_MS, all_records

__all__ = ["forwarding", "ids", "ids_in", "options", "status"]


def options(kind: str, address: str, **more: Any) -> SinkOptions:
    given: dict[str, Any] = {"name": "one", "kind": kind, "address": address, "timeout": 5.0}
    return SinkOptions(**(given | more))


@contextmanager
def forwarding(log: Path, *sinks: SinkOptions) -> Iterator[None]:
    with Forwarder(
        log, sinks, records=lambda: open_records(log), wall_ms=lambda: TIME_MS, poll=0.02, longest_pause=0.1
    ):
        yield


def status(log: Path) -> SinkStatus:
    """How the one sink of a log is doing; at 0 until its thread has begun."""
    return next(iter(Cursors(f"{log}.sinks", wall_ms=lambda: TIME_MS).all()), SinkStatus("one", 0))


def ids(log: Path) -> list[str]:
    return [record.id for record in all_records(log)]


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]
