from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from altar.adm.errors import ConfigurationError
from altar.ledger import FileSigner, Signer
from altar.ledger.log import NoteSignature, signed_note
from altar.ledger.signer import is_signed_by, key_id_of, verifier_key

# The example key and note that implementations of C2SP signed-note share.
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_TEXT = b"This is an example message.\n"
EXAMPLE_BLOB = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="


def test_key_ids_and_verifier_keys_are_those_of_the_shared_example() -> None:
    public = base64.b64decode(EXAMPLE_VKEY.split("+", 2)[2])[1:]

    assert "530d903a" == key_id_of("example.com/foo", public).hex()
    assert EXAMPLE_VKEY == verifier_key("example.com/foo", public)


def test_the_shared_example_note_verifies_and_is_written_the_same() -> None:
    blob = base64.b64decode(EXAMPLE_BLOB)

    assert is_signed_by(EXAMPLE_VKEY, EXAMPLE_TEXT, blob[4:])
    assert not is_signed_by(EXAMPLE_VKEY, EXAMPLE_TEXT[:-1], blob[4:])
    note = signed_note(EXAMPLE_TEXT, NoteSignature("example.com/foo", blob[:4], blob[4:]))
    assert f"This is an example message.\n\n\u2014 example.com/foo {EXAMPLE_BLOB}\n".encode() == note


def test_a_key_is_created_private_and_opened_again(tmp_path: Path) -> None:
    created: Signer = FileSigner.create(tmp_path / "key", name="altar.local/host-1")
    opened: Signer = FileSigner.open(tmp_path / "key", name="altar.local/host-1")

    key_id, signature = opened.sign(b"message")

    assert 0o600 == (tmp_path / "key").stat().st_mode & 0o777
    assert created.vkey == opened.vkey
    assert created.vkey.split("+", 2)[1] == key_id.hex()
    assert is_signed_by(created.vkey, b"message", signature)


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    FileSigner.create(tmp_path / "key", name="a")
    before = (tmp_path / "key").read_bytes()

    with pytest.raises(ConfigurationError, match="cannot be created: File exists"):
        FileSigner.create(tmp_path / "key", name="a")

    assert before == (tmp_path / "key").read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    FileSigner.create(tmp_path / "key", name="a")
    (tmp_path / "key").chmod(mode)

    with pytest.raises(ConfigurationError, match=f"its mode is 0{mode:o}") as caught:
        FileSigner.open(tmp_path / "key", name="a")

    assert "ENVIRONMENT_ERROR" == caught.value.code


def test_a_missing_key_is_told_apart_from_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "broken").chmod(0o600)

    with pytest.raises(ConfigurationError, match="No such file"):
        FileSigner.open(tmp_path / "absent", name="a")
    with pytest.raises(ConfigurationError, match="holds no readable private key"):
        FileSigner.open(tmp_path / "broken", name="a")


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key").write_bytes(pem)
    (tmp_path / "key").chmod(0o600)

    with pytest.raises(ConfigurationError, match="is not an Ed25519 key"):
        FileSigner.open(tmp_path / "key", name="a")


@pytest.mark.parametrize("name", ["", "with blank", "with+plus", "line\nbreak", "non\u00a0breaking"])
def test_a_name_that_a_note_cannot_carry_is_refused_before_a_file_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a signing key"):
        FileSigner.create(tmp_path / "key", name=name)

    assert not (tmp_path / "key").exists()
