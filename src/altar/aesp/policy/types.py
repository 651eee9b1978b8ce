"""The variables that a policy may read, and their types: the vocabulary, and what a contract adds to it.

The same names are used everywhere: in conditions, in facts, in the audit log and in explanations.
A variable that is not here does not exist, so that a slip of the pen is refused when a bundle is deployed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from altar.aesp.policy.cel import NUMBER

if TYPE_CHECKING:
    from altar.adm.schema import Schema

__all__ = ["OF_PRINCIPAL", "VOCABULARY", "Variables", "variables_of"]

OF_PRINCIPAL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "id": "string",
        "name": "string",
        "kind": "string",
        "roles": "list<string>",
        "groups": "list<string>",
        "clearance": "string",
        "organization": "string",
        "business_unit": "string",
        "authenticated_by": "string",
        "mfa": "bool",
        "claims": "map<string, string>",
        "daily_invocations": "int",
    }
)
"""Who asks: read as ``request.principal.<name>`` or ``principal.<name>``."""

VOCABULARY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "request.time": "timestamp",
        "request.source": "string",
        "request.session_id": "string",
        "request.correlation_id": "string",
        "request.deadline_seconds": NUMBER,
        "request.environment": "string",
        "request.has_approval": "bool",
        **{f"request.principal.{name}": kind for name, kind in OF_PRINCIPAL.items()},
        **{f"principal.{name}": kind for name, kind in OF_PRINCIPAL.items()},
        "tenant.name": "string",
        "tenant.organization": "string",
        "tenant.business_unit": "string",
        "tenant.daily_invocations": "int",
        "resource.type": "string",
        "resource.name": "string",
        "resource.version": "string",
        "resource.metadata.contains_pii": "bool",
        "resource.metadata.estimated_cost": NUMBER,
        "resource.metadata.classification": "string",
        "resource.metadata.risk": "string",
        "resource.metadata.tags": "list<string>",
        "resource.metadata.read_only": "bool",
        "resource.metadata.destructive": "bool",
        "resource.metadata.idempotent": "bool",
        "resource.metadata.open_world": "bool",
        "resource.labels": "map<string, string>",
        "tool.name": "string",
        "tool.version": "string",
        "tool.digest": "string",
        "time": "timestamp",
        "environment": "map<string, string>",
        "args": "map<string, dyn>",
    }
)
"""Every variable that is always there, with its type."""


@dataclass(frozen=True, slots=True)
class Variables:
    """What the policies of one tool may read.

    ``types`` are all variables; ``arguments`` those of the contract, such as ``args.amount``.
    ``members`` are the names of its arguments as they are, also those that only ``args["…"]`` can name.
    ``closed`` says that there are no other arguments; False as well when no contract is known.
    """

    types: Mapping[str, str]
    arguments: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    closed: bool = False

    def with_guarded(self, names: Iterable[str]) -> Variables:
        """Give the same with arguments that this contract lacks, and whose presence a condition asks about."""
        more = dict(self.types)
        for name in names:
            if name.startswith("args.") and f"has_{name}" not in more:
                more[f"has_{name}"] = "bool"
                more[name] = "dyn"
        return Variables(more, self.arguments, self.members, self.closed)


def variables_of(constants: Mapping[str, Any], parameters: Schema | None = None) -> Variables:
    """Give the variables for a bundle with these constants and a tool with these parameters.

    Without ``parameters`` the arguments are not known: ``args.anything`` may be read, and its type shows when a call
    is decided on.
    """
    types = dict(VOCABULARY) | {f"constants.{name}": _of_value(value) for name, value in constants.items()}
    if parameters is None:
        return Variables(types)
    document = parameters.json_schema
    arguments = dict(_arguments(document, "args", depth=1))
    for name, kind in arguments.items():
        if len(types) >= _MAX_VARIABLES:
            break
        types[name] = kind
        types[f"has_{name}"] = "bool"
    members = frozenset(document.get("properties", ()))
    return Variables(types, frozenset(arguments), members, _is_closed(document))


_MAX_VARIABLES = 1_000
_MAX_DEPTH = 4
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    "as break const continue else false for function if import in let loop null package namespace return true var void "
    "while".split()
)
_SIMPLE = {"string": "string", "integer": "int", "number": NUMBER, "boolean": "bool"}
_OPENS = ("additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "anyOf", "oneOf", "allOf")


def _of_value(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return NUMBER
    return "string" if isinstance(value, str) else "list<string>"


def _arguments(schema: Mapping[str, Any], under: str, *, depth: int) -> Iterator[tuple[str, str]]:
    """Give the arguments of an object, and those within objects in it, that have a name CEL can write."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    for name, member in properties.items():
        if _PLAIN.fullmatch(name) is None or name in _RESERVED or not isinstance(member, Mapping):
            continue
        path = f"{under}.{name}"
        yield path, _type_of(member)
        if depth < _MAX_DEPTH and member.get("type") == "object" and "$ref" not in member:
            yield from _arguments(member, path, depth=depth + 1)


def _type_of(schema: Mapping[str, Any]) -> str:
    """Give the type of CEL for a schema; ``dyn`` where that is not plain."""
    kind = schema.get("type")
    if not isinstance(kind, str) or "$ref" in schema:
        return "dyn"
    if kind == "array":
        items = schema.get("items")
        inner = items.get("type") if isinstance(items, Mapping) and "$ref" not in items else None
        # numbers within a list are not made doubles one by one, so their type shows when a call is decided on
        return f"list<{_SIMPLE[inner]}>" if inner in {"string", "boolean"} else "list<dyn>"
    if kind == "object":
        return "map<string, dyn>"
    return _SIMPLE.get(kind, "dyn")


def _is_closed(schema: Mapping[str, Any]) -> bool:
    """Tell whether an object takes no members but its properties: ADM closes what does not say otherwise."""
    if schema.get("additionalProperties") is False and "patternProperties" not in schema:
        return True
    return all(word not in schema for word in _OPENS)
