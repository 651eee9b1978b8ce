"""`altar call`: one call of one tool, from the shell.

Arguments are written `key=value`; the tool's own declaration says whether a value is text, JSON or bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from altar.adm.errors import AltarError, ValidationError
from altar.cli import output
from altar.cli.tools import load_modules, named_or_set

__all__ = ["arguments_of", "call"]

_LARGEST_FILE = 64 * 1024 * 1024
_EXPLAINED = frozenset({"POLICY_VIOLATION", "POLICY_ERROR"})
"""Codes of a host of the tier ADVANCED, which can be asked why."""


@click.command()
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json-args", metavar="JSON", help="Arguments as one JSON object.")
@click.option("--tools", "modules", multiple=True, metavar="MODULE", help="Module or .py file that declares tools.")
@click.option("--source", help="Where to run: `later:` or `grid://host:port`.")
@click.option(
    "--idempotency-key", metavar="KEY", help="Run under this key once; a repeat is answered with the same result."
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Limit of the call.")
@output.json_option
def call(
    *,
    name: str,
    values: tuple[str, ...],
    json_args: str | None,
    modules: tuple[str, ...],
    source: str | None,
    timeout: float | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Call the tool NAME and print its result as JSON.

    A value is taken as text where the tool wants a string, and as JSON where it wants anything else.
    Where it wants bytes, `KEY=@FILE` gives those of a file, and any other value is base64.
    With `--json` the whole ToolResult is printed, not only its content.
    """
    import altar

    loaded = load_modules(named_or_set(modules))
    if not loaded and _is_here(source):
        raise ValidationError(
            "UNSUPPORTED_TOOL",
            f"Tool {name!r} is not known: no module is named, and the source is this process",
            ran="no",
            hint="name a module with --tools, or a host with --source grid://host:port",
        )
    if idempotency_key is not None and _is_here(source):
        output.warn("in this process a key is kept for this one command only; a host keeps it for the next ones too")
    session_here = altar.session(source=source, timeout=timeout)  # all tools: this one may call others
    with redirect_stdout(sys.stderr), session_here as session:  # what a tool prints is not our data
        declaration = session.declaration(name)
        parameters = declaration.parameters.json_schema if declaration is not None else {}
        asking = session if idempotency_key is None else session.options(idempotency_key=idempotency_key)
        result = asking.call(name, **arguments_of(values, json_args=json_args, parameters=parameters))
    if result.error is not None and result.error.type in _EXPLAINED:
        output.say(f"`altar explain {result.call_id}` tells why, check by check")
    if result.error is not None and result.error.handle:
        output.say(f"once approved, the same command runs it with --idempotency-key {result.error.handle}")
    content = result.unwrap()
    output.data(result.to_adm() if as_json else content, as_json=True)


def arguments_of(
    values: Sequence[str],
    *,
    json_args: str | None = None,
    option: str = "--json-args",
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments of a call, from `key=value` words and a JSON object, which was given as `option`.

    `parameters` is the JSON Schema of the tool's parameters, empty where it is not known here;
    then a value that reads as JSON is JSON.
    Raises ValidationError MALFORMED_REQUEST for a word without `=`, a key given twice, or JSON that is no
    object.
    """
    arguments = _object(json_args, option) if json_args is not None else {}
    for word in values:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ValidationError(
                "MALFORMED_REQUEST", f"{word!r} is not an argument", hint="write arguments as key=value"
            )
        if key in arguments:
            raise ValidationError("MALFORMED_REQUEST", f"The argument {key!r} is given twice")
        schema = parameters.get("properties", {}).get(key)
        if text.startswith("@") and _wants_bytes(schema, parameters):
            arguments[key] = _contents(key, Path(text[1:]))
        else:
            arguments[key] = _value(text, set(_types(schema, parameters)))
    return arguments


def _contents(key: str, path: Path) -> bytes:
    """The bytes of a file. Raises ValidationError MALFORMED_REQUEST when it cannot be read, or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as failed:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The file {str(path)!r} for the argument {key!r} cannot be read: {failed.strerror}",
            hint="write KEY=@FILE with a file that is there",
        ) from failed
    if len(data) > _LARGEST_FILE:
        raise ValidationError("MALFORMED_REQUEST", f"The file {str(path)!r} has more than {_LARGEST_FILE} bytes")
    return data


def _is_here(source: str | None) -> bool:
    from altar.settings import Settings

    return (source or Settings.load().source).startswith("later:")


def _object(text: str, option: str) -> dict[str, Any]:
    from altar.adm.canonical import parse

    such = """such as '{"city": "Oslo"}'"""
    try:
        value = parse(text)
    except AltarError as unfit:
        raise ValidationError("MALFORMED_REQUEST", f"{option} is no JSON: {unfit}", hint=such) from unfit
    if not isinstance(value, dict):
        raise ValidationError("MALFORMED_REQUEST", f"{option} must be a JSON object", hint=such)
    return value


def _value(text: str, types: set[str]) -> Any:
    from altar.adm.canonical import parse

    if types == {"string"}:
        return text
    try:
        value = parse(text)
    except AltarError:
        return text
    wanted = types | {"integer"} if "number" in types else types
    return text if "string" in types and _type_of(value) not in wanted else value


def _types(schema: object, root: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    # Which JSON types a schema lets through, as far as its plain keywords say; nothing means any.
    if not isinstance(schema, Mapping) or depth > 8:
        return
    named = schema.get("type", ())
    yield from [named] if isinstance(named, str) else named
    yield from (_type_of(value) for value in schema.get("enum", ()))
    if "const" in schema:
        yield _type_of(schema["const"])
    for keyword in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(keyword, ()):
            yield from _types(inner, root, depth + 1)
    reference = schema.get("$ref", "")
    if reference.startswith("#/"):
        target: Any = root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            target = target.get(name, {}) if isinstance(target, Mapping) else {}
        yield from _types(target, root, depth + 1)


def _wants_bytes(schema: object, root: Mapping[str, Any], depth: int = 0) -> bool:
    # Whether bytes are among what a schema lets through: text that holds base64 (JSON Schema, contentEncoding).
    if not isinstance(schema, Mapping) or depth > 8:
        return False
    if schema.get("contentEncoding") == "base64":
        return True
    inner = [each for keyword in ("anyOf", "oneOf", "allOf") for each in schema.get(keyword, ())]
    reference = str(schema.get("$ref", ""))
    if reference.startswith("#/$defs/"):
        inner.append(root.get("$defs", {}).get(reference.removeprefix("#/$defs/")))
    return any(_wants_bytes(each, root, depth + 1) for each in inner)


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    names = {float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]
