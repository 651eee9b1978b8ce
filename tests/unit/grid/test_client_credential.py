"""What a session shows its host: where it comes from, when the next one is due, and whose it is."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.grid.client.client_credential import ClientCredential, credential_in, ends_of, owner_in
from altar.grid.trust.certificates import CertificateFiles

FILES = CertificateFiles(Path("c"), Path("k"), Path("a"))
KEY = f"altar_{'0' * 24}_{'s' * 43}"


def token(**claims: object) -> str:
    parts = ({"alg": "EdDSA"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"


class Clock:
    at = 1000.0

    def __call__(self) -> float:
        return self.at


async def test_a_fresh_one_is_due_a_minute_before_the_end_or_when_a_third_is_left() -> None:
    clock = Clock()
    for ends, due in ((1900.0, 1600.0), (1100.0, 1040.0), (1040.0, 1020.0), (1002.0, 1005.0), (math.inf, math.inf)):
        clock.at = 1000.0
        text = token(exp=ends) if ends < math.inf else KEY
        shown = ClientCredential(lambda text=text: text, renewable=True, now=clock)  # type: ignore[misc]  # a default binds it
        assert text.encode() == await shown.fresh()

        clock.at = min(due, 1e12) - 0.1
        assert not shown.is_due
        clock.at += 0.2
        assert (due < math.inf) == shown.is_due


async def test_one_that_cannot_be_renewed_is_never_due() -> None:
    clock = Clock()
    shown = ClientCredential(lambda: token(exp=1001), renewable=False, now=clock)
    await shown.fresh()
    clock.at = 5000.0

    assert not shown.is_due


async def test_one_that_failed_is_tried_again_after_some_seconds() -> None:
    clock = Clock()

    def fail() -> str:
        raise AltarErrorOfTest

    shown = ClientCredential(fail, renewable=True, now=clock)
    with pytest.raises(AltarErrorOfTest):
        await shown.fresh()

    assert not shown.is_due
    clock.at += 5
    assert shown.is_due


class AltarErrorOfTest(Exception):
    """Whatever the caller's own function raises."""


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "ä", "x" * 20_000])
async def test_what_cannot_be_a_credential_is_not_sent_and_not_shown(text: str) -> None:
    with pytest.raises(AltarError) as caught:
        await ClientCredential(lambda: text, renewable=False).fresh()

    assert "INVALID_CREDENTIALS" == caught.value.code
    assert not text or text not in str(caught.value)


async def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" first\n")
    shown = credential_in({"credential_file": file}, target="h:1", files=FILES)
    assert shown is not None
    assert b"first" == await shown.fresh()

    file.write_text("second")
    assert b"second" == await shown.fresh()
    file.unlink()
    with pytest.raises(AltarError, match="cannot be read"):
        await shown.fresh()


def test_without_any_the_certificate_says_who_asks(tmp_path: Path) -> None:
    for options in ({}, {"credential": None, "credential_file": None, "login": tmp_path}):
        assert credential_in(options, target="h:1", files=FILES) is None


@pytest.mark.parametrize("given", ["", lambda: ""])
async def test_an_empty_credential_is_refused_and_nothing_else_stands_in(given: object, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    options = {"credential": given, "credential_file": tmp_path / "key", "login": tmp_path}
    shown = credential_in(options, target="h:1", files=FILES)
    assert shown is not None

    with pytest.raises(AltarError) as caught:
        await shown.fresh()

    assert "INVALID_CREDENTIALS" == caught.value.code


async def test_what_is_kept_for_one_principal_is_parted_from_that_of_another(tmp_path: Path) -> None:
    assert "acme/alice" == await owner_in({"credential": token(sub="acme/alice")}, target="h:1")
    assert "acme/alice" == await owner_in({"credential": lambda: token(sub="acme/alice")}, target="h:1")
    assert f"key:{'0' * 24}" == await owner_in({"credential": KEY}, target="h:1")
    opaque = await owner_in({"credential": "opaque-secret"}, target="h:1")
    assert opaque.startswith("sha256:")
    assert "opaque" not in opaque
    assert "" == await owner_in({"login": tmp_path}, target="h:1")


async def test_what_was_sent_last_says_in_whose_name_it_is() -> None:
    texts = [token(sub="acme/alice"), KEY]
    shown = ClientCredential(lambda: texts.pop(0), renewable=True)

    assert "" == shown.owner
    await shown.fresh()
    assert "acme/alice" == shown.owner
    await shown.fresh()
    assert f"key:{'0' * 24}" == shown.owner


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "a.!!.c", token(exp="soon"), token(exp=True), token(), KEY])
def test_a_credential_that_says_no_end_has_none(text: str) -> None:
    assert math.isinf(ends_of(text))
