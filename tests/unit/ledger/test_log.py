from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.ledger.log import (
    EMPTY_ROOT,
    Checkpoint,
    Frontier,
    NoteSignature,
    checkpoint_text,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    parse_note,
    signed_note,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves of the certificate-transparency reference, and the roots of the trees that grow from them.
REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
REFERENCE_PATH_OF_THE_FIRST_LEAF = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]

trees = st.lists(st.binary(max_size=4), min_size=1, max_size=70).map(lambda data: [leaf_hash(d) for d in data])


def test_the_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == Frontier().root().hex()
    assert EMPTY_ROOT == tree_root([])


def test_the_roots_are_those_of_the_reference() -> None:
    frontier = Frontier()
    roots = []

    for data in REFERENCE_LEAVES:
        frontier.append(leaf_hash(data))
        roots.append(frontier.root().hex())

    assert REFERENCE_ROOTS == roots


def test_an_inclusion_proof_is_that_of_the_reference() -> None:
    leaves = [leaf_hash(data) for data in REFERENCE_LEAVES]

    assert REFERENCE_PATH_OF_THE_FIRST_LEAF == [node.hex() for node in inclusion_proof(leaves, 0)]


@given(trees)
def test_the_root_is_the_recursive_definition_of_the_rfc(leaves: list[bytes]) -> None:
    assert root_by_definition(leaves) == tree_root(leaves)


@given(trees, st.data())
def test_a_restored_frontier_grows_like_the_original(leaves: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(leaves)))
    whole, part = Frontier(), Frontier()
    whole.extend(leaves)
    part.extend(leaves[:cut])

    restored = Frontier.from_bytes(cut, part.to_bytes())
    restored.extend(leaves[cut:])

    assert (whole.size, whole.root(), whole.to_bytes()) == (
        restored.size,
        restored.root(),
        restored.to_bytes(),
    )


@pytest.mark.parametrize(("size", "length"), [(1, 0), (2, 64), (3, 32), (-1, 0), (4, 31)])
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, length: int) -> None:
    with pytest.raises(ValueError, match="no right edge"):
        Frontier.from_bytes(size, bytes(length))


@given(trees, st.data())
def test_every_leaf_is_proved_to_be_in_the_tree_and_in_its_place_only(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(leaves, index)
    size, root = len(leaves), tree_root(leaves)

    assert verify_inclusion(leaves[index], index=index, size=size, proof=proof, root=root)
    assert not verify_inclusion(leaf_hash(b"other"), index=index, size=size, proof=proof, root=root)
    assert not verify_inclusion(leaves[index], index=index, size=size, proof=[*proof, root], root=root)
    assert not verify_inclusion(leaves[index], index=size, size=size, proof=proof, root=root)
    for other in range(size):
        if leaves[other] != leaves[index] and other != index:
            assert not verify_inclusion(leaves[index], index=other, size=size, proof=proof, root=root)
    if proof:
        assert not verify_inclusion(leaves[index], index=index, size=size, proof=proof[:-1], root=root)


@given(trees, st.data())
def test_every_older_tree_is_proved_to_be_a_beginning(leaves: list[bytes], data: st.DataObject) -> None:
    old_size = data.draw(st.integers(1, len(leaves)))
    proof = consistency_proof(leaves, old_size)
    old_root, root = tree_root(leaves[:old_size]), tree_root(leaves)
    rewritten = tree_root([*leaves[: old_size - 1], leaf_hash(b"rewritten")])

    def holds(*, old: bytes = old_root, new: bytes = root, path: list[bytes] = proof) -> bool:
        return verify_consistency(old_size=old_size, old_root=old, size=len(leaves), root=new, proof=path)

    assert holds()
    assert not holds(old=rewritten)
    assert not holds(new=rewritten)
    assert not holds(path=[*proof, root])
    if proof:
        assert not holds(path=proof[:-1])
        assert not holds(path=[])


def test_proofs_of_what_is_not_in_the_tree_are_not_made() -> None:
    leaves = [leaf_hash(b"only")]

    with pytest.raises(ValueError, match="no leaf 1"):
        inclusion_proof(leaves, 1)
    with pytest.raises(ValueError, match="no beginning of 2"):
        consistency_proof(leaves, 2)
    assert not verify_consistency(old_size=0, old_root=EMPTY_ROOT, size=1, root=leaves[0], proof=[])


def test_a_checkpoint_is_origin_size_and_root_one_a_line() -> None:
    text = checkpoint_text(Checkpoint("altar.local/host-1", 8, bytes.fromhex(REFERENCE_ROOTS[-1])))

    assert b"altar.local/host-1\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n" == text


def test_a_signed_note_ends_in_a_dash_the_name_and_key_id_with_signature() -> None:
    note = signed_note(b"text\n", NoteSignature("example.com/foo", b"\x53\x0d\x90\x3a", b"\x01" * 64))

    blob = base64.b64encode(b"\x53\x0d\x90\x3a" + b"\x01" * 64)
    assert b"text\n\n\xe2\x80\x94 example.com/foo " + blob + b"\n" == note


@given(st.integers(0, 2**63), st.binary(min_size=32, max_size=32))
def test_a_note_is_read_as_it_was_written(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("altar.local/host-1", size, root)
    signature = NoteSignature("altar.local/host-1", b"abcd", b"s" * 64)
    text = checkpoint_text(checkpoint)

    assert (text, checkpoint, (signature,)) == parse_note(signed_note(text, signature))


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"origin\n1\nAAAA\n",
        b"origin\n1\nAAAA\n\n",
        b"origin\n1\nAAAA\n\n- name QUJDREVG\n",
        b"origin\n1\nAAAA\n\n\xe2\x80\x94 name QUJD\n",
        b"origin\n1\nAAAA\n\n\xe2\x80\x94 name ?\n",
        b"origin\n01\nAAAA\n\n\xe2\x80\x94 name QUJDREVG\n",
        b"origin\nx\nAAAA\n\n\xe2\x80\x94 name QUJDREVG\n",
        b"origin\n1\nAAAA\nmore\n\n\xe2\x80\x94 name QUJDREVG\n",
        b"origin\n1\n\xff\n\n\xe2\x80\x94 name QUJDREVG\n",
    ],
)
def test_a_malformed_note_is_refused(note: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each case has words of its own
        parse_note(note)


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    left, right = root_by_definition(leaves[:middle]), root_by_definition(leaves[middle:])
    return hashlib.sha256(b"\x01" + left + right).digest()
