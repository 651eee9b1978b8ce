"""`altar doctor`: what it finds on a machine that is ready, and on ones that are not."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from altar.cli import doctor
from altar.grid.trust.tls import Authority, CertificateFiles
from tests.e2e.command import Done, altar


def findings(done: Done) -> dict[str, tuple[str, str]]:
    return {one["check"]: (one["state"], one["message"]) for one in done.json["findings"]}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority")


def client(authority: Authority, at: Path, lifetime: timedelta = timedelta(days=90)) -> dict[str, str]:
    files = authority.issue("client", "me", at / "client", lifetime=lifetime)
    return {
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
    }


def listening(files: CertificateFiles) -> tuple[socket.socket, threading.Thread]:
    """A host that shakes hands once, in a thread."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, context.wrap_socket(connection, server_side=True) as shaken:
            shaken.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    return listener, thread


def test_a_machine_that_is_ready_passes(tmp_path: Path) -> None:
    done = altar("doctor", at=tmp_path)
    as_json = altar("doctor", "--json", at=tmp_path)

    assert (done.code, done.err) == (0, "")
    assert {"ok"} == {line.split()[0] for line in done.out.splitlines()}
    assert as_json.json["ok"] is True
    assert {"python", "packages", "extra grid", "clock", "settings", "tier", "ledger", "host"} == set(findings(as_json))
    assert not (tmp_path / ".altar").exists()


def test_wrong_settings_fail_and_say_why(tmp_path: Path) -> None:
    (tmp_path / "altar.toml").write_text("timeot = 1\n")

    done = altar("doctor", at=tmp_path)

    assert done.code == 1
    assert "fail  settings" in done.out
    assert "There is no setting 'timeot' (altar.toml line 1); did you mean 'timeout'?" in done.out


def test_a_misspelt_variable_is_a_warning(tmp_path: Path) -> None:
    done = altar("doctor", at=tmp_path, environ={"ALTAR_SUORCE": "grid://h:1", "ALTAR_HOST_PORT": "x"})

    assert done.code == 0
    assert "ALTAR_SUORCE is not a setting; did you mean ALTAR_SOURCE?" in done.out
    assert "ALTAR_HOST_PORT" not in done.out


def test_a_grid_source_without_certificates_fails(tmp_path: Path) -> None:
    done = altar("doctor", "--json", at=tmp_path, environ={"ALTAR_SOURCE": "grid://127.0.0.1:1"})

    assert done.code == 1
    assert findings(done)["certificate of the client"][0] == "fail"


def test_a_part_of_the_certificate_files_fails(tmp_path: Path) -> None:
    done = altar("doctor", "--json", at=tmp_path, environ={"ALTAR_HOST_TLS_KEY": "k.pem"})

    assert done.code == 1
    assert findings(done)["certificate of the host"] == ("fail", "only a part of its three files is set")


def test_a_certificate_near_its_end_is_a_warning(tmp_path: Path, authority: Authority) -> None:
    done = altar("doctor", "--json", at=tmp_path, environ=client(authority, tmp_path, timedelta(days=3)))

    state, message = findings(done)["certificate of the client"]
    assert (done.code, state) == (0, "warn")
    assert "expires in" in message


def test_a_certificate_of_another_role_fails(tmp_path: Path, authority: Authority) -> None:
    files = authority.issue("runtime", "r", tmp_path / "r")
    environ = {
        "ALTAR_HOST_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_HOST_TLS_KEY": str(files.key),
        "ALTAR_HOST_TLS_AUTHORITY": str(files.authority),
    }

    done = altar("doctor", "--json", at=tmp_path, environ=environ)

    assert (done.code, findings(done)["certificate of the host"][0]) == (1, "fail")


def test_a_host_that_answers_is_found(tmp_path: Path, authority: Authority) -> None:
    listener, thread = listening(authority.issue("host", "h", tmp_path / "h"))
    address = f"127.0.0.1:{listener.getsockname()[1]}"

    with listener:
        environ = client(authority, tmp_path) | {"ALTAR_SOURCE": f"grid://{address}"}
        done = altar("doctor", "--json", at=tmp_path, environ=environ)
        thread.join(20)

    assert findings(done)["host"] == ("ok", f"{address} answers in TLSv1.3")
    assert done.code == 0


def test_a_host_that_is_not_there_fails(tmp_path: Path, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    environ = client(authority, tmp_path) | {"ALTAR_SOURCE": f"grid://127.0.0.1:{port}"}

    done = altar("doctor", "--json", at=tmp_path, environ=environ)

    state, message = findings(done)["host"]
    assert (done.code, state) == (1, "fail")
    assert "nothing listens" in message


def test_a_ledger_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    done = altar("doctor", "--json", at=tmp_path, environ={"ALTAR_HOST_DATA": "file/data"})

    assert (done.code, findings(done)["ledger"][0]) == (1, "fail")


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "fail"),
        (datetime(2026, 1, 2, tzinfo=UTC), "warn"),
        (datetime(2099, 1, 1, tzinfo=UTC), "ok"),
    ],
)
def test_a_clock_that_stands_in_the_past_is_noticed(
    now: datetime, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    found = {one.check: one.state for one in doctor.examine(now=lambda: now)}

    assert found["clock"] == state
