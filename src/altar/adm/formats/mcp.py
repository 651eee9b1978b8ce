"""MCP's tools, call parameters and call results.

In: declarations, calls and results; or an entry of `tools/list`, the parameters or the result of `tools/call`.
Out: the other one, fit for every revision of the protocol up to 2026-07-28.
What MCP has no member for stands in `_meta`, which it keeps for that, under keys that begin with `altar/`.

Up to revision 2025-11-25 an output schema is that of an object, and so is structured content.
Any other result is therefore wrapped as `{"result": …}`, which `_meta` says, as FastMCP does it too.
MCP's hints are not ADM's annotations: a tool that says nothing counts as destructive and open to the world,
so every hint is written, and an absent one is read as MCP means it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from altar.adm.call import ErrorObject, FunctionCall, ToolResult
from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.formats.foreign import Reading, required
from altar.adm.formats.format import CallFormat, Read, Written, abroad
from altar.adm.formats.messages import answer_of, call_of, failure_of, malformed, message, name_abroad
from altar.adm.formats.references import rebased
from altar.adm.formats.text import UNEXPLAINED, arguments_of, text_of

HINTS: Final[Mapping[str, tuple[str, bool]]] = {
    "read_only": ("readOnlyHint", False),
    "destructive": ("destructiveHint", True),
    "idempotent": ("idempotentHint", False),
    "open_world": ("openWorldHint", True),
}
"""ADM's annotations that MCP has hints for, and what an absent hint means there."""

META: Final = "altar/"
"""The beginning of our keys in `_meta`."""

WRAPPED: Final = META + "wrapped-result"


class Mcp(CallFormat):
    """A `Tool`, the parameters of `tools/call` and a `CallToolResult`."""

    name: ClassVar = "mcp"
    title: ClassVar = "MCP"
    own: ClassVar = "x_mcp"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return an entry of `tools/list`."""
        there = abroad(declaration, format=self, known=_KNOWN)
        kept = there.members
        notes = declaration.annotations.to_adm()
        meta = _object(kept.pop("_meta", None)) | _meta(declaration)
        hints = {hint: notes.pop(name, False) for name, (hint, _) in HINTS.items()}
        if notes:
            meta[META + "annotations"] = notes
        document = {
            "name": there.name,
            "description": declaration.description,
            "inputSchema": declaration.parameters.json_schema,
            "annotations": _object(kept.pop("annotations", None)) | hints,
            **kept,
        }
        if declaration.returns is not None:
            schema, is_bare = declaration.returns.json_schema, declaration.returns.root_type == "object"
            document["outputSchema"] = schema if is_bare else _wrapped(schema)
            meta |= {} if is_bare else {WRAPPED: True}
        if meta:
            document["_meta"] = meta
        return Written(document, there.losses)

    def read(self, document: Mapping[str, Any]) -> Read:
        """Return the declaration of an entry of `tools/list`."""
        tool = required(document, at="", what="A tool of MCP")
        meta = _object(tool.get("_meta"))
        hints = _object(tool.get("annotations"))
        reading = Reading(self)
        reading.name(tool.get("name"), at="/name")
        titles = (tool.get("title"), hints.get("title"))
        reading.description(tool.get("description"), *titles, at="/description")
        schema = required(tool.get("inputSchema"), at="/inputSchema", what="`inputSchema`")
        reading.parameters(schema, at="/inputSchema")
        reading.returns(_unwrapped(tool.get("outputSchema"), meta), at="/outputSchema")
        reading.member("version", meta.pop(META + "version", None))
        reading.member("metadata", meta.pop(META + "metadata", None))
        reading.extensions(meta.pop(META + "extensions", None), at="/_meta")
        reading.member("annotations", _annotations(hints, _object(meta.pop(META + "annotations", None))))
        meta.pop(WRAPPED, None)
        rest = {"annotations": {k: v for k, v in hints.items() if k not in _HINTED}, "_meta": meta}
        reading.kept |= {name: held for name, held in tool.items() if name not in _KNOWN and name not in rest}
        reading.kept |= {name: held for name, held in rest.items() if held}
        return reading.read()

    def write_call(self, call: FunctionCall, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return the parameters of `tools/call`; MCP names a call by its request, so `_meta` has the id."""
        meta: dict[str, Any] = {META + "call-id": call.call_id}
        if call.extensions:
            meta[META + "extensions"] = dict(call.extensions)
        name = name_abroad(call.name, declaration, format=self)
        return Written({"name": name, "arguments": dict(call.args), "_meta": meta})

    def read_call(
        self,
        document: Mapping[str, Any],
        *,
        declaration: FunctionDeclaration | None = None,
        call_id: str | None = None,
    ) -> FunctionCall:
        """Return the call of the parameters of `tools/call`; a `call_id` that is given wins."""
        params = message(document, what="The parameters of tools/call")
        meta = _object(params.get("_meta"))
        given = meta.get(META + "call-id") if call_id is None else call_id
        args = arguments_of(params.get("arguments") or {})
        extensions = _object(meta.get(META + "extensions"))
        return call_of(name=params.get("name"), args=args, call_id=given, extensions=extensions)

    def write_result(self, result: ToolResult, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return a `CallToolResult`; give the declaration where it has `returns`, which says what is wrapped."""
        meta: dict[str, Any] = {}
        for name in ("usage", "metadata"):
            if getattr(result, name) is not None:
                meta[META + name] = dict(getattr(result, name))
        if result.extensions:
            meta[META + "extensions"] = dict(result.extensions)
        document: dict[str, Any]
        error = failure_of(result)
        if error is not None:
            document = _error(error, meta)
        else:
            schema = None if declaration is None else declaration.returns
            is_bare = isinstance(result.content, Mapping) and (schema is None or schema.root_type == "object")
            if not is_bare:
                meta[WRAPPED] = True
            structured = result.content if is_bare else {"result": result.content}
            document = {"content": [_text(text_of(result.content))], "structuredContent": structured, "isError": False}
        document["resultType"] = "complete"
        return Written(document | ({"_meta": meta} if meta else {}))

    def read_result(self, document: Mapping[str, Any], *, call: FunctionCall) -> ToolResult:
        """Return the result of a `CallToolResult`.

        Without structured content, one block of text is the content; any other blocks are, as they stand.
        """
        held = message(document, what="A result of tools/call")
        if held.get("resultType", "complete") != "complete":
            raise malformed("/resultType", "The server asks for more before it answers the call")
        blocks = held.get("content", [])
        if not isinstance(blocks, list):
            raise malformed("/content", "A result of tools/call needs a list as `content`")
        meta = _object(held.get("_meta"))
        parts: dict[str, Any] = {name: meta.pop(META + name, None) for name in ("usage", "metadata")}
        extensions = _object(meta.pop(META + "extensions", None))
        is_wrapped = meta.pop(WRAPPED, False) is True or _object(meta.get("fastmcp")).get("wrap_result") is True
        told = _object(meta.pop(META + "error", None))
        meta = {name: one for name, one in meta.items() if not name.startswith(_PROTOCOL)}
        rest: dict[str, Any] = {"_meta": meta} if meta else {}
        if held.get("structuredContent") is not None:
            others = [block for block in blocks if _text_in(block) is None]
            rest |= {"content": others} if others else {}
        if rest:
            extensions[self.own] = rest
        if held.get("isError") is True:
            answer = answer_of(call, None, _error_of(blocks, told))
        else:
            answer = answer_of(call, _content(held.get("structuredContent"), blocks, is_wrapped=is_wrapped), None)
        adm = {name: one for name, one in parts.items() if one is not None}
        result, found = ToolResult.read(extensions | adm | answer.to_adm(), mode="lenient")
        if result is None:
            raise malformed(found[0].path or "", found[0].message)
        return result


_KNOWN: Final = frozenset({"name", "description", "inputSchema", "outputSchema"})
_PROTOCOL: Final = ("io.modelcontextprotocol/", "modelcontextprotocol.io/")
"""Keys of `_meta` that speak of the connection, not of the result."""
_HINTED: Final = frozenset(hint for hint, _ in HINTS.values())


def _meta(declaration: FunctionDeclaration) -> dict[str, Any]:
    """Return what MCP has no member for, but for the annotations."""
    meta: dict[str, Any] = {}
    if declaration.version != "1.0.0":
        meta[META + "version"] = declaration.version
    if declaration.metadata:
        meta[META + "metadata"] = dict(declaration.metadata)
    others = {name: held for name, held in declaration.extensions.items() if name != Mcp.own}
    if others:
        meta[META + "extensions"] = others
    return meta


def _annotations(hints: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the hints say of a tool; an absent hint says what MCP says it does."""
    notes: dict[str, Any] = {}
    for name, (hint, absent) in HINTS.items():
        held = hints.get(hint)
        notes[name] = absent if held is None else held
    if hints.get("destructiveHint") is None and notes["read_only"] is True:
        notes["destructive"] = False  # the hint means something only for a tool that changes things
    return {**others, **notes}


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    inner = rebased(schema, old="#", new="#/properties/result")
    return {"type": "object", "properties": {"result": inner}, "required": ["result"]}


def _unwrapped(schema: object, meta: Mapping[str, Any]) -> object:
    """Return the schema of the result itself, where the output schema says that it is wrapped."""
    if not isinstance(schema, Mapping):
        return schema
    is_wrapped = meta.get(WRAPPED) is True or schema.get("x-fastmcp-wrap-result") is True
    inner = _object(schema.get("properties")).get("result")
    if not is_wrapped or not isinstance(inner, Mapping):
        return schema
    places = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    return {**rebased(inner, old="#/properties/result", new="#"), **places}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _text_in(block: object) -> str | None:
    if isinstance(block, Mapping) and block.get("type") == "text" and isinstance(block.get("text"), str):
        return str(block["text"])
    return None


def _error(error: ErrorObject, meta: dict[str, Any]) -> dict[str, Any]:
    """Write the message as text for the model, and below it what else helps; `_meta` holds the other members."""
    told = error.to_adm()
    del told["message"]
    if told:
        meta[META + "error"] = told
    whole = replace(error, type=None).text
    rest = whole.removeprefix(error.message).strip("\n") if whole.startswith(error.message) else ""
    return {"content": [_text(text) for text in (error.message, rest) if text], "isError": True}


def _error_of(blocks: list[Any], told: dict[str, Any]) -> ErrorObject:
    texts = [text for text in map(_text_in, blocks) if text is not None]
    message_ = "\n".join(texts[:1] if told else texts)
    if not message_.strip():
        message_ = canonical(blocks).decode("utf-8") if blocks else UNEXPLAINED
    error, found = ErrorObject.read({**told, "message": message_}, mode="lenient")
    if error is None:
        raise malformed(f"/_meta/{META.replace('/', '~1')}error{found[0].path}", found[0].message)
    return error


def _content(structured: Any, blocks: list[Any], *, is_wrapped: bool) -> Any:
    if structured is not None:
        if is_wrapped and isinstance(structured, Mapping) and structured.keys() == {"result"}:
            return structured["result"]
        return structured
    if not blocks:
        return None
    text = _text_in(blocks[0]) if len(blocks) == 1 else None
    return blocks if text is None else text


def _object(held: object) -> dict[str, Any]:
    """Return a copy of an object; an empty one for anything else."""
    return dict(held) if isinstance(held, Mapping) else {}
