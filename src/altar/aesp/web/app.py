"""The application: each route of the table joined with what answers it, and every error in words.

The parts are given as handlers by their row, such as ``{"GET /scim/v2/Schemas": …}``; parts that a host does not have
are left out together with their rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute

from altar.adm.errors import AltarError, ExecutionError, ValidationError
from altar.aesp.web.gate import Gate, Handler, Refusal
from altar.aesp.web.routes import ROUTES

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Part", "application", "refuse_plainly"]

_log = logging.getLogger(__name__)
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Handlers by their rows, below one prefix, and how errors are written there."""

    prefix: str
    handlers: Mapping[str, Handler]
    refuse: Refusal


class _ScimKind(StringConvertor):
    regex = "Users|Groups"


def application(parts: Iterable[Part], gate: Gate) -> Starlette:
    """Join parts with the table; RuntimeError for a handler without a row, or a row below a part without a handler."""
    register_url_convertor("scim_kind", _ScimKind())
    joined = list(parts)
    routes: list[StarletteRoute] = []
    for part in joined:
        rows = {name for name, route in ROUTES.items() if route.path.startswith(part.prefix)}
        if rows != part.handlers.keys():
            raise RuntimeError(f"routes and handlers differ below {part.prefix}: {sorted(rows ^ part.handlers.keys())}")
        routes += [_route(name, part, gate) for name in ROUTES if name in rows]
    made = Starlette(routes=routes)
    made.add_exception_handler(HTTPException, lambda request, error: _refused(joined, request, cast("Any", error)))
    made.add_exception_handler(Exception, lambda request, error: _failed(joined, request, error))
    return made


def refuse_plainly(error: AltarError, _request: Request, status: int) -> Response:
    """Write an error as JSON: code, message and hint, and never the detail."""
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint or ""}}
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(body, status_code=status, headers=headers)


def _route(name: str, part: Part, gate: Gate) -> StarletteRoute:
    row, handler = ROUTES[name], part.handlers[name]

    async def endpoint(request: Request) -> Response:
        return _guarded(await gate.serve(row, handler, request, refuse=part.refuse))

    return StarletteRoute(row.path, endpoint, methods=[row.method])


def _refused(parts: list[Part], request: Request, error: HTTPException) -> Response:
    """Answer what no route answers."""
    told = ValidationError("MALFORMED_REQUEST", "There is nothing of that name or method here", ran="no")
    return _guarded(_refusal(parts, request)(told, request, error.status_code))


def _failed(parts: list[Part], request: Request, error: Exception) -> Response:
    """Answer a failure that is ours, without a word of it; what it was is for the log."""
    _log.error("a request failed", exc_info=error, extra={"path": request.url.path[:200]})
    told = ExecutionError("INTERNAL", "The request could not be carried out", detail=type(error).__name__)
    return _guarded(_refusal(parts, request)(told, request, 500))


def _refusal(parts: list[Part], request: Request) -> Refusal:
    return next((part.refuse for part in parts if request.url.path.startswith(part.prefix)), refuse_plainly)


def _guarded(response: Response) -> Response:
    for header, value in _HEADERS.items():
        response.headers.setdefault(header, value)
    return response
