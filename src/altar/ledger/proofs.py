"""Proofs about a tree whose nodes are kept: which nodes a proof needs, and the proof made of them.

A node is named by its level and its index: node (0, 5) is the sixth leaf, node (3, 2) the root over leaves 16 to 23.
The entry that completes a node has its hash beside it (`Frontier.push`), so that a proof in a log of a million entries
is some twenty rows, found by their positions.
Nothing here reads or writes files: `fetch` is asked once for all nodes that are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from altar.ledger.log import EMPTY_ROOT

__all__ = [
    "Fetch",
    "Node",
    "consistency_of",
    "inclusion_of",
    "node_at",
    "right_edge",
    "root_of",
    "stored_at",
]

Node = tuple[int, int]
"""The level of a node in the tree, leaves being 0, and its index in that level."""

Fetch = Callable[[Iterable[Node]], Mapping[Node, bytes]]
"""Gives the hashes of complete nodes."""


def stored_at(node: Node) -> int:
    """Give the position of the entry that completes this node, and has its hash beside it."""
    level, index = node
    return ((index + 1) << level) - 1


def node_at(hashes: bytes, level: int) -> bytes:
    """Give the node of this level from what is stored beside an entry."""
    return hashes[32 * level : 32 * level + 32]


def right_edge(size: int) -> list[Node]:
    """Give the roots of the complete subtrees along the right edge of a tree, largest first."""
    return _whole_parts(0, size)


def root_of(size: int, fetch: Fetch) -> bytes:
    """Give the root of the tree over the first `size` entries."""
    if not size:
        return EMPTY_ROOT
    return _hash_of(0, size, fetch(_whole_parts(0, size)))


def inclusion_of(position: int, size: int, fetch: Fetch) -> list[bytes]:
    """Give the path from the entry at `position` to the root of `size` entries, lowest first (RFC 9162 §2.1.3.1).

    Raises ValueError when there is no such entry.
    """
    if not 0 <= position < size:
        raise ValueError(f"there is no entry {position} in a log of {size}")
    ranges: list[tuple[int, int]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if position < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return _hashes_of(ranges[::-1], fetch)


def consistency_of(old: int, size: int, fetch: Fetch) -> list[bytes]:
    """Prove that the tree of the first `old` entries is a beginning of that of `size` (RFC 9162 §2.1.4.1).

    Raises ValueError when there is no such beginning.
    """
    if not 0 < old <= size:
        raise ValueError(f"a log of {size} entries has no beginning of {old}")
    ranges: list[tuple[int, int]] = []
    low, high, whole = 0, size, True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low, whole = middle, False
    if not whole:
        ranges.append((low, high))
    return _hashes_of(ranges[::-1], fetch)


def _hashes_of(ranges: Sequence[tuple[int, int]], fetch: Fetch) -> list[bytes]:
    nodes = fetch([node for low, high in ranges for node in _whole_parts(low, high)])
    return [_hash_of(low, high, nodes) for low, high in ranges]


def _hash_of(low: int, high: int, nodes: Mapping[Node, bytes]) -> bytes:
    """Give the root over the entries from `low` to before `high`, which begin where a subtree of that size does."""
    *parts, right = (nodes[node] for node in _whole_parts(low, high))
    for left in reversed(parts):
        right = sha256(b"\x01" + left + right).digest()
    return right


def _whole_parts(low: int, high: int) -> list[Node]:
    """Give the complete subtrees that the entries from `low` to before `high` are made of, largest first."""
    parts: list[Node] = []
    while low < high:
        level = (high - low).bit_length() - 1
        parts.append((level, low >> level))
        low += 1 << level
    return parts


def _split(size: int) -> int:
    """Give the largest power of two below `size`: where RFC 6962 divides a tree."""
    return 1 << ((size - 1).bit_length() - 1)
