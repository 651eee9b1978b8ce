"""Reading an ADM document member by member, strictly or leniently.

In: a document that came as JSON.
Out: its members, and a list of defects with the place of each.
A strict reader is for authoring, manifests and registration: an unknown member is a defect, so that a typing
error shows.
A lenient reader is for documents of peers: unknown members are ignored and kept.
Members with a reserved prefix are extensions and always kept; the prefixes bind members of ADM structures
only, never the names of properties or arguments.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Self

from altar.adm.canonical import INT64_MAX
from altar.adm.defect import Defect, Kind, pointer, quoted
from altar.adm.errors import AltarError, ValidationError

Version = Literal["1.0", "1.1"]
"""The versions of the ADM that are read."""

Mode = Literal["strict", "lenient"]
"""How a document is read: our own strictly, a peer's leniently."""

NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
"""The names that a function may have (use `fullmatch`)."""

NAME_RULE: Final = "a letter or underscore, then at most 63 letters, digits, underscores or dashes"

MAX_CALL_ID: Final = 128

_EXTENSION: Final = re.compile(r"(?:x_|later_|grid_|_adm_|vendor_[A-Za-z0-9]+_).+", re.DOTALL)
_RESERVED: Final = frozenset({"_version", "_extensions", "_metadata", "_deprecated", "_experimental"})
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")
_KINDS: Final[Mapping[type, str]] = {
    str: "text",
    dict: "an object",
    list: "a list",
    bool: "true or false",
    int: "an integer",
}


def is_extension(name: str) -> bool:
    """Tell whether a member name is reserved for extensions and therefore kept by every reader."""
    return name in _RESERVED or _EXTENSION.fullmatch(name) is not None


class Structure(ABC):
    """A structure of the ADM: `read` gives it or everything that is wrong, `from_adm` gives it or raises."""

    __slots__ = ()

    refused_with: ClassVar[tuple[type[AltarError], str]] = (ValidationError, "SCHEMA_VIOLATION")
    """The error for a document that is not one, and its code."""

    @classmethod
    @abstractmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the structure of a document, or None and everything that is wrong with it."""

    @classmethod
    def from_adm(cls, doc: Mapping[str, Any], *, version: Version = "1.1", mode: Mode = "strict") -> Self:
        """Return the structure of an ADM document; the error's message and path name the first defect.

        Raises SCHEMA_VIOLATION; INVALID_DECLARATION for what declares functions.
        """
        made, found = cls.read(doc, version=version, mode=mode)
        if made is None:
            error, code = cls.refused_with
            raise error.from_defects(code, found)
        return made


class Members:
    """The members of one document: each `get` checks one, and `extensions` ends the reading.

    `found` collects the defects; a member that is absent or defective is answered with None.
    """

    def __init__(self, document: object, *, what: str, mode: Mode, path: str = "") -> None:
        """Begin to read `document`, which `what` names in messages."""
        self.found: list[Defect] = []
        self.what = what
        self.mode = mode
        self.path = path
        self.members: Mapping[str, Any] = {}
        self._known: set[str] = set()
        if isinstance(document, Mapping):
            self.members = document
        else:
            kind: Kind = "NULL" if document is None else "TYPE"
            self.found.append(Defect(path, kind, f"{what} must be an object, not {quoted(document)}"))

    @property
    def readable(self) -> bool:
        """Tell whether the document is an object at all."""
        return not any(defect.path == self.path for defect in self.found)

    def say(self, kind: Kind, message: str, *steps: str | int) -> None:
        """Record a defect at the place that `steps` lead to."""
        self.found.append(Defect(self.path + pointer(*steps), kind, message))

    def get(self, name: str, kind: type, *, required: bool = False) -> Any:
        """Return a member of the wanted type, or None; null is a defect, as ADM members are never null."""
        self._known.add(name)
        if name not in self.members:
            if required and self.readable:
                self.say("REQUIRED", f"{self.what} needs `{name}`", name)
            return None
        held = self.members[name]
        if kind is int and isinstance(held, float) and held.is_integer():
            held = int(held)
        if held is None:
            self.say("NULL", f"`{name}` cannot be null; leave it out instead", name)
            return None
        fits = isinstance(held, Mapping) if kind is dict else isinstance(held, kind)
        if not fits or (kind is int and isinstance(held, bool)):
            self.say("TYPE", f"`{name}` must be {_KINDS[kind]}, not {quoted(held)}", name)
            return None
        return held

    def payload(self, name: str) -> Any:
        """Return a member that may be any JSON value, null too; None when it is absent."""
        self._known.add(name)
        return self.members.get(name)

    def text(self, name: str, *, required: bool = False) -> str | None:
        """Return a text member that is not blank."""
        held: str | None = self.get(name, str, required=required)
        if held is not None and not held.strip():
            self.say("LENGTH", f"`{name}` must not be blank", name)
            return None
        return held

    def name(self, name: str = "name") -> str | None:
        """Return the name of a function: a letter or underscore, then up to 63 letters, digits, _ and -."""
        held: str | None = self.get(name, str, required=True)
        if held is not None and not NAME.fullmatch(held):
            self.say("PATTERN", f"The name {quoted(held)} is not {NAME_RULE}", name)
            return None
        return held

    def matching(self, name: str, rule: re.Pattern[str], wanted: str, *, required: bool = False) -> str | None:
        """Return a text member that matches `rule` as a whole; `wanted` says in words what that is."""
        held: str | None = self.get(name, str, required=required)
        if held is not None and not rule.fullmatch(held):
            self.say("PATTERN", f"`{name}` is {quoted(held)}, not {wanted}", name)
            return None
        return held

    def items(self, name: str, *, required: bool = False) -> list[Any]:
        """Return a list member with at least one item; empty when it is absent or defective."""
        held: list[Any] | None = self.get(name, list, required=required)
        if held is not None and not held:
            self.say("LENGTH", f"`{name}` must hold at least one item", name)
        return held or []

    def function_names(self, name: str) -> tuple[str, ...]:
        """Return a list of names of functions that differ; empty when absent."""
        held = self.get(name, list) or []
        seen: set[str] = set()
        for index, item in enumerate(held):
            if not isinstance(item, str):
                kind: Kind = "NULL" if item is None else "TYPE"
                self.say(kind, f"`{name}` holds {quoted(item)}, which is not text", name, index)
            elif not NAME.fullmatch(item):
                self.say("PATTERN", f"The name {quoted(item)} is not {NAME_RULE}", name, index)
            elif item in seen:
                self.say("DUPLICATE", f"`{name}` holds {quoted(item)} more than once", name, index)
            else:
                seen.add(item)
        return tuple(item for item in held if isinstance(item, str))

    def call_id(self) -> str | None:
        """Return the id of a call: 1 to 128 printable ASCII characters, not all blank."""
        held = self.text("call_id", required=True)
        if held is None:
            return None
        if len(held) > MAX_CALL_ID:
            self.say("LENGTH", f"`call_id` has {len(held)} characters; the limit is {MAX_CALL_ID}", "call_id")
        elif not _PRINTABLE.fullmatch(held):
            self.say("PATTERN", "`call_id` may hold printable ASCII characters only", "call_id")
        return held

    def one_of(self, name: str, choices: Sequence[str], *, required: bool = False, otherwise: str | None = None) -> Any:
        """Return a text member that is one of `choices`.

        A lenient reader takes any other value, perhaps one of a newer MINOR, for `otherwise` where that is given,
        and keeps it among the extensions (ADM decision D31).
        """
        held: str | None = self.get(name, str, required=required)
        if held is None or held in choices:
            return held
        if self.mode == "lenient" and otherwise is not None:
            self._known.discard(name)
            return otherwise
        self.say("ENUM", f"`{name}` is {quoted(held)} but must be one of {', '.join(choices)}", name)
        return None

    def count(self, name: str) -> int | None:
        """Return an integer member that is not negative and fits 64 bits."""
        held: int | None = self.get(name, int)
        if held is not None and not 0 <= held <= INT64_MAX:
            self.say("RANGE", f"`{name}` is {held}, which is not a count of at most 64 bits", name)
            return None
        return held

    def strings(self, name: str) -> dict[str, str]:
        """Return a member that maps non-empty text to text; empty when absent."""
        held = self.get(name, dict) or {}
        for key, value in held.items():
            if not key:
                self.say("LENGTH", f"`{name}` has an empty key", name, key)
            elif not isinstance(value, str):
                kind: Kind = "NULL" if value is None else "TYPE"
                self.say(kind, f"`{name}` maps {quoted(key)} to {quoted(value)}, which is not text", name, key)
        return dict(held)

    def extensions(self) -> dict[str, Any]:
        """Return the members that nobody has asked for; a strict reader refuses those without a prefix."""
        rest = {name: held for name, held in self.members.items() if name not in self._known}
        if self.mode == "strict":
            for name in rest:
                if not is_extension(name):
                    self.say("UNKNOWN_FIELD", f"{self.what} has no member {quoted(name)}", name)
        return rest
