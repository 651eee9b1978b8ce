"""The setting `credential`: one that is there and empty never lets a saved login or a certificate stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

import altar
from altar.adm.errors import AuthorizationError, ConfigurationError
from altar.settings import Settings, credential_options


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path("altar.toml").write_text(text, encoding="utf-8")


GRID = 'source = "grid://h:1"\n'


@pytest.mark.parametrize(
    ("text", "environ", "origin"),
    [
        (GRID, {"ALTAR_CREDENTIAL": ""}, "environment ALTAR_CREDENTIAL"),
        (GRID, {"ALTAR_CREDENTIAL": " \n"}, "environment ALTAR_CREDENTIAL"),
        (f'{GRID}credential = "a-token"\n', {"ALTAR_CREDENTIAL": ""}, "environment ALTAR_CREDENTIAL"),
        (f'{GRID}credential = "${{TOKEN:-}}"\n', {"TOKEN": ""}, "altar.toml line 2"),
    ],
)
def test_a_credential_that_is_set_and_empty_is_refused(text: str, environ: dict[str, str], origin: str) -> None:
    write(text)
    settings = Settings.load(environ=environ)

    with pytest.raises(ConfigurationError) as caught:
        credential_options(settings)

    assert "INVALID_CONFIG" == caught.value.code
    assert f"Setting 'credential' is empty ({origin})" == caught.value.message
    assert caught.value.hint is not None


def test_without_a_credential_the_saved_login_may_count() -> None:
    write(GRID)

    assert credential_options(Settings.load(environ={}))["credential"] is None
    in_process = Settings.load(source="later:", environ={"ALTAR_CREDENTIAL": ""})  # nobody is asked there
    assert credential_options(in_process)["credential"] is None


@pytest.mark.parametrize("given", ["", " "])
def test_a_session_with_an_empty_credential_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="The credential of this session is empty") as caught:
        altar.session(source="grid://h:1", credential=given)

    assert "INVALID_CONFIG" == caught.value.code


@pytest.mark.parametrize(
    ("text", "environ", "origin"),
    [
        (GRID, {"ALTAR_CREDENTIAL_FILE": ""}, "environment ALTAR_CREDENTIAL_FILE"),
        (f'{GRID}credential_file = ""\n', {}, "altar.toml line 2"),
    ],
)
def test_a_credential_file_that_is_set_and_names_none_is_refused(
    text: str, environ: dict[str, str], origin: str
) -> None:
    write(text)
    settings = Settings.load(environ=environ)

    with pytest.raises(ConfigurationError) as caught:
        credential_options(settings)

    assert f"Setting 'credential_file' names no file ({origin})" == caught.value.message
    assert "INVALID_CONFIG" == caught.value.code


async def test_a_credential_file_without_anything_in_it_is_refused_by_name(tmp_path: Path) -> None:
    from altar.grid.client.client_credential import credential_in
    from altar.grid.trust.certificates import CertificateFiles

    at = tmp_path / "token"
    at.write_text("\n")
    credential = credential_in({"credential_file": at}, target="h:1", files=CertificateFiles(at, at, at))
    assert credential is not None

    with pytest.raises(AuthorizationError, match=f"The file '{at}' for the credential is empty"):
        await credential.fresh()
