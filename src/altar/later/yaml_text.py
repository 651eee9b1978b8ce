"""YAML as JSON: one document in, its values and where each of them stands out.

The words of YAML 1.2 are read (its core schema): ``no``, ``on`` and ``1:30`` are texts, and so is a date.
Keys are always texts, as they are written.
What JSON does not have is refused: tags, a key that stands twice, infinity, a document that holds itself; and whatever
is too large, too deep, or would become too many values by its aliases.
Needs the extra ``yaml``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from altar.adm.near import nearest
from altar.later.extras import loaded

__all__ = ["Place", "Yaml", "YamlRefusedError", "read_yaml"]

Place = tuple[int, int]
"""Line and column, both counted from 1."""
_Way = tuple[str | int, ...]


class YamlRefusedError(Exception):
    """A text that is not read; ``str()`` says why, ``place`` where."""

    def __init__(self, why: str, place: Place) -> None:
        super().__init__(f"line {place[0]}, column {place[1]}: {why}")
        self.place = place


@dataclass(frozen=True, slots=True)
class Yaml:
    """The JSON value of a document, and the places of its values by the keys and indexes that lead there."""

    value: Any
    places: Mapping[tuple[str | int, ...], Place] = field(default_factory=dict, repr=False)

    def place(self, *way: str | int) -> Place:
        """Where a value stands, or the nearest one around it."""
        while way and way not in self.places:
            way = way[:-1]
        return self.places.get(way, (1, 1))


def read_yaml(
    text: str | bytes,
    *,
    what: str,
    max_bytes: int,
    max_depth: int = 64,
    max_values: int = 100_000,
    with_places: bool = False,
) -> Yaml:
    """Read the one document of a text; ``what`` begins a sentence that says who needs the extra.

    ``max_values`` counts each value as often as an alias repeats it. Places are noted ``with_places``.
    Raises YamlRefusedError, and ConfigurationError ENVIRONMENT_ERROR without the extra ``yaml``.
    """
    yaml = loaded("yaml", extra="yaml", what=what)
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "replace"))
    if size > max_bytes:
        raise YamlRefusedError(f"the text has {size} bytes, and the limit is {max_bytes}", (1, 1))
    reader = _Reader(yaml, max_depth=max_depth, max_values=max_values, with_places=with_places)
    try:
        return reader.read(text)
    except yaml.YAMLError as unread:
        mark = getattr(unread, "problem_mark", None) or getattr(unread, "context_mark", None)
        why = getattr(unread, "problem", None) or getattr(unread, "reason", None) or "it cannot be read"
        raise YamlRefusedError(f"this is no YAML: {why}", _place(mark)) from None
    except UnicodeError:  # bytes of another encoding, or half of a surrogate pair in a text
        raise YamlRefusedError("the text is not UTF-8", (1, 1)) from None


@dataclass(slots=True)
class _Made:
    """A value, how many values it holds with itself, and how deeply they nest."""

    value: Any
    count: int = 1
    height: int = 0


class _Reader:
    """Makes values of the events of one text."""

    def __init__(self, yaml: Any, *, max_depth: int, max_values: int, with_places: bool) -> None:
        self.yaml = yaml
        self.max_depth = max_depth
        self.max_values = max_values
        self.places: dict[tuple[str | int, ...], Place] | None = {} if with_places else None
        self.anchors: dict[str, _Made] = {}
        self.open: set[str] = set()
        self.events: Any = iter(())

    def read(self, text: str | bytes) -> Yaml:
        """The value of the text, of which there must be one."""
        loader = getattr(self.yaml, "CSafeLoader", self.yaml.SafeLoader)
        self.events = self.yaml.parse(text.decode() if isinstance(text, bytes) else text, Loader=loader)
        next(self.events)
        first = next(self.events)
        if not isinstance(first, self.yaml.DocumentStartEvent):
            raise YamlRefusedError("there is nothing in it", (1, 1))
        made = self._value(next(self.events), ())
        next(self.events)
        after = next(self.events)
        if not isinstance(after, self.yaml.StreamEndEvent):
            raise YamlRefusedError("a second document begins here, and one is read", _place(after.start_mark))
        return Yaml(made.value, self.places or {})

    def _value(self, event: Any, way: _Way) -> _Made:
        """The value that an event begins."""
        place = _place(event.start_mark)
        if self.places is not None:
            self.places.setdefault(way, place)
        if isinstance(event, self.yaml.AliasEvent):
            return self._repeated(event.anchor, place, len(way))
        if event.tag not in {None, "!"}:
            raise YamlRefusedError(f"the tag {event.tag[:60]!r} is not read", place)
        if len(way) > self.max_depth:
            raise self._too_deep(place)
        if event.anchor is not None:
            self.open.add(event.anchor)
        if isinstance(event, self.yaml.ScalarEvent):
            made = _Made(_scalar(event, place))
        elif isinstance(event, self.yaml.SequenceStartEvent):
            made = self._list(way)
        else:
            made = self._mapping(way)
        if event.anchor is not None:
            self.open.discard(event.anchor)
            self.anchors[event.anchor] = made
        return made

    def _repeated(self, anchor: str, place: Place, depth: int) -> _Made:
        if anchor in self.open:
            raise YamlRefusedError(f"{anchor!r} is inside of itself", place)
        if anchor not in self.anchors:
            near = nearest(anchor, self.anchors)
            raise YamlRefusedError(f"there is no anchor {anchor!r}" + (f"; near: {near!r}" if near else ""), place)
        if depth + self.anchors[anchor].height > self.max_depth:
            raise self._too_deep(place)
        return self.anchors[anchor]

    def _list(self, way: _Way) -> _Made:
        found: list[Any] = []
        made = _Made(found)
        while not isinstance(event := next(self.events), self.yaml.SequenceEndEvent):
            found.append(self._inside(made, event, (*way, len(found))))
        return made

    def _mapping(self, way: _Way) -> _Made:
        found: dict[str, Any] = {}
        made = _Made(found)
        while not isinstance(event := next(self.events), self.yaml.MappingEndEvent):
            place = _place(event.start_mark)
            if not isinstance(event, self.yaml.ScalarEvent) or event.tag not in {None, "!"}:
                raise YamlRefusedError("a key is no text", place)
            key = event.value
            if key in found:
                raise YamlRefusedError(f"the key {key[:60]!r} stands twice", place)
            if self.places is not None:
                self.places[*way, key] = place
            found[key] = self._inside(made, next(self.events), (*way, key))
        return made

    def _inside(self, around: _Made, event: Any, way: _Way) -> Any:
        """A value inside of another one, which counts it."""
        made = self._value(event, way)
        around.count += made.count
        around.height = max(around.height, made.height + 1)
        if around.count > self.max_values:
            raise YamlRefusedError(f"there are more than {self.max_values} values", _place(event.start_mark))
        return made.value

    def _too_deep(self, place: Place) -> YamlRefusedError:
        return YamlRefusedError(f"values are nested more than {self.max_depth} deep", place)


def _scalar(event: Any, place: Place) -> Any:
    """A value of YAML's core schema; whatever stands in quotes is text."""
    text: str = event.value
    if not event.implicit[0]:  # it is quoted, or stands in a block
        return text
    for pattern, read in _CORE:
        if pattern.fullmatch(text):
            try:
                value = read(text)
            except ValueError:
                value = math.inf  # a number with more digits than Python reads
            if isinstance(value, int) and value.bit_length() > _MOST_BITS:
                value = math.inf  # nor could it be written as JSON
            if isinstance(value, float) and not math.isfinite(value):
                raise YamlRefusedError(f"{text[:40]!r} is no number of JSON", place)
            return value
    return text


_CORE: Final[tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...]] = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)
"""YAML 1.2.2 §10.3.2."""
_MOST_BITS: Final = 14_280
"""Of an integer: as many as fit into the 4300 digits that Python writes."""


def _place(mark: Any) -> Place:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
