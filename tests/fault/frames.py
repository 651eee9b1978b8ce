"""Frames that nobody honest sends: made from the descriptors of the protocol, so that no field is forgotten.

`Forge.frame` fills any message with values that are nearly right, wrong, huge, empty or unknown.
`hostile` gives bytes that are no message, or one that breaks the rules of a stream.
The same seed makes the same frames.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

DEEPEST = 5
"""Messages inside of messages."""

Values = dict[str, list[Any]]
"""Values that mean something to the host, by the name of the field that they fit."""


def hints(digests: dict[str, bytes], *, name: str) -> Values:
    """What is worth sending: names of tools with their digests, small tags, good JSON, the sender's own ``name``."""
    return {
        "tag": [*range(1, 9)],
        "call_tag": [*range(1, 9)],
        "parent_tag": [*range(1, 9)],
        "index": [0, 1, 2, 3],
        "remaining_ms": [1, 50, 500, 3000],
        "name": [*digests, *digests, "mine", "x", "variable"],
        "tools": list(digests),
        "args": [b'{"attempt":1,"key":"fuzz"}', b"{}", b'{"attempt":1,"key":"fuzz","more":1}', b"[]", b'{"key":'],
        "content": [b"1", b'"x"', b'{"attempt":1,"key":"fuzz","pid":1}', b'{"a":1}', b"{ }", b"\xff"],
        "payloads": [b"1", b"2", b"{}", b"[", b""],
        "declarations": [
            b'{"description":"Mine","name":"mine","parameters":{"properties":{},"type":"OBJECT"}}',
            b'{"description":"x","name":"once","parameters":{"properties":{},"type":"OBJECT"}}',
            b"{}",
            b"[",
        ],
        "schema": [b'{"type":"INTEGER"}', b'{"type":"STRING"}', b"{}", b"x"],
        "value": [b"1", b"2", b'"x"', b"null", b"{"],
        "version": ["", "1.0.0", ">=1,<2", "9", ">= 1 || rm"],
        "digest": list(digests.values()),
        "contract_digest": [b"", *digests.values()],
        "arguments_digest": [bytes(32)],
        "result_digest": [b"", bytes(32)],
        "protocol_versions": ["1.0", "0.0", "2.0"],
        "capabilities": ["streaming", "contracts", "nested", "notices", "local_dispatch"],
        "runtime_id": [name, f"{name}/1", f"{name}/64", "runtime-1"],
        "call_id": ["c1", "c2", "c3", "k1"],
        "session_id": ["", "", "s"],
        "invocation_id": ["", "host-1-1-1"],
        "journal": ["0" * 32, "f" * 32],
        "position": [1, 2, 3],
        "credits": [1, 8, 100],
        "code": ["", "TIMEOUT", "TOOL_EXECUTION_FAILED", "PWNED"],
        "chunks": [1, 2, 64],
        "bytes": [1, 1000, 2**20],
        "ttl_seconds": [0, 1, 3600, 2**32 - 1],
        "traceparent": ["00-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-0-0-00"],
        "facts": [b"{}", b'{"a":1}', b"[]"],
    }


class Forge:
    """Makes messages. ``learnt`` may be filled with what the host has said, such as ids of sessions."""

    def __init__(self, seed: int, values: Values) -> None:
        self.chance = random.Random(seed)
        self.values = values
        self.made: Counter[str] = Counter()

    def learn(self, field: str, value: Any) -> None:
        """Take a value that the host has said; of many, some are kept."""
        known = self.values.setdefault(field, [])
        if len(known) < 40:
            known.append(value)
        else:
            known[self.chance.randrange(len(known))] = value

    def frame(self, kind: type[Message], *, without: frozenset[str] = frozenset()) -> bytes:
        """A message of this kind with a few of its fields, and none of those named."""
        message = kind()
        fields = [field for field in message.DESCRIPTOR.fields if field.name not in without]
        self.made[message.DESCRIPTOR.full_name] += 1
        for field in self.chance.sample(fields, k=min(len(fields), self.chance.choice((1, 1, 1, 2, 3)))):
            self._set(message, field, depth=1)
        data = message.SerializeToString()
        if self.chance.random() < 0.1:
            data += b"\xfa\x3e\x03abc"  # field 1007, which nobody knows
        return data

    def _fill(self, message: Message, *, depth: int) -> None:
        self.made[message.DESCRIPTOR.full_name] += 1
        share = self.chance.choice((0.3, 0.8, 0.95))
        for field in message.DESCRIPTOR.fields:
            if self.chance.random() < share:
                self._set(message, field, depth=depth)

    def _set(self, message: Message, field: Any, *, depth: int) -> None:
        count = self.chance.choice((1, 1, 1, 2, 5)) if field.is_repeated else 1
        inner = field.message_type
        if inner is None:
            values = [self._scalar(field) for _ in range(count)]
            if field.is_repeated:
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
        elif depth < DEEPEST:
            place = getattr(message, field.name)
            if inner.GetOptions().map_entry:
                place[self._text()] = self._text()
                return
            for _ in range(count):
                part = place.add() if field.is_repeated else place
                part.SetInParent()
                self._fill(part, depth=depth + 1)

    def _scalar(self, field: Any) -> Any:
        known = self.values.get(field.name)
        if known and self.chance.random() < 0.75:
            value = self.chance.choice(known)
            if type(value) is type(_SAMPLES[field.cpp_type](field)):
                return value
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_BOOL:
                return self.chance.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return self.chance.choice((0, 1, 2, 3, 77, 2**31 - 1, -1))
            case FieldDescriptor.CPPTYPE_UINT32:
                return self.chance.choice((0, 1, 7, 2**16, 2**31, 2**32 - 1))
            case FieldDescriptor.CPPTYPE_UINT64:
                return self.chance.choice((0, 1, 7, 2**32, 2**63, 2**64 - 1))
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return self.chance.choice((0.0, -1.0, 1e308, float("nan"), float("inf"), float("-inf")))
            case _ if field.type == FieldDescriptor.TYPE_BYTES:
                return self.chance.randbytes(self.chance.choice((0, 1, 31, 32, 33, 300)))
            case _:
                return self._text()

    def _text(self) -> str:
        return self.chance.choice(("", "x", "a\nb", "\0", "ü" * 70, "x" * 129, "../../etc", "\U0010ffff", "x" * 5000))


def hostile(forge: Forge, kind: type[Message], *, first: bytes) -> bytes:
    """Bytes after which a stream may be over: no message, one of too many items, or a second ``first`` frame."""
    chance = forge.chance
    match chance.randrange(6):
        case 0:
            return chance.randbytes(chance.randrange(1, 300))
        case 1:
            return first
        case 2:
            repeated = [field for field in kind.DESCRIPTOR.fields if field.is_repeated]
            return _empty_items(chance.choice(repeated), 17_000)
        case 3:
            return _cut(chance, forge.frame(kind))
        case 4:
            return _flipped(chance, forge.frame(kind))
        case _:
            return forge.frame(kind) + b"\x0b" * chance.randrange(1, 200)  # groups that are opened and never closed


def messages_within(kind: Any, found: set[str] | None = None) -> set[str]:
    """The full names of a message and of all that it may hold."""
    found = set() if found is None else found
    if kind.full_name not in found and not kind.GetOptions().map_entry:
        found.add(kind.full_name)
        for field in kind.fields:
            if field.message_type is not None:
                messages_within(field.message_type, found)
    return found


def _empty_items(field: Any, count: int) -> bytes:
    tag = field.number << 3 | 2
    head = bytes((tag,)) if tag < 128 else bytes((tag & 127 | 128, tag >> 7))
    return (head + b"\0") * count


def _cut(chance: random.Random, frame: bytes) -> bytes:
    return frame[: chance.randrange(len(frame))] if frame else b"\xff"


def _flipped(chance: random.Random, frame: bytes) -> bytes:
    data = bytearray(frame or b"\0")
    for _ in range(chance.randrange(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _is_bytes(field: Any) -> Any:
    return b"" if field.type == FieldDescriptor.TYPE_BYTES else ""


_SAMPLES: dict[int, Callable[[FieldDescriptor], Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: lambda _: False,
    FieldDescriptor.CPPTYPE_ENUM: lambda _: None,
    FieldDescriptor.CPPTYPE_UINT32: lambda _: 0,
    FieldDescriptor.CPPTYPE_UINT64: lambda _: 0,
    FieldDescriptor.CPPTYPE_INT32: lambda _: 0,
    FieldDescriptor.CPPTYPE_INT64: lambda _: 0,
    FieldDescriptor.CPPTYPE_DOUBLE: lambda _: 0.0,
    FieldDescriptor.CPPTYPE_FLOAT: lambda _: 0.0,
    FieldDescriptor.CPPTYPE_STRING: _is_bytes,
}
