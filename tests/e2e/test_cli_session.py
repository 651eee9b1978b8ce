"""`altar session`: what a person sees of the sessions on a host, and can do about them."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from altar.testing import LocalGrid
from tests.e2e.command import altar

TOOLS = '''
import altar

@altar.tool(read_only=True)
def get_weather(city: str) -> str:
    """Tell the weather."""
    return city
'''


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    module = tmp_path_factory.mktemp("tools") / "weather.py"
    module.write_text(TOOLS)
    with LocalGrid([str(module)], runtimes=0) as running:
        yield running
        running.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def environ(grid: LocalGrid) -> Mapping[str, str]:
    return {
        "ALTAR_SOURCE": grid.source,
        "ALTAR_TLS_CERTIFICATE": str(grid.client.certificate),
        "ALTAR_TLS_KEY": str(grid.client.key),
        "ALTAR_TLS_AUTHORITY": str(grid.client.authority),
    }


def test_without_sessions_the_list_is_empty_and_says_so(tmp_path: Path, environ: Mapping[str, str]) -> None:
    for_people = altar("session", "list", at=tmp_path, environ=environ)
    for_programs = altar("session", "list", "--json", at=tmp_path, environ=environ)

    assert (0, "", "no sessions are open\n") == (for_people.code, for_people.out, for_people.err)
    assert (0, []) == (for_programs.code, for_programs.json)


def test_a_session_is_listed_shown_extended_and_destroyed(
    grid: LocalGrid, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    with grid.session(["get_weather"]) as session:
        session_id = session.session_id
        listed = altar("session", "list", at=tmp_path, environ=environ)
        shown = altar("session", "show", session_id, at=tmp_path, environ=environ)
        extended = altar("session", "extend", session_id, "--ttl", "7200", "--json", at=tmp_path, environ=environ)
        destroyed = altar("session", "destroy", session_id, at=tmp_path, environ=environ)
        gone = altar("session", "show", session_id, at=tmp_path, environ=environ)

    heading, row = listed.out.splitlines()
    assert ["SESSION", "LEFT", "TTL", "CALLS", "VARIABLES", "CLIENTS", "TOOLS"] == heading.split()
    assert [session_id, "3600", "0", "0", "1", "get_weather"] == [
        word for place, word in enumerate(row.split()) if place not in {1, 2, 4}
    ]
    assert f"session_id    {session_id}\n" in shown.out
    assert "tools         get_weather\n" in shown.out
    assert (session_id, 7200, {}) == (
        extended.json["session_id"],
        extended.json["ttl_seconds"],
        extended.json["labels"],
    )
    assert (0, "", f"destroyed {session_id}\n") == (destroyed.code, destroyed.out, destroyed.err)
    assert (2, "error: There is no such session (INVALID_SESSION)\n\nhint: open a new session\n") == (
        gone.code,
        gone.err,
    )


@pytest.mark.parametrize(
    "command", [("show", "session-0"), ("extend", "session-0"), ("destroy", "session-0", "--force")]
)
def test_a_session_that_is_not_there_is_refused(
    tmp_path: Path, environ: Mapping[str, str], command: tuple[str, ...]
) -> None:
    done = altar("session", *command, "--json", at=tmp_path, environ=environ)

    assert (2, "INVALID_SESSION", "no") == (done.code, done.json["error"]["type"], done.json["error"]["ran"])


def test_sessions_of_this_process_are_not_there_to_be_seen(tmp_path: Path) -> None:
    done = altar("session", "list", "--source", "later:", at=tmp_path, environ=_FILES)

    assert (2, "") == (done.code, done.out)
    assert "error: The sessions of 'later:' are not kept on a host (INVALID_CONFIG)" in done.err


def test_without_a_certificate_nothing_is_dialled(tmp_path: Path) -> None:
    done = altar("session", "list", "--source", "grid://127.0.0.1:9", at=tmp_path)

    assert 2 == done.code
    assert "A grid needs a client certificate; not set: authority, certificate, key (CERTIFICATE_ERROR)" in done.err


def test_a_host_that_is_not_there_is_said(tmp_path: Path, environ: Mapping[str, str]) -> None:
    done = altar("session", "list", "--source", "grid://127.0.0.1:9", at=tmp_path, environ=environ)

    assert 4 == done.code
    assert "nothing listens at '127.0.0.1:9'" in done.err


_FILES = {f"ALTAR_TLS_{part}": "x.pem" for part in ("CERTIFICATE", "KEY", "AUTHORITY")}
