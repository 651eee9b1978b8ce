"""Signed envelopes: the encoding of the DSSE specification, and who is believed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import ConfigurationError
from altar.grid.manifests.envelope import Envelope, NotSignedError, Signature, pae, read_keys
from altar.ledger.signer import FileSigner

KIND = "http://example.com/HelloWorld"


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return FileSigner.create(tmp_path / "key.pem", name="test/key")


def changed(envelope: Envelope, **members: Any) -> Envelope:
    """The envelope with other members in its JSON, read again."""
    return Envelope.read(json.dumps(json.loads(envelope.to_bytes()) | members).encode())


@pytest.mark.parametrize(
    ("kind", "payload", "encoded"),
    [
        (KIND, b"hello world", b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
        ("", b"", b"DSSEv1 0  0 "),
        ("é", "ü".encode(), "DSSEv1 2 é 2 ü".encode()),
    ],
)
def test_what_is_signed_is_encoded_as_the_specification_says(kind: str, payload: bytes, encoded: bytes) -> None:
    assert encoded == pae(kind, payload)


def test_the_members_of_an_envelope_are_those_of_the_specification(signer: FileSigner) -> None:
    document = json.loads(Envelope.seal(b"hello world", payload_type=KIND, signer=signer).to_bytes())

    assert {"payload", "payloadType", "signatures"} == document.keys()
    assert (base64.b64encode(b"hello world").decode(), KIND) == (document["payload"], document["payloadType"])
    assert [{"keyid", "sig"}] == [one.keys() for one in document["signatures"]]


def test_what_was_sealed_is_read_and_its_signer_named(signer: FileSigner) -> None:
    sealed = Envelope.seal(b"hello world", payload_type=KIND, signer=signer)

    read = Envelope.read(sealed.to_bytes())

    assert sealed == read
    assert signer.vkey == read.signer([signer.vkey])


@pytest.mark.parametrize("part", ["payload", "payloadType", "sig"])
def test_a_changed_byte_anywhere_is_noticed(signer: FileSigner, part: str) -> None:
    sealed = Envelope.seal(b"hello world", payload_type=KIND, signer=signer)
    signature = bytes([sealed.signatures[0].sig[0] ^ 1, *sealed.signatures[0].sig[1:]])
    others: dict[str, dict[str, Any]] = {
        "payload": {"payload": base64.b64encode(b"hello worle").decode()},
        "payloadType": {"payloadType": KIND + "s"},
        "sig": {"signatures": [{"keyid": sealed.signatures[0].keyid, "sig": base64.b64encode(signature).decode()}]},
    }

    with pytest.raises(NotSignedError) as refused:
        changed(sealed, **others[part]).signer([signer.vkey])

    assert "altered" == refused.value.reason


def test_a_stranger_s_signature_counts_for_nothing(signer: FileSigner, tmp_path: Path) -> None:
    stranger = FileSigner.create(tmp_path / "other.pem", name="test/key")
    sealed = Envelope.seal(b"hello world", payload_type=KIND, signer=stranger)

    with pytest.raises(NotSignedError) as refused:
        sealed.signer([signer.vkey])
    with pytest.raises(NotSignedError) as nobody:
        sealed.signer([])

    assert ("unknown key", "unknown key") == (refused.value.reason, nobody.value.reason)


def test_a_key_id_is_a_hint_and_no_proof(signer: FileSigner, tmp_path: Path) -> None:
    stranger = FileSigner.create(tmp_path / "other.pem", name="test/key")
    sealed = Envelope.seal(b"hello world", payload_type=KIND, signer=signer)
    forged = Envelope.seal(b"hello world", payload_type=KIND, signer=stranger)

    unnamed = Envelope(KIND, sealed.payload, (Signature("", sealed.signatures[0].sig),))
    named = Envelope(KIND, forged.payload, (Signature(sealed.signatures[0].keyid, forged.signatures[0].sig),))

    assert signer.vkey == unnamed.signer([signer.vkey])
    with pytest.raises(NotSignedError):
        named.signer([signer.vkey])


def test_one_trusted_signature_among_several_is_enough(signer: FileSigner, tmp_path: Path) -> None:
    stranger = FileSigner.create(tmp_path / "other.pem", name="test/other")
    sealed, other = (Envelope.seal(b"x", payload_type=KIND, signer=one) for one in (signer, stranger))

    both = Envelope(KIND, b"x", (*other.signatures, *sealed.signatures))

    assert signer.vkey == Envelope.read(both.to_bytes()).signer([signer.vkey])


def test_url_safe_base64_is_read_as_well(signer: FileSigner) -> None:
    payload = bytes(range(250, 256)) * 3
    sealed = Envelope.seal(payload, payload_type=KIND, signer=signer)

    safe = changed(sealed, payload=base64.urlsafe_b64encode(payload).decode())

    assert payload == safe.payload
    assert signer.vkey == safe.signer([signer.vkey])


@pytest.mark.parametrize(
    "text", [b"{}", b'{"manifest_version": "1.1.0"}', b'{"payload": "", "payloadType": "", "signatures": []}']
)
def test_what_has_no_signature_is_unsigned(text: bytes) -> None:
    with pytest.raises(NotSignedError) as refused:
        Envelope.read(text)

    assert "unsigned" == refused.value.reason


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"a": 1, "a": 2}',
        b'{"payload": "!", "payloadType": "", "signatures": [{"sig": ""}]}',
        b'{"payload": "", "payloadType": "", "signatures": [1]}',
        b'{"payload": "", "payloadType": "", "signatures": [{}]}',
        b'{"payload": "", "payloadType": "", "signatures": [{"sig": "AAAA"}]}',
        json.dumps({"payload": "", "payloadType": "", "signatures": [{"sig": "A" * 86 + "=="}] * 17}).encode(),
    ],
)
def test_what_is_no_envelope_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Envelope.read(text)

    assert "INVALID_CONFIG" == refused.value.code


def test_keys_are_read_from_files_line_by_line(signer: FileSigner, tmp_path: Path) -> None:
    other = FileSigner.create(tmp_path / "other.pem", name="test/other")
    (tmp_path / "a.vkey").write_text(f"# who signs\n\n{signer.vkey}\n")
    (tmp_path / "b.vkey").write_text(f"{other.vkey}\n{signer.vkey}\n")

    assert (signer.vkey, other.vkey) == read_keys([tmp_path / "a.vkey", tmp_path / "b.vkey"])


@pytest.mark.parametrize("line", ["name", "name+00000000+AAAA", "name+00000000+!", "+1+2"])
def test_a_line_that_is_no_key_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(line)

    with pytest.raises(ConfigurationError, match="no verifier key"):
        read_keys([tmp_path / "keys"])


def test_a_key_under_another_name_is_refused(signer: FileSigner, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("x" + signer.vkey)

    with pytest.raises(ConfigurationError, match="no verifier key"):
        read_keys([tmp_path / "keys"])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_keys([tmp_path / "absent"])
