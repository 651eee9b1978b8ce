"""OpenAI's function tools, plain and strict, and its tool calls and tool messages.

In: declarations, calls and results; or a `tools` entry, a tool call, a message of role `tool`.
Out: the other one.
The form is that of Chat Completions, `{"type": "function", "function": {…}}`; the flat form of the Responses
API is read as well.
Arguments travel as a JSON text, and so do results: OpenAI has no member that says a call failed, so an error
is written as `{"error": {…}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import quoted
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
from altar.adm.formats.narrowing import Rules, moved, narrowed
from altar.adm.formats.nulls import without_nulls
from altar.adm.formats.text import arguments_of, content_of, error_of_value, text_of

NOT_AT_THE_ROOT: Final = frozenset({"anyOf", "oneOf", "allOf", "enum", "not"})
"""Keywords that OpenAI refuses at the root of the parameters."""

STRICT: Final = Rules(
    title="OpenAI's strict mode",
    keywords=frozenset(
        "type enum const title description pattern multipleOf minimum maximum exclusiveMinimum exclusiveMaximum"
        " maxItems".split()
    ),
    formats=frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split()),
    requires_all=True,
)
"""What strict mode takes, by OpenAI's guide to structured outputs."""


class OpenAI(CallFormat):
    """The plain form: the schema as it is, which the model may fail to keep to."""

    name: ClassVar = "openai"
    title: ClassVar = "OpenAI"
    own: ClassVar = "x_openai"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return an entry of `tools`."""
        parameters, losses = self._parameters(declaration)
        there = abroad(declaration, format=self, known=self._known)
        function = {
            "name": there.name,
            "description": declaration.description,
            "parameters": parameters,
            **there.members,
        }
        under = tuple(loss.under("/parameters") for loss in losses)
        others = tuple(unheld(declaration, title=self.title, own=self.own))
        return Written({"type": "function", "function": function}, under + there.losses + others)

    def read(self, document: Mapping[str, Any]) -> Read:
        """Return the declaration of an entry of `tools`, in either of the two forms."""
        entry = required(document, at="", what="A tool of OpenAI")
        if entry.get("type", "function") != "function":
            raise refused("/type", "ENUM", f"A tool of OpenAI has the type 'function', not {quoted(entry['type'])}")
        at = "/function" if "function" in entry else ""
        function = required(entry["function"], at=at, what="`function`") if at else entry
        reading = Reading(self)
        reading.name(function.get("name"), at=f"{at}/name")
        reading.description(function.get("description"), at=f"{at}/description")
        reading.parameters(function.get("parameters"), at=f"{at}/parameters")
        reading.kept |= {name: held for name, held in function.items() if name not in self._known}
        return reading.read()

    def write_call(self, call: FunctionCall, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return an entry of `tool_calls`, as an assistant's message holds it."""
        function = {
            "name": name_abroad(call.name, declaration, format=self),
            "arguments": canonical(call.args).decode("utf-8"),
        }
        document = {"id": call.call_id, "type": "function", "function": function}
        return Written(document, tuple(unheld_call(call, title=self.title, own=self.own)))

    def read_call(
        self,
        document: Mapping[str, Any],
        *,
        declaration: FunctionDeclaration | None = None,
        call_id: str | None = None,
    ) -> FunctionCall:
        """Return the call of an entry of `tool_calls`, or of a `function_call` item of the Responses API."""
        entry = message(document, what="A tool call")
        function = message(entry.get("function", entry), what="`function`")
        args = arguments_of(function.get("arguments", ""))
        given = entry.get("call_id", entry.get("id", call_id))
        return call_of(name=function.get("name"), args=self._given(args, declaration), call_id=given)

    def write_result(self, result: ToolResult, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return a message of role `tool`."""
        losses = list(unheld_result(result, title=self.title, own=self.own))
        error = failure_of(result)
        if error is not None:
            text = canonical({"error": error.to_adm()}).decode("utf-8")
        else:
            text = text_of(result.content)
            if _is_error(result.content):
                why = "OpenAI has no member that says whether a call failed"
                losses += [Loss(f"/{name}", "reads as an error", why) for name in ("status", "content", "error")]
        return Written({"role": "tool", "tool_call_id": result.call_id, "content": text}, tuple(losses))

    def read_result(self, document: Mapping[str, Any], *, call: FunctionCall) -> ToolResult:
        """Return the result of a message of role `tool`, or of a `function_call_output` item."""
        entry = message(document, what="A tool message")
        answers(entry.get("tool_call_id", entry.get("call_id")), call, at="/tool_call_id")
        text = entry.get("content", entry.get("output"))
        if isinstance(text, list):
            text = "".join(str(part.get("text", "")) for part in text if isinstance(part, Mapping))
        if not isinstance(text, str):
            raise malformed("/content", "A tool message needs a text as `content`")
        value = content_of(text)
        if _is_error(value) and isinstance(value, Mapping):
            return answer_of(call, None, error_of_value(value["error"]))
        return answer_of(call, value, None)

    _known: ClassVar = frozenset({"type", "name", "description", "parameters"})

    def _parameters(self, declaration: FunctionDeclaration) -> tuple[dict[str, Any], tuple[Loss, ...]]:
        why = "OpenAI refuses it at the root of the parameters"
        return moved(declaration.parameters.json_schema, NOT_AT_THE_ROOT, why=why)

    def _given(self, args: Mapping[str, Any], declaration: FunctionDeclaration | None) -> Mapping[str, Any]:
        return args


class OpenAIStrict(OpenAI):
    """The strict form: the model cannot but keep to the schema, which must stay within a subset."""

    name: ClassVar = "openai_strict"
    title: ClassVar = "OpenAI's strict mode"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return an entry of `tools` with `strict: true`."""
        written = super().write(declaration)
        written.document["function"]["strict"] = True
        return written

    _known: ClassVar = frozenset({"type", "name", "description", "parameters", "strict"})

    def _parameters(self, declaration: FunctionDeclaration) -> tuple[dict[str, Any], tuple[Loss, ...]]:
        return narrowed(declaration.parameters.json_schema, STRICT)

    def _given(self, args: Mapping[str, Any], declaration: FunctionDeclaration | None) -> Mapping[str, Any]:
        if declaration is None:
            return args
        pruned: Mapping[str, Any] = without_nulls(args, declaration.parameters.json_schema)
        return pruned


def _is_error(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"error"}
