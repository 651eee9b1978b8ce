"""A checked CEL expression as a tree: what the CEL engine understood, so that nobody has to guess it from text.

The engine gives a compiled expression as bytes of the message `cel.expr.CheckedExpr`, which is public and stable.
Only the members that ALTAR asks about are read; everything else is passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Node", "checked_tree", "parameters_of", "walk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One part of an expression.

    ``kind`` says what it is, ``name`` is the variable of an ``ident``, the member of a ``select`` (``has`` where only
    its presence is asked) and the function of a ``call``.
    ``children`` are its parts in order; for a select its operand, for a call its target (if any) and arguments.
    ``value`` is that of a ``constant``; ``at`` the offset in the text in characters, -1 where it has none.
    ``overloads`` are the ids of the functions that a call may mean.
    A ``comprehension`` has ``variables`` and six children: range, first value, condition, step, result, in that order,
    with the range first.
    """

    kind: str
    id: int = 0
    name: str = ""
    value: object = None
    at: int = -1
    has_target: bool = False
    children: tuple[Node, ...] = ()
    variables: tuple[str, ...] = ()
    overloads: tuple[str, ...] = field(default=())


def checked_tree(serialized: bytes) -> Node:
    """Read the bytes of a compiled expression; ValueError when they are none."""
    checked = _Message(_bytes(_Message(serialized).last(2)))  # google.protobuf.Any: type_url 1, value 2
    positions = dict(_positions(checked))
    overloads = {key: names for key, names in _references(checked) if names}
    return _node(_bytes(checked.last(4)), positions, overloads)


def walk(node: Node) -> Iterator[Node]:
    """Give a node and all below it, parents first."""
    yield node
    for child in node.children:
        yield from walk(child)


def parameters_of(node: Node) -> tuple[tuple[str, ...], ...]:
    """Give the paths that an expression reads, such as ``("args", "amount")``, sorted.

    A chain of members is followed as far as it goes, through ``a.b``, ``a["b"]`` and ``has(a.b)``.
    What a comprehension goes through is read as a whole, and its own variables are no paths.
    """
    found: set[tuple[str, ...]] = set()
    _gather(node, frozenset(), found)
    return tuple(sorted(found))


def _gather(node: Node, bound: frozenset[str], found: set[tuple[str, ...]]) -> None:
    path = _path(node, bound)
    if path is not None:
        if path:
            found.add(path)
        return
    if node.kind == "comprehension":
        _gather(node.children[0], bound, found)
        _gather(node.children[1], bound, found)
        inner = bound | frozenset(node.variables)
        for child in node.children[2:]:
            _gather(child, inner, found)
        return
    for child in node.children:
        _gather(child, bound, found)


def _path(node: Node, bound: frozenset[str]) -> tuple[str, ...] | None:
    """Give the path that a chain stands for, () for one of a comprehension's own, None for what is no chain."""
    if node.kind == "ident":
        return () if node.name in bound else tuple(node.name.lstrip(".").split("."))
    if node.kind in {"select", "has"}:
        operand = _path(node.children[0], bound)
        return (*operand, node.name) if operand else operand
    if node.kind == "call" and node.name == "_[_]":
        operand, index = _path(node.children[0], bound), node.children[1]
        if operand is not None and index.kind == "constant" and isinstance(index.value, str):
            return (*operand, index.value) if operand else operand
    return None


_KINDS = {3: "constant", 4: "ident", 5: "select", 6: "call", 7: "list", 8: "map", 9: "comprehension"}


def _node(raw: bytes, positions: dict[int, int], overloads: dict[int, tuple[str, ...]]) -> Node:
    """Read an `Expr`."""
    message = _Message(raw)
    number = message.number(2)
    at = positions.get(number, -1)
    tag = next((tag for tag in _KINDS if message.last(tag) is not None), 0)
    if not tag:
        return Node(kind="constant", id=number, at=at)
    kind, part = _KINDS[tag], _Message(_bytes(message.last(tag)))

    def child(held: object) -> Node:
        return _node(_bytes(held), positions, overloads)

    if kind == "constant":
        return Node(kind=kind, id=number, at=at, value=_constant(part))
    if kind == "ident":
        return Node(kind=kind, id=number, at=at, name=part.text(1))
    if kind == "select":
        kind = "has" if part.number(3) else "select"
        return Node(kind=kind, id=number, at=at, name=part.text(2), children=(child(part.last(1)),))
    if kind == "call":
        target = part.last(1)
        parts = ([] if target is None else [child(target)]) + [child(each) for each in part.all(3)]
        return Node(
            kind=kind,
            id=number,
            at=at,
            name=part.text(2),
            has_target=target is not None,
            children=tuple(parts),
            overloads=overloads.get(number, ()),
        )
    if kind == "list":
        return Node(kind=kind, id=number, at=at, children=tuple(child(each) for each in part.all(1)))
    if kind == "map":
        entries = [_Message(_bytes(each)) for each in part.all(2)]
        held = [child(one) for each in entries for one in (each.last(3), each.last(4)) if one is not None]
        return Node(kind=kind, id=number, at=at, children=tuple(held))
    names = tuple(name for name in (part.text(1), part.text(8), part.text(3)) if name)
    held = [child(each) for tag in (2, 4, 5, 6, 7) if (each := part.last(tag)) is not None]
    return Node(kind=kind, id=number, at=at, variables=names, children=tuple(held))


def _constant(part: _Message) -> object:
    """Read a `Constant`: the kinds that matter here; others are None."""
    if part.last(6) is not None:
        return part.text(6)
    if part.last(2) is not None:
        return bool(part.number(2))
    if part.last(3) is not None:
        value = part.number(3)
        return value - (1 << 64) if value >= 1 << 63 else value
    if part.last(5) is not None:
        number: float = struct.unpack("<d", _bytes(part.last(5)))[0]
        return number
    return None


def _positions(checked: _Message) -> Iterator[tuple[int, int]]:
    source = checked.last(5)
    if source is None:
        return
    for entry in _Message(_bytes(source)).all(4):
        pair = _Message(_bytes(entry))
        yield pair.number(1), pair.number(2)


def _references(checked: _Message) -> Iterator[tuple[int, tuple[str, ...]]]:
    for entry in checked.all(2):
        pair = _Message(_bytes(entry))
        reference = pair.last(2)
        if reference is not None:
            names = _Message(_bytes(reference)).all(3)
            yield pair.number(1), tuple(_bytes(name).decode() for name in names)


class _Message:
    """The fields of one protobuf message, unread: numbers as int, everything with a length as bytes."""

    __slots__ = ("_fields",)

    def __init__(self, raw: bytes) -> None:
        self._fields: list[tuple[int, int | bytes]] = []
        at = 0
        while at < len(raw):
            key, at = _varint(raw, at)
            tag, wire = key >> 3, key & 7
            value: int | bytes
            if wire == 0:
                value, at = _varint(raw, at)
            elif wire in _FIXED or wire == 2:
                size = _FIXED.get(wire, 0)
                if not size:
                    size, at = _varint(raw, at)
                value, at = raw[at : at + size], at + size
            else:
                raise ValueError(f"wire type {wire} of a compiled expression is not known")
            if at > len(raw):
                raise ValueError("a compiled expression ends too early")
            self._fields.append((tag, value))

    def all(self, tag: int) -> list[int | bytes]:
        return [value for known, value in self._fields if known == tag]

    def last(self, tag: int) -> int | bytes | None:
        return next((value for known, value in reversed(self._fields) if known == tag), None)

    def number(self, tag: int) -> int:
        value = self.last(tag)
        return value if isinstance(value, int) else 0

    def text(self, tag: int) -> str:
        value = self.last(tag)
        return value.decode() if isinstance(value, bytes) else ""


_FIXED = {1: 8, 5: 4}


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw):
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a compiled expression ends too early")


def _bytes(held: object) -> bytes:
    if not isinstance(held, bytes):
        raise ValueError("a compiled expression lacks a part")  # noqa: TRY004 - foreign data, not a wrong argument
    return held
