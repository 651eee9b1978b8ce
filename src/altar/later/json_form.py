"""A Python value as canonical JSON, by what it is.

In: what a caller passes as arguments, or what a function without an annotation returns.
Out: canonical bytes, or SERIALIZATION_ERROR with the place and the Python type of what JSON cannot hold; the value
itself is never quoted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from altar.adm.blobs import BLOB_BYTES, MAX_BLOBS, Blob, base64_text
from altar.adm.canonical import INT64_MAX, INT64_MIN, MAX_DEPTH, canonical, written_plainly
from altar.adm.errors import AltarError, Ran, error_of

__all__ = ["ARGUMENTS", "RESULT", "JsonForm", "pointer"]


@dataclass(frozen=True, slots=True)
class JsonForm:
    """Writes values of one kind; the kind gives the words when one cannot be written.

    ``whole`` and ``part`` name the value and a place inside it, ``verb`` is what the user did with it.
    """

    whole: str
    part: str
    verb: str
    ran: Ran

    def write(self, value: object) -> bytes:
        """The canonical JSON of a value.

        Dates, ids, members of an Enum, sets, dataclasses and pydantic models have a JSON form; bytes are base64.
        Raises SERIALIZATION_ERROR for anything else.
        """
        data = written_plainly(value)
        if data is not None:
            return data
        try:
            return canonical(value)  # type: ignore[arg-type]  # what is no JSON value is refused there
        except AltarError:
            pass
        try:
            return canonical(self._plain(value, "", ()))
        except RecursionError as deep:
            raise self.unfit("", value, "is nested too deeply") from deep

    def write_beside(self, value: object) -> tuple[bytes, tuple[Blob, ...]]:
        """The canonical JSON of a value, and its large bytes, which stand beside it; else as :meth:`write`."""
        found: list[Blob] = []
        try:
            return canonical(value), ()  # type: ignore[arg-type]  # what is no JSON value is refused there
        except AltarError:
            pass
        try:
            return canonical(self._plain(value, "", (), found)), tuple(found)
        except RecursionError as deep:
            raise self.unfit("", value, "is nested too deeply") from deep

    def unfit(self, path: str, value: object, why: str, cause: Exception | None = None) -> AltarError:
        """The error for a value that JSON cannot hold: its place and its Python type, never the value itself."""
        place = f"{self.part} at {path!r}" if path else self.whole
        return error_of(
            "SERIALIZATION_ERROR",
            f"{place}, of the Python type {type(value).__name__!r}, {why}",
            hint=f"{self.verb} text, finite numbers, lists, dicts, dataclasses or pydantic models",
            detail=None if cause is None else f"{type(cause).__name__}: {cause}",
            path=path,
            ran=self.ran,
        )

    def _plain(  # noqa: C901, PLR0911 - one branch a kind of value
        self, value: Any, path: str, inside: tuple[int, ...], beside: list[Blob] | None = None
    ) -> Any:
        """The JSON value of a Python value; ``inside`` holds the containers around it, ``beside`` takes large bytes."""
        if isinstance(value, Enum):
            return self._plain(value.value, path, inside)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int):
            if not INT64_MIN <= value <= INT64_MAX:
                raise self.unfit(path, value, "is outside the range of 64 bits")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise self.unfit(path, value, "is not a finite number")
            return float(value)
        if id(value) in inside:
            raise self.unfit(path, value, "contains itself")
        if len(inside) >= MAX_DEPTH:
            raise self.unfit(path, value, f"is nested deeper than {MAX_DEPTH}")
        inside = (*inside, id(value))
        if isinstance(value, Mapping):
            return self._members(value, path, inside, beside)
        if isinstance(value, AbstractSet):
            return sorted((self._plain(part, f"{path}/-", inside) for part in value), key=canonical)
        if isinstance(value, (list, tuple)):
            return [self._plain(part, f"{path}/{index}", inside, beside) for index, part in enumerate(value)]
        if _is_plain_dataclass(value):
            members = {each.name: getattr(value, each.name) for each in fields(value)}
            return self._members(members, path, inside, beside)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return _bytes(bytes(value), path, beside)
        return self._leaf(value, path, inside)

    def _text(self, value: str, path: str) -> str:
        text = str.__str__(value)
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.unfit(path, value, "holds half of a surrogate pair")
        return text

    def _members(
        self, value: Mapping[Any, Any], path: str, inside: tuple[int, ...], beside: list[Blob] | None
    ) -> dict[str, Any]:
        """An object, with keys as text: numbers, dates, ids and members of an Enum by their JSON form."""
        members: dict[str, Any] = {}
        for key, part in value.items():
            name = self._plain(key, path, ())
            if type(name) is int:
                name = str(name)
            if not isinstance(name, str):
                raise self.unfit(path, key, "is used as a key, and a key is text")
            if name in members:
                raise self.unfit(path, value, "has two keys that are the same as text")
            members[name] = self._plain(part, path + pointer([name]), inside, beside)
        return members

    def _leaf(self, value: Any, path: str, inside: tuple[int, ...]) -> Any:
        """The JSON value of a date, an id, a path, a pydantic model and the like."""
        if isinstance(value, PurePath):
            return self._text(str(value), path)
        from pydantic_core import to_jsonable_python

        if isinstance(value, Iterator):
            raise self.unfit(path, value, "is read as it is used, and must be whole: make it a list")
        try:
            written = to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
        except (ValueError, TypeError, RecursionError) as failed:
            for name, part in _parts(value):
                self._plain(part, path + pointer([name]), inside)  # says where
            raise self.unfit(path, value, "cannot be written as JSON", failed) from failed
        return self._plain(written, path, inside)


ARGUMENTS = JsonForm("The arguments", "The argument", "pass", "no")
"""What a caller passes."""

RESULT = JsonForm("The result", "The result", "return", "yes")
"""What a function returned."""


def pointer(steps: Sequence[str]) -> str:
    """A JSON Pointer (RFC 6901 §4)."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _bytes(data: bytes, path: str, beside: list[Blob] | None) -> Any:
    """Bytes as base64 text, or as a reference to those that are put beside the JSON."""
    if beside is None or len(data) < BLOB_BYTES or len(beside) == MAX_BLOBS:
        return base64_text(data)
    blob = Blob(path, data)
    beside.append(blob)
    return blob.reference


def _is_plain_dataclass(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type) and not hasattr(value, "__pydantic_serializer__")


def _parts(value: Any) -> list[tuple[str, Any]]:
    """The fields of a pydantic model; nothing for anything else."""
    return list(vars(value).items()) if hasattr(value, "__pydantic_serializer__") else []
