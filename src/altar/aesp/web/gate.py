"""One way for every route: who asks, may they, do it, record it, answer.

What was done is recorded durably before the answer; what was refused is counted where it is much.
A body is read to its limit and no further, and only after the asker may ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from altar.adm.codes import CODES
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, TransportError
from altar.aesp.web.routes import Access, Route

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.principal import Principal
    from altar.aesp.rbac import Rbac

__all__ = ["Asked", "Deed", "Gate", "Handler", "status_of"]

LARGEST_BODY = 1024 * 1024
"""Bytes of one request; what is longer is refused with 413."""

_LONGEST = 128


@dataclass(frozen=True, slots=True)
class Deed:
    """What was asked for, by whom, and how it ended; for the record. No secret and no answer is in it.

    ``about`` is the id of the principal that it was done to, where the resource is one.
    """

    event: str
    tenant: str
    principal: str
    action: str
    resource: str
    outcome: str
    code: str = ""
    correlation: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be answered: who asks, in which tenant, and the body.

    ``who`` and ``tenant`` are None and empty for open routes.
    """

    request: Request
    who: Principal | None
    tenant: str
    body: bytes


Record = Callable[[Deed], Awaitable[None]]
"""Makes the record of a deed durable; raises when it cannot, and then nobody is told that it was done."""

Handler = Callable[[Asked], Awaitable[Response]]
"""Does what a route is for; raises AltarError to refuse."""

Refusal = Callable[[AltarError, Request, int], Response]
"""Writes an error with a status of HTTP in the form of a part, such as SCIM's."""


class Gate:
    """Lets requests through by the table of routes.

    ``verify`` gives the principal of a bearer token or key, in memory; ``record`` makes a deed durable.
    ``denied`` is told of refused ones, and joins those that are many into one entry with a count.
    """

    def __init__(
        self,
        *,
        verify: Callable[[str], Principal],
        directory: Directory,
        rbac: Rbac,
        record: Record,
        denied: Callable[[Deed], None],
    ) -> None:
        self._verify = verify
        self._directory = directory
        self._rbac = rbac
        self._record = record
        self._denied = denied

    async def serve(self, route: Route, handler: Handler, request: Request, *, refuse: Refusal) -> Response:
        """Answer one request by its route."""
        deed = Deed(route.event, "", "", route.action, _resource(route, request), "DENIED")
        allowed = False
        try:
            who = self._who(route, request)
            if who is not None:
                deed = replace(deed, tenant=who.tenant, principal=who.id)
                self._directory.require_active(who.tenant)
                self._rbac.require(who, resource=deed.resource, action=route.action)
            allowed = True
            response = await handler(Asked(request, who, "" if who is None else who.tenant, await _body(request)))
        except AltarError as error:
            is_denial = not allowed or isinstance(error, AuthorizationError)
            await self._tell(route, replace(deed, outcome="DENIED" if is_denial else "FAILURE", code=error.code))
            return refuse(error, request, status_of(error))
        outcome = "SUCCESS" if response.status_code < 400 else "FAILURE"
        await self._tell(route, replace(deed, outcome=outcome))
        return response

    async def _tell(self, route: Route, deed: Deed) -> None:
        """Record a deed; those that anybody can cause without end are counted instead of written one by one."""
        if route.access is Access.OPEN:
            return  # what comes of it is recorded where somebody is proved
        if deed.outcome == "DENIED":
            self._denied(deed)
        else:
            await self._record(deed)

    def _who(self, route: Route, request: Request) -> Principal | None:
        """Give who asks; INVALID_CREDENTIALS when the route needs somebody and nobody is proved."""
        if route.access is Access.OPEN:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthorizationError(
                "INVALID_CREDENTIALS",
                "A bearer token or API key is needed",
                ran="no",
                hint="send Authorization: Bearer …",
            )
        return self._verify(token.strip())


def status_of(error: AltarError) -> int:
    """Give the status of HTTP for an error."""
    return CODES[error.code].http_status


async def _body(request: Request) -> bytes:
    """Read the body; MESSAGE_TOO_LARGE beyond the limit, CANCELLED when the asker has gone."""
    found = bytearray()
    try:
        async for part in request.stream():
            found += part
            if len(found) > LARGEST_BODY:
                raise TransportError(
                    "MESSAGE_TOO_LARGE",
                    f"The body has more than {LARGEST_BODY} bytes",
                    ran="no",
                    hint="send less at once",
                )
    except ClientDisconnect as gone:
        raise ExecutionError("CANCELLED", "The asker has gone", ran="no") from gone
    return bytes(found)


def _resource(route: Route, request: Request) -> str:
    """Give what the permission is asked for: the kind, and the provider's name where the route has one."""
    name = str(request.path_params.get("provider", ""))
    plain = "".join(letter if "!" <= letter <= "~" else "?" for letter in name[:_LONGEST])
    return f"{route.kind}/{plain}" if plain else route.kind
