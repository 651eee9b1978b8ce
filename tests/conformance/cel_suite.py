"""The conformance cases of the CEL specification as data, and the table of those that ALTAR does not answer, with why.

A case is an expression, the types of its variables, their values, and the value or the error that it must give.
What a case needs that no policy can say (protobuf messages, functions of its own, a namespace) is told by `Case.needs`.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import json
import re
import runpy
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXCEPTIONS = Path(__file__).parent / "cel_exceptions.toml"

_PRIMITIVES = {
    "BOOL": "bool",
    "BYTES": "bytes",
    "DOUBLE": "double",
    "INT64": "int",
    "STRING": "string",
    "UINT64": "uint",
}
_SCALARS = ("boolValue", "stringValue")
_WHOLE = ("int64Value", "uint64Value")
_TIMESTAMP = "type.googleapis.com/google.protobuf.Timestamp"
_DURATION = "type.googleapis.com/google.protobuf.Duration"


class NeedsMoreError(Exception):
    """The case holds what no policy can be given; the word says what, and is explained among the reasons."""


@dataclass(frozen=True)
class Case:
    """One case: `name` is file, section and name of the suite; `fails` says that it must end in an error."""

    name: tuple[str, str, str]
    expression: str
    variables: Mapping[str, str]
    values: Mapping[str, Any]
    expected: Any
    fails: bool
    check_only: bool
    needs: str = ""


@functools.cache
def cases() -> tuple[Case, ...] | None:
    """All cases of the suite, which is fetched at first use; None where it cannot be, for want of npm."""
    fetched: Path | None = runpy.run_path(str(ROOT / "scripts" / "fetch_cel_suite.py"))["fetch"]()
    return None if fetched is None else tuple(_read(json.loads(fetched.read_text(encoding="utf-8"))))


@functools.cache
def exceptions() -> dict[tuple[str, str, str], str]:
    """The name of the reason for each case that is run and excepted."""
    return {
        (file, section, case): reason
        for file, sections in _table()["excepted"].items()
        for section, entries in sections.items()
        for reason, names in entries.items()
        for case in names
    }


def expected_needs() -> dict[str, int]:
    """How many cases are not run at all, by the name of what they would need."""
    found: dict[str, int] = _table()["not_run"]
    return found


def reasons() -> dict[str, str]:
    """Each reason in a sentence, by its name."""
    found: dict[str, str] = _table()["reasons"]
    return found


def alike(left: Any, right: Any) -> bool:
    """Whether two values are the same to CEL and of the same Python type; not-a-number is like itself."""
    if isinstance(left, bytearray):
        left = bytes(left)
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (left != left and right != right)  # noqa: PLR0124 - only NaN differs from itself
    if isinstance(left, list):
        return len(left) == len(right) and all(alike(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    return bool(left == right)


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))


def _read(suite: Any) -> Iterator[Case]:
    seen: dict[tuple[str, str, str], int] = {}
    for file in suite["suites"]:
        for section in file.get("suites", ()):
            for entry in section.get("tests", ()):
                original = entry["original"]
                name = (file["name"], section["name"], original["name"])
                seen[name] = seen.get(name, 0) + 1
                if seen[name] > 1:
                    name = (*name[:2], f"{name[2]} ({seen[name]})")
                yield _case(name, original)


def _case(name: tuple[str, str, str], original: Any) -> Case:
    needs = ""
    expression = original["expr"]
    variables: dict[str, str] = {}
    values: dict[str, Any] = {}
    expected: Any = True
    try:
        variables = dict(_declared(one) for one in original.get("typeEnv", ()))
        values = {key: _value(bound["value"]) for key, bound in original.get("bindings", {}).items()}
        if "typedResult" in original and not original.get("checkOnly"):
            expected = _value(original["typedResult"]["result"])
        elif "typeValue" in original.get("value", {}):
            # A type as a value has no form outside of CEL: CEL itself compares it.
            expression = f"({expression}\n) == {original['value']['typeValue']}"
        elif "value" in original:
            expected = _value(original["value"])
        if original.get("container"):
            raise NeedsMoreError("namespace")
    except NeedsMoreError as problem:
        needs = str(problem)
    return Case(
        name=name,
        expression=expression,
        variables=variables,
        values=values,
        expected=expected,
        fails="evalError" in original,
        check_only=bool(original.get("checkOnly")),
        needs=needs,
    )


def _declared(declaration: Any) -> tuple[str, str]:
    if "ident" not in declaration:
        raise NeedsMoreError("function")
    return declaration["name"], _type(declaration["ident"]["type"])


def _type(declared: Any) -> str:
    match declared:
        case {"primitive": str() as name}:
            return _PRIMITIVES[name]
        case {"listType": {"elemType": element}}:
            return f"list<{_type(element)}>"
        case {"mapType": {"keyType": key, "valueType": value}}:
            return f"map<{_type(key)}, {_type(value)}>"
        case {"null": _}:
            return "null_type"
    raise NeedsMoreError("message")


def _value(told: Any) -> Any:
    """The Python value of one value of the suite, which is written as protobuf's own JSON."""
    kind: str
    value: Any
    ((kind, value),) = told.items() if told else (("nullValue", None),)
    if kind in _SCALARS:
        return value
    if kind in _WHOLE:
        return int(value)
    match kind:
        case "doubleValue":
            return float(value)
        case "bytesValue":
            return base64.b64decode(value)
        case "nullValue":
            return None
        case "listValue":
            return [_value(one) for one in value.get("values", ())]
        case "mapValue":
            return {_value(entry["key"]): _value(entry["value"]) for entry in value.get("entries", ())}
        case "objectValue" if value.get("@type") == _DURATION:
            return _duration(value["value"])
        case "objectValue" if value.get("@type") == _TIMESTAMP:
            return dt.datetime.fromisoformat(value["value"])
    raise NeedsMoreError("message" if kind == "objectValue" else "enumeration")


def _duration(text: str) -> dt.timedelta:
    found = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?s", text)
    assert found is not None, text
    sign, seconds, fraction = found.groups()
    length = dt.timedelta(seconds=int(seconds), microseconds=int((fraction or "0").ljust(6, "0")[:6]))
    return -length if sign else length
