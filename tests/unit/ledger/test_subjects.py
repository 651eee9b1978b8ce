"""Pseudonyms and commitments: who has the key can confirm, others learn nothing, and what is destroyed is gone."""

from __future__ import annotations

import hmac
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, ConfigurationError
from altar.ledger.subjects import Subjects, commitment, mac, read_names, subjects_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return subjects_path(tmp_path / "ledger.db")


@pytest.fixture
def subjects(path: Path) -> Iterator[Subjects]:
    made = Subjects(path, on_failure=lambda _error: None)
    yield made
    made.close()


def reopened(path: Path) -> Subjects:
    return Subjects(path, on_failure=lambda _error: None)


@pytest.mark.parametrize(  # RFC 4231, test cases 1, 2, 3 and 4
    ("key", "data", "expected"),
    [
        ("0b" * 20, b"Hi There".hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe".hex(),
            b"what do ya want for nothing?".hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            "0102030405060708090a0b0c0d0e0f10111213141516171819",
            "cd" * 50,
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
    ],
)
def test_the_mac_is_that_of_the_rfc(key: str, data: str, expected: str) -> None:
    assert expected == mac(bytes.fromhex(key), bytes.fromhex(data)).hex()
    assert hmac.digest(b"k" * 64, b"m", "sha256") == mac(b"k" * 64, b"m")


def test_a_subject_stays_the_same_for_ever(subjects: Subjects, path: Path) -> None:
    alice = subjects.of("acme", "acme/alice")
    subjects.close()
    again = reopened(path)

    assert alice == again.of("acme", "acme/alice")
    assert ("acme", "acme/alice") == again.name_of(alice.pseudonym)
    again.close()


def test_subjects_of_different_tenants_or_names_have_nothing_in_common(subjects: Subjects) -> None:
    made = [subjects.of(*who) for who in (("acme", "alice"), ("globex", "alice"), ("acme", "bob"))]

    assert 3 == len({each.pseudonym for each in made}) == len({each.key for each in made})
    assert all(len("p-") + 16 == len(each.pseudonym) for each in made)


def test_the_same_payload_has_another_commitment_in_each_call(subjects: Subjects) -> None:
    alice, bob = subjects.of("acme", "alice"), subjects.of("acme", "bob")
    made = digest(b'{"city":"Oslo"}')

    commitments = {commitment(who.salt(call), made) for who in (alice, bob) for call in ("i-1", "i-2")}

    assert 4 == len(commitments)
    assert commitment(alice.salt("i-1"), made) in commitments
    assert all(each.startswith("hmac-sha256:") and len(each) == 76 for each in commitments)


def test_a_destroyed_subject_is_gone_from_memory_and_from_the_disk(subjects: Subjects, path: Path) -> None:
    alice, bob = subjects.of("acme", "acme/alice"), subjects.of("acme", "acme/bob")

    assert subjects.destroy("acme", "acme/alice")
    assert not subjects.destroy("acme", "acme/alice")

    assert subjects.name_of(alice.pseudonym) is None
    assert ("acme", "acme/bob") == subjects.name_of(bob.pseudonym)
    on_disk = b"".join(each.read_bytes() for each in path.parent.glob("*.subjects*"))
    assert alice.key not in on_disk
    assert alice.pseudonym.encode() not in on_disk
    assert b"acme/alice" not in on_disk
    assert bob.key in on_disk
    assert alice != subjects.of("acme", "acme/alice")


def test_names_can_be_read_beside_a_running_host(subjects: Subjects, path: Path) -> None:
    alice = subjects.of("acme", "acme/alice")

    assert {alice.pseudonym: ("acme", "acme/alice")} == read_names(path.with_suffix(""))
    assert {} == read_names(path.with_name("other.db"))


def test_a_subject_can_be_prepared_without_waiting(subjects: Subjects) -> None:
    ready = threading.Event()
    told: list[AltarError | None] = []

    def then(error: AltarError | None) -> None:
        told.append(error)
        ready.set()

    subjects.prepare("acme", "alice", then)
    assert ready.wait(30)
    commits = subjects.commits
    subjects.of("acme", "alice")
    subjects.prepare("acme", "alice", then)

    assert [None, None] == told
    assert commits == subjects.commits


def test_a_damaged_row_is_never_used(subjects: Subjects, path: Path) -> None:
    subjects.of("acme", "alice")
    bob = subjects.of("acme", "bob")
    subjects.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE subjects SET key = zeroblob(32) WHERE principal = 'alice'")
    connection.commit()
    connection.close()
    again = reopened(path)

    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        again.of("acme", "alice")

    assert "LOG_DAMAGED" == caught.value.code
    assert bob == again.of("acme", "bob")
    assert {bob.pseudonym} == set(read_names(path.with_suffix("")))
    again.close()


def test_after_close_nobody_gets_a_new_pseudonym(subjects: Subjects) -> None:
    subjects.close()

    with pytest.raises(AltarError) as caught:
        subjects.of("acme", "alice")

    assert "LOG_UNAVAILABLE" == caught.value.code


def test_a_key_never_shows_in_a_repr(subjects: Subjects) -> None:
    alice = subjects.of("acme", "alice")

    assert alice.pseudonym in repr(alice)
    assert "key" not in repr(alice)
