"""`altar doctor`: looks at this machine and says what would stop ALTAR from working here.

Each check answers with one line, `ok`, `warn` or `fail`, and with what to do about it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import click

from altar.adm.errors import AltarError
from altar.cli import output
from altar.cli.finding import Finding

if TYPE_CHECKING:
    from altar.grid.trust.tls import CertificateFiles, Role
    from altar.settings import Settings, TlsFiles

__all__ = ["Finding", "doctor", "examine"]

BASE = ("pydantic", "jsonschema-rs", "orjson", "griffelib", "click", "rich")
GRID = (("grpc", "grpcio"), ("google", "protobuf"), ("cryptography", "cryptography"), ("uvloop", "uvloop"))
ADD_GRID = "`pip install 'altar-ai[grid]'` adds it"
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock before this date is wrong: ALTAR did not exist."""


@click.command()
@click.option("--profile", help="Profile of altar.toml; without it, ALTAR_PROFILE.")
@output.json_option
def doctor(*, profile: str | None, as_json: bool) -> int:
    """Check that this machine is ready: versions, settings, certificates, host, ledger, clock.

    For a governed host also its store, log, keys of tokens, identity providers and web port.
    Exit code 1 when a check fails.
    """
    findings = list(examine(profile))
    lines = [output.columns([(one.state, one.check, _sentence(one)) for one in findings])]
    members = [{"check": one.check, "state": one.state, "message": one.message, "hint": one.hint} for one in findings]
    ok = all(one.state != "fail" for one in findings)
    output.data({"ok": ok, "findings": members}, as_json=as_json, text="\n".join(lines))
    return output.DONE if ok else output.FAILED


def examine(
    profile: str | None = None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[Finding]:
    """Run the checks in order and yield what each found; `now` is the clock under examination."""
    from altar.settings import Settings

    yield _python()
    yield from _packages()
    yield from _clock(now())
    try:
        settings = Settings.load(profile=profile)
    except AltarError as error:
        yield Finding("settings", "fail", str(error), error.hint)
        return
    yield _found(settings)
    yield from _misspelt()
    yield from _certificates(settings, now())
    yield _ledger(settings.host.data)
    yield _reachable(settings)
    from altar.cli.doctor_aesp import examine_governance

    yield from examine_governance(settings, now())


def _sentence(finding: Finding) -> str:
    return f"{finding.message}; {finding.hint}" if finding.hint else finding.message


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok", f"Python {version}, ALTAR {metadata.version('altar-ai')}")


def _packages() -> Iterator[Finding]:
    missing = [name for name in BASE if _version(name) is None]
    if missing:
        yield Finding("packages", "fail", f"missing: {', '.join(missing)}", "run `pip install altar-ai` again")
    else:
        yield Finding("packages", "ok", ", ".join(f"{name} {_version(name)}" for name in BASE))
    absent = _absent()
    if absent:
        yield Finding("extra grid", "warn", f"missing: {', '.join(absent)}", f"{ADD_GRID}; `later:` needs none")
    else:
        yield Finding("extra grid", "ok", ", ".join(f"{name} {_version(name)}" for _, name in GRID))


def _absent() -> list[str]:
    return [name for module, name in GRID if util.find_spec(module) is None]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _clock(now: datetime) -> Iterator[Finding]:
    hint = "set the clock, and let NTP keep it: certificates, tokens and the log depend on it"
    if now < EARLIEST:
        yield Finding("clock", "fail", f"it says {now:%Y-%m-%d %H:%M} UTC, which is before ALTAR was made", hint)
        return
    newest = max((part.stat().st_mtime for part in Path(__file__).parent.glob("*.py")), default=0.0)
    if now.timestamp() < newest - 86400:
        yield Finding("clock", "warn", "it is behind the files of this installation", hint)
    elif not time.get_clock_info("monotonic").monotonic:
        yield Finding("clock", "fail", "this system has no monotonic clock", "deadlines cannot be kept here")
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _found(settings: Settings) -> Finding:
    profile = f", profile {settings.profile}" if settings.profile else ""
    if settings.file is None:
        return Finding("settings", "ok", f"no altar.toml, so environment and defaults{profile}")
    return Finding("settings", "ok", f"{settings.file}{profile}")


def _misspelt() -> Iterator[Finding]:
    import difflib

    from altar.settings import Settings, variable_of

    known = [variable_of(row.key) for row in Settings().explain()] + ["ALTAR_CONFIG", "ALTAR_PROFILE"]
    for name in sorted(os.environ):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if name.startswith("ALTAR_") and name not in known and near:
            yield Finding("settings", "warn", f"{name} is not a setting", f"did you mean {near[0]}?")


def _certificates(settings: Settings, now: datetime) -> Iterator[Finding]:
    parties: tuple[tuple[Role, TlsFiles], ...] = (
        ("client", settings.tls),
        ("host", settings.host.tls),
        ("runtime", settings.runtime.tls),
    )
    for role, tls in parties:
        check = f"certificate of the {role}"
        given = [path for path in (tls.certificate, tls.key, tls.authority) if path is not None]
        if not given:
            continue
        files = _files(tls)
        if files is None:
            hint = "set certificate, key and authority together"
            yield Finding(check, "fail", "only a part of its three files is set", hint)
            continue
        if _absent():
            yield Finding(check, "fail", "it cannot be used without the extra grid", ADD_GRID)
        else:
            yield _certificate(check, files, role, now)
    if settings.source.startswith("grid:") and _files(settings.tls) is None:
        hint = "set tls.certificate, tls.key and tls.authority; `altar up` makes them"
        yield Finding("certificate of the client", "fail", f"none is set, and {settings.source} asks for one", hint)


def _files(tls: TlsFiles) -> CertificateFiles | None:
    if tls.certificate is None or tls.key is None or tls.authority is None:
        return None
    from altar.grid.trust.certificates import CertificateFiles

    return CertificateFiles(tls.certificate, tls.key, tls.authority)


def _certificate(check: str, files: CertificateFiles, role: Role, now: datetime) -> Finding:
    from altar.grid.trust.certificates import check_files

    try:
        warning = check_files(files, role=role, now=now)
    except AltarError as error:
        return Finding(check, "fail", str(error), error.hint)
    return Finding(check, "warn", warning) if warning else Finding(check, "ok", str(files.certificate))


def _ledger(directory: Path) -> Finding:
    at = directory
    while not at.exists() and at != at.parent:
        at = at.parent
    try:
        with tempfile.TemporaryFile(dir=at) as probe:
            probe.write(b"altar")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        hint = "give the user of the host the right to write there, or set host.data"
        return Finding("ledger", "fail", f"{str(directory)!r} cannot be written: {error.strerror}", hint)
    return Finding("ledger", "ok", f"{directory} {'can be written' if at == directory else 'can be made'}")


def _reachable(settings: Settings) -> Finding:
    scheme, _, target = settings.source.partition("://")
    if not target:
        return Finding("host", "ok", f"none is needed, as the source is {settings.source}")
    files = _files(settings.tls)
    if scheme != "grid" or files is None or _absent():
        return Finding(
            "host",
            "warn",
            f"{target} was not tried",
            "that takes a grid source, certificates and the extra grid",
        )
    return _try_host(target, files)


def _try_host(target: str, files: CertificateFiles) -> Finding:
    """Shake hands with a host as a client does, in TLS 1.3 and with the client's certificate."""
    import socket
    import ssl

    from altar.grid.trust.handshake import explain_handshake_failure

    host, _, port = target.rpartition(":")
    try:
        context = ssl.create_default_context(cafile=str(files.authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(files.certificate, files.key)
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=3) as connection,
            context.wrap_socket(connection, server_hostname=host.strip("[]")) as shaken,
        ):
            version = shaken.version()
    except OSError as error:
        reason = explain_handshake_failure(target, files, str(error))
        return Finding("host", "fail", str(reason), reason.hint)
    return Finding("host", "ok", f"{target} answers in {version}")
