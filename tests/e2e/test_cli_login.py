"""`altar login`, `whoami`, `logout`, `identity init` against a real host with identities, each in its own process."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.command import Done, altar
from tests.integration.foundation_scene import OPERATOR, PASSWORD, FoundationGrid

LIFETIME = 64
"""Seconds of an access token here: it is renewed when a minute is left, so after four."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    directory = tmp_path_factory.mktemp("login")
    with FoundationGrid(directory, settings={"aesp.token_lifetime": LIFETIME}) as started:
        yield started


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The configuration directory of a user who has never signed in."""
    made = tmp_path / "config"
    made.mkdir()
    return made


def run(scene: FoundationGrid, home: Path, *arguments: str, stdin: str = "", **environ: str) -> Done:
    """Run a command as the user of this home, whose client certificate stands for nobody."""
    files = scene.grid.client
    given = {
        "XDG_CONFIG_HOME": str(home),
        "ALTAR_SOURCE": scene.grid.source,
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
    }
    return altar(*arguments, at=scene.directory, stdin=stdin, environ=given | environ)


def renew(scene: FoundationGrid) -> None:
    """Let the operator of the scene sign in anew: its tokens are short here."""
    scene.root = scene.sign_in("root", PASSWORD, tenant=OPERATOR)


def signed_in(scene: FoundationGrid, home: Path) -> Path:
    done = run(scene, home, "login", "--name", "root", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert 0 == done.code, done.err
    (file,) = (home / "altar" / "logins").glob("*.json")
    return file


def test_somebody_signs_in_is_known_and_signs_out(scene: FoundationGrid, home: Path) -> None:
    file = signed_in(scene, home)
    assert 0o600 == file.stat().st_mode & 0o777
    assert 0o700 == file.parent.stat().st_mode & 0o777

    known = run(scene, home, "whoami", "--json")
    assert (f"{OPERATOR}/root", OPERATOR) == (known.json["principal"], known.json["tenant"])
    assert "admin" in known.json["roles"]
    assert 0 < known.json["seconds_left"] <= LIFETIME

    access = json.loads(file.read_text())["access_token"]
    left = run(scene, home, "logout")
    assert 0 == left.code, left.err
    assert not file.exists()
    refused = run(scene, home, "whoami", ALTAR_CREDENTIAL=access)
    assert 3 == refused.code
    assert "The credentials were not accepted" in refused.err


def test_no_token_is_printed(scene: FoundationGrid, home: Path) -> None:
    done = run(scene, home, "login", "--name", "root", "--password-stdin", "--json", stdin=f"{PASSWORD}\n")
    (file,) = (home / "altar" / "logins").glob("*.json")
    saved = json.loads(file.read_text())

    for text in (done.out, done.err, run(scene, home, "whoami").out, run(scene, home, "config", "show").out):
        assert saved["access_token"] not in text
        assert saved["refresh_token"] not in text
        assert PASSWORD not in text


def test_a_saved_login_opens_sessions_for_other_commands(scene: FoundationGrid, home: Path) -> None:
    assert 3 == run(scene, home, "call", "transfer", "amount=3").code
    signed_in(scene, home)

    done = run(scene, home, "call", "transfer", "amount=3")

    assert (0, "3") == (done.code, done.out.strip()), done.err
    assert [] == run(scene, home, "session", "list", "--json").json


def test_a_key_in_the_environment_or_in_a_file_is_a_credential(
    scene: FoundationGrid, home: Path, tmp_path: Path
) -> None:
    renew(scene)
    key = scene.ask("EnterpriseIdentityService/CreateApiKey", {"tenant_id": OPERATOR, "principal_id": "root"})[
        "api_key"
    ]
    (tmp_path / "key").write_text(f"{key}\n")

    for environ in ({"ALTAR_CREDENTIAL": key}, {"ALTAR_CREDENTIAL_FILE": str(tmp_path / "key")}):
        done = run(scene, home, "call", "transfer", "amount=3", **environ)
        assert (0, "3") == (done.code, done.out.strip()), done.err
    assert "********" in run(scene, home, "config", "show", ALTAR_CREDENTIAL=key).out
    assert 3 == run(scene, home, "call", "transfer", "amount=3", ALTAR_CREDENTIAL=f"{key[:-1]}!").code


def test_a_wrong_password_is_refused_and_nothing_is_kept(scene: FoundationGrid, home: Path) -> None:
    for name in ("root", "nobody"):
        done = run(scene, home, "login", "--name", name, "--password-stdin", stdin="a wrong password\n")

        assert 3 == done.code
        assert "The credentials were not accepted" in done.err
        assert not list(home.rglob("*.json"))


def test_a_login_that_others_can_read_is_not_used(scene: FoundationGrid, home: Path) -> None:
    file = signed_in(scene, home)
    file.chmod(0o644)

    done = run(scene, home, "whoami")

    assert 2 == done.code
    assert "can be read by others" in done.err


def test_an_old_login_is_renewed_and_processes_take_turns(scene: FoundationGrid, home: Path) -> None:
    """Were the refresh token used twice, the host would end the family, and one of the two would be refused."""
    file = signed_in(scene, home)
    before = json.loads(file.read_text())
    old = before | {"expires": time.time() + 1}
    file.write_text(json.dumps(old))

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: run(scene, home, "whoami", "--json"), range(3)))

    assert [0, 0, 0] == [one.code for one in done], [one.err for one in done]
    after = json.loads(file.read_text())
    assert after["refresh_token"] != before["refresh_token"]
    assert 0o600 == file.stat().st_mode & 0o777


def test_a_login_that_the_host_ended_says_so(scene: FoundationGrid, home: Path) -> None:
    file = signed_in(scene, home)
    saved = json.loads(file.read_text())
    copy = home / "copy.json"
    copy.write_text(json.dumps(saved))
    assert 0 == run(scene, home, "logout").code
    file.write_text(json.dumps(saved | {"expires": 0.0}))
    file.chmod(0o600)

    done = run(scene, home, "whoami")

    assert 3 == done.code
    assert "run `altar login` again" in done.err


def test_a_session_renews_its_credential_before_it_ends(scene: FoundationGrid, home: Path) -> None:
    """A function that gives tokens is asked again while the session goes on, and the session goes on with the new."""
    import altar as library

    given: list[str] = []
    again = threading.Event()

    def fresh() -> str:
        given.append(scene.sign_in("root", PASSWORD, tenant=OPERATOR))
        if len(given) > 1:
            again.set()
        return given[-1]

    files = scene.grid.client
    environ = {
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
    }
    kept = dict(os.environ)
    os.environ.update(environ)
    try:
        with library.session(source=scene.grid.source, credential=fresh) as session:
            assert 3 == session.call("transfer", amount=3).unwrap()
            assert again.wait(50)
            assert 3 == session.call("transfer", amount=3).unwrap()
    finally:
        os.environ.clear()
        os.environ.update(kept)
    assert len(set(given)) == len(given) >= 2


def test_the_first_administrator_signs_in_with_a_password_of_one_use(scene: FoundationGrid, tmp_path: Path) -> None:
    environ = {"ALTAR_HOST_DATA": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path)}

    made = altar("identity", "init", "--name", "first", "--json", at=tmp_path, environ=environ)

    assert 0 == made.code, made.err
    assert f"{OPERATOR}/first" == made.json["principal"]
    assert len(made.json["one_time_password"]) >= 30
    again = altar("identity", "init", "--name", "second", at=tmp_path, environ=environ)
    assert 2 == again.code
    assert "RESOURCE_CONFLICT" in again.err


def test_a_password_of_one_use_is_replaced_at_the_first_sign_in(scene: FoundationGrid, home: Path) -> None:
    wanted = {"tenant_id": OPERATOR, "name": "newcomer", "type": "PRINCIPAL_TYPE_USER", "password": True}
    renew(scene)
    once = scene.ask("EnterpriseIdentityService/CreatePrincipal", wanted)["one_time_password"]

    refused = run(scene, home, "login", "--name", "newcomer", "--password-stdin", stdin=f"{once}\n")
    done = run(scene, home, "login", "--name", "newcomer", "--password-stdin", stdin=f"{once}\nmy own long phrase\n")

    assert 3 == refused.code
    assert "choose one of your own" in refused.err
    assert 0 == done.code, done.err
    assert 0 == run(scene, home, "login", "--name", "newcomer", "--password-stdin", stdin="my own long phrase\n").code


def test_a_plain_host_says_that_it_takes_no_credential(tmp_path: Path, home: Path) -> None:
    from altar.testing import LocalGrid

    with LocalGrid(["tests/integration/foundation_tools.py"], runtimes=0, directory=tmp_path / "plain") as grid:
        environ = {
            "XDG_CONFIG_HOME": str(home),
            "ALTAR_SOURCE": grid.source,
            "ALTAR_TLS_CERTIFICATE": str(grid.client.certificate),
            "ALTAR_TLS_KEY": str(grid.client.key),
            "ALTAR_TLS_AUTHORITY": str(grid.client.authority),
            "ALTAR_CREDENTIAL": "altar_x_y",
        }
        done = altar("call", "transfer", "amount=3", at=tmp_path, environ=environ)
        asked = [altar(*words, at=tmp_path, environ=environ).err for words in (["whoami"], ["tenants", "list"])]
        empty = altar("whoami", at=tmp_path, environ=environ | {"ALTAR_CREDENTIAL": ""})

    assert "FEATURE_UNAVAILABLE" in done.err
    assert asked[0] == asked[1]
    assert "This host has no identities and no tenants (FEATURE_UNAVAILABLE)" in asked[0]
    assert (2, True) == (empty.code, "Setting 'credential' is empty (environment ALTAR_CREDENTIAL)" in empty.err)
