"""From JSON arguments to the Python objects that a function takes, and from what it gives back to JSON values.

:class:`Binder` holds the compiled forms of one function; :class:`Writer` those of one annotated result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical
from altar.later.introspection.direct import Arguments, NotBesideError, direct
from altar.later.introspection.strictness import reader as strict_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    import pydantic

__all__ = ["Binder", "LateReader", "Positional", "Writer", "in_order"]

_LIST_OF_BYTES = {"type": "list", "items_schema": {"type": "bytes"}}
_KINDS: dict[type, str] = {str: "string", list: "array", dict: "object"}
_STANDARD_BASE64 = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Positional:
    """What must be passed by position: names with their defaults, in order, and then the list under `rest`.

    A parameter that `*args` follows is passed by position too, when there is anything to follow.
    """

    only: Mapping[str, Any]
    before: Mapping[str, Any]
    rest: str | None = None


class Writer:
    """Turns a value into the JSON value that its annotation gives it; sets are in a fixed order.

    `native` says that the annotation is made of JSON's own types only, and its values need no turning.
    `is_bytes` says that the values are bytes, written as they are.
    """

    __slots__ = ("_returned", "_write", "is_bytes", "native")

    def __init__(
        self, adapter: pydantic.TypeAdapter[Any] | None = None, schema: Mapping[str, Any] | None = None
    ) -> None:
        """Take an adapter for a list of one value, or None when there is nothing to turn, and the value's schema."""
        self._write = None if adapter is None else adapter.serializer.to_python
        self._returned = schema if schema is not None and _needs_order(schema) else None
        self.native = adapter is None
        self.is_bytes = adapter is not None and adapter.core_schema == _LIST_OF_BYTES

    def plain(self, value: Any) -> Any:
        """The JSON value of a Python value.

        Raises what pydantic raises for a value it cannot write.
        """
        if self._write is None:
            return value
        written = self._write([value], mode="json", by_alias=True, warnings=False)[0]
        return written if self._returned is None else in_order(written, self._returned, self._returned)


@dataclass(frozen=True, slots=True)
class LateReader:
    """The reader of an object of all arguments, made when it is needed, and what is known of it before.

    `direct` turns values that the contract has accepted, None where only the reader can.
    """

    make: Callable[[], pydantic.TypeAdapter[Any]]
    direct: Callable[[dict[str, Any]], dict[str, Any]] | None

    @property
    def core_schema(self) -> Mapping[str, Any]:
        """What the reader is compiled from; made anew each time."""
        schema: Mapping[str, Any] = self.make().core_schema
        return schema


class Binder:
    """Turns JSON arguments into the types of the annotations, and the result into JSON values.

    `result` writes what a call gives, `item` one value of a tool that streams; for any other tool it writes the same.
    `context` names the parameter that takes the context of a call, None without one.
    `streams` says that the function yields its values, `is_async` that it is awaited, or iterated, in an event loop.
    """

    __slots__ = (
        "_beside",
        "_positional",
        "_read",
        "_reader",
        "context",
        "direct",
        "is_async",
        "item",
        "result",
        "streams",
    )

    def __init__(
        self,
        reader: pydantic.TypeAdapter[Any] | LateReader,
        *,
        positional: Positional | None = None,
        result: Writer | None = None,
        item: Writer | None = None,
        context: str | None = None,
        streams: bool = False,
        is_async: bool = False,
    ) -> None:
        """Keep the compiled forms; `reader` reads an object of all arguments by the names of the parameters."""
        self.direct = reader.direct if isinstance(reader, LateReader) else direct(reader.core_schema)
        self._reader = reader
        self._read: Callable[[bytes], Any] | None = None
        self._beside: Callable[[Arguments], Arguments] | None = _not_made
        self._positional = positional
        self.result = result or Writer()
        self.item = item or self.result
        self.context = context
        self.streams = streams
        self.is_async = is_async
        if self.direct is None and not isinstance(reader, LateReader):
            self._read = strict_reader(reader.core_schema).validate_json

    @property
    def by_name(self) -> bool:
        """Whether every argument is passed by its name."""
        return self._positional is None

    def bind(self, arguments: bytes, values: dict[str, Any] | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the named arguments for a JSON object, without what is left to defaults.

        `values` are what the contract has read from `arguments` and accepted, to keep; None lets them be read here.
        Raises what pydantic, or a validator of the user's own, raises for a value it refuses.
        """
        named: dict[str, Any]
        if values is not None and self.direct is not None:
            named = self.direct(values)
        else:
            if self._read is None:
                self._read = strict_reader(self._reader.core_schema).validate_json
            named = self._read(arguments)
        if self._positional is None:
            return (), named
        return _placed(self._positional, named), named

    def bind_beside(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The same for accepted values in which Python bytes stand where blobs came; None if it takes the text.

        `values` are used up in any case.
        """
        if self._beside is _not_made:
            self._beside = direct(self._reader.core_schema, beside=True)
        if self._beside is None:
            return None
        try:
            named = self._beside(values)
        except NotBesideError:
            return None
        return (() if self._positional is None else _placed(self._positional, named)), named


def _not_made(values: Arguments) -> Arguments:
    """Stands where nothing has been made yet."""
    return values


def _placed(positional: Positional, named: dict[str, Any]) -> tuple[Any, ...]:
    """Take what must be passed by position out of `named`, in its order."""
    only = tuple(named.pop(name, default) for name, default in positional.only.items())
    rest = named.pop(positional.rest, ()) if positional.rest is not None else ()
    if not rest:
        return only
    before = tuple(named.pop(name, default) for name, default in positional.before.items())
    return (*only, *before, *rest)


# ---------------------------------------------------------------------------------------- what pydantic leaves open


def _needs_order(schema: Mapping[str, Any]) -> bool:
    text = repr(schema)
    return "'uniqueItems': True" in text or "'contentEncoding': 'base64'" in text


def in_order(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """A written value with its sets in the order of their canonical bytes, and base64 in the usual alphabet.

    `schema` is that of the value; its references lead into `root`.
    """
    schema = _resolved(schema, root)
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    fitting = [branch for branch in branches if _admits(branch, value, root)]
    if len(fitting) == 1:
        return in_order(value, fitting[0], root)
    if isinstance(value, str) and schema.get("contentEncoding") == "base64":
        return value.translate(_STANDARD_BASE64)
    if isinstance(value, list):
        first = schema.get("prefixItems", ())
        rest = schema.get("items") or {}
        items = [in_order(item, first[i] if i < len(first) else rest, root) for i, item in enumerate(value)]
        return sorted(items, key=canonical) if schema.get("uniqueItems") else items
    if isinstance(value, dict):
        named, rest = schema.get("properties", {}), schema.get("additionalProperties")
        rest = rest if isinstance(rest, dict) else {}
        return {key: in_order(item, named.get(key, rest), root) for key, item in value.items()}
    return value


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), schema)
    return found


def _admits(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> bool:
    kind = _KINDS.get(type(value))
    return kind is not None and _resolved(schema, root).get("type", kind) == kind
