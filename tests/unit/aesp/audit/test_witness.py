"""Cosignatures: what counts as one, byte by byte. What real witnesses make is tested against one of them."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from altar.adm.errors import AltarError
from altar.aesp.audit.witness import cosigned_by, merged, parse_witness_key

TEXT = b"altar.local/host-1\n9\n" + base64.b64encode(b"r" * 32) + b"\n"
TIME = 1_790_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
RAW = b"\x04" + KEY.public_key().public_bytes_raw()
KEY_ID = hashlib.sha256(b"w.test\n" + RAW).digest()[:4]
LOG_ID = hashlib.sha256(b"w.test\n\x01" + RAW[1:]).digest()[:4]
OF_A_LOG = f"w.test+{LOG_ID.hex()}+{base64.b64encode(bytes([1]) + RAW[1:]).decode()}"
VKEY = f"w.test+{KEY_ID.hex()}+{base64.b64encode(RAW).decode()}"


def note(*, text: bytes = TEXT, signed: bytes | None = None, name: str = "w.test", blob: bytes | None = None) -> bytes:
    made = KEY.sign(signed if signed is not None else b"cosignature/v1\ntime %d\n%s" % (TIME, text))
    whole = blob if blob is not None else KEY_ID + TIME.to_bytes(8) + made
    return text + f"\n— {name} {base64.b64encode(whole).decode()}\n".encode()


def test_a_cosignature_says_what_was_seen_and_when() -> None:
    found = cosigned_by(note(), parse_witness_key(VKEY))

    assert found is not None
    assert (9, TIME) == (found.checkpoint.size, found.time)


@pytest.mark.parametrize(
    "forged",
    [
        note(signed=TEXT),
        note(signed=b"cosignature/v1\ntime 1\n" + TEXT),
        note().replace(b"\n9\n", b"\n8\n"),
        note(name="w.else"),
        note(blob=KEY_ID + TIME.to_bytes(8) + b"x" * 64),
        note(blob=b"xxxx" + TIME.to_bytes(8) + KEY.sign(b"cosignature/v1\ntime %d\n%s" % (TIME, TEXT))),
        note(blob=KEY_ID + KEY.sign(TEXT)),
        b"",
        TEXT,
    ],
    ids=[
        "no time",
        "another time",
        "another size",
        "another name",
        "noise",
        "another id",
        "a log's",
        "empty",
        "unsigned",
    ],
)
def test_what_is_not_signed_like_that_is_no_cosignature(forged: bytes) -> None:
    assert cosigned_by(forged, parse_witness_key(VKEY)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "w.test",
        VKEY.replace("w.test", "w.tesT"),
        VKEY[:-3],
        "w.test+00000000+" + base64.b64encode(RAW).decode(),
        OF_A_LOG,
    ],
    ids=["empty", "a name", "another name", "cut", "another id", "the key of a log"],
)
def test_what_is_no_key_of_a_witness_is_refused(text: str) -> None:
    with pytest.raises(AltarError, match="no verifier key of a witness"):
        parse_witness_key(text)


def test_cosignatures_of_one_checkpoint_are_joined_each_once() -> None:
    one, two = note(), note(name="w.else")

    assert 2 == merged([one, two, one]).count("— ".encode())
    with pytest.raises(ValueError, match="different checkpoints"):
        merged([one, note(text=TEXT.replace(b"9", b"8", 1))])
