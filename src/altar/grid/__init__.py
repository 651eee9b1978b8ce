"""GRID: the same call across processes and machines.

A client and any number of runtimes dial one host.
The host owns the contracts, decides, records, and sends each call to a runtime that fulfils it.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from altar.later.source import Request, SessionCatalog, ToolSource

__all__ = ["open_source"]


def open_source(request: Request) -> AbstractAsyncContextManager[tuple[SessionCatalog, ToolSource]]:
    """The entry point behind ``grid://host:port``, for :func:`altar.later.source.open_source`.

    gRPC reads its TLS settings when it is imported, so they are made before anything here imports it.
    """
    from altar.grid.trust.tls import require_tls13

    require_tls13()
    if request.options.get("execution_mode", "remote") != "remote" or request.options.get("fallback"):
        from altar.grid.client.governed import connect as connect_governed

        return connect_governed(request)
    from altar.grid.client.client import connect

    return connect(request)
