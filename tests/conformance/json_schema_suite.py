"""The official JSON Schema Test Suite as data, and the table of the cases that ALTAR answers otherwise on purpose."""

from __future__ import annotations

import functools
import json
import runpy
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXCEPTIONS = Path(__file__).parent / "json_schema_exceptions.toml"


@dataclass(frozen=True)
class Group:
    """One schema of the suite and its cases; `name` is the file and the suite's own description."""

    name: str
    schema: Any
    cases: tuple[Any, ...]


def groups(part: str = "") -> list[Group]:
    """The schemas of one part of draft 2020-12: "" is what is required, "optional" and "optional/format" are not."""
    return list(_read(suite() / "tests" / "draft2020-12" / part))


@functools.cache
def suite() -> Path:
    """The directory of the suite, which is fetched at first use."""
    fetched: Path = runpy.run_path(str(ROOT / "scripts" / "fetch_json_schema_suite.py"))["fetch"]()
    return fetched


@functools.cache
def exceptions() -> dict[tuple[str, str], str]:
    """The reason for each case, by the name of its schema and its own description."""
    table = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))
    return {
        (f"{file}: {schema}", case): table["reasons"][entry["reason"]]
        for file, entries in table.items()
        if file != "reasons"
        for schema, entry in entries.items()
        for case in entry["cases"]
    }


def _read(directory: Path) -> Iterator[Group]:
    for file in sorted(directory.glob("*.json")):
        for group in json.loads(file.read_text(encoding="utf-8")):
            yield Group(f"{file.stem}: {group['description']}", group["schema"], tuple(group["tests"]))
