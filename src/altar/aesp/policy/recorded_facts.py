"""The text that the log holds of the facts of a call: canonical JSON, within a bound.

Which facts are kept is decided once per tool; for a call their texts are only put together.
What of them is the same for all calls, or for all calls of somebody, is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.aesp.policy.types import OF_PRINCIPAL

__all__ = ["ABSENT", "MAX_FACTS_BYTES", "Recording", "plain_text", "value_at"]

MAX_FACTS_BYTES: Final = 768
"""Most bytes of recorded facts, as they stand in an entry of the log."""


class _Absent:
    """What an argument is that was not given."""


ABSENT: Final = _Absent()
TextOf = Callable[[str], "str | None"]


class Recording:
    """What is kept of the facts of one tool, and how it is written.

    ``names`` are the variables that its policies read, ``static`` the values of those that are the same for every call,
    ``record`` the arguments that may be recorded.
    ``of_caller`` are the names of facts whose texts are kept for the next call of the same caller.
    """

    __slots__ = ("_arguments", "_kept", "_written")

    def __init__(
        self,
        names: Iterable[str],
        *,
        static: Mapping[str, Any],
        record: tuple[str, ...],
        of_caller: Collection[str] = (),
    ) -> None:
        names = sorted(names)
        self._kept = tuple((_SAME.get(name, name), name) for name in names if _is_kept(name, record))
        read = {name.removeprefix("has_") for name in names if name == "args" or _is_argument(name)}
        self._arguments = tuple((name, tuple(name.split(".")[1:])) for name in _recordable(read, record))
        by_key = dict(self._kept) | {name: name for name, _ in self._arguments}
        self._written = tuple(_written(key, by_key[key], static, of_caller) for key in sorted(by_key))

    def text(self, values: Mapping[str, Any], would: Mapping[str, str], text_of: TextOf | None = None) -> str:
        """Give what the log may hold of the facts; the largest are left out until it fits, "" for none.

        ``would`` names the dry-run policies that were true, with their effects.
        ``text_of`` gives the `plain_text` of a fact of the caller by its name, which is kept elsewhere.
        """
        return (self._quickly(values, text_of) if not would else None) or self._slowly(values, would)

    def _quickly(self, values: Mapping[str, Any], text_of: TextOf | None) -> str | None:
        """Put together what is plain, as it mostly is; None where something is not."""
        parts: list[str] = []
        for key, name, always, is_held in self._written:
            if always:
                parts.append(always)
                continue
            text = text_of(name) if is_held and text_of is not None else plain_text(values.get(name))
            if text is None:
                return None
            parts.append(key + text)
        text = f"{{{','.join(parts)}}}"
        return text if parts and len(text) + text.count('"') + text.count("\\") <= MAX_FACTS_BYTES else None

    def _slowly(self, values: Mapping[str, Any], would: Mapping[str, str]) -> str:
        kept = {key: values[name] for key, name in self._kept if name in values}
        absent = []
        for name, path in self._arguments:
            value = _recorded_value(values, name, path)
            if value is ABSENT:
                absent.append(name)
            else:
                kept[name] = value
        if absent:
            kept["absent"] = absent
        if would:
            kept["would"] = dict(would)
        return _fitting(kept) if kept else ""


def value_at(given: Any, path: tuple[str, ...]) -> Any:
    """Give what stands at a path of members, `ABSENT` where nothing does."""
    for name in path:
        if type(given) is not dict or name not in given:
            return ABSENT
        given = given[name]
    return given


def plain_text(value: Any) -> str | None:
    """Write a plain value in its canonical form; None where that is not surely what would be written."""
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value) if abs(value) < _EXACT else None
    if kind is float:
        if not (value == 0 or _SMALLEST <= abs(value) < _LARGEST):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if kind is not str and (kind is not list or not _TEXTS.issuperset(map(type, value))):
        return None
    text = orjson.dumps(value).decode() if kind is list or value.isascii() else ""
    return text if text and text.isascii() and text.isprintable() else None


class _Written(NamedTuple):
    """How a fact is written: its key with a colon, its name among the facts, all of it where it never changes.

    ``is_held`` says that its text is kept with its caller.
    """

    key: str
    name: str
    always: str
    is_held: bool


_EXACT = 2**53
_SMALLEST, _LARGEST = 1e-3, 1e15
"""Between these a number is written without an exponent, as RFC 8785 has it."""
_TEXTS = frozenset({str})
_SAME = {f"principal.{name}": f"request.principal.{name}" for name in OF_PRINCIPAL}
_NEVER_KEPT = frozenset(
    {
        *(f"{root}.{name}" for root in ("principal", "request.principal") for name in ("id", "name", "claims")),
        *("request.time", "time", "request.session_id", "request.correlation_id", "tenant.name"),
        *("tool.name", "tool.version", "tool.digest", "resource.type", "resource.name", "resource.version"),
    }
)
"""What names a person, or stands in the entry anyway."""


def _written(key: str, name: str, static: Mapping[str, Any], of_caller: Collection[str]) -> _Written:
    begins = f'"{key}":'
    text = plain_text(static[name]) if name in static else None
    return _Written(begins, name, "" if text is None else begins + text, name in of_caller)


def _is_argument(name: str) -> bool:
    return name.startswith(("args.", "has_args."))


def _is_kept(name: str, record: tuple[str, ...]) -> bool:
    if _is_argument(name) or name == "args" or name.startswith("constants.") or name in _NEVER_KEPT:
        return False
    return name != "request.source" or name in record


def _recordable(read: set[str], record: tuple[str, ...]) -> list[str]:
    """Give the arguments that are recorded: those of ``record``, or parts of them, as far as they are read."""
    found = {name for name in read if any(f"{name}.".startswith(f"{each}.") for each in record)}
    return sorted(found | {each for each in record if any(each.startswith(f"{name}.") for name in read)})


def _recorded_value(values: Mapping[str, Any], name: str, path: tuple[str, ...]) -> Any:
    if name in values:
        return values[name]
    for end in range(len(path), -1, -1):
        holder = ".".join(("args", *path[:end]))
        if holder in values:
            return value_at(values[holder], path[end:])
    return ABSENT


def _fitting(kept: dict[str, Any]) -> str:
    """Write facts; the largest values are left out until they fit."""
    while True:
        try:
            text = canonical(kept).decode()
        except AltarError:  # a value that no canonical form takes, such as an integer beyond 64 bits
            kept = {key: value for key, value in kept.items() if _is_canonical({key: value})}
            continue
        if len(orjson.dumps(text)) <= MAX_FACTS_BYTES:
            return text if kept else ""
        largest = max(kept, key=lambda key: len(canonical(kept[key])) + len(key))
        kept = {key: value for key, value in kept.items() if key != largest}


def _is_canonical(value: Any) -> bool:
    try:
        canonical(value)
    except AltarError:
        return False
    return True
