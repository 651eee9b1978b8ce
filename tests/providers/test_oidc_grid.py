"""`altar login` at a real OpenID provider and a real host, as processes: with a browser, with a device, with groups."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, altar
from tests.integration.foundation_scene import FoundationGrid
from tests.providers.oidc import OidcServer, oidc_server, person


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcServer]:
    with oidc_server(tmp_path_factory.mktemp("oidc")) as started:
        yield started


@pytest.fixture(scope="module")
def scene(server: OidcServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    directory = tmp_path_factory.mktemp("grid")
    file = directory / "providers.toml"
    file.write_text(
        f"""
        [[aesp.providers]]
        name = "corp"
        kind = "oidc"
        tenant = "acme"
        issuer = "{server.issuer}"
        audience = "altar"
        """
    )
    with FoundationGrid(directory, settings={"config": file}) as started:
        started.tenant("acme")
        yield started


def environ_of(scene: FoundationGrid, home: Path, server: OidcServer) -> dict[str, str]:
    files = scene.grid.client
    return {
        "XDG_CONFIG_HOME": str(home),
        "ALTAR_SOURCE": scene.grid.source,
        "ALTAR_LOGIN_PROVIDER": "corp",
        "ALTAR_LOGIN_ISSUER": server.issuer,
        "ALTAR_LOGIN_CLIENT_ID": "altar",
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
    }


@pytest.mark.parametrize(("how", "name"), [("--no-browser", "alice"), ("--device", "bob")])
def test_somebody_signs_in_at_the_provider_and_is_a_principal_of_its_tenant(
    scene: FoundationGrid, server: OidcServer, tmp_path: Path, how: str, name: str
) -> None:
    environ = environ_of(scene, tmp_path, server)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ALTAR_")}
    with subprocess.Popen(
        [COMMAND, "login", how], stderr=subprocess.PIPE, text=True, env=inherited | environ, cwd=tmp_path
    ) as signing:
        assert signing.stderr is not None
        address = next(
            found[1] for line in signing.stderr if (found := re.search(r"(http://\S+/(?:auth\?|device\?)\S+)", line))
        )
        person(name, address)
        said = signing.stderr.read()
    assert f"as acme/{name}" in said

    known = altar("whoami", "--json", at=tmp_path, environ=environ).json
    assert (f"acme/{name}", "acme", []) == (known["principal"], known["tenant"], known["roles"])

    scene.give("acme", name, "developer")
    done = altar("call", "transfer", "amount=3", at=tmp_path, environ=environ)
    assert (0, "3") == (done.code, done.out.strip()), done.err
    assert scene.recorded("acme", "auth.succeeded", f"acme/{name}", "SUCCESS")


def test_a_group_called_admin_at_the_provider_gives_nothing_here(
    scene: FoundationGrid, server: OidcServer, tmp_path: Path
) -> None:
    """The provider says that alice is in `admin`; whoever signed in as alice above has no role from that."""
    answer = scene.ask("EnterpriseIdentityService/GetPrincipalDetails", {"tenant_id": "acme", "principal_id": "alice"})

    assert "corp:admin" in str(answer)
    assert "'admin'" not in str(answer.get("permissions", ""))


def test_a_token_of_the_provider_is_no_credential_of_the_data_plane(
    scene: FoundationGrid, server: OidcServer, tmp_path: Path
) -> None:
    import httpx

    answer = httpx.post(
        f"{server.issuer}/token",
        data={"grant_type": "client_credentials", "scope": "tools:read", "resource": "urn:altar:grid"},
        auth=("robot", "a-secret-of-the-tests-only"),
    )
    environ = environ_of(scene, tmp_path, server) | {"ALTAR_CREDENTIAL": answer.json()["access_token"]}

    done = altar("call", "transfer", "amount=3", at=tmp_path, environ=environ)

    assert 3 == done.code
    assert "The credentials were not accepted" in done.err
