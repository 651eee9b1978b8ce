"""Documents, values and signatures out of raw bytes: the same bytes give the same thing.

A fuzzer that sees only bytes can so change one keyword of a schema at a time, and Hypothesis can shrink a find.
"""

from __future__ import annotations

import dataclasses
import inspect
import struct
from collections.abc import Callable, Sequence
from operator import getitem
from typing import Annotated, Any, Final, Literal, TypedDict, TypeVar, cast

T = TypeVar("T")

subscripted: Callable[[Any, Any], Any] = getitem
typed_dict = cast("Callable[..., Any]", TypedDict)

NAMES: Final = ("a", "b", "type", "$ref", "x_y", "é", "𝄞", "a/b", "~", "", " ", "%25", "n0", "n1")
TYPES: Final = ("string", "number", "integer", "boolean", "array", "object", "null")
ONE: Final = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
MORE_OF_ONE: Final = ("unevaluatedItems", "unevaluatedProperties", "contentSchema")
MANY: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs")
COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties")
LIMITS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
PAYLOADS: Final = ("const", "default", "examples", "enum")
TEXTS: Final = ("description", "title", "format", "pattern", "$comment", "$anchor", "$dynamicAnchor", "$id", "x_note")
PATTERNS: Final = ("^a", "(", "a{1000}", "[ab]*a[ab]{50}", r"\p{L}+", r"\w{3}$", "(?=a)", "é|𝄞", "a{1000}{1000}", "")
REFERENCES: Final = (
    "#",
    "#/$defs/n0",
    "#/$defs/n1",
    "#a",
    "b",
    "#/properties/a",
    "https://example.com/s",
    "#/%",
    "//[",
)


class Draws:
    """Choices made by bytes; after the last byte every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]

    def take(self, count: int) -> bytes:
        return bytes([self.byte() for _ in range(count)])

    def rest(self) -> bytes:
        rest = self.data[self.at :]
        self.at = len(self.data)
        return rest

    def number(self) -> int | float:
        kind = self.byte() % 6
        if kind == 0:
            return self.byte() - 128
        if kind == 1:
            return int.from_bytes(self.take(8), "big", signed=True)
        if kind == 2:
            return (1 << self.byte() * 4) * (1 if self.byte() % 2 else -1) + self.byte()
        if kind == 3:
            return (self.byte() - 128) / 4
        return float(struct.unpack(">d", self.take(8))[0])

    def text(self) -> str:
        if self.byte() % 3:
            return self.pick(NAMES)
        tail = "\ud800" if self.byte() % 16 == 1 else ""
        return self.take(self.byte() % 24).decode("utf-8", "replace") + tail

    def value(self, depth: int = 5) -> Any:
        """A value as a caller might hand it over; NaN, huge integers and lone surrogates among others."""
        kind = self.byte() % (8 if depth else 6)
        if kind == 0:
            return None
        if kind == 1:
            return bool(self.byte() % 2)
        if kind in {2, 3}:
            return self.number()
        if kind in {4, 5}:
            return self.text()
        if kind == 6:
            items = [self.value(depth - 1) for _ in range(self.byte() % 5)]
            return tuple(items) if self.byte() % 8 == 0 else items
        return {self.text(): self.value(depth - 1) for _ in range(self.byte() % 5)}

    def schema(self, depth: int = 4) -> Any:
        """A schema document, mostly sound; now and then something else stands in its place."""
        kind = self.byte() % 24
        if kind == 0:
            return self.value(1)
        if kind == 1:
            return bool(self.byte() % 2)
        document: dict[str, Any] = {}
        for _ in range(self.byte() % 5):
            self._keyword(document, depth)
        return document

    def _keyword(self, document: dict[str, Any], depth: int) -> None:
        kind = self.byte() % 12
        if kind in {0, 1}:
            document["type"] = self.pick(TYPES) if self.byte() % 4 else [self.pick(TYPES), self.pick(TYPES)]
        elif kind == 2 and depth:
            document[self.pick(ONE)] = self.schema(depth - 1)
        elif kind == 3 and depth:
            document[self.pick(MANY)] = [self.schema(depth - 1) for _ in range(self.byte() % 4)]
        elif kind in {4, 5} and depth:
            held = {self.pick(PATTERNS + NAMES): self.schema(depth - 1) for _ in range(self.byte() % 4)}
            document[self.pick(NAMED)] = held
        elif kind == 6:
            document[self.pick(COUNTS)] = self.number() if self.byte() % 4 == 0 else self.byte()
        elif kind == 7:
            document[self.pick(LIMITS)] = self.number()
        elif kind == 8:
            name = self.pick(PAYLOADS)
            document[name] = (
                [self.value(2) for _ in range(self.byte() % 4)] if name in {"enum", "examples"} else self.value(2)
            )
        elif kind == 9:
            document["pattern"] = self.pick(PATTERNS)
        elif kind == 10:
            document[self.pick(("$ref", "$dynamicRef"))] = self.pick(REFERENCES)
        elif depth and self.byte() % 2:
            document[self.pick(MORE_OF_ONE)] = self.schema(depth - 1)
        else:
            document[self.pick(TEXTS)] = self.text() if self.byte() % 8 else self.value(1)

    def declaration(self) -> dict[str, Any]:
        """A declaration with an object for parameters, as a peer might send it."""
        parameters = self.schema()
        if isinstance(parameters, dict) and self.byte() % 8:
            parameters["type"] = "object"
        document = {"name": self.pick(("f", "get_x", "", "1")) if self.byte() % 4 == 0 else "f", "description": "d"}
        return {**document, "parameters": parameters, **({"returns": self.schema(2)} if self.byte() % 2 else {})}

    def function(self) -> Callable[..., Any]:
        """A function whose parameters and result have annotations of any depth, and perhaps defaults."""

        def made(*args: Any, **kwargs: Any) -> Any:
            """Do it."""

        parameters = []
        for index in range(self.byte() % 4):
            kind = self.pick((inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY))
            default = self.value(2) if self.byte() % 3 == 0 else inspect.Parameter.empty
            parameters.append(inspect.Parameter(f"p{index}", kind, default=default, annotation=self.annotation()))
        result = self.annotation()
        made.__annotations__ = {held.name: held.annotation for held in parameters} | {"return": result}
        try:
            made.__signature__ = inspect.Signature(parameters, return_annotation=result)  # type: ignore[attr-defined]
        except ValueError:  # no parameter without a default may follow one with it
            ordered = [held.replace(default=inspect.Parameter.empty) for held in parameters]
            ordered.sort(key=lambda held: held.kind)
            made.__signature__ = inspect.Signature(ordered, return_annotation=result)  # type: ignore[attr-defined]
        return made

    def annotation(self, depth: int = 3) -> Any:
        kind = self.byte() % (14 if depth else 7)
        if kind < 7:
            return (int, str, float, bool, None, Any, bytes)[kind]
        inner = self.annotation(depth - 1)
        if kind == 7:
            return subscripted(list, inner)
        if kind == 8:
            return subscripted(dict, (self.pick((str, str, int)), inner))
        if kind == 9:
            return inner | self.annotation(depth - 1) if inner is not None else None
        if kind == 10:
            return subscripted(tuple, (inner, ... if self.byte() % 2 else self.annotation(depth - 1)))
        if kind == 11:
            return subscripted(Literal, tuple(self.pick(("a", 1, True, None, "é")) for _ in range(1 + self.byte() % 3)))
        if kind == 12:
            return dataclasses.make_dataclass("Made", [("x", inner), ("y", self.annotation(depth - 1))])
        if self.byte() % 2:
            return subscripted(Annotated, (inner, self.text()))
        return typed_dict("Held", {"x": inner, "y": int})
