"""Serving the application: uvicorn in this loop, over TLS unless it is loopback, ended with the block."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvicorn

from altar.adm.errors import ConfigurationError
from altar.aesp.web.connections import MOST_AT_ONCE, Connection
from altar.grid.host.operations import is_loopback

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["WebServer"]

_PATIENCE = 5


class WebServer:
    """An HTTP server for as long as its ``async with`` lasts, at ``host:port``; port 0 lets the system choose.

    Without a certificate it serves on loopback only.
    """

    def __init__(
        self, app: Starlette, address: str, *, certificate: Path | None = None, private_key: Path | None = None
    ) -> None:
        """Check the address; ConfigurationError INCOMPATIBLE_MODE for plain HTTP beyond loopback."""
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._is_secure = certificate is not None
        if not self._is_secure and not is_loopback(self._host):
            raise ConfigurationError(
                "INCOMPATIBLE_MODE",
                f"{address!r} would serve tokens in clear text",
                hint="give a certificate and its key, or an address on loopback",
            )
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=True,
            lifespan="off",
            http=Connection,
            limit_concurrency=MOST_AT_ONCE,
            h11_max_incomplete_event_size=64 * 1024,
            timeout_keep_alive=_PATIENCE,
            timeout_graceful_shutdown=_PATIENCE,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None
        self._bound: socket.socket | None = None

    @property
    def address(self) -> str:
        """Give ``http[s]://host:port`` with the port that is bound."""
        scheme = "https" if self._is_secure else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        """Bind and serve; ConfigurationError ENVIRONMENT_ERROR when the port cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        bound = socket.socket(family)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, self._port))
        except OSError as error:
            bound.close()
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"{self._host}:{self._port} cannot be listened on",
                hint="choose another address",
                detail=str(error),
            ) from error
        self._port = int(bound.getsockname()[1])
        self._bound = bound
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]))
        self._task.add_done_callback(lambda _: self._server.ready.set())
        await self._server.ready.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what runs, for five seconds at most."""
        self._server.should_exit = True
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task
        if self._bound is not None:
            self._bound.close()


class _QuietServer(uvicorn.Server):
    """Leaves signals to the host, and says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self.ready.set()

    def install_signal_handlers(self) -> None:
        """Do nothing."""

    def capture_signals(self) -> _Nothing:  # type: ignore[override]  # a context manager that does nothing
        """Do nothing."""
        return _Nothing()


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
