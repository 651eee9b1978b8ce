"""OpenAPI: the operations of an HTTP interface as tools, and the tools of a session as an OpenAPI document.

:func:`from_openapi` makes one tool for each operation of a document; :func:`to_openapi` writes a document of tools;
:func:`serve_openapi` is a web application that answers what that document describes.
Calling operations needs the extra ``openapi``; importing this module loads nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.later.both_ways import BothWays
from altar.later.extras import loaded
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.adapters.openapi.served import OpenApiApp
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = ["Secret", "from_openapi", "serve_openapi", "to_openapi"]

Secret = str | Callable[[], str]
"""A secret, or a function that gives it anew for each request, such as one that reads a file."""


def from_openapi(
    document: Mapping[str, Any] | str | bytes | Path,
    *,
    server: str | None = None,
    allowed: Sequence[str] = (),
    networks: Sequence[str] = (),
    authority: Path | None = None,
    credentials: Mapping[str, Secret] | None = None,
    only: Collection[str] | None = None,
    prefix: str = "",
    refused: Callable[[str, AltarError], object] | None = None,
    adopted: Collection[str] = (),
    check_results: bool = True,
    seconds: float = 30.0,
    max_bytes: int = 4 * 1024 * 1024,
    register: bool = False,
) -> list[ToolFunction[..., Any]]:
    """One tool for each operation of an OpenAPI document of version 3.0, 3.1 or 3.2.

    ``document`` is the document itself, its text as JSON or YAML (which needs the extra ``yaml``), a file with it, or
    the URL it is fetched from once.
    ``server`` is the base URL that all requests go to. Without it the document names it, and may name only an origin
    that is in ``allowed``, or the origin that the document itself was fetched from.
    A name that leads into a private network is refused, unless ``networks`` lists that, such as ``10.1.0.0/16``;
    ``authority`` is a PEM file of certificates to trust instead of the system's.
    ``credentials`` are secrets by the names of the document's security schemes; they are in no contract and no log.
    ``only`` names the operations to take, by their ``operationId`` or as ``get /pets``; ``prefix`` goes before each
    name.
    ``refused`` is told each operation that cannot be a tool, and the others are taken; without it the first one raises.
    ``adopted`` are digests of declarations that were read and accepted although their texts give orders.
    ``check_results`` False does not hold the server to the results that its document promises.
    ``seconds`` bounds one request, ``max_bytes`` its answer.
    Raises INVALID_DECLARATION for what is no such document or cannot be a tool, INVALID_CONFIG for a server that may
    not be reached, DEPENDENCY_UNAVAILABLE for a document that cannot be fetched, ENVIRONMENT_ERROR without the extra.
    """
    loaded("httpx", extra="openapi", what="A tool that calls an HTTP interface")
    from altar.adapters.openapi.documents import read_document
    from altar.adapters.openapi.operations import tools_of
    from altar.adapters.openapi.reach import Reach

    origins = [*allowed, *([server] if server else [])]
    reach = Reach(origins, networks=networks, authority=authority, seconds=seconds, max_bytes=max_bytes)
    read = read_document(document, reach=reach)
    made: list[ToolFunction[..., Any]] = tools_of(
        read,
        reach=reach,
        server=server,
        credentials=dict(credentials or {}),
        only=only,
        prefix=prefix,
        refused=refused,
        adopted=adopted,
        check_results=check_results,
        register=register,
    )
    return made


def to_openapi(
    tools: Session | SyncSession | Iterable[ToolFunction[..., Any] | FunctionDeclaration],
    names: Iterable[str] | None = None,
    *,
    title: str,
    version: str = "1.0.0",
    servers: Sequence[str] = (),
) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the tools of an open session, or of these tools, each as ``POST /tools/{name}``.

    A tool that came from an OpenAPI document is written as the operation that it was.
    Raises UNSUPPORTED_TOOL for a name that is not in the session.
    """
    from altar.adm.formats import OPENAPI
    from altar.later.front import SyncSession
    from altar.later.session import Session

    if isinstance(tools, Session | SyncSession):
        contracts = BothWays(tools).contracts(names)
    else:
        contracts = [one.declaration if isinstance(one, ToolFunction) else one for one in tools]
        wanted = None if names is None else set(names)
        contracts = [one for one in contracts if wanted is None or one.name in wanted]
    return OPENAPI.write_all(contracts, title=title, version=version, servers=servers).document


def serve_openapi(
    session: Session | SyncSession,
    names: Iterable[str] | None = None,
    *,
    title: str = "ALTAR",
    version: str = "1.0.0",
    token: Secret | None = None,
    max_bytes: int = 4 * 1024 * 1024,
) -> OpenApiApp:
    """An ASGI application with the tools of an open session: ``GET /openapi.json`` and ``POST /tools/{name}``.

    ``token`` is what each request must show as a bearer token; without it only clients on this machine are answered.
    ``max_bytes`` bounds the body of a request.
    Whoever may call is the session's principal: give each its own session where that matters.
    """
    from altar.adapters.openapi.served import OpenApiApp

    return OpenApiApp(BothWays(session), names, title=title, version=version, token=token, max_bytes=max_bytes)
