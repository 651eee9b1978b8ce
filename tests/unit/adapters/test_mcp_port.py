"""A server of MCP on a port of loopback, as `altar mcp serve --http` starts it."""

from __future__ import annotations

import socket

import pytest

import altar
from altar.adapters.mcp import serving, to_mcp


@altar.tool
def port_probe() -> str:
    """Answer."""
    return "here"


class ConnectedError(Exception):
    """Ends the server as soon as somebody could connect."""


async def test_who_connects_when_the_port_is_told_is_not_refused() -> None:
    def ready(port: int) -> None:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        raise ConnectedError

    async with altar.session(["port_probe"], source="later:") as session:
        with pytest.raises(ConnectedError):
            await serving.on_port(to_mcp(session, name="probe"), port=0, token="t" * 40, ready=ready)
