"""`altar login --web` at a real SAML provider and a real host, as processes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.command import COMMAND, altar
from tests.integration.foundation_scene import FoundationGrid
from tests.providers.simplesamlphp import SimpleSamlPhp, simplesamlphp
from tests.providers.slapd import free_port

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleSamlPhp]:
    with simplesamlphp(tmp_path_factory.mktemp("idp") / "ssp") as running:
        yield running


def test_somebody_signs_in_with_a_browser_and_calls(idp: SimpleSamlPhp, tmp_path: Path) -> None:
    web = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "idp.xml").write_text(idp.metadata())
    idp.know(entity_id=f"{web}/saml/corp/metadata", acs=f"{web}/saml/corp/acs")
    (tmp_path / "providers.toml").write_text(
        f'[[aesp.providers]]\nname = "corp"\nkind = "saml"\ntenant = "acme"\nmetadata = "{tmp_path}/idp.xml"\n'
    )
    settings = {
        "config": tmp_path / "providers.toml",
        "aesp.web": web.removeprefix("http://"),
        "aesp.web_url": web,
    }
    with FoundationGrid(tmp_path / "grid", settings=settings) as scene:
        scene.tenant("acme")
        files = scene.grid.client
        environ = {
            "XDG_CONFIG_HOME": str(tmp_path),
            "ALTAR_SOURCE": scene.grid.source,
            "ALTAR_TLS_CERTIFICATE": str(files.certificate),
            "ALTAR_TLS_KEY": str(files.key),
            "ALTAR_TLS_AUTHORITY": str(files.authority),
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ALTAR_")}
        command = [str(COMMAND), "login", "--provider", "corp", "--tenant", "acme", "--web", web, "--no-browser"]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=inherited | environ, cwd=tmp_path
        ) as signing:
            assert signing.stderr is not None
            address = next(
                found[1] for line in signing.stderr if (found := re.search(r"(http://\S+/login\?\S+)", line))
            )
            with httpx.Client(trust_env=False, timeout=60) as browser:
                begun = browser.get(address)
                form = idp.sign_in(begun.headers["location"])
                browser.post(f"{web}/saml/corp/acs", data=form, follow_redirects=True).raise_for_status()
            said = signing.stderr.read()
        assert "as acme/alice" in said

        scene.give("acme", "alice", "developer")
        done = altar("call", "transfer", "amount=3", at=tmp_path, environ=environ)
        assert (0, "3") == (done.code, done.out.strip()), done.err
