"""What can be found out about a declared function that makes it a bad tool.

In: a tool.
Out: the places of its contract that one question is about, in words.
Each states a fact about the declaration and never guesses what the function does.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from altar.adm.errors import AltarError
from altar.adm.vocabulary import subschemas
from altar.later.introspection.docstring import documentation, underlying
from altar.later.linting.filled import is_filled_by_steps, takes_any_field

if TYPE_CHECKING:
    from altar.adm.schema import Schema
    from altar.later.tool import ToolFunction

    Tool = ToolFunction[..., Any]

SHORTEST: Final = 3
"""Words that a description has at least."""

LONGEST: Final = 1024
"""Characters of a description at most: OpenAI refuses a longer one."""

EXACT: Final = 2**53
"""The largest number that every reader of JSON keeps exactly (RFC 8259 §6)."""


@dataclass(frozen=True, slots=True)
class Found:
    """One place that a rule is about: what is wrong, and a JSON Pointer into the ADM document."""

    message: str
    path: str = ""


# ------------------------------------------------------------------------------------------------------------ words


def short(tool: Tool) -> Iterator[Found]:
    """A description of fewer than SHORTEST words."""
    text = tool.declaration.description
    if len(text.split()) < SHORTEST:
        yield Found(f"the description {text!r} has fewer than {SHORTEST} words", "/description")


def long(tool: Tool) -> Iterator[Found]:
    """A description, of the tool or of a parameter, of more than LONGEST characters."""
    size = len(tool.declaration.description)
    if size > LONGEST:
        yield Found(f"the description has {size} characters, and {LONGEST} are allowed", "/description")
    for name, path, node in _parameters(tool):
        size = len(str(node.get("description", "")))
        if size > LONGEST:
            yield Found(f"the description of {name!r} has {size} characters, and {LONGEST} are allowed", path)


def undescribed(tool: Tool) -> Iterator[Found]:
    """A parameter without a description, of a tool that a model may fill in."""
    if is_filled_by_steps(tool):
        return
    root = tool.declaration.parameters.json_schema
    for name, path, node in _parameters(tool):
        if not str(_resolved(node, root).get("description") or node.get("description") or "").strip():
            yield Found(f"parameter {name!r} has no description", path)


def says_nothing(tool: Tool) -> Iterator[Found]:
    """A description that repeats the name."""
    if _letters(tool.declaration.description) == _letters(tool.name):
        yield Found("the description repeats the name", "/description")
    for name, path, node in _parameters(tool):
        if "description" in node and _letters(str(node["description"])) in {_letters(name), ""}:
            yield Found(f"the description of {name!r} repeats its name", path)


def documented_and_absent(tool: Tool) -> Iterator[Found]:
    """An entry of the docstring for a parameter that the function has not."""
    known = {name for name, _, _ in _parameters(tool)}
    innermost = underlying(inspect.unwrap(tool.function))  # which has what a partial, or a wrapper, fills in
    for function in (tool.function, innermost):
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD and _takes_any_name(tool):
                return
            known.add(parameter.name)
    for name in documentation(tool.function).parameters:
        if name not in known:
            yield Found(f"the docstring describes {name!r}, and there is no such parameter", "/parameters")


# ---------------------------------------------------------------------------------------------------------- schemas


def open_objects(tool: Tool) -> Iterator[Found]:
    """A parameter, or a part of one, that takes an object with any members."""
    for path, node in _nodes(tool.declaration.parameters, "/parameters"):
        if path != "/parameters" and _is_open(node):
            yield Found(f"{_place(path)} takes an object with any members", path)


def anything(tool: Tool) -> Iterator[Found]:
    """A parameter, or a part of one, that takes any value, unless that is what a step gives."""
    for path, node in _nodes(tool.declaration.parameters, "/parameters"):
        if path.endswith("/additionalProperties") or not _is_anything(node):
            continue
        if not takes_any_field(tool, path):
            yield Found(f"{_place(path)} takes any value", path)


def unbounded_text(tool: Tool) -> Iterator[Found]:
    """A parameter, or a part of one, that takes a text of any length."""
    for path, node in _nodes(tool.declaration.parameters, "/parameters"):
        if "string" in _types(node) and not _LIMITS_OF_TEXT & node.keys():
            yield Found(f"{_place(path)} takes a text of any length", path)


def unbounded_lists(tool: Tool) -> Iterator[Found]:
    """A parameter, or a part of one, that takes a list of any length."""
    for path, node in _nodes(tool.declaration.parameters, "/parameters"):
        if "array" in _types(node) and not {"maxItems", "enum", "const"} & node.keys():
            yield Found(f"{_place(path)} takes a list of any length", path)


def inexact(tool: Tool) -> Iterator[Found]:
    """A number beyond EXACT that the contract names."""
    for start, schema in (("/parameters", tool.declaration.parameters), ("/returns", tool.declaration.returns)):
        for path, node in () if schema is None else _nodes(schema, start):
            for keyword in sorted(_VALUES & node.keys()):
                for number in _numbers(node[keyword]):
                    if abs(number) > EXACT:
                        yield Found(f"{_place(path)} names the number {number} as its {keyword}", f"{path}/{keyword}")


def unseen_default(tool: Tool) -> Iterator[Found]:
    """A default that the contract does not show."""
    known = {name: node for name, _, node in _parameters(tool)}
    for parameter in _signature(tool):
        node = known.get(parameter.name)
        if node is not None and parameter.default is not parameter.empty and "default" not in node:
            yield Found(
                f"the default of {parameter.name!r}, of the Python type {type(parameter.default).__name__!r}, "
                "cannot be shown as JSON",
                f"/parameters/properties/{parameter.name}",
            )


def mutable_default(tool: Tool) -> Iterator[Found]:
    """A default that can be changed."""
    for parameter in _signature(tool):
        if isinstance(parameter.default, (list, dict, set, bytearray)):
            kind = type(parameter.default).__name__
            path = f"/parameters/properties/{parameter.name}"
            yield Found(f"the default of {parameter.name!r} is a {kind}, which every call shares", path)


# ---------------------------------------------------------------------------------------------------------- results


def no_result(tool: Tool) -> Iterator[Found]:
    """A function without an annotated result."""
    if tool.declaration.returns is None:
        yield Found("the function does not say what it returns")


def open_result(tool: Tool) -> Iterator[Found]:
    """A result, or a part of one, that may be anything."""
    returns = tool.declaration.returns
    for path, node in () if returns is None else _nodes(returns, "/returns"):
        if _is_open(node) or (not path.endswith("/additionalProperties") and _is_anything(node)):
            yield Found(f"{_place(path, whole='the result')} may be anything", path)


# ------------------------------------------------------------------------------------------------------------ names


def tool_name(tool: Tool) -> Iterator[Found]:
    """A name that is no Python identifier."""
    if not tool.name.isidentifier():
        yield Found(f"the name {tool.name!r} is no Python identifier", "/name")


def parameter_names(tool: Tool) -> Iterator[Found]:
    """A parameter whose name Anthropic refuses."""
    for name, path, _ in _parameters(tool):
        if not _PARAMETER.fullmatch(name):
            yield Found(f"the parameter name {name!r} is not up to 64 ASCII letters, digits, '_', '.' and '-'", path)


def like_a_context(tool: Tool) -> Iterator[Found]:
    """A parameter that is named like a context, and is none."""
    for name, path, _ in _parameters(tool):
        if name in _CONTEXTS:
            yield Found(f"parameter {name!r} looks like a context, and is filled in by the model", path)


# -------------------------------------------------------------------------------------------------------- behaviour


def contradiction(tool: Tool) -> Iterator[Found]:
    """A tool that is declared read_only and destructive."""
    said = tool.declaration.annotations
    if said.read_only and said.destructive:
        yield Found("the tool is declared read_only and destructive", "/annotations")


def read_only_name(tool: Tool) -> Iterator[Found]:
    """A tool that is declared read_only and named for a change."""
    verb = _verb(tool)
    if tool.declaration.annotations.read_only and verb in _DELETING | _WRITING:
        yield Found(f"the tool is declared read_only, and its name says {verb!r}", "/annotations/read_only")


def destructive_unsaid(tool: Tool) -> Iterator[Found]:
    """A tool that is named for deleting, and not declared destructive."""
    said, verb = tool.declaration.annotations, _verb(tool)
    if verb in _DELETING and not said.read_only and not said.destructive:
        yield Found(f"the name says {verb!r}, and the tool is not declared destructive", "/annotations")


def no_annotations(tool: Tool) -> Iterator[Found]:
    """A tool that says nothing of its effects."""
    said = tool.declaration.annotations
    if not (said.read_only or said.destructive or said.idempotent or said.open_world):
        yield Found("the tool does not say whether it changes anything", "/annotations")


# -------------------------------------------------------------------------------------------------------- promotion


def of_main(tool: Tool) -> Iterator[Found]:
    """A function of the program itself."""
    if tool.function.__module__ == "__main__":
        yield Found("the function belongs to the program itself, which a runtime does not import as such")


def inside_a_function(tool: Tool) -> Iterator[Found]:
    """A function inside another one that no import has called."""
    if not tool.by_import:
        outer = tool.function.__qualname__.partition(".<locals>")[0]
        yield Found(f"the function is defined inside of {outer!r}, so a runtime has it only where that is called")


def not_isolable(tool: Tool) -> Iterator[Found]:
    """An isolated function that a child process would not find."""
    if tool.isolate is not None:
        from altar.later.isolation.place import place_of

        try:
            place_of(tool)
        except AltarError as refused:
            yield Found(refused.message)


# -------------------------------------------------------------------------------------------------------- providers


def in_format(format: str) -> Callable[[Tool], Iterator[Found]]:
    """A finder of what one provider's strict form cannot hold of the parameters."""

    def find(tool: Tool) -> Iterator[Found]:
        from altar.adm.formats import FORMATS

        for loss in FORMATS[format].write(tool.declaration).losses:
            asked = loss.path.startswith("/parameters") and not takes_any_field(tool, loss.path)
            if asked and not loss.what.startswith(_HARMLESS):
                yield Found(f"{_place(loss.path)}: {loss.what}, as {loss.why}", loss.path)

    return find


# ---------------------------------------------------------------------------------------------------- looking around


def _parameters(tool: Tool) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Name, place and schema of each parameter."""
    properties: Mapping[str, Any] = tool.declaration.parameters.json_schema.get("properties", {})
    return [
        (name, f"/parameters/properties/{name}", node if isinstance(node, Mapping) else {})
        for name, node in properties.items()
    ]


def _nodes(schema: Schema, start: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, node in subschemas(schema.json_schema):
        yield f"{start}{path}", node


def _resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = root.get("$defs", {}).get(str(node.get("$ref", "")).removeprefix("#/$defs/"), node)
    return found


def _signature(tool: Tool) -> list[inspect.Parameter]:
    return list(inspect.signature(tool.function).parameters.values())


def _takes_any_name(tool: Tool) -> bool:
    return tool.declaration.parameters.json_schema.get("additionalProperties", True) is not False


def _types(node: Mapping[str, Any]) -> set[str]:
    given = node.get("type", ())
    return {given} if isinstance(given, str) else set(given)


def _is_open(node: Mapping[str, Any]) -> bool:
    rest = node.get("additionalProperties", True)
    return "object" in _types(node) and not _NAMING & node.keys() and rest in (True, {})


def _is_anything(node: Mapping[str, Any]) -> bool:
    return not node.keys() - _FOR_READERS


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _numbers(each)


def _place(path: str, *, whole: str = "the arguments") -> str:
    """A place of a schema in the words of somebody who calls: `shop.articles[].name`."""
    steps = path.split("/")[2:]
    words = ""
    at = 0
    while at < len(steps):
        step = steps[at]
        if step in {"properties", "$defs"} and at + 1 < len(steps):
            at += 1
            words += f".{steps[at].replace('~1', '/').replace('~0', '~')}"
        elif step in {"items", "prefixItems", "additionalProperties"}:
            words += "[]"
        at += 1
    return f"`{words.removeprefix('.')}`" if words.strip("[]") else whole


def _verb(tool: Tool) -> str:
    """The first word of the name, in small letters: of `deleteFile` and of `delete_file` it is `delete`."""
    found = re.match(r"_*([A-Z]?[a-z0-9]+|[A-Z]+)", tool.name)
    return found[1].lower() if found else ""


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


_PARAMETER: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CONTEXTS: Final = frozenset({"context", "ctx", "tool_context", "run_context", "call_context"})
_LIMITS_OF_TEXT: Final = frozenset({"maxLength", "enum", "const", "pattern", "format"})
_NAMING: Final = frozenset({"properties", "patternProperties", "propertyNames", "enum", "const"})
_FOR_READERS: Final = frozenset({"description", "title", "default", "examples", "deprecated", "$defs"})
_VALUES: Final = frozenset(
    {"default", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
_DELETING: Final = frozenset("delete remove drop destroy erase purge wipe truncate overwrite uninstall".split())
_WRITING: Final = frozenset("create insert update write save upload".split())
_HARMLESS: Final = (
    "moved to the description",
    "tells what was moved",
    "admits null",
    "names every property",
    "written as false",
    "renamed",
    "stands for",
)
"""Changes after which the same arguments are asked for, as far as the words of a loss begin like this."""
