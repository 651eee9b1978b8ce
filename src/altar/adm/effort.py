"""How much work one check may make, so that no schema and no value can hang or exhaust the process.

In: a sound JSON Schema document, and a value.
Out: `Effort`, which refuses a value whose check would cost too much, and says why in words.
The engine takes linear time for almost everything.
What remains is the product of two sizes, the schema's and the value's, and that product is bounded here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from altar.adm.canonical import MAX_DEPTH, is_within_depth
from altar.adm.defect import Defect, pointer
from altar.adm.references import width_and_height
from altar.adm.vocabulary import subschemas

if TYPE_CHECKING:
    import jsonschema_rs

MAX_PATTERNS: Final = 250
"""How many patterns a schema may hold."""

MAX_PATTERN_KIB: Final = 1_024
"""How large one pattern may be once it is compiled, in KiB; `^.{0,255}$` takes less, `^[^,]{0,4096}$` more."""

MAX_PATTERNS_KIB: Final = 8_192
"""How large all patterns of a schema may be together, in KiB."""

MAX_COMPARISONS: Final = 200_000_000
"""The parts of a value times the subschemas at one place; so many are compared in about four seconds."""

MAX_MATCHING: Final = 32 * 1024 * 1024
"""The characters of all texts of a value times the KiB of all patterns; about four seconds in the worst case."""

MAX_NESTED: Final = 2_048
"""The depth of a value times the height of the schema at one place, which the stack of a thread has to bear."""

EASY: Final = 100_000
"""With fewer comparisons than this, everything that is wrong with a value is collected, not only the first."""

_TIERS: Final = (4, 16, 64, 256, MAX_PATTERN_KIB)
_WIDE: Final = 64
_FEW_KIB: Final = 8
_TOO_MANY_KIB: Final = 1 << 30
_COUNTED: Final = re.compile(r"(?<!\\)\{[0-9]+(?:,[0-9]*)?\}")


@dataclass(frozen=True, slots=True)
class Effort:
    """What a value has to keep to, for its check to be affordable.

    `max_depth` is how deep the value may nest (0: no matter), `width` how many subschemas one place has at most,
    and `patterns_kib` how large the patterns are together.
    """

    max_depth: int
    width: int
    patterns_kib: int

    @classmethod
    def of(cls, document: Mapping[str, Any], written: bytes, *, recurses: bool) -> Self:
        """Return what to watch for with a sound document, which is `written` as canonical bytes.

        `recurses` says whether it holds references at all.
        """
        kib = _size_of(_patterns(document)) if b'"pattern' in written else 0
        most = sum(map(written.count, (b"{", b"true", b"false")))  # of a small schema both figures are small
        width, height = (most, most) if most <= MAX_NESTED // MAX_DEPTH else width_and_height(document)
        depth = min(MAX_DEPTH, MAX_NESTED // max(1, height)) if recurses else 0
        return cls(depth, width, kib)

    @property
    def is_free(self) -> bool:
        """Tell whether any value is affordable that could be read at all."""
        return not self.max_depth and self.width <= _WIDE and self.patterns_kib <= _FEW_KIB

    def refusal(self, value: object) -> str | None:
        """Return what makes the check of a value too costly, to be said after the name of the value; else None."""
        if self.max_depth and not is_within_depth(value, self.max_depth):
            return f"is nested deeper than the {self.max_depth} levels to which it can be checked"
        if self.width <= _WIDE and self.patterns_kib <= _FEW_KIB:
            return None
        most = MAX_COMPARISONS // max(1, self.width)
        parts, characters = _size(value, most)
        if parts > most:
            return f"has over {most} parts, too many to compare with {self.width} subschemas at one place of its schema"
        if characters * self.patterns_kib > MAX_MATCHING:
            return f"has {characters} characters of text, too many to match with the patterns of its schema"
        return None

    def is_easy(self, value: object) -> bool:
        """Tell whether everything that is wrong with an affordable value may be collected."""
        most = EASY // max(1, self.width)
        return _size(value, most)[0] <= most


def pattern_defects(document: Mapping[str, Any]) -> list[Defect]:
    """Return a defect if a document holds too many patterns, or too large ones; what is no pattern is left alone."""
    patterns = _patterns(document)
    if len(patterns) > MAX_PATTERNS:
        return [Defect("", "RANGE", f"The schema holds {len(patterns)} patterns; the limit is {MAX_PATTERNS}")]
    total = _size_of(patterns)
    if total <= MAX_PATTERNS_KIB:
        return []
    for path, text in patterns:
        if _size_of([(path, text)]) >= _TOO_MANY_KIB:
            if not _fit([_COUNTED.sub("", text)], MAX_PATTERN_KIB):
                return []
            limit = f"the limit is {MAX_PATTERN_KIB} KiB; let it repeat less"
            return [Defect(path, "RANGE", f"The pattern is too large once it is compiled; {limit}")]
    message = f"The patterns of the schema take {total} KiB once they are compiled; the limit is {MAX_PATTERNS_KIB}"
    return [Defect("", "RANGE", message)]


def regex_options(kib: int = MAX_PATTERN_KIB) -> jsonschema_rs.RegexOptions:
    """Return the options of the engine for patterns that takes linear time, with a limit for the size of each."""
    import jsonschema_rs  # heavy: it comes with the first declaration

    return jsonschema_rs.RegexOptions(size_limit=kib * 1024)


def _patterns(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Path and text of each pattern."""
    found: list[tuple[str, str]] = []
    for path, node in subschemas(document):
        if isinstance(node.get("pattern"), str):
            found.append((f"{path}/pattern", node["pattern"]))
        named = node.get("patternProperties")
        if isinstance(named, Mapping):
            found += [(path + pointer("patternProperties", key), key) for key in named]
    return found


def _size_of(patterns: list[tuple[str, str]]) -> int:
    """The KiB of patterns together, each rounded up to the next tier; huge if one of them has no size."""
    if not patterns:
        return 0
    if _fit([text for _, text in patterns], _TIERS[0]):
        return len(patterns) * _TIERS[0]
    if len(patterns) == 1:
        return next((kib for kib in _TIERS[1:] if _fit([patterns[0][1]], kib)), _TOO_MANY_KIB)
    return sum(_size_of([pattern]) for pattern in patterns)


def _fit(texts: Iterable[str], kib: int) -> bool:
    import jsonschema_rs

    document = {"allOf": [{"pattern": text} for text in texts]}
    try:
        jsonschema_rs.Draft202012Validator(document, pattern_options=regex_options(kib), offline=True)
    except (ValueError, jsonschema_rs.ValidationError):
        return False
    return True


def _size(value: object, most: int = MAX_COMPARISONS) -> tuple[int, int]:
    """How many parts a value has, and how many characters its texts and names have together.

    With more than `most` parts the rest is not counted.
    """
    parts, characters, waiting = 1, len(value) if isinstance(value, str) else 0, [value]
    while waiting and parts <= most:
        part = waiting.pop()
        inside: Iterable[object] = ()
        if isinstance(part, dict):
            inside = part.values()
            characters += sum(len(name) for name in part if isinstance(name, str))
        elif isinstance(part, list | tuple):
            inside = part
        for item in inside:
            parts += 1
            if isinstance(item, str):
                characters += len(item)
            elif isinstance(item, dict | list | tuple):
                waiting.append(item)
    return parts, characters
