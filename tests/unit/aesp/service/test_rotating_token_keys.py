"""Rotating the keys that sign tokens: by the operator alone, recorded, and no token dies of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.identity.token_keys import TokenKeys
from tests.unit.aesp.identity.world import Clock
from tests.unit.aesp.service.plane import Plane, plane

ROTATE = "EnterpriseAuthenticationService/RotateTokenKeys"


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    async with plane(tmp_path) as ready:
        await ready.made.tenants.create("acme")
        yield ready


async def test_the_operator_rotates_and_tokens_of_both_keys_are_good(made: Plane) -> None:
    before = await made.token("operator", "root")

    answer = await made.ask(ROTATE, token=before)
    after = await made.token("operator", "root")

    assert [answer.key_id, "operator/root", "operator/root"] == [
        made.made.token_keys.signing()[0],
        *(made.made.tokens.verify(token).id for token in (before, after)),
    ]
    assert before.partition(".")[0] != after.partition(".")[0]
    assert answer.key_id == made.made.token_keys.jwks()["keys"][-1]["kid"]
    (entry,) = (one for one in made.entries("operator") if one.get("event") == "admin.token_keys_rotate")
    assert ("operator/root", "SUCCESS") == (entry["principal"], entry["outcome"])


async def test_an_administrator_of_a_tenant_may_not(made: Plane) -> None:
    token = await made.person("acme", "ann", "admin")
    kid, _ = made.made.token_keys.signing()

    with pytest.raises(AuthorizationError) as refused:
        await made.ask(ROTATE, token=token)

    assert "PERMISSION_DENIED" == refused.value.code
    assert kid == made.made.token_keys.signing()[0]
    assert "DENIED" == next(
        one["outcome"] for one in made.entries("acme") if one.get("event") == "admin.token_keys_rotate"
    )


def test_another_host_with_the_same_directory_signs_with_the_new_key_within_seconds(tmp_path: Path) -> None:
    clock = Clock()
    one, other = (TokenKeys.open(tmp_path / "keys", overlap=1800, now=clock) for _ in range(2))

    clock.at += 1
    kid = one.rotate()
    clock.at += 10

    assert kid == other.signing()[0]
    assert one.overlap_ends_ms == other.overlap_ends_ms == int((clock.at - 10 + 1800) * 1000)


def test_a_directory_that_is_out_of_reach_for_a_while_does_not_stop_signing(tmp_path: Path) -> None:
    clock = Clock()
    keys = TokenKeys.open(tmp_path / "keys", overlap=1800, now=clock)
    kid, _ = keys.signing()
    (tmp_path / "keys").rename(tmp_path / "elsewhere")
    clock.at += 60

    assert kid == keys.signing()[0]
    with pytest.raises(AltarError):
        keys.rotate()
