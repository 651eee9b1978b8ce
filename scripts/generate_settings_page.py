"""Write the reference page of settings and the JSON Schema of altar.toml from `altar.settings`.

In: the fields of `altar.settings.Settings`, their defaults and descriptions.
Out: `docs/reference/settings.md` and `docs/reference/altar.toml.schema.json`.
Run it from anywhere: `python scripts/generate_settings_page.py`.
With `--check` nothing is written, and the exit code is 1 when a file is out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

PAGE = ROOT / "docs/reference/settings.md"
SCHEMA = ROOT / "docs/reference/altar.toml.schema.json"
HEAD = """# Settings

Settings say where ALTAR listens, what it dials, and where it keeps its files.
They come from flags, from the environment, and from one file, `altar.toml`.
The first of these that gives a value wins:

1. a flag of the command, or an argument of `altar.session()`;
2. the environment variable named below; an empty one counts as not set;
3. the selected profile, `[profile.<name>]` in `altar.toml`;
4. the top level of `altar.toml`;
5. the default.

`altar.toml` is looked up from the working directory upwards; `ALTAR_CONFIG` names another file.
`ALTAR_PROFILE` selects the profile.
`altar config show` prints every setting with its value and the place it came from.
A name that is not on this page is refused, in every profile, selected or not.
[altar.toml.schema.json](altar.toml.schema.json) is the JSON Schema of the file, for editors.

```toml
source = "later:"

[runtime]
tools = ["shop.tools"]

[profile.prod]
source = "grid://host.example.com:7443"

[profile.prod.runtime]
runtime_id = "py-${REGION}-${NODE_ID:-1}"
```

`${NAME}` stands for an environment variable, which must be set if its value is used.
`${NAME:-default}` has a default for one that is not set or empty.
`$${` stands for a plain `${`.
A relative path counts from the directory of `altar.toml`.
In a flag or a variable it counts from the working directory.

This page is generated from `src/altar/settings.py`.
"""
SECTIONS = {
    "": "Top level",
    "tls": "[tls]",
    "host": "[host]",
    "host.tls": "[host.tls]",
    "runtime": "[runtime]",
    "runtime.tls": "[runtime.tls]",
    "telemetry": "[telemetry]",
    "audit": "[audit]",
}
"""Sections in the order of the page; those that are not here come after them, by name."""


def main(arguments: list[str]) -> int:
    """Write both files, or with `--check` only compare them; return the exit code."""
    stale = False
    for path, text in generate().items():
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        if current == text:
            continue
        stale = True
        if "--check" in arguments:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run scripts/generate_settings_page.py\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def generate() -> dict[Path, str]:
    """Return the text of each generated file, keyed by its path."""
    from altar.settings import Settings

    return {PAGE: _page(Settings), SCHEMA: json.dumps(_schema(Settings), indent=2, ensure_ascii=False) + "\n"}


def _page(model: type[BaseModel]) -> str:
    parts = [HEAD]
    section = None
    tables = []
    for key, field in sorted(_leaves(model), key=lambda row: _place(row[0].rpartition(".")[0])):
        if section != (section := key.rpartition(".")[0]):
            parts.append(f"## {SECTIONS.get(section, f'[{section}]')}\n")
        parts.append(_entry(key, field))
        if (table := _table(field)) is not None:
            tables.append((key, table))
    for key, table in tables:
        parts.append(f"## [[{key}]]\n\n{(table.__doc__ or '').splitlines()[0]}\n")
        parts += [_member(name, field) for name, field in table.model_fields.items()]
    return "\n".join(parts)


def _place(section: str) -> tuple[int, str]:
    known = list(SECTIONS)
    return (known.index(section) if section in known else len(known), section)


def _table(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a setting that is a list of tables; None for any other."""
    return next((each for each in get_args(field.annotation) if hasattr(each, "model_fields")), None)


def _member(name: str, field: FieldInfo) -> str:
    """The entry of a member of a table in a list; it has no environment variable."""
    default = "must be set" if field.is_required() else "none" if field.default is None else f"`{_toml(field.default)}`"
    return f"### {name}\n\n{field.description}\n\n| type | default |\n| --- | --- |\n| {_kind(field)} | {default} |\n"


def _entry(key: str, field: FieldInfo) -> str:
    from altar.settings import variable_of

    default = "none" if field.default is None else f"`{_toml(field.default)}`"
    return (
        f"### {key}\n\n{field.description}\n\n"
        f"| type | default | environment |\n| --- | --- | --- |\n"
        f"| {_kind(field)} | {default} | `{variable_of(key)}` |\n"
    )


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _leaves(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]  # a section, as just seen
        else:
            yield prefix + name, field


def _kind(field: FieldInfo) -> str:
    text = str(field.annotation)
    if _table(field) is not None:
        return "list of tables"
    if "Path" in text:
        return "path"
    if "tuple" in text:
        return "list of text"
    if any(getattr(limit, "le", None) == 1 for limit in field.metadata):
        return "number from 0 to 1"
    kinds = {"bool": "true or false", "float": "number of seconds", "int": "whole number"}
    return kinds.get(getattr(field.annotation, "__name__", ""), "text")


def _toml(value: object) -> str:
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str)  # a path in a list


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    made = _open_to_references(model.model_json_schema())
    definitions = made.pop("$defs")
    settings = {**made["properties"]}
    profile = {"type": "object", "properties": settings, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "altar.toml",
        "description": "Settings of ALTAR.",
        "type": "object",
        "properties": {
            **settings,
            "profile": {
                "type": "object",
                "description": "Settings that hold when the profile of that name is selected.",
                "additionalProperties": {"$ref": "#/$defs/Profile"},
            },
        },
        "additionalProperties": False,
        "$defs": {**definitions, "Profile": profile},
    }


def _open_to_references(node: Any) -> Any:
    """Let `${NAME}` stand where a number or a text of a certain form is asked for; drop nulls."""
    if isinstance(node, list):
        return [_open_to_references(one) for one in node]
    if not isinstance(node, dict):
        return node
    dropped = {"title", "default"} if "$ref" in node or node.get("default", "") is None else {"title"}
    node = {key: _open_to_references(value) for key, value in node.items() if key not in dropped}
    if {"type": "null"} in node.get("anyOf", ()):
        (present,) = (one for one in node.pop("anyOf") if one != {"type": "null"})
        node |= present
    if node.get("type") in {"integer", "number"} or "pattern" in node:
        outer = {key: node.pop(key) for key in ("description", "default") if key in node}
        return {**outer, "anyOf": [node, {"type": "string", "pattern": r"\$\{"}]}
    return node


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
