"""What a user is answered, word for word: the message, its code, and the hint that says what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.grid.manifests.manifest_statement import Statement, write_signed
from altar.grid.trust.authority import Authority
from altar.grid.trust.certificates import CertificateFiles
from altar.later.session import Options, Session
from altar.ledger.signer import FileSigner
from altar.testing import LocalGrid
from tests.e2e.command import Done
from tests.e2e.command import altar as run
from tests.integration import raw, tools
from tests.messages.conftest import Told

pytestmark = pytest.mark.timeout(120)


def of_error(error: altar.AltarError) -> str:
    """An error as it is stored."""
    parts = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "path": error.path,
        "ran": error.ran,
    }
    return "".join(f"{name}: {value}\n" for name, value in parts.items() if value is not None)


def of_result(result: altar.ToolResult) -> str:
    """A failed call as it is stored."""
    with pytest.raises(altar.AltarError) as raised:
        result.unwrap()
    return of_error(raised.value)


def of_command(done: Done, *, hide: dict[str, str]) -> str:
    """What a command printed, and its exit code; ``hide`` maps what differs from run to run to a name."""
    text = f"exit code: {done.code}\n{done.out}{done.err}"
    for found, name in hide.items():
        text = text.replace(found, name)
    return text


# --------------------------------------------------------------------------------------------------------- calling

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown_tool": ("lenght", {"text": "x"}),
    "missing_argument": ("add", {"b": 1}),
    "extra_argument": ("add", {"a": 1, "c": 3}),
    "wrong_argument": ("add", {"a": "one"}),
    "wrong_argument_deep_inside": ("order", {"orders": [{"item": "a", "count": 1}, {"item": "b", "count": 0}]}),
    "argument_refused_by_its_type": ("order", {"orders": [{"item": "forbidden", "count": 1}]}),
    "argument_that_json_cannot_hold": ("echo", {"value": {"at": object()}}),
    "oversized_argument": ("length", {"text": "x" * (4 * 1024 * 1024)}),
    "tool_raises": ("fail", {"secret": "s3cret"}),
    "tool_refuses_on_purpose": ("refuse", {"city": "Oslo"}),
    "tool_hangs": ("hang_async", {"evidence": os.devnull}),
    "result_that_json_cannot_hold": ("unfit", {"kind": "socket"}),
    "result_that_breaks_its_contract": ("breaks_its_promise", {}),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_that_fails_is_answered_in_these_words(case: str, told: Told) -> None:
    name, arguments = CALLS[case]

    with Session(Options()) as session:
        told(case, of_result(session.call(name, **arguments)))


def test_a_session_that_is_not_open(told: Told) -> None:
    with Session(Options(("add",))) as session:
        pass
    with pytest.raises(altar.AltarError) as raised:
        session.call("add", a=1)
    told("session_not_open", of_error(raised.value))


def test_a_session_with_a_tool_that_nobody_declared(told: Told) -> None:
    with pytest.raises(altar.AltarError) as raised:
        Session(Options(("lenght",)))
    told("session_with_an_unknown_tool", of_error(raised.value))


def test_a_source_nobody_provides(told: Told) -> None:
    with pytest.raises(altar.AltarError) as raised, Session(Options(source="mesh://somewhere:1")):
        pass
    told("unknown_source", of_error(raised.value))


def test_a_source_whose_extra_is_not_installed(told: Told, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['grpc'] = None\n"
        "from altar.cli.main import main; sys.exit(main(['call', 'x', '--source', 'grid://localhost:7443']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50
    )
    told("missing_extra", of_command(Done(done.returncode, done.stdout, done.stderr), hide={}))


# -------------------------------------------------------------------------------------------------------- the grid


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([tools.__file__], runtimes=1) as running:
        yield running


def refused(source: str, files: CertificateFiles | None) -> altar.AltarError:
    """What a session is answered that cannot be opened."""
    options = {part: getattr(files, part) for part in ("certificate", "key", "authority")} if files else {}
    with (
        pytest.raises(altar.AltarError) as raised,
        Session(Options(source=source, source_options=options)),
    ):
        pass
    return raised.value


def hidden(answer: str, *paths: Path, port: int = 0) -> str:
    """An answer without what differs from run to run."""
    for path in paths:
        answer = answer.replace(str(path), "DIR")
    return answer.replace(f":{port}", ":PORT") if port else answer


def test_a_host_that_does_not_answer(told: Told, tmp_path: Path) -> None:
    files = Authority.create(tmp_path / "ca").issue("client", "me", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told("host_not_reachable", hidden(of_error(refused(f"grid://127.0.0.1:{port}", files)), port=port))


def test_no_certificate_at_all(told: Told) -> None:
    told("no_certificate", of_error(refused("grid://127.0.0.1:7443", None)))


def test_a_certificate_of_another_authority(told: Told, grid: LocalGrid, tmp_path: Path) -> None:
    files = Authority.create(tmp_path / "ca").issue("client", "me", tmp_path)
    mixed = CertificateFiles(certificate=files.certificate, key=files.key, authority=grid.client.authority)
    told("certificate_of_another_authority", hidden(of_error(refused(grid.source, mixed)), tmp_path, grid.directory))
    told("host_of_another_authority", hidden(of_error(refused(grid.source, files)), tmp_path, port=grid.port))


def test_a_certificate_of_another_role(told: Told, grid: LocalGrid) -> None:
    error = refused(grid.source, grid.certificate("runtime", "confused"))
    told("certificate_of_another_role", hidden(of_error(error), grid.directory, port=grid.port))


def test_a_certificate_that_has_expired(told: Told, grid: LocalGrid, tmp_path: Path) -> None:
    files = grid.authority.issue(
        "client",
        "old",
        tmp_path,
        lifetime=timedelta(days=1),
        not_before=datetime(2026, 1, 1, tzinfo=UTC),
    )
    told("certificate_expired", hidden(of_error(refused(grid.source, files)), tmp_path, port=grid.port))


def test_a_tool_that_ends_its_process(told: Told, grid: LocalGrid) -> None:
    with grid.session() as session:
        told("tool_kills_its_process", of_result(session.call("die")))
    grid.start_runtime(1)


def test_a_session_on_a_grid_with_an_unknown_tool(told: Told, grid: LocalGrid) -> None:
    with pytest.raises(altar.AltarError) as raised, grid.session(("lenght",)):
        pass
    told("grid_session_with_an_unknown_tool", of_error(raised.value))


def test_a_malformed_frame(told: Told, grid: LocalGrid) -> None:
    from altar._proto.altar.grid.v1 import host_pb2

    with raw.client(grid) as peer:
        raw.open_session(peer)
        peer.send(b"\xff\xff")
        closing = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.HasField("closing")).closing
    told("malformed_frame", f"code: {closing.type}\nmessage: {closing.message}\nhint: {closing.hint}\n")


# --------------------------------------------------------------------------------------------------- starting a host


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all that a host needs."""
    at = tmp_path_factory.mktemp("host")
    authority = Authority.create(at / "ca")
    authority.issue("host", "host-1", at)
    authority.issue("runtime", "py-1", at)
    FileSigner.create(at / "ledger.pem", name="altar.local/host-1")
    (at / "shop.py").write_text(
        'import altar\n\n@altar.tool\ndef price(item: str) -> int:\n    """Price of an item."""\n    return 3\n'
    )
    (at / "altar.toml").write_text(
        '[host]\nlisten = "127.0.0.1:0"\nsigning_key = "ledger.pem"\n'
        'manifest = "manifest.signed.json"\nmanifest_keys = ["manifest.vkey"]\n'
        '[host.tls]\ncertificate = "host-host-1.pem"\nkey = "host-host-1.key"\nauthority = "authority.pem"\n'
        '[runtime.tls]\ncertificate = "runtime-py-1.pem"\nkey = "runtime-py-1.key"\nauthority = "authority.pem"\n'
    )
    assert run("manifest", "build", "shop", "-o", "manifest.json", at=at).code == 0
    assert run("manifest", "keygen", "manifest.pem", at=at).code == 0
    assert run("manifest", "sign", "manifest.json", "--key", "manifest.pem", at=at).code == 0
    return at


def test_a_port_that_is_taken(told: Told, prepared: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("host", "--listen", f"127.0.0.1:{port}", "--data", "taken", "--tied", at=prepared)
    told("port_taken", of_command(done, hide={port: "PORT", str(prepared): "DIR"}))


def test_a_manifest_that_is_not_there(told: Told, prepared: Path) -> None:
    done = run("host", "--manifest", "elsewhere.json", "--tied", at=prepared)
    told("missing_manifest", of_command(done, hide={str(prepared): "DIR"}))


@pytest.mark.parametrize(
    ("case", "text"),
    [("manifest_not_json", "{"), ("manifest_unsigned", '{"manifest_version": "1.0.0", "contracts": [{}]}')],
)
def test_a_manifest_that_is_none(told: Told, prepared: Path, case: str, text: str) -> None:
    (prepared / "bad.json").write_text(text)
    done = run("host", "--manifest", "bad.json", "--tied", at=prepared)
    told(case, of_command(done, hide={str(prepared): "DIR"}))


def test_a_manifest_that_a_stranger_signed(told: Told, prepared: Path) -> None:
    FileSigner.create(prepared / "stranger.pem", name="altar.local/manifest")
    sign = ("manifest", "sign", "manifest.json", "--key", "stranger.pem", "-o", "foreign.json")
    assert run(*sign, at=prepared).code == 0
    done = run("host", "--manifest", "foreign.json", "--tied", at=prepared)
    key = json.loads((prepared / "foreign.json").read_text())["signatures"][0]["keyid"]
    told("manifest_of_a_stranger", of_command(done, hide={str(prepared): "DIR", key: "KEY"}))


def test_a_manifest_without_a_manifest(told: Told, prepared: Path) -> None:
    signer = FileSigner.open(prepared / "manifest.pem", name="altar.local/manifest")
    now = datetime.now(UTC).replace(microsecond=0)
    statement = Statement(1, now, now + timedelta(days=1), "", {"manifest_version": "1.0.0", "contracts": [{}]})
    write_signed(prepared / "other.json", statement.seal(signer))
    done = run("host", "--manifest", "other.json", "--tied", at=prepared)
    told("manifest_of_another_shape", of_command(done, hide={str(prepared): "DIR"}))


def test_a_host_in_development_that_nobody_said_is_no_production(told: Told, prepared: Path) -> None:
    told("development_in_production", of_command(run("host", "--development", "--tied", at=prepared), hide={}))


def test_a_ledger_that_is_damaged(told: Told, prepared: Path) -> None:
    data = prepared / "damaged"
    data.mkdir()
    (data / "ledger.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    done = run("host", "--data", "damaged", "--tied", at=prepared)
    told("corrupt_database", of_command(done, hide={str(prepared): "DIR"}))


def test_a_host_without_a_certificate(told: Told, prepared: Path) -> None:
    without = prepared / "empty.toml"
    without.write_text("")
    done = run("host", "--tied", at=prepared, environ={"ALTAR_CONFIG": str(without)})
    told("host_without_certificate", of_command(done, hide={str(prepared): "DIR"}))


def test_a_runtime_with_the_certificate_of_another(told: Told, prepared: Path) -> None:
    environ = {"ALTAR_RUNTIME_TLS_CERTIFICATE": "host-host-1.pem", "ALTAR_RUNTIME_TLS_KEY": "host-host-1.key"}
    done = run("runtime", "--tools", "shop", "--tied", at=prepared, environ=environ)
    told("runtime_with_a_hosts_certificate", of_command(done, hide={str(prepared): "DIR"}))


# ----------------------------------------------------------------------------------------------- modules and settings

MODULES = {
    "untyped_function": '@altar.tool\ndef price(item):\n    """Price of an item."""\n    return 3\n',
    "function_without_docstring": "@altar.tool\ndef price(item: str) -> int:\n    return 3\n",
    "duplicate_tool": (
        '@altar.tool\ndef price(item: str) -> int:\n    """Price."""\n    return 3\n\n'
        '@altar.tool(name="price")\ndef cost(item: str) -> int:\n    """Cost."""\n    return 4\n'
    ),
}


@pytest.mark.parametrize("case", MODULES)
def test_a_module_that_declares_wrongly(told: Told, case: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import altar\n\n" + MODULES[case])
    told(case, of_command(run("tools", "shop", at=tmp_path), hide={str(tmp_path): "DIR"}))


COMMANDS = {
    "command_call_unknown_tool": ("call", "prize", "--tools", "shop", "item=a"),
    "command_call_missing_argument": ("call", "price", "--tools", "shop"),
    "command_call_unknown_source": ("call", "price", "--tools", "shop", "--source", "mesh"),
    "command_call_without_certificate": ("call", "price", "--tools", "shop", "--source", "grid://127.0.0.1:9"),
    "command_unknown_module": ("tools", "shopp"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_that_is_used_wrongly(told: Told, case: str, prepared: Path) -> None:
    (prepared / "empty.toml").write_text("")
    done = run(*COMMANDS[case], at=prepared, environ={"ALTAR_CONFIG": "empty.toml"})
    told(case, of_command(done, hide={str(prepared): "DIR"}))


SETTINGS = {
    "setting_unknown": ('sorce = "later:"\n', ()),
    "setting_variable_not_set": ('[runtime]\nruntime_id = "py-${NODE_ID}"\n', ()),
    "setting_wrong_value": ("[host]\nqueue = 0\n", ()),
    "setting_not_toml": ("source = \n", ()),
    "setting_unknown_profile": ("[profile.prod]\ntimeout = 5\n", ("--profile", "production")),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_cannot_be_used(told: Told, case: str, tmp_path: Path) -> None:
    text, flags = SETTINGS[case]
    (tmp_path / "altar.toml").write_text(text)
    told(case, of_command(run("config", "show", *flags, at=tmp_path), hide={str(tmp_path): "DIR"}))
