"""Anthropic's tools, plain and strict, and its `tool_use` and `tool_result` blocks.

In: declarations, calls and results; or an entry of `tools`, a content block.
Out: the other one.
A result says by `is_error` whether the call failed; its content is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import pointer, quoted
from altar.adm.formats.foreign import Reading, refused, required
from altar.adm.formats.format import CallFormat, Loss, Read, Written, abroad, unheld
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
from altar.adm.formats.names import fitting
from altar.adm.formats.narrowing import Rules, moved, narrowed
from altar.adm.formats.references import rebased
from altar.adm.formats.text import arguments_of, content_of, error_of_text, error_of_value, error_text, text_of

PROPERTY: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""The names of parameters that Anthropic takes (use `fullmatch`)."""

NOT_AT_THE_ROOT: Final = frozenset({"anyOf", "oneOf", "allOf"})
"""Keywords that Anthropic refuses at the root of an input schema."""

STRICT: Final = Rules(
    title="Anthropic's strict mode",
    keywords=frozenset("type enum const title description".split()),
    formats=frozenset("date-time time date duration email hostname uri ipv4 ipv6 uuid".split()),
    min_items=frozenset({0, 1}),
    recursion=False,
)
"""What strict mode takes, as Anthropic's own library keeps to it."""


class Anthropic(CallFormat):
    """The plain form: the schema as it is, which the model may fail to keep to."""

    name: ClassVar = "anthropic"
    title: ClassVar = "Anthropic"
    own: ClassVar = "x_anthropic"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return an entry of `tools`."""
        schema, losses = self._input_schema(declaration)
        renamed, more = _renamed(schema)
        losses = tuple(loss for loss in losses if not any(loss.path.startswith(f"{one.path}/") for one in more))
        there = abroad(declaration, format=self, known=self._known)
        document = {
            "name": there.name,
            "description": declaration.description,
            "input_schema": renamed,
            **there.members,
        }
        under = tuple(loss.under("/parameters") for loss in (*losses, *more))
        others = tuple(unheld(declaration, title=self.title, own=self.own))
        return Written(document, under + there.losses + others)

    def read(self, document: Mapping[str, Any]) -> Read:
        """Return the declaration of an entry of `tools`; a tool that Anthropic itself runs is refused."""
        entry = required(document, at="", what="A tool of Anthropic")
        kind = entry.get("type")
        if kind is not None and kind != "custom":
            raise refused("/type", "ENUM", f"{quoted(kind)} is a tool of Anthropic's own, without a schema")
        reading = Reading(self)
        reading.name(entry.get("name"), at="/name")
        reading.description(entry.get("description"), at="/description")
        schema = required(entry.get("input_schema"), at="/input_schema", what="`input_schema`")
        reading.parameters(schema, at="/input_schema")
        reading.kept |= {name: held for name, held in entry.items() if name not in self._known}
        return reading.read()

    def write_call(self, call: FunctionCall, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return a `tool_use` block, as an assistant's message holds it."""
        names = {} if declaration is None else _names(declaration.parameters.json_schema)
        args = {names.get(name, name): held for name, held in call.args.items()}
        name = name_abroad(call.name, declaration, format=self)
        document = {"type": "tool_use", "id": call.call_id, "name": name, "input": args}
        return Written(document, tuple(unheld_call(call, title=self.title, own=self.own)))

    def read_call(
        self,
        document: Mapping[str, Any],
        *,
        declaration: FunctionDeclaration | None = None,
        call_id: str | None = None,
    ) -> FunctionCall:
        """Return the call of a `tool_use` block; with the declaration, parameters get their own names again."""
        block = message(document, what="A tool_use block")
        args = arguments_of(block.get("input", {}))
        if declaration is not None:
            real = {other: name for name, other in _names(declaration.parameters.json_schema).items()}
            args = {real.get(name, name): held for name, held in args.items()}
        return call_of(name=block.get("name"), args=args, call_id=block.get("id", call_id))

    def write_result(self, result: ToolResult, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return a `tool_result` block, as a user's message holds it."""
        document: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.call_id}
        error = failure_of(result)
        if error is not None:
            document |= {"content": error_text(error), "is_error": True}
        else:
            document["content"] = text_of(result.content)
        return Written(document, tuple(unheld_result(result, title=self.title, own=self.own)))

    def read_result(self, document: Mapping[str, Any], *, call: FunctionCall) -> ToolResult:
        """Return the result of a `tool_result` block; blocks other than text stay as they are."""
        block = message(document, what="A tool_result block")
        answers(block.get("tool_use_id"), call, at="/tool_use_id")
        held = block.get("content", "")
        if isinstance(held, list) and all(_is_text(part) for part in held):
            held = "".join(part["text"] for part in held)
        if not isinstance(held, str | list):
            raise malformed("/content", "A tool_result block needs text or blocks as `content`")
        if block.get("is_error") is True:
            return answer_of(call, None, error_of_text(held) if isinstance(held, str) else error_of_value(held))
        return answer_of(call, content_of(held) if isinstance(held, str) else held, None)

    _known: ClassVar = frozenset({"type", "name", "description", "input_schema"})

    def _input_schema(self, declaration: FunctionDeclaration) -> tuple[dict[str, Any], tuple[Loss, ...]]:
        why = "Anthropic refuses it at the root of an input schema"
        return moved(declaration.parameters.json_schema, NOT_AT_THE_ROOT, why=why)


class AnthropicStrict(Anthropic):
    """The strict form: the model cannot but keep to the schema, which must stay within a subset."""

    name: ClassVar = "anthropic_strict"
    title: ClassVar = "Anthropic's strict mode"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return an entry of `tools` with `strict: true`."""
        written = super().write(declaration)
        written.document["strict"] = True
        return written

    _known: ClassVar = frozenset({"type", "name", "description", "input_schema", "strict"})

    def _input_schema(self, declaration: FunctionDeclaration) -> tuple[dict[str, Any], tuple[Loss, ...]]:
        return narrowed(declaration.parameters.json_schema, STRICT)


def _renamed(schema: dict[str, Any]) -> tuple[dict[str, Any], list[Loss]]:
    """Give the parameters names that Anthropic takes; `read_call` undoes it with the declaration."""
    names = _names(schema)
    changed = {name: other for name, other in names.items() if name != other}
    if not changed:
        return schema, []
    why = "Anthropic takes letters, digits, '_', '.' and '-' in the name of a parameter, at most 64"
    losses = [Loss("/required", "renamed", why)] if not changed.keys().isdisjoint(schema.get("required", ())) else []
    identity = {"$id": schema.pop("$id")} if "$id" in schema else {}
    for name, other in changed.items():
        losses.append(Loss(pointer("properties", name), f"renamed to {other}", why))
        losses.append(Loss(pointer("properties", other), f"stands for {name!r}", why))
        schema = rebased(schema, old=f"#{pointer('properties', name)}", new=f"#{pointer('properties', other)}")
    schema["properties"] = {names[name]: held for name, held in schema["properties"].items()}
    if "required" in schema:
        schema["required"] = [names.get(name, name) for name in schema["required"]]
    return identity | schema, losses


def _names(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return what each parameter is called at Anthropic."""
    return {name: fitting(name, rule=PROPERTY) for name in schema.get("properties", {})}


def _is_text(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
