"""A real directory behind a real host, as processes: pull, sign in, call, and lose all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from altar.adm.errors import AltarError
from altar.testing.postgres import LocalPostgres
from tests.e2e.command import altar
from tests.integration.foundation_scene import FoundationGrid
from tests.providers.slapd import ADMIN, ADMIN_PASSWORD, BASE, Slapd, free_port, slapd

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty store, "" for that of the host itself: all of this runs on each."""
    if request.param == "sqlite":
        yield ""
        return
    postgres: LocalPostgres = request.getfixturevalue("postgres")
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[Slapd]:
    del database_url  # each has a directory of its own, which the tests change
    with slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture(scope="module")
def web() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def scene(
    server: Slapd, web: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FoundationGrid]:
    directory = tmp_path_factory.mktemp("grid")
    file = directory / "providers.toml"
    file.write_text(
        f"""
        [[aesp.providers]]
        name = "corp"
        kind = "ldap"
        tenant = "acme"
        url = "{server.url}"
        authority = "{server.ca_file}"
        bind_dn = "{ADMIN}"
        secret = "{ADMIN_PASSWORD}"
        base = "ou=people,{BASE}"
        group_base = "ou=groups,{BASE}"
        """
    )
    settings = {"config": file, "aesp.web": web.removeprefix("http://"), "aesp.web_url": web}
    with FoundationGrid(directory, settings=settings, database_url=database_url) as started:
        started.tenant("acme")
        yield started


def of_directory(scene: FoundationGrid, name: str, password: str) -> str:
    """The access token of a person of the directory."""
    shown = {"username": name, "password": password}
    request = {"provider": "corp", "tenant_id": "acme", "username_password": shown}
    answer = scene.ask("EnterpriseAuthenticationService/AuthenticateUser", request, credential="")
    return str(answer["details"]["access_token"])


def identity(scene: FoundationGrid, web: str, at: Path, credential: str, *arguments: str) -> Any:
    files = scene.grid.client
    environ = {
        "ALTAR_CREDENTIAL": credential,
        "ALTAR_AESP_WEB_URL": web,
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
    }
    return altar("identity", *arguments, "--json", at=at, environ=environ)


def test_a_person_of_the_directory_is_pulled_signs_in_calls_and_is_out_with_the_next_pull(
    scene: FoundationGrid, server: Slapd, web: str, tmp_path: Path
) -> None:
    boss = scene.person("acme", "boss", "admin")

    def do(*arguments: str) -> Any:
        return identity(scene, web, tmp_path, boss, *arguments)

    tried = do("test", "corp").json
    dry = do("sync", "corp", "--dry-run").json
    pulled = do("sync", "corp").json
    do("map", "corp", "staff", "developer")
    token = of_directory(scene, "alice", "alicepw")
    assert (4, [], False) == (tried["people"], pulled["deactivate"], dry["is_done"])
    assert "alice" in dry["create"]
    assert {"corp"} == {each["name"] for each in do("providers").json}

    with scene.session(token, "transfer") as session:
        assert 3 == session.call("transfer", amount=3).unwrap()
        server.change(f"dn: uid=alice,ou=people,{BASE}\nchangetype: delete\n")
        gone = do("sync", "corp", "--full").json
        assert ["alice"] == gone["deactivate"]
        refused = session.call("transfer", amount=3)

    assert refused.error is not None
    assert "no" == refused.error.ran
    with pytest.raises(AltarError):
        of_directory(scene, "alice", "alicepw")
    assert scene.recorded("acme", "admin.provider_sync", "acme/boss", "SUCCESS")


def test_who_may_not_pull_is_refused_and_recorded(scene: FoundationGrid, web: str, tmp_path: Path) -> None:
    viewer = scene.person("acme", "viewer", "viewer")
    other = scene.person("operator", "stranger", "admin")

    refused = identity(scene, web, tmp_path, viewer, "sync", "corp")
    foreign = identity(scene, web, tmp_path, other, "sync", "corp")

    assert "PERMISSION_DENIED" == refused.json["error"]["type"]
    assert "UNKNOWN_RESOURCE" == foreign.json["error"]["type"]
    assert scene.recorded("acme", "call.denied", "acme/viewer", "DENIED")


def test_who_is_deprovisioned_by_scim_loses_session_and_token_at_once(
    scene: FoundationGrid, web: str, tmp_path: Path
) -> None:
    made = scene.ask("EnterpriseIdentityService/CreateServiceAccount", {"tenant_id": "acme", "name": "provisioner"})
    name = made["principal"]["principal_id"]
    scene.give("acme", name, "admin")
    key = scene.ask("EnterpriseIdentityService/CreateApiKey", {"tenant_id": "acme", "principal_id": name})["api_key"]
    with httpx.Client(base_url=f"{web}/scim/v2", headers={"authorization": f"Bearer {key}"}, trust_env=False) as scim:
        created = scim.post("/Users", json={"userName": "dana", "externalId": "d"}).json()
        scene.give("acme", "dana", "developer")
        dana = scene.ask("EnterpriseIdentityService/CreateApiKey", {"tenant_id": "acme", "principal_id": "acme/dana"})
        with scene.session(dana["api_key"], "transfer") as session:
            assert 5 == session.call("transfer", amount=5).unwrap()
            assert 204 == scim.delete(f"/Users/{created['id']}").status_code
            refused = session.call("transfer", amount=5)
    assert refused.error is not None
    assert scene.recorded("acme", "admin.scim_delete", name, "SUCCESS")
