"""Tools from servers of MCP, and a session's tools as a server of MCP.

:func:`offered` looks at a server, :class:`Adoption` keeps what was looked at, :func:`from_mcp` makes tools of it, and
:func:`to_mcp` serves the tools of a session.
The package ``mcp`` is loaded by the functions, not by this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from altar.adapters.mcp.adoption import Adopted, Adoption, Change
from altar.adapters.mcp.servers import HttpServer, McpServer, Secret, StdioServer
from altar.later.extras import loaded

if TYPE_CHECKING:
    import httpx2

    from altar.adapters.mcp.imported_tools import McpTools
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = [
    "Adopted",
    "Adoption",
    "Change",
    "HttpServer",
    "McpServer",
    "StdioServer",
    "from_mcp",
    "offered",
    "to_mcp",
]

PATIENCE = 30.0
RECHECK = 60.0


async def offered(
    server: McpServer,
    *,
    name: str,
    secrets: Mapping[str, Secret] | None = None,
    patience: float = PATIENCE,
    mode: str = "auto",
    stderr: str = "",
    auth: httpx2.Auth | None = None,
) -> Adoption:
    """What a server offers now: each tool with the digest of its document, to be looked at and then adopted.

    ``secrets`` are the variables or headers that the server needs, by their names.
    ``patience`` is in seconds; ``stderr`` is a file that gets what a program writes there.
    ``auth`` is for a server over HTTP that wants OAuth: an ``OAuthClientProvider`` of the package ``mcp``.
    Raises DEPENDENCY_UNAVAILABLE for a server that is not to be had, ENVIRONMENT_ERROR without the extra ``mcp``.
    """
    link = _module("link", what="A server of MCP")
    found: Adoption = await link.look(
        server, name=name, secrets=secrets or {}, patience=patience, mode=mode, stderr=stderr, auth=auth
    )
    return found


def from_mcp(
    adoption: Adoption | str | os.PathLike[str],
    *,
    names: Iterable[str] = (),
    prefix: str = "",
    secrets: Mapping[str, Secret] | None = None,
    register: bool = True,
    recheck: float = RECHECK,
    patience: float = PATIENCE,
    mode: str = "auto",
    stderr: str = "",
    auth: httpx2.Auth | None = None,
) -> McpTools:
    """The tools of a server that were adopted, as ALTAR tools; the server is asked when one of them is called.

    ``adoption`` is one, or the file of one.
    ``names`` are those that the server gives its tools; empty for all. ``prefix`` begins their names here.
    ``recheck`` is for how many seconds the list of a server is believed.
    ``auth`` is as for `offered`; it is used in the event loop of this process's portal.
    Raises INVALID_CONFIG for a file that holds none and for missing secrets, INVALID_DECLARATION for a tool whose
    schema ALTAR refuses or whose texts give orders, ENVIRONMENT_ERROR without the extra ``mcp``.
    """
    from altar.adapters.mcp.servers import secrets_for

    kept = adoption if isinstance(adoption, Adoption) else Adoption.read(adoption)
    wanted = list(names)
    kept = kept.only(wanted) if wanted else kept
    kept.require_plain()
    given = dict(secrets or {})
    secrets_for(kept.server, dict.fromkeys(given, ""))  # names first: a missing one is told here, not in a call
    link = _module("link", what="A tool of a server of MCP").Link(
        kept, secrets=given, recheck=recheck, patience=patience, mode=mode, stderr=stderr, auth=auth
    )
    made: McpTools = _module("imported_tools", what="A tool of a server of MCP").bring(
        kept, link, prefix=prefix, register=register
    )
    return made


def to_mcp(
    session: Session | SyncSession, *, names: Iterable[str] = (), name: str = "altar", instructions: str = ""
) -> Any:
    """A server of MCP that offers the tools of an open session: an ``mcp.server.Server``.

    ``names`` are the tools to offer; empty for all of the session.
    Each call goes through the session, with its checks, its gate and its record.
    Raises ENVIRONMENT_ERROR without the extra ``mcp``.
    """
    server = _module("server", what="A server of MCP")
    return server.serve(session, names=frozenset(names), name=name, instructions=instructions)


def _module(name: str, *, what: str) -> Any:
    """A module of this package that needs the extra."""
    loaded("mcp", extra="mcp", what=what)
    from importlib import import_module

    return import_module(f"altar.adapters.mcp.{name}")
