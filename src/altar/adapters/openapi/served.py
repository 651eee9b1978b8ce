"""A web application that answers calls of a session's tools, as the OpenAPI document of them describes it.

``GET /openapi.json`` gives that document, ``POST /tools/{name}`` makes a call with the body as its arguments.
It is an ASGI application of its own, without a framework; any server of ASGI runs it.
Who asks must show the token, or be on this machine: and then ask for a name of this machine, so that no page in a
browser can make it ask.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.canonical import canonical, parse
from altar.adm.codes import CODES
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, TransportError, ValidationError
from altar.adm.formats import OPENAPI
from altar.later.both_ways import BothWays

__all__ = ["OpenApiApp"]

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")


class OpenApiApp:
    """The tools of one session behind HTTP. :func:`altar.adapters.openapi.serve_openapi` makes it."""

    def __init__(
        self,
        asked: BothWays,
        names: Iterable[str] | None,
        *,
        title: str,
        version: str,
        token: str | Callable[[], str] | None,
        max_bytes: int,
    ) -> None:
        if isinstance(token, str) and not token.strip():
            raise ConfigurationError("INVALID_CONFIG", "The token of the web application is empty", ran="no")
        self._asked = asked
        self._contracts = {contract.name: contract for contract in asked.contracts(names)}
        self._token = token
        self._max_bytes = max_bytes
        own = [_as_ours(contract) for contract in self._contracts.values()]
        self.document = OPENAPI.write_all(own, title=title, version=version).document
        if token is not None:
            self.document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            self.document["security"] = [{"token": []}]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            status, held, headers = await self._answered(scope, receive)
        except AltarError as refused:
            status, held, headers = _refusal(ErrorObject.of(refused))
        body = canonical(held)
        await send({"type": "http.response.start", "status": status, "headers": [*headers, _JSON, _length(body)]})
        await send({"type": "http.response.body", "body": body})

    async def _answered(self, scope: Scope, receive: Receive) -> tuple[int, Any, list[tuple[bytes, bytes]]]:
        headers = {name.lower(): value for name, value in scope["headers"]}
        self._require_known(scope, headers)
        method, path = scope["method"], scope["path"]
        if (method, path) == ("GET", "/openapi.json"):
            return 200, self.document, []
        contract = self._contracts.get(path.removeprefix("/tools/")) if path.startswith("/tools/") else None
        if contract is None:
            raise ValidationError("UNSUPPORTED_TOOL", f"There is nothing at {path[:100]!r}", ran="no")
        if method != "POST":
            return 405, {"error": {"message": "A tool is called by POST"}}, [(b"allow", b"POST")]
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise ValidationError(
                "MALFORMED_REQUEST", "The arguments are sent as JSON", ran="no", hint="content-type: application/json"
            )
        arguments = parse(await self._body(receive, headers) or b"{}")
        if not isinstance(arguments, dict):
            said = "The arguments must be an object"
            raise ValidationError("INVALID_TOOL_ARGS", said, ran="no", hint=contract.signature)
        result = await self._asked.acall(f"{contract.name}@{contract.version}", arguments)
        return _answer(result)

    def _require_known(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Raise INVALID_CREDENTIALS for who shows no token, PERMISSION_DENIED for who may not ask without one."""
        if self._token is not None:
            token = self._token if isinstance(self._token, str) else self._token()
            kind, _, shown = headers.get(b"authorization", b"").partition(b" ")
            wanted = token.strip().encode("utf-8")  # an empty one, as of a file that was cleared, lets nobody in
            if kind.lower() != b"bearer" or not wanted or not hmac.compare_digest(shown.strip(), wanted):
                raise AuthorizationError("INVALID_CREDENTIALS", "The token is missing or wrong", ran="no")
            return
        client = scope.get("client") or ("", 0)
        if not (_is_loopback(str(client[0])) and _names_here(headers.get(b"host", b"").decode("latin-1"))):
            raise AuthorizationError(
                "PERMISSION_DENIED",
                "Without a token only clients on this machine are answered",
                ran="no",
                hint="serve_openapi(…, token=read_the_token)",
            )

    async def _body(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """The whole body; raises MESSAGE_TOO_LARGE beyond the bound, and reads no further."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise TransportError("CONNECTION_FAILED", "The client has left", ran="no")
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise TransportError(
                    "MESSAGE_TOO_LARGE", f"The arguments have more than {self._max_bytes} bytes", ran="no"
                )
            if not message.get("more_body"):
                return bytes(body)


def _as_ours(contract: FunctionDeclaration) -> FunctionDeclaration:
    """A contract without the place it had in another document: here it is at ``/tools/{name}``."""
    return replace(
        contract, extensions={name: held for name, held in contract.extensions.items() if name != OPENAPI.own}
    )


def _answer(result: ToolResult) -> tuple[int, Any, list[tuple[bytes, bytes]]]:
    if result.status is ResultStatus.SUCCESS:
        return 200, result.content, []
    return _refusal(result.error or ErrorObject("The call failed"))


def _refusal(error: ErrorObject) -> tuple[int, Any, list[tuple[bytes, bytes]]]:
    """The status of an error's code, its document, and when to try again."""
    info = CODES.get(error.type or "")
    headers = []
    if error.retry_after_ms:
        headers.append((b"retry-after", str(math.ceil(error.retry_after_ms / 1000)).encode("ascii")))
    if error.type == "INVALID_CREDENTIALS":
        headers.append((b"www-authenticate", b"Bearer"))
    return info.http_status if info else 500, {"error": error.to_adm()}, headers


async def _lifespan(receive: Receive, send: Send) -> None:
    """Say that there is nothing to start and nothing to stop."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode("ascii")


def _names_here(host: str) -> bool:
    """Whether the name that a request was sent to means this machine, for everybody."""
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    return name == "localhost" or _is_loopback(name.strip("[]"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
