"""The operations of an OpenAPI document as tools that send requests.

A document of OpenAPI 3.1 comes in; a tool for each operation goes out, whose contract is read by ``altar.adm.formats``.
The effects that HTTP promises of a method (RFC 9110 §9.2) are the annotations of its tools.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urljoin

from altar.adapters.openapi.answers import value_of
from altar.adapters.openapi.credentials import Credentials
from altar.adapters.openapi.documents import Document
from altar.adapters.openapi.reach import Origin, Reach
from altar.adapters.openapi.sending import Body, Parameter, Sending
from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.errors import AltarError, ConfigurationError, DeclarationError
from altar.adm.formats import OPENAPI
from altar.adm.formats.names import fitting
from altar.adm.formats.openapi import JSON, METHODS
from altar.adm.formats.references import found
from altar.adm.near import nearest
from altar.adm.schema import Schema
from altar.later.context import ToolContext
from altar.later.imported import imported
from altar.later.imported_text import require_no_orders
from altar.later.tool import ToolFunction

__all__ = ["tools_of"]

_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_IGNORED_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})  # OpenAPI 3.1 §4.8.12.1
_OURS: Final = frozenset(
    "host content-length transfer-encoding connection upgrade te trailer keep-alive cookie expect"
    " proxy-authorization proxy-connection accept-encoding".split()
)
_EFFECTS: Final[Mapping[str, Annotations]] = {
    "get": Annotations(read_only=True, idempotent=True, open_world=True),
    "head": Annotations(read_only=True, idempotent=True, open_world=True),
    "options": Annotations(read_only=True, idempotent=True, open_world=True),
    "put": Annotations(idempotent=True, open_world=True),
    "delete": Annotations(idempotent=True, destructive=True, open_world=True),
}
_PLAIN: Final = Annotations(open_world=True)


def tools_of(
    document: Document,
    *,
    reach: Reach,
    server: str | None,
    credentials: Mapping[str, Any],
    only: Collection[str] | None,
    prefix: str,
    refused: Callable[[str, AltarError], object] | None,
    adopted: Collection[str],
    check_results: bool,
    register: bool,
) -> list[ToolFunction[..., Any]]:
    """The tools of a document; see :func:`altar.adapters.openapi.from_openapi`."""
    operations = list(_operations(document))
    _require_there(only, operations)
    secrets = Credentials(document.held, credentials)
    made: dict[str, ToolFunction[..., Any]] = {}
    for operation in operations:
        if only is not None and not {operation.id, operation.title} & set(only):
            continue
        try:
            operation = _with_parameters(operation, secrets)  # noqa: PLW2901 - the same one, read further
            base = _base(operation, document, reach=reach, server=server)
            declaration = _declaration(operation, prefix=prefix, check_results=check_results)
            if declaration.name in made:
                raise DeclarationError("INVALID_DECLARATION", f"Two operations have the name {declaration.name!r}")
            origin = f"openapi:{base}"
            require_no_orders(declaration, origin=origin, adopted=adopted)
            call = _Call(
                operation.title,
                base=base,
                sending=_sending(operation, declaration),
                add=secrets.of(operation.held),
                reach=reach if server or reach.may(base) else reach.beside(document.url),
            )
            made[declaration.name] = imported(declaration, call, origin=origin)
        except AltarError as error:
            if refused is None:
                raise
            refused(operation.id or operation.title, error)
    if register:
        from altar.later.registry import REGISTRY

        for tool in made.values():
            REGISTRY.register(tool)
    return list(made.values())


# --------------------------------------------------------------------------------------------------------- operations


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation, with what its path says for all: the document, the place in it, and what stands there."""

    document: Mapping[str, Any]
    path: str
    method: str
    held: Mapping[str, Any]

    @property
    def id(self) -> str:
        held = self.held.get("operationId")
        return held if isinstance(held, str) else ""

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"


def _operations(document: Document) -> Iterator[_Operation]:
    paths = document.held.get("paths", {})
    if not isinstance(paths, Mapping):
        raise DeclarationError("INVALID_DECLARATION", "The `paths` of the document are no object", path="/paths")
    for path, item in paths.items():
        item = _resolved(document.held, item)  # noqa: PLW2901 - the same item, where its reference leads
        for method in sorted(METHODS & item.keys()):
            own = item[method]
            if isinstance(own, Mapping):
                shared = {"servers": item["servers"]} if "servers" in item else {}
                listed = [one for held in (item, own) for one in _list_of(held.get("parameters"))]
                yield _Operation(document.held, path, method, {**shared, **own, "parameters": listed})


def _list_of(held: object) -> list[Any]:
    return held if isinstance(held, list) else []


def _with_parameters(operation: _Operation, secrets: Credentials) -> _Operation:
    """The operation with its parameters resolved; one of its own stands for one of its path of the same name and place.

    Those that carry a credential of the operator are left out: a caller is not to give another.
    """
    found_: dict[tuple[str, str], Mapping[str, Any]] = {}
    for held in operation.held["parameters"]:
        one = _resolved(operation.document, held)
        name, place = str(one.get("name")), str(one.get("in"))
        if (place, name.lower()) in secrets.places or (place == "header" and name.lower() in _IGNORED_HEADERS):
            continue
        if place == "querystring" or (place == "header" and name.lower() in _OURS):
            raise DeclarationError(
                "INVALID_DECLARATION", f"A parameter {name[:64]!r} in the {place} is not a caller's to give"
            )
        media = one.get("content")
        if isinstance(media, Mapping) and isinstance(media.get(JSON), Mapping) and "schema" not in one:
            one = {**one, "schema": media[JSON].get("schema", {})}
        found_[name, place] = one
    return replace(operation, held={**operation.held, "parameters": list(found_.values())})


def _require_there(only: Collection[str] | None, operations: list[_Operation]) -> None:
    known = {name for operation in operations for name in (operation.id, operation.title) if name}
    for name in only or ():
        if name not in known:
            near = nearest(name, known)
            raise DeclarationError(
                "INVALID_DECLARATION",
                f"The document has no operation {name!r}",
                hint=f"did you mean {near!r}?" if near else f"there are {len(operations)}",
            )


def _base(operation: _Operation, document: Document, *, reach: Reach, server: str | None) -> str:
    """The URL that the path of an operation is put behind.

    Raises INVALID_CONFIG where the document names one that nobody has listed, or none.
    """
    if server is not None:
        return server.rstrip("/")
    listed = operation.held.get("servers") or operation.document.get("servers") or [{"url": "/"}]
    for one in listed if isinstance(listed, list) else []:
        if not isinstance(one, Mapping) or not isinstance(one.get("url"), str):
            continue
        url = str(one["url"])
        for name, variable in _object(one.get("variables")).items():
            url = url.replace(f"{{{name}}}", str(_object(variable).get("default", "")))
        url = urljoin(document.url, url) if document.url else url
        if "://" in url and (reach.may(url) or _same(url, document.url)):
            return url.rstrip("/")
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"No server of {operation.title!r} is listed as one that requests may go to",
        ran="no",
        hint="say which it is: from_openapi(…, server='https://…'), or list the document's own: allowed=['https://…']",
    )


def _same(url: str, other: str) -> bool:
    return bool(other) and Origin.parse(url) == Origin.parse(other)


# ------------------------------------------------------------------------------------------------------- the contract


def _declaration(operation: _Operation, *, prefix: str, check_results: bool) -> FunctionDeclaration:
    """The contract of one operation, read as the only one of its document."""
    held = {**operation.held, **_with_json_body(operation)}
    document = {**operation.document, "paths": {operation.path: {operation.method: held}}}
    declaration = OPENAPI.read(document).declaration
    annotations = declaration.annotations
    if not annotations.to_adm() or annotations == Annotations(deprecated=True):
        annotations = replace(_EFFECTS.get(operation.method, _PLAIN), deprecated=annotations.deprecated)
    returns = declaration.returns if declaration.returns is not None else _returns(operation)
    return replace(
        declaration,
        name=fitting(prefix + declaration.name),
        annotations=annotations,
        returns=returns if check_results else None,
        metadata={**declaration.metadata, "framework": "openapi", "operation": operation.title},
    )


def _with_json_body(operation: _Operation) -> dict[str, Any]:
    """The body as one of JSON, which is what arguments are; in another media type it is written when it is sent."""
    media, described = _media(operation)
    if media is None or media == JSON:
        return {}
    schema = described.get("schema", {"type": "string"})
    body = _resolved(operation.document, operation.held.get("requestBody"))
    return {"requestBody": {**body, "content": {JSON: {"schema": schema}}}}


def _media(operation: _Operation) -> tuple[str | None, Mapping[str, Any]]:
    """The media type in which a body is sent, and what the document says of it: JSON where it may be."""
    body = _resolved(operation.document, operation.held.get("requestBody"))
    content = body.get("content")
    if not isinstance(content, Mapping) or not content:
        return None, {}
    kinds = {media.partition(";")[0].strip().lower(): media for media in content}
    chosen = next((kind for kind in kinds if kind == JSON or kind.endswith("+json")), None)
    chosen = chosen or next((kind for kind in _FORMS if kind in kinds), None) or next(iter(kinds))
    if chosen == "*/*":
        chosen, described = JSON, content[kinds["*/*"]]
    else:
        described = content[kinds[chosen]]
    return chosen, described if isinstance(described, Mapping) else {}


def _returns(operation: _Operation) -> Schema | None:
    """What an answer without JSON is: text, or bytes as base64 text; None where the document does not say."""
    responses = operation.held.get("responses", {})
    for code in ("200", "201"):
        response = _resolved(operation.document, responses.get(code) if isinstance(responses, Mapping) else None)
        for media in _object(response.get("content")):
            kind = media.partition(";")[0].strip().lower()
            if kind.startswith("text/") or kind.endswith("xml"):
                return Schema.from_json_schema({"type": "string"})
            if "*" not in kind and not kind.endswith("json"):
                return Schema.from_json_schema(
                    {"type": "string", "contentEncoding": "base64", "contentMediaType": kind}
                )
    return None


# ----------------------------------------------------------------------------------------------------------- the call


def _sending(operation: _Operation, declaration: FunctionDeclaration) -> Sending:
    """Where each argument goes, by the keys that the contract has for them."""
    kept = declaration.extensions.get(OPENAPI.own, {})
    places = kept.get("in", {}) if isinstance(kept, Mapping) else {}
    parameters = []
    for key, held in places.items():
        place = str(held.get("in"))
        style = str(held.get("style", "form" if place in {"query", "cookie"} else "simple"))
        parameters.append(
            Parameter(
                key,
                str(held.get("name", key)),
                place,
                style,
                explode=bool(held.get("explode", style == "form")),
                reserved=held.get("allowReserved") is True,
                as_json="content" in held,
            )
        )
    media, described = _media(operation)
    body = None
    if media is not None:
        encoding = {**_binary(operation, described), **_object(described.get("encoding"))}
        whole = kept.get("body") is None if isinstance(kept, Mapping) else True
        body = Body(None if whole else str(kept["body"]), media, encoding)
    return Sending(operation.method, operation.path, tuple(parameters), body)


def _binary(operation: _Operation, described: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The members of a form that are files: by `format: binary`, or by what is encoded in them."""
    schema = _resolved(operation.document, described.get("schema"))
    files: dict[str, Mapping[str, Any]] = {}
    for name, held in _object(schema.get("properties")).items():
        one = _resolved(operation.document, held)
        item = _resolved(operation.document, one.get("items")) if one.get("type") == "array" else one
        if item.get("format") == "binary" or "contentMediaType" in item or "contentEncoding" in item:
            files[name] = {"contentType": item.get("contentMediaType", "application/octet-stream")}
    return files


class _Call:
    """Sends the request of one operation."""

    def __init__(
        self, title: str, *, base: str, sending: Sending, add: Callable[[str, dict[str, str]], str], reach: Reach
    ) -> None:
        method, _, path = title.partition(" ")
        self._title = f"{method.upper()} {path}"
        self._base = base
        self._sending = sending
        self._add = add
        self._reach = reach

    async def __call__(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        """Send it, and take its answer as the result."""
        request = self._sending.request(arguments)
        headers = dict(request.headers)
        url = self._add(self._base + request.target, headers)
        left = context.deadline
        answer = await self._reach.send(
            self._sending.method,
            url,
            headers=headers,
            content=request.content,
            seconds=None if left is None else left.total_seconds(),
        )
        return value_of(answer, operation=self._title)


def _object(held: object) -> Mapping[str, Any]:
    return held if isinstance(held, Mapping) else {}


def _resolved(document: Mapping[str, Any], held: object) -> Mapping[str, Any]:
    """What a reference to a component stands for; an empty object for what is not there."""
    for _ in range(8):
        if not isinstance(held, Mapping) or "$ref" not in held:
            break
        held = found(document, str(held["$ref"]))
    return held if isinstance(held, Mapping) else {}
