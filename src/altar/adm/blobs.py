"""Blobs: large bytes that travel beside the JSON they belong to.

In JSON bytes are base64 text, a third larger, which each reader reads as text.
From `BLOB_BYTES` on they may stand beside it instead: the JSON has a reference in their place,
``{"$blob":"sha256:<hex>","size":<bytes>}``, and a `Blob` has the JSON Pointer of that place, and the bytes.
Only a place that a blob names is a reference; an object that looks like one is data everywhere else.

In: JSON values or canonical JSON bytes, with their blobs, and the schemas that say where bytes are expected.
Out: the same with bytes, with base64 text or with references, and errors for blobs that are not what was referred to.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from altar.adm.canonical import canonical, digest, parse_canonical
from altar.adm.defect import pointer
from altar.adm.errors import AltarError, ValidationError, error_of

if TYPE_CHECKING:
    from altar.adm.schema import Schema

__all__ = [
    "BLOB_BYTES",
    "MAX_BLOBS",
    "Beside",
    "Blob",
    "LargeBytes",
    "Places",
    "base64_text",
    "bytes_in",
    "bytes_of",
    "reference_text",
    "result_beside",
    "size_beside",
    "size_with_text",
    "with_text",
]

BLOB_BYTES: Final = 4096
"""Bytes from which on a value is put beside the JSON."""

MAX_BLOBS: Final = 1024
"""Most blobs of one call or of one result."""

_REFERENCE: Final = "$blob"
_HOW_TO_SEND: Final = 'put {"$blob": "sha256:…", "size": …} where the bytes belong, and send one blob for each'
_REFERENCE_LENGTH: Final = len('{"$blob":"sha256:","size":}') + 64
_INDEX_DIGITS: Final = 9
_USUAL: Final = str.maketrans("-_", "+/")


class Blob:
    """Bytes, and the JSON Pointer (RFC 6901) of the reference that stands for them; empty for the whole value.

    Must not be changed.
    """

    __slots__ = ("_digest", "data", "path")

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self._digest = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes as `sha256:` and 64 hexadecimal digits; computed once."""
        if not self._digest:
            self._digest = digest(self.data)
        return self._digest

    @property
    def reference(self) -> dict[str, Any]:
        """The JSON object that stands in the place of the bytes."""
        return {_REFERENCE: self.digest, "size": len(self.data)}

    def __eq__(self, other: object) -> bool:
        """Compare place and bytes."""
        return isinstance(other, Blob) and (self.path, self.data) == (other.path, other.data)

    def __hash__(self) -> int:
        """Hash place and bytes."""
        return hash((self.path, self.data))

    def __repr__(self) -> str:
        """Show the place and the size; never the bytes."""
        return f"Blob({self.path!r}, {len(self.data)} bytes)"


def base64_text(data: bytes) -> str:
    """Bytes as base64 text: the usual alphabet, padded, in one line (RFC 4648 §4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def bytes_of(text: str) -> bytes | None:
    """The bytes that a base64 text stands for; None unless it is exactly the text that `base64_text` gives for them."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    end = len(data) % 3 or 3  # bytes that the last four letters stand for, in one of several ways
    return data if text[-4:] == base64_text(data[-end:]) else None


def bytes_in(value: Any, path: str) -> bytes:
    """The bytes that a JSON value has as base64 text at a JSON Pointer, in any of its spellings.

    Raises ValidationError MALFORMED_REQUEST where no such text stands.
    """
    holder, key = _spot([value], path)
    text = holder[key]
    try:
        data = bytes_of(text)
        spelt = text if data is not None else text.translate(_USUAL) + "=" * (-len(text) % 4)
        return binascii.a2b_base64(spelt, strict_mode=True) if data is None else data
    except (AttributeError, TypeError, binascii.Error, ValueError):
        raise ValidationError(
            "MALFORMED_REQUEST",
            "What stands there is not base64 text",
            ran="no",
            path=path[:_LONGEST_PATH],
            hint="give the JSON Pointer of bytes in the content, such as '/image'; '' means the whole of it",
        ) from None


def reference_text(blob: Blob) -> bytes:
    """Canonical JSON of the reference to a blob."""
    return b'{"$blob":"%s","size":%d}' % (blob.digest.encode("ascii"), len(blob.data))


def size_beside(blobs: Iterable[Blob]) -> int:
    """How many bytes blobs add to the JSON they belong to, with the pointers to their places."""
    return sum(len(blob.data) + len(blob.path) for blob in blobs)


def size_with_text(text: bytes, blobs: Iterable[Blob]) -> int:
    """About how many bytes `with_text` gives, never less than it does by more than a few."""
    size = len(text)
    for blob in blobs:
        size += 4 * ((len(blob.data) + 2) // 3) + 2 - _REFERENCE_LENGTH - len(str(len(blob.data)))
    return size


def with_text(text: bytes, blobs: Sequence[Blob]) -> bytes:
    """Canonical JSON in which base64 text stands in the place of each reference.

    Raises MALFORMED_REQUEST for a blob that is not what its place refers to, SERIALIZATION_ERROR for text that is
    not canonical JSON.
    """
    if len(blobs) == 1 and not blobs[0].path and text == reference_text(blobs[0]):
        return b'"%s"' % binascii.b2a_base64(blobs[0].data, newline=False)
    return canonical(Beside(parse_canonical(text), blobs).as_text())


class Beside:
    """A JSON value with the blobs that came beside it, each verified against the reference in its place.

    The value is changed in place by each of the methods that give it.
    """

    __slots__ = ("_root", "_spots")

    def __init__(self, value: Any, blobs: Sequence[Blob]) -> None:
        """Take a value that was read from JSON, and is nobody else's, and its blobs.

        Raises ValidationError MALFORMED_REQUEST, with the path, for a blob whose place is not there, has no reference,
        is given twice, or refers to other bytes; and for more than MAX_BLOBS.
        """
        if len(blobs) > MAX_BLOBS:
            raise _malformed("", f"{len(blobs)} blobs came with one value and the limit is {MAX_BLOBS}")
        self._root = [value]
        self._spots: list[tuple[Any, Any, Blob]] = []
        for blob in blobs:
            holder, key = _spot(self._root, blob.path)
            _require_reference(holder[key], blob)
            holder[key] = ""  # a second blob for the same place finds no reference
            self._spots.append((holder, key, blob))

    def settle(self, places: Places | None) -> bool:
        """Keep the blobs in places where the contract says bytes; put text in the place of the others.

        Returns whether there were others.
        """
        kept = [spot for spot in self._spots if places is not None and places.admits(spot[2].path)]
        if len(kept) == len(self._spots):
            return False
        self.as_text()
        self._spots = kept
        return True

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The blobs that were kept."""
        return tuple(blob for _, _, blob in self._spots)

    def bare(self) -> Any:
        """The value with an empty text in the place of each blob, for a schema to judge."""
        for holder, key, _ in self._spots:
            holder[key] = ""
        return self._root[0]

    def as_bytes(self) -> Any:
        """The value with Python bytes in the place of each blob."""
        for holder, key, blob in self._spots:
            holder[key] = blob.data
        return self._root[0]

    def as_text(self) -> Any:
        """The value with base64 text in the place of each blob."""
        for holder, key, blob in self._spots:
            holder[key] = base64_text(blob.data)
        return self._root[0]

    def written(self) -> bytes:
        """Canonical JSON with a reference in the place of each blob."""
        for holder, key, blob in self._spots:
            holder[key] = blob.reference
        return canonical(self._root[0])


class LargeBytes(dict[str, bytes]):
    """The large bytes of a result by the JSON Pointers of their places, and the value they belong to.

    The value gets its text when somebody asks for it: who wants the bytes pays for no text.
    """

    __slots__ = ("_beside",)

    def __init__(self, beside: Beside) -> None:
        super().__init__({blob.path: blob.data for blob in beside.blobs})
        self._beside = beside

    @property
    def content(self) -> Any:
        """The value with base64 text in the place of each blob."""
        return self._beside.as_text()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle with the value."""
        return (LargeBytes, (self._beside,))


class Places:
    """Where the values of one schema are bytes and can be nothing else, but null: there a blob may stand.

    Any keyword that this class does not know hides what is below it, so that a blob is never taken for another value.
    """

    __slots__ = ("_definitions", "_nodes", "_root")

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take a JSON Schema 2020-12 document, which must not change."""
        self._definitions: Mapping[str, Any] = document.get("$defs") or {}
        self._nodes: dict[int, _Node] = {}
        self._root = document

    @classmethod
    def of(cls, schema: Schema | None) -> Places | None:
        """The places of a schema; None where it has none at all."""
        if schema is None:
            return None
        document = schema.json_schema
        return cls(document) if "contentEncoding" in repr(document) else None

    def admits(self, path: str) -> bool:
        """Tell whether a blob may stand at this JSON Pointer."""
        node = self._node(self._root)
        for step in _steps(path):
            node = self._below(node, step)
        return node.is_bytes

    def take_out(self, value: Any) -> tuple[Any, list[Blob]]:
        """Put references in the place of base64 texts of at least BLOB_BYTES bytes, as far as MAX_BLOBS goes.

        The value, made of dicts and lists that are nobody else's, is changed in place and given back with its blobs.
        """
        root = [value]
        found: list[Blob] = []
        for holder, key, path in self._texts(root, 0, self._node(self._root), ""):
            data = bytes_of(holder[key])
            if data is None or len(data) < BLOB_BYTES or len(found) == MAX_BLOBS:
                continue
            blob = Blob(path, data)
            holder[key] = blob.reference
            found.append(blob)
        return root[0], found

    def _texts(self, holder: Any, key: Any, node: _Node, path: str) -> Iterator[tuple[Any, Any, str]]:
        """Every long text at a place for bytes: its container, its key there, and its pointer."""
        value = holder[key]
        if node.is_bytes:
            if type(value) is str and len(value) * 3 >= BLOB_BYTES * 4:
                yield holder, key, path
        elif isinstance(value, dict):
            for name in value:
                below = self._below(node, name)
                if below is not _OPAQUE:
                    yield from self._texts(value, name, below, path + pointer(name))
        elif isinstance(value, list):
            for index in range(len(value)):
                below = self._item(node, index)
                if below is not _OPAQUE:
                    yield from self._texts(value, index, below, f"{path}/{index}")

    def _below(self, node: _Node, step: str) -> _Node:
        if node.is_object:
            held = node.members.get(step, node.others)
            return _OPAQUE if held is None else self._node(held)
        index = _index(step)
        return _OPAQUE if index is None else self._item(node, index)

    def _item(self, node: _Node, index: int) -> _Node:
        held = node.first[index] if index < len(node.first) else node.others
        return _OPAQUE if held is None or node.is_object else self._node(held)

    def _node(self, document: Any) -> _Node:
        """What a subschema says, made once."""
        node = self._nodes.get(id(document))
        if node is None:
            node = self._nodes[id(document)] = _node_of(self._meant(document))
        return node

    def _meant(self, document: Any) -> Any:
        """The subschema that one stands for: behind its reference, or beside null; None where that is not known."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(document, Mapping):
                return None
            words = document.keys() - _FOR_READERS
            if words == {"$ref"}:
                _, _, name = document["$ref"].rpartition("/")
                plain = document["$ref"] == f"#/$defs/{name}" and _ESCAPES.isdisjoint(name)
                document = self._definitions.get(name) if plain else None
            elif words == {"anyOf"}:
                others = [branch for branch in document["anyOf"] if branch != {"type": "null"}]
                if len(others) != 1:
                    return None
                document = others[0]
            else:
                return document
        return None


class _Node:
    """One subschema, as far as it says where bytes are: bytes itself, an object, an array, or opaque."""

    __slots__ = ("first", "is_bytes", "is_object", "members", "others")

    def __init__(
        self,
        *,
        is_bytes: bool = False,
        is_object: bool = False,
        members: Mapping[str, Any] | None = None,
        first: Sequence[Any] = (),
        others: Any = None,
    ) -> None:
        self.is_bytes = is_bytes
        self.is_object = is_object
        self.members = members or {}
        self.first = first
        self.others = others


_OPAQUE: Final = _Node()


def _node_of(document: Mapping[str, Any] | None) -> _Node:
    if document is None:
        return _OPAQUE
    words = document.keys() - _FOR_READERS
    kinds = document.get("type")
    kinds = set(kinds if isinstance(kinds, list) else [kinds]) - {"null"}
    if kinds == {"string"} and words == {"type", "contentEncoding"} and document["contentEncoding"] == "base64":
        return _Node(is_bytes=True)
    others: Any
    if kinds == {"object"} and words <= _OF_OBJECTS:
        others = document.get("additionalProperties")
        return _Node(is_object=True, members=document.get("properties"), others=others or None)
    if kinds == {"array"} and words <= _OF_ARRAYS:
        return _Node(first=document.get("prefixItems", ()), others=document.get("items") or None)
    return _OPAQUE


_LONGEST_CHAIN: Final = 64
_ESCAPES: Final = frozenset("~%")
_FOR_READERS: Final = frozenset(
    "$comment $defs $schema default deprecated description examples readOnly title writeOnly contentMediaType".split()
)
_OF_OBJECTS: Final = frozenset(
    "type properties required additionalProperties minProperties maxProperties propertyNames dependentRequired".split()
)
_OF_ARRAYS: Final = frozenset("type items prefixItems minItems maxItems".split())


def _steps(path: str) -> Iterator[str]:
    """The steps of a JSON Pointer (RFC 6901 §4). Raises MALFORMED_REQUEST for what is none."""
    if not path:
        return
    if path[0] != "/":
        raise _malformed(path, "A blob came for a place that is no JSON Pointer")
    for step in path[1:].split("/"):
        yield step.replace("~1", "/").replace("~0", "~")


def _spot(root: list[Any], path: str) -> tuple[Any, Any]:
    """The container of a place in the only item of a list, and its key there."""
    holder: Any = root
    key: Any = 0
    for step in _steps(path):
        holder = holder[key]
        if isinstance(holder, dict) and step in holder:
            key = step
        elif isinstance(holder, list) and (index := _index(step)) is not None and index < len(holder):
            key = index
        else:
            raise _malformed(path, "Bytes are looked for in a place that is not there", hint="correct the JSON Pointer")
    return holder, key


def _index(step: str) -> int | None:
    """The index that a step is; None unless it is written as RFC 6901 §4 has it."""
    if not (step.isascii() and step.isdigit()) or len(step) > _INDEX_DIGITS or (step[0] == "0" and step != "0"):
        return None
    return int(step)


def _require_reference(found: Any, blob: Blob) -> None:
    """Raise MALFORMED_REQUEST unless what stands in its place refers to exactly these bytes."""
    if not isinstance(found, dict) or found.keys() != {_REFERENCE, "size"}:
        raise _malformed(blob.path, "A blob came for a place that does not refer to one")
    size = found["size"]
    if type(size) is not int or size != len(blob.data):
        said = size if type(size) is int else "something else"
        raise _malformed(blob.path, f"A blob has {len(blob.data)} bytes and its reference says {said}")
    if found[_REFERENCE] != blob.digest:
        raise _malformed(blob.path, "A blob does not have the SHA-256 that its reference says")


def _malformed(path: str, message: str, *, hint: str = _HOW_TO_SEND) -> ValidationError:
    return ValidationError("MALFORMED_REQUEST", message, ran="no", path=path[:_LONGEST_PATH], hint=hint)


_LONGEST_PATH: Final = 256


def result_beside(value: Any, blobs: Sequence[Blob]) -> Beside:
    """The value of a result with its blobs, verified.

    Raises TransportError PROTOCOL_VIOLATION, `ran` yes, for blobs that are not what it refers to.
    """
    try:
        return Beside(value, blobs)
    except AltarError as wrong:
        raise error_of("PROTOCOL_VIOLATION", wrong.message, path=wrong.path, ran="yes") from wrong
