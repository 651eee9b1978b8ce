"""The Merkle tree over the entries and the signed statements about it.

The tree is that of RFC 6962 and RFC 9162 with SHA-256: leaves are hashed after byte 0, nodes after byte 1.
A checkpoint is the C2SP tlog-checkpoint text (origin, size, root) inside a C2SP signed note.
Nothing here reads or writes files.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

__all__ = [
    "EMPTY_ROOT",
    "Checkpoint",
    "Frontier",
    "NoteSignature",
    "checkpoint_text",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "parse_note",
    "signed_note",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


class Frontier:
    """The right edge of a growing tree: enough to append leaves and to tell the root at any time.

    It holds the roots of the complete subtrees, largest first, one for each bit set in the size.
    """

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        """Begin with the empty tree."""
        self.size = 0
        self._roots: list[bytes] = []

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Restore what `to_bytes` gave for a tree of `size` leaves; `ValueError` when the two do not fit."""
        if size < 0 or len(data) != HASH_BYTES * size.bit_count():
            raise ValueError(f"{len(data)} bytes are no right edge of a tree of {size} leaves")
        frontier = cls()
        frontier.size = size
        frontier._roots = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
        return frontier

    def to_bytes(self) -> bytes:
        """Give the subtree roots, largest first, 32 bytes each."""
        return b"".join(self._roots)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes in order."""
        for leaf in leaves:
            self.push(leaf)

    def push(self, leaf: bytes) -> bytes:
        """Add one leaf hash; gives the leaf hash and the nodes that it completes, lowest first, 32 bytes each.

        Kept beside each entry, these are all nodes of the tree, each once: see `stored_at`.
        """
        roots, carry = self._roots, self.size
        self.size += 1
        if not carry & 1:
            roots.append(leaf)
            return leaf
        node = hashes = leaf
        while carry & 1:
            node = sha256(b"\x01" + roots.pop() + node).digest()
            hashes += node
            carry >>= 1
        roots.append(node)
        return hashes

    def root(self) -> bytes:
        """Give the 32-byte root of the tree as it is now."""
        if not self._roots:
            return EMPTY_ROOT
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = _node_hash(left, root)
        return root


def leaf_hash(body: bytes) -> bytes:
    """Hash an entry's bytes as a leaf."""
    return sha256(b"\x00" + body).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Give the root of the tree over these leaf hashes."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Give the path from leaf `index` to the root over `leaves`, lowest first (RFC 9162 §2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} in a tree of {len(leaves)}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(tree_root(leaves[middle:high]))
            high = middle
        else:
            path.append(tree_root(leaves[low:middle]))
            low = middle
    return path[::-1]


def verify_inclusion(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `proof` leads from `leaf` at `index` to `root` of `size` leaves (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = _node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = _node_hash(node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Prove that the tree of the first `old_size` leaves is a beginning of this one (RFC 9162 §2.1.4.1)."""
    if not 0 < old_size <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves has no beginning of {old_size}")
    path: list[bytes] = []
    low, high, whole = 0, len(leaves), True
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append(tree_root(leaves[middle:high]))
            high = middle
        else:
            path.append(tree_root(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        path.append(tree_root(leaves[low:high]))
    return path[::-1]


def verify_consistency(*, old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether `proof` shows that the older tree is a beginning of the newer (RFC 9162 §2.1.4.2)."""
    if not 0 < old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        return False
    position, last = old_size - 1, size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_node = _node_hash(sibling, old_node)
            new_node = _node_hash(sibling, new_node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_node = _node_hash(new_node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and old_node == old_root and new_node == root


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint states: the log `origin` has `size` entries and this `root`."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note: the key's name, its 4-byte id and the signature."""

    name: str
    key_id: bytes
    signature: bytes


def checkpoint_text(checkpoint: Checkpoint) -> bytes:
    """Write the text that is signed: origin, size and base64 root, one a line."""
    root = base64.b64encode(checkpoint.root).decode()
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n".encode()


def signed_note(text: bytes, signature: NoteSignature) -> bytes:
    """Join a text and its signature into a C2SP signed note."""
    blob = base64.b64encode(signature.key_id + signature.signature).decode()
    return text + f"\n\u2014 {signature.name} {blob}\n".encode()


def parse_note(note: bytes) -> tuple[bytes, Checkpoint, tuple[NoteSignature, ...]]:
    """Take a signed checkpoint apart: the signed text, what it states, and its signatures, not verified here.

    Raises `ValueError` when the note is not exactly of the form that `signed_note` writes.
    """
    text, found, lines = note.rpartition(b"\n\n")
    if not found or not lines.endswith(b"\n"):
        raise ValueError("a signed note is a text, an empty line and signature lines")
    text += b"\n"
    signatures = tuple(_parse_signature(line) for line in lines.decode().removesuffix("\n").split("\n"))
    parts = text.decode().split("\n")
    if len(parts) != 4 or not parts[1].isdecimal():
        raise ValueError("a checkpoint is an origin, a size and a root, one a line")
    checkpoint = Checkpoint(parts[0], int(parts[1]), _decode_base64(parts[2]))
    if checkpoint_text(checkpoint) != text:
        raise ValueError("the checkpoint is not in its one canonical form")
    return text, checkpoint, signatures


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """Give the largest power of two below `size`: where RFC 6962 divides a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def _parse_signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, blob = rest.partition(" ")
    data = _decode_base64(blob)
    if dash != "\u2014" or not name or len(data) <= 4:
        raise ValueError(f"{line!r} is not a signature line")
    return NoteSignature(name, data[:4], data[4:])


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{text!r} is not base64") from error
