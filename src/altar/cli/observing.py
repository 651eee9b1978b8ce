"""What a host and a runtime started here are watched by: traces, and the operations endpoint of a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altar import settings
    from altar.grid.host.host import Host
    from altar.grid.telemetry import Role, Tracing

__all__ = ["URL_FILE", "operations", "traced"]

URL_FILE = "operations.url"
"""Beside the ledger while the host runs: where `altar top` finds its endpoint."""


@asynccontextmanager
async def traced(telemetry: settings.Telemetry, *, role: Role, name: str) -> AsyncIterator[Tracing | None]:
    """The traces that the settings ask for, or None; the last spans are sent at the end.

    It imports gRPC, so `require_tls13` must have run.
    """
    if telemetry.otlp_endpoint is None:
        yield None
        return
    from altar.grid.telemetry import open_tracing

    tracing = open_tracing(role=role, name=name, endpoint=telemetry.otlp_endpoint, sample=telemetry.sample)
    try:
        yield tracing
    finally:
        if tracing is not None:
            await asyncio.to_thread(tracing.close)


@asynccontextmanager
async def operations(
    host: Host,
    settings: settings.Host,
    *,
    sinks: Callable[[], Sequence[Mapping[str, Any]]] | None = None,
    governance: Callable[[], Mapping[str, Mapping[str, int]]] | None = None,
) -> AsyncIterator[dict[str, str]]:
    """Serve the operations endpoint if the settings ask for one; gives what the announcement says of it.

    ``sinks`` tells how far the receivers of the log are behind, each time somebody asks; ``governance``
    counts approvals and break-glasses by tenant, on a host that has them.
    """
    if settings.operations is None:
        yield {}
        return
    from altar.grid.host.operations import serve_operations

    def status() -> dict[str, Any]:
        told = host.status() if sinks is None else {**host.status(), "sinks": sinks()}
        return told if governance is None else {**told, "governance": governance()}

    file = settings.data / URL_FILE
    async with serve_operations(status, listen=settings.operations, public=settings.operations_public) as url:
        _write(file, url)
        try:
            yield {"operations": url}
        finally:
            file.unlink(missing_ok=True)


def _write(file: Path, url: str) -> None:
    file.write_text(f"{url}\n", encoding="utf-8")
