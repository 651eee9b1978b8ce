"""OpenAPI 3.1: functions as operations of an HTTP interface.

In: one or many declarations; or an OpenAPI 3.1 document.
Out: the other one.
A function becomes `POST /tools/{name}`: its arguments are the body of the request, its result that of the
response 200, its error that of every other response.
What OpenAPI has no member for stands beside the operation under `x-altar-…`, which OpenAPI keeps for that.
A foreign operation is read with its path, query, header and body; where each argument goes is kept, and
written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import pointer, quoted
from altar.adm.errors import DeclarationError
from altar.adm.formats.components import COMPONENTS, attached, detached
from altar.adm.formats.foreign import Reading, refused, required
from altar.adm.formats.format import Format, Loss, Read, Written, abroad
from altar.adm.formats.references import found

VERSION: Final = "3.1.1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
JSON: Final = "application/json"
METHODS: Final = frozenset("get put post delete options head patch trace".split())

ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "Why a call failed.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "What is wrong, for the caller."},
                "type": {"type": "string", "description": "The code of the error, such as INVALID_TOOL_ARGS."},
                "field_path": {"type": "string", "description": "JSON Pointer to what is wrong."},
                "details": {"type": "object"},
                "hint": {"type": "string", "description": "How to do better."},
                "ran": {"enum": ["no", "yes", "unknown"], "description": "Whether the function ran."},
                "retry_after_ms": {"type": "integer", "minimum": 0},
            },
            "required": ["message"],
        }
    },
    "required": ["error"],
}
"""The body of every response that is not a result."""


class OpenApi(Format):
    """An OpenAPI 3.1 document of one function; `write_all` and `read_all` are for many."""

    name: ClassVar = "openapi"
    title: ClassVar = "OpenAPI"
    own: ClassVar = "x_openapi"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return a document with one operation; its title and version are those of the function."""
        written = self.write_all([declaration], title=declaration.name, version=declaration.version)
        return Written(written.document, tuple(Loss(loss.path[2:], loss.what, loss.why) for loss in written.losses))

    def write_all(
        self,
        declarations: Sequence[FunctionDeclaration],
        *,
        title: str,
        version: str = "1.0.0",
        servers: Sequence[str] = (),
    ) -> Written:
        """Return one document of many functions; the path of a loss begins with the index of the function.

        Raises INVALID_DECLARATION for two functions with one name, as an operation is found by its path.
        """
        document: dict[str, Any] = {
            "openapi": VERSION,
            "info": {"title": title, "version": version},
            "jsonSchemaDialect": DIALECT,
            "paths": {},
            "components": {"schemas": {"altar.Error": dict(ERROR)}},
        }
        if servers:
            document["servers"] = [{"url": url} for url in servers]
        losses: list[Loss] = []
        for index, declaration in enumerate(declarations):
            losses += [loss.under(f"/{index}") for loss in self._add(declaration, document)]
        return Written(document, tuple(losses))

    def read(self, document: Mapping[str, Any]) -> Read:
        """Return the declaration of a document with exactly one operation."""
        operations = list(_operations(document))
        if len(operations) != 1:
            message = f"The document has {len(operations)} operations, not one; `read_all` reads them all"
            raise refused("/paths", "LENGTH", message)
        return self._operation(document, *operations[0])

    def read_all(self, document: Mapping[str, Any]) -> tuple[Read, ...]:
        """Return a declaration for each operation of a document, in the order of its paths."""
        return tuple(self._operation(document, *operation) for operation in _operations(document))

    def _add(self, declaration: FunctionDeclaration, document: dict[str, Any]) -> list[Loss]:
        """Write one operation, and its schemas as components."""
        there = abroad(declaration, format=self, known=_KNOWN)
        place = _Place.of(declaration, there.members)
        operations = document["paths"].setdefault(place.path, {})
        if place.method in operations:
            message = f"Two functions are written as {place.method.upper()} {place.path}"
            raise DeclarationError("INVALID_DECLARATION", message)
        schemas = document["components"]["schemas"]
        arguments, losses = place.arguments(declaration, schemas)
        operation = {
            "operationId": there.name,
            "description": declaration.description,
            **{name: held for name, held in there.members.items() if name not in _PLACE},
            **arguments,
        }
        media: dict[str, Any] = {}
        if declaration.returns is not None:
            schema = declaration.returns.json_schema
            media["schema"], more = attached(schema, schemas, name=declaration.name, part="returns")
            losses += [loss.under("/returns") for loss in more]
        failed = {"schema": {"$ref": f"{COMPONENTS}altar.Error"}}
        operation["responses"] = {
            "200": {"description": _RESULT, "content": {JSON: media}},
            "default": {"description": _FAILED, "content": {JSON: failed}},
        }
        operations[place.method] = operation | _extensions(declaration)
        return [*there.losses, *losses]

    def _operation(
        self, document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], at: str
    ) -> Read:
        reading = Reading(self)
        name = operation.get("operationId", f"{method}_{path}")
        reading.name(name, at=f"{at}/operationId")
        reading.description(operation.get("description"), operation.get("summary"), at=f"{at}/description")
        if (path, method) != (_path(str(name)), "post"):
            reading.kept |= {"path": path, "method": method}
        _arguments(reading, document, operation, at)
        for code, response in required(
            operation.get("responses", {}), at=f"{at}/responses", what="`responses`"
        ).items():
            _response(reading, document, code, response, at=f"{at}/responses/{code}")
        for member, key in _MEMBERS.items():
            reading.member(member, operation.get(key))
        notes = operation.get(_ANNOTATIONS)
        if operation.get("deprecated") is True:
            notes = {**(notes if isinstance(notes, Mapping) else {}), "deprecated": True}
        reading.member("annotations", notes)
        reading.extensions(operation.get(_EXTENSIONS), at=f"{at}/{_EXTENSIONS}")
        reading.kept |= {key: held for key, held in operation.items() if key not in _KNOWN}
        return reading.read()


_ANNOTATIONS: Final = "x-altar-annotations"
_EXTENSIONS: Final = "x-altar-extensions"
_MEMBERS: Final[Mapping[str, str]] = {"version": "x-altar-version", "metadata": "x-altar-metadata"}
_KNOWN: Final = frozenset(
    {"operationId", "description", "deprecated", "parameters", "requestBody", "responses"}
    | {_ANNOTATIONS, _EXTENSIONS, *_MEMBERS.values()}
)
_PLACE: Final = frozenset({"path", "method", "in", "body"})
_RESULT: Final = "What the function returns."
_FAILED: Final = "Why the call failed."


def _path(name: str) -> str:
    return f"/tools/{name}"


def _extensions(declaration: FunctionDeclaration) -> dict[str, Any]:
    """Return what OpenAPI has no member for, and `deprecated`, for which it has one."""
    written: dict[str, Any] = {}
    notes = declaration.annotations.to_adm()
    if notes.pop("deprecated", False):
        written["deprecated"] = True
    if notes:
        written[_ANNOTATIONS] = notes
    if declaration.version != "1.0.0":
        written[_MEMBERS["version"]] = declaration.version
    if declaration.metadata:
        written[_MEMBERS["metadata"]] = dict(declaration.metadata)
    others = {name: held for name, held in declaration.extensions.items() if name != OpenApi.own}
    if others:
        written[_EXTENSIONS] = others
    return written


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an operation is found, and where each of its arguments goes.

    `parameters` maps names of arguments to what OpenAPI says of them; `body` names the argument that is the
    body, "" when there is none, None when the arguments themselves are the body.
    """

    path: str
    method: str
    parameters: Mapping[str, Mapping[str, Any]]
    body: str | None

    @classmethod
    def of(cls, declaration: FunctionDeclaration, kept: Mapping[str, Any]) -> _Place:
        """Return the place that was kept at the import; what cannot be one is as for our own functions."""
        path, method, places, body = (kept.get(name) for name in ("path", "method", "in", "body"))
        is_path = isinstance(path, str) and path.startswith("/")
        if not isinstance(places, Mapping) or not all(isinstance(one, Mapping) for one in places.values()):
            places = {}
        return cls(
            str(path) if is_path else _path(declaration.name),
            str(method) if method in METHODS else "post",
            places,
            body if isinstance(body, str) else None,
        )

    def arguments(
        self, declaration: FunctionDeclaration, components: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Loss]]:
        """Return the members of an operation that take its arguments, and the losses."""
        schema = declaration.parameters.json_schema
        if self.body is None:
            reference, found_ = attached(schema, components, name=declaration.name, part="parameters")
            return {"requestBody": _body(reference)}, [loss.under("/parameters") for loss in found_]
        shared: dict[str, Any] = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
        written: dict[str, Any] = {}
        losses: list[Loss] = []
        for index, (name, held) in enumerate([*self.parameters.items(), (self.body, None)]):
            one = schema.get("properties", {}).get(name)
            if one is None:
                continue
            if isinstance(one, Mapping):
                one, found_ = attached({**one, **shared}, components, name=declaration.name, part=f"parameter{index}")
                losses += [_placed(loss, name) for loss in found_]
            is_required = name in schema.get("required", ())
            if held is None:
                written["requestBody"] = _body(one, is_required=is_required)
            else:
                entry = {**held, "name": held.get("name", name), "required": is_required, "schema": one}
                written.setdefault("parameters", []).append(entry)
        return written, losses


def _placed(loss: Loss, name: str) -> Loss:
    """Return a loss in the schema of one argument as one in the parameters, where the definitions are shared."""
    is_shared = loss.path.startswith(("/$defs/", "/definitions/"))
    return loss.under("/parameters" if is_shared else "/parameters" + pointer("properties", name))


def _body(schema: Any, *, is_required: bool = True) -> dict[str, Any]:
    return {"required": is_required, "content": {JSON: {"schema": schema}}}


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], str]]:
    """Yield path, method, operation and place of each operation; what a path says for all is in each."""
    api = required(document, at="", what="An OpenAPI document")
    version = api.get("openapi")
    if not isinstance(version, str) or not version.startswith(("3.1", "3.2")):
        raise refused("/openapi", "VERSION", f"`openapi` is {quoted(version)}; OpenAPI 3.1 is read")
    for path, held in required(api.get("paths", {}), at="/paths", what="`paths`").items():
        at = "/paths" + pointer(path)
        item = required(held, at=at, what="A path")
        for method, operation in item.items():
            if method in METHODS:
                own = required(operation, at=f"{at}/{method}", what="An operation")
                shared = [*_listed(item, at), *_listed(own, f"{at}/{method}")]
                yield path, method, {**own, "parameters": shared}, f"{at}/{method}"


def _listed(held: Mapping[str, Any], at: str) -> list[Any]:
    parameters = held.get("parameters", [])
    if not isinstance(parameters, list):
        raise refused(f"{at}/parameters", "TYPE", f"`parameters` must be a list, not {quoted(parameters)}")
    return parameters


def _arguments(reading: Reading, document: Mapping[str, Any], operation: Mapping[str, Any], at: str) -> None:
    """Read the arguments from the parameters and the body of an operation, and keep where each one goes."""
    body = _resolved(document, operation.get("requestBody"))
    schema = _json_schema_of(reading, body, at=f"{at}/requestBody")
    whole = detached(schema, document)
    if not operation["parameters"] and isinstance(whole, Mapping) and whole.get("type") == "object":
        reading.parameters(whole, at=f"{at}/requestBody")
        return
    properties: dict[str, Any] = {}
    needed: list[str] = []
    places: dict[str, Any] = {}
    for index, held in enumerate(operation["parameters"]):
        place = f"{at}/parameters/{index}"
        parameter = required(_resolved(document, held), at=place, what="A parameter")
        name = parameter.get("name")
        if not isinstance(name, str) or not name:
            raise refused(f"{place}/name", "TYPE", f"A parameter needs a name, not {quoted(name)}")
        key = name if name not in properties else f"{name}_{parameter.get('in')}"
        one = detached(parameter.get("schema", {}), document, is_part=True)
        if "description" in parameter and isinstance(one, Mapping) and "description" not in one:
            one = {**one, "description": parameter["description"]}
        properties[key] = one
        needed += [key] if parameter.get("required") is True else []
        places[key] = {
            k: v for k, v in parameter.items() if k not in {"schema", "required"} and (k, v) != ("name", key)
        }
    name = "body"
    while name in properties:
        name += "_"
    if schema is not None:
        properties[name] = detached(schema, document, is_part=True)
        needed += [name] if body.get("required") is True else []
    made = {"type": "object", "properties": properties, "required": needed}
    reading.parameters(_lifted(made), at=f"{at}/parameters")
    reading.kept |= {"in": places} if places else {}
    reading.kept |= {"body": name if schema is not None else ""}


def _lifted(schema: dict[str, Any]) -> dict[str, Any]:
    """Bring the definitions that came with each property to the root, where their references look for them."""
    places: dict[str, Any] = {}
    for name, held in schema["properties"].items():
        if isinstance(held, Mapping) and "$defs" in held:
            places |= held["$defs"]
            schema["properties"][name] = {key: one for key, one in held.items() if key != "$defs"}
    return schema | ({"$defs": places} if places else {})


def _response(reading: Reading, document: Mapping[str, Any], code: str, held: object, *, at: str) -> None:
    """Read the result from the response 200, or 201; an error is ALTAR's own in every case."""
    response = _resolved(document, held)
    if code in {"200", "201"}:
        reading.returns(detached(_json_schema_of(reading, response, at=at), document), at=at)
        if response.get("description") != _RESULT:
            reading.lose(f"{at}/description", "left out", "ADM has no description of the result")
    elif code != "default" or response.get("description") != _FAILED:
        reading.lose(at, "left out", "ADM has one form for every error")


def _json_schema_of(reading: Reading, held: Mapping[str, Any], *, at: str) -> Any:
    """Return the schema of a body in JSON, as it stands in the document; None if there is none."""
    content = held.get("content", {})
    for media, described in content.items() if isinstance(content, Mapping) else ():
        kind = media.partition(";")[0].strip()
        if kind == JSON or kind.endswith("+json"):
            return described.get("schema") if isinstance(described, Mapping) else None
        reading.lose(at + pointer("content", media), "left out", "arguments and results are JSON")
    return None


def _resolved(document: Mapping[str, Any], held: object) -> Mapping[str, Any]:
    """Return what a reference to a component stands for; an empty object for what is not there."""
    if isinstance(held, Mapping) and "$ref" in held:
        held = found(document, str(held["$ref"]))
    return held if isinstance(held, Mapping) else {}
