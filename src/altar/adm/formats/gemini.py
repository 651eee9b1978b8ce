"""Gemini's function declarations, function calls and function responses.

In: declarations, calls and results; or an entry of `functionDeclarations`, a part of a content.
Out: the other one.
A schema is written as JSON Schema (`parametersJsonSchema`), which holds all of it.
Gemini's older own schema, in `parameters` and `response`, with upper-case types and `nullable`, is read too.
Members are read in both spellings, `parametersJsonSchema` and `parameters_json_schema`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import quoted
from altar.adm.formats.foreign import Reading, refused, required
from altar.adm.formats.format import CallFormat, Read, Written, abroad, unheld
from altar.adm.formats.messages import (
    answer_of,
    answers,
    call_of,
    failure_of,
    malformed,
    message,
    name_abroad,
    unheld_call,
    unheld_result,
)
from altar.adm.formats.text import arguments_of, error_of_value


class Gemini(CallFormat):
    """An entry of `functionDeclarations`; the name rule and all of ADM's schemas fit as they are."""

    name: ClassVar = "gemini"
    title: ClassVar = "Gemini"
    own: ClassVar = "x_gemini"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return an entry of `functionDeclarations`."""
        there = abroad(declaration, format=self, known=_KNOWN)
        document = {
            "name": there.name,
            "description": declaration.description,
            "parametersJsonSchema": declaration.parameters.json_schema,
            **there.members,
        }
        if declaration.returns is not None:
            document["responseJsonSchema"] = declaration.returns.json_schema
        losses = unheld(declaration, title=self.title, own=self.own, holds=("returns",))
        return Written(document, (*there.losses, *losses))

    def read(self, document: Mapping[str, Any]) -> Read:
        """Return the declaration of an entry of `functionDeclarations`."""
        entry = _camel(required(document, at="", what="A function declaration of Gemini"))
        reading = Reading(self)
        reading.name(entry.get("name"), at="/name")
        reading.description(entry.get("description"), at="/description")
        for name, take in (("parameters", reading.parameters), ("response", reading.returns)):
            raw, old = entry.get(f"{name}JsonSchema"), entry.get(name)
            if raw is not None and old is not None:
                raise refused(f"/{name}", "FORBIDDEN", f"`{name}` and `{name}JsonSchema` exclude each other")
            if old is not None:
                take(_json_schema(old, f"/{name}"), at=f"/{name}")
            else:
                take(raw, at=f"/{name}JsonSchema")
        reading.kept |= {name: held for name, held in entry.items() if name not in _KNOWN}
        return reading.read()

    def write_call(self, call: FunctionCall, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return a part with a `functionCall`."""
        name = name_abroad(call.name, declaration, format=self)
        document = {"functionCall": {"id": call.call_id, "name": name, "args": dict(call.args)}}
        return Written(document, tuple(unheld_call(call, title=self.title, own=self.own)))

    def read_call(
        self,
        document: Mapping[str, Any],
        *,
        declaration: FunctionDeclaration | None = None,
        call_id: str | None = None,
    ) -> FunctionCall:
        """Return the call of a part with a `functionCall`, or of the `functionCall` itself."""
        part = _camel(message(document, what="A function call"))
        held = message(part.get("functionCall", part), what="`functionCall`")
        given = held.get("id")
        args = arguments_of(held.get("args") or {})
        return call_of(name=held.get("name"), args=args, call_id=call_id if given is None else given)

    def write_result(self, result: ToolResult, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return a part with a `functionResponse`: the content as `output`, or the error as `error`."""
        response: dict[str, Any] = {"output": result.content}
        error = failure_of(result)
        if error is not None:
            response = {"error": error.to_adm()}
        name = name_abroad(result.name, declaration, format=self)
        document = {"functionResponse": {"id": result.call_id, "name": name, "response": response}}
        return Written(document, tuple(unheld_result(result, title=self.title, own=self.own)))

    def read_result(self, document: Mapping[str, Any], *, call: FunctionCall) -> ToolResult:
        """Return the result of a part with a `functionResponse`, or of the `functionResponse` itself."""
        part = _camel(message(document, what="A function response"))
        held = message(part.get("functionResponse", part), what="`functionResponse`")
        answers(held.get("id"), call, at="/functionResponse/id")
        response = held.get("response")
        if not isinstance(response, Mapping):
            raise malformed("/functionResponse/response", f"`response` must be an object, not {quoted(response)}")
        if "error" in response and "output" not in response:
            return answer_of(call, None, error_of_value(response["error"]))
        return answer_of(call, response.get("output", response), None)


_KNOWN: Final = frozenset("name description parameters parametersJsonSchema response responseJsonSchema".split())
_COUNTS: Final = frozenset("minItems maxItems minLength maxLength minProperties maxProperties".split())


def _camel(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with its own members in the spelling of Gemini's JSON."""
    return {re.sub("_([a-z])", lambda found: found[1].upper(), name): held for name, held in document.items()}


def _json_schema(held: object, at: str) -> Any:
    """Return the JSON Schema that a schema of Gemini's own kind stands for."""
    if isinstance(held, bool):
        return held
    node = _camel(required(held, at=at, what="A schema of Gemini"))
    written: dict[str, Any] = {}
    order = node.pop("propertyOrdering", None)
    for name, value in node.items():
        if value is None:
            continue
        if name == "type":
            if value != "TYPE_UNSPECIFIED":
                written["type"] = value.lower() if isinstance(value, str) else value
        elif name in {"properties", "defs"} and isinstance(value, Mapping):
            schemas = {key: _json_schema(one, f"{at}/{name}/{key}") for key, one in value.items()}
            written["$defs" if name == "defs" else name] = (
                _in_order(schemas, order) if name == "properties" else schemas
            )
        elif name == "anyOf" and isinstance(value, list):
            written[name] = [_json_schema(one, f"{at}/anyOf/{index}") for index, one in enumerate(value)]
        elif name in {"items", "additionalProperties"}:
            written[name] = _json_schema(value, f"{at}/{name}")
        elif name == "ref" and isinstance(value, str):
            written["$ref"] = value.replace("#/defs/", "#/$defs/")
        elif name == "example":
            written["examples"] = [value]
        elif name in _COUNTS and isinstance(value, str) and value.isdigit():
            written[name] = int(value)  # 64-bit numbers are text in the JSON of protocol buffers
        else:
            written[name] = value
    return written


def _in_order(properties: dict[str, Any], order: object) -> dict[str, Any]:
    names = [name for name in order if name in properties] if isinstance(order, list) else []
    return {name: properties[name] for name in (*names, *(name for name in properties if name not in names))}
