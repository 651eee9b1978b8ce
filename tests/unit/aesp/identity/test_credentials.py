"""What the data plane takes: a token, a key, a certificate; and what it takes for none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.adm.errors import AuthorizationError, ConfigurationError
from altar.grid.trust.authority import Authority
from altar.grid.trust.certificates import Identity, identity_in, parse_identity
from tests.unit.aesp.identity.world import World, alice, world_at

OPERATORS = Identity("altar.local", "client", "me")
OF_ACME = Identity("altar.local", "client", "app", "acme")
OF_OTHER = Identity("altar.local", "client", "app", "other")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_at(f"sqlite:///{tmp_path}/store.db", tmp_path / "keys") as made:
        yield made


async def test_a_token_and_a_key_and_a_certificate_each_give_a_principal(world: World) -> None:
    await world.person("cert:me")
    pair = await world.tokens.issue(alice())
    key = await world.keys.create("acme/bob", tenant="acme")

    assert "acme/alice" == world.credentials.principal_of(pair.access_token, OPERATORS).id
    assert "acme/bob" == world.credentials.principal_of(key.text, OPERATORS).id
    assert "acme/cert:me" == world.credentials.principal_of("", OPERATORS).id


async def test_a_certificate_of_a_tenant_is_a_principal_of_that_tenant(world: World) -> None:
    await world.person("cert:app", tenant="other")

    assert "other/cert:app" == world.credentials.principal_of("", OF_OTHER).id
    with pytest.raises(AuthorizationError):
        world.credentials.principal_of("", OF_ACME)


async def test_a_certificate_of_one_tenant_carries_nobody_of_another(world: World) -> None:
    """Header and connection must not disagree: a stolen token is worth nothing over another tenant's certificate."""
    pair = await world.tokens.issue(alice())
    key = await world.keys.create("acme/bob", tenant="acme")

    assert "acme/alice" == world.credentials.principal_of(pair.access_token, OF_ACME).id
    for credential in (pair.access_token, key.text):
        with pytest.raises(AuthorizationError) as caught:
            world.credentials.principal_of(credential, OF_OTHER)
        assert "The credentials were not accepted" == caught.value.message


async def test_a_certificate_whose_principal_is_not_there_or_deactivated_is_refused(world: World) -> None:
    with pytest.raises(AuthorizationError):
        world.credentials.principal_of("", OPERATORS)
    await world.person("cert:me")
    world.credentials.principal_of("", OPERATORS)

    await world.deactivate("cert:me")

    with pytest.raises(AuthorizationError):
        world.credentials.principal_of("", OPERATORS)


async def test_the_certificate_of_a_runtime_or_host_is_no_clients(world: World) -> None:
    await world.person("cert:me")
    for role in ("runtime", "host"):
        with pytest.raises(AuthorizationError):
            world.credentials.principal_of("", Identity("altar.local", role, "me"))


async def test_a_refresh_token_is_no_credential_of_the_data_plane(world: World) -> None:
    pair = await world.tokens.issue(alice())

    for text in (pair.refresh_token, "altar_", " ", "Bearer x", pair.access_token + " "):
        with pytest.raises(AuthorizationError):
            world.credentials.principal_of(text, OPERATORS)


async def test_a_user_called_like_a_certificate_is_not_taken_for_one(world: World) -> None:
    await world.person("me")

    with pytest.raises(AuthorizationError):
        world.credentials.principal_of("", OPERATORS)


def test_an_authority_issues_certificates_of_a_tenant(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")

    files = authority.issue("client", "app", tmp_path / "certificates", tenant="acme")

    assert identity_in(files.certificate) == OF_ACME
    assert "acme-client-app.pem" == files.certificate.name
    with pytest.raises(ConfigurationError):
        authority.issue("client", "app", tmp_path / "certificates", tenant="a/b")


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://altar.local/tenant/acme",
        "spiffe://altar.local/tenant//client/app",
        "spiffe://altar.local/tenant/acme/admin/app",
        "spiffe://altar.local/tenant/acme/tenant/other/client/app",
        "spiffe://altar.local/tenant/acme/client/app/",
        "spiffe://altar.local/Tenant/acme/client/app",
        "spiffe://altar.local/tenant/acme/client/app?x",
    ],
)
def test_a_spiffe_id_of_another_form_names_nobody(uri: str) -> None:
    assert parse_identity(uri) is None
