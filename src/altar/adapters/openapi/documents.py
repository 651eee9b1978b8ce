"""OpenAPI documents: taken from where they are, and read as OpenAPI 3.1.

A mapping, a text of JSON or YAML, a file or a URL comes in.
A document of OpenAPI 3.1 goes out, with the URL that it came from.
A document of OpenAPI 3.0 is written anew by the differences that the specification of 3.1 names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from altar.adapters.openapi.reach import Reach, shown
from altar.adm.canonical import parse
from altar.adm.errors import AltarError, DeclarationError, ExecutionError
from altar.adm.vocabulary import MANY, NAMED, ONE
from altar.later.portal import portal
from altar.later.yaml_text import YamlRefusedError, read_yaml

__all__ = ["Document", "as_3_1", "read_document"]

MOST_BYTES: Final = 32 * 1024 * 1024
"""A document that is fetched has at most so many bytes."""

MOST_DEEP: Final = 200
"""A document is nested at most so deeply."""

MOST_BYTES_OF_YAML: Final = 4 * 1024 * 1024
MOST_VALUES_OF_YAML: Final = 500_000
"""Reading YAML takes a hundred times as long as reading JSON; values that aliases repeat count each time."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of OpenAPI 3.1, and the URL it was fetched from, or ""."""

    held: Mapping[str, Any]
    url: str = ""


def read_document(source: Mapping[str, Any] | str | bytes | Path, *, reach: Reach) -> Document:
    """The document that a source gives; see :func:`altar.adapters.openapi.from_openapi`.

    Raises INVALID_DECLARATION for what is no JSON object or of another version, and as :meth:`Reach.send` does.
    """
    if isinstance(source, Mapping):
        return Document(as_3_1(source))
    url = source if isinstance(source, str) and "://" in source[:12] else ""
    if url:
        text: str | bytes = _fetched(url, reach)
    else:
        text = source.read_bytes() if isinstance(source, Path) else source
    held = _from_json(text) if text.lstrip()[:1] in {"{", "[", b"{", b"["} else _from_yaml(text)
    if not isinstance(held, Mapping):
        raise DeclarationError("INVALID_DECLARATION", "The OpenAPI document is no JSON object")
    return Document(as_3_1(held), url)


def _from_json(text: str | bytes) -> Any:
    try:
        return parse(text, max_bytes=MOST_BYTES, max_depth=MOST_DEEP)
    except AltarError as unread:
        raise DeclarationError("INVALID_DECLARATION", f"The OpenAPI document is not JSON: {unread.message}") from unread


def _from_yaml(text: str | bytes) -> Any:
    """A document that does not begin as JSON does."""
    try:
        read = read_yaml(
            text,
            what="An OpenAPI document in YAML",
            max_bytes=MOST_BYTES_OF_YAML,
            max_depth=MOST_DEEP,
            max_values=MOST_VALUES_OF_YAML,
        )
    except YamlRefusedError as unread:
        raise DeclarationError(
            "INVALID_DECLARATION", f"The OpenAPI document is neither JSON nor YAML: {unread}"
        ) from unread
    return read.value


def _fetched(url: str, reach: Reach) -> bytes:
    """A document from the URL that somebody wrote, which is reason enough to reach that origin for it."""
    answer = portal().run(reach.beside(url).send("GET", url, headers={"accept": "application/json, application/yaml"}))
    if answer.status != 200:
        raise ExecutionError(
            "DEPENDENCY_UNAVAILABLE", f"{shown(url)!r} answered {answer.status} and no document", ran="no"
        )
    return answer.body


# -------------------------------------------------------------------------------------------------------- OpenAPI 3.0


def as_3_1(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document as OpenAPI 3.1; of one that says it is 3.1 or 3.2, only what that never was is mended.

    Raises INVALID_DECLARATION for another version.
    """
    version = document.get("openapi")
    if isinstance(version, str) and version.startswith("3.0"):
        return {**_part(document, _schema_3_0), "openapi": "3.1.1"}
    if not isinstance(version, str) or not version.startswith(("3.1", "3.2")):
        told = "Swagger 2.0" if document.get("swagger") else repr(version)[:40]
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"The document is of the version {told}, and OpenAPI 3.0, 3.1 and 3.2 are read",
            hint="let a converter write it as OpenAPI 3",
        )
    mended: Mapping[str, Any] = _part(document, _mended)
    return mended


Anew = Callable[[Any], Any]
"""Writes one schema anew, with those in it."""


def _part(held: Any, anew: Anew) -> Any:
    """A part of a document that is no schema; the schemas in it are written anew."""
    if isinstance(held, list):
        return [_part(one, anew) for one in held]
    if not isinstance(held, Mapping):
        return held
    made: dict[str, Any] = {}
    for name, one in held.items():
        if name == "schema":
            made[name] = anew(one)
        elif name == "schemas" and isinstance(one, Mapping):
            made[name] = {key: anew(each) for key, each in one.items()}
        elif name in {"example", "examples", "default", "enum"}:
            made[name] = one
        else:
            made[name] = _part(one, anew)
    return made


def _schema_3_0(held: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema 2020-12."""
    if not isinstance(held, Mapping):
        return held
    if "$ref" in held:  # 3.0: members beside a reference are ignored
        return {"$ref": held["$ref"]}
    made: dict[str, Any] = {}
    for name, one in held.items():
        if name == "example":
            made["examples"] = [one]
        elif name not in _NO_MORE:
            made[name] = _inside(name, one, _schema_3_0)
    made |= _limits(held, made)
    if held.get("format") == "byte":
        made |= {"contentEncoding": "base64"}
        del made["format"]
    return _with_null(made) if held.get("nullable") is True else made


def _mended(held: Any) -> Any:
    """A schema of OpenAPI 3.1, without what documents of that name often still have from older drafts."""
    if not isinstance(held, Mapping):
        return held
    made = {
        name: _inside(name, one, _mended)
        for name, one in held.items()
        if name not in {"$recursiveAnchor", "$recursiveRef", "exclusiveMinimum", "exclusiveMaximum"}
    }
    made |= _limits(held, made)
    if isinstance(made.get("required"), list):
        made["required"] = list(dict.fromkeys(made["required"]))
    return made


def _limits(held: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """The exclusive limits as numbers; where they are true, the limit beside them moves there."""
    limits: dict[str, Any] = {}
    for name, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if held.get(name) is True and limit in made:
            limits[name] = made.pop(limit)
        elif isinstance(held.get(name), int | float) and not isinstance(held[name], bool):
            limits[name] = held[name]
    return limits


_NO_MORE: Final = frozenset("nullable exclusiveMinimum exclusiveMaximum xml discriminator externalDocs".split())


def _inside(name: str, held: Any, anew: Anew) -> Any:
    """What a keyword holds, with the schemas in it written anew."""
    if name in ONE:
        return anew(held)
    if name in MANY and isinstance(held, list):
        return [anew(each) for each in held]
    if name in NAMED and isinstance(held, Mapping):
        return {key: anew(each) for key, each in held.items()}
    return held


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What also takes null: 3.0 says `nullable` beside a type, and means the type."""
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"] if schema["type"] != "null" else "null"
        return schema
    said = {"title", "description", "deprecated", "readOnly", "writeOnly", "default", "examples"}
    rest = {name: held for name, held in schema.items() if name not in said}
    if not rest:
        return schema
    return {name: held for name, held in schema.items() if name in said} | {"anyOf": [rest, {"type": "null"}]}
