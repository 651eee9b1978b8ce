"""`altar audit seal`, `altar audit forget`: a part of a log as a file of its own, and who is to be forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output
from altar.cli.administration import ask_host
from altar.cli.audit_files import FILE, data_option, ledger_in, settings_of, time_ms_of
from altar.cli.audit_rotate import writer_of
from altar.cli.log_place import writable
from altar.cli.processes import wall_ms

__all__ = ["forget", "seal", "verify_archive"]


@click.command(short_help="Write a part of a log to a file that verifies alone.")
@click.option("-o", "--output", "target", type=FILE, required=True, help="File to write.")
@click.option("--tenant", default="", help="The log of this tenant; else the host's own.")
@click.option("--before", required=True, metavar="TIME", help="Up to the first entry of this time, such as 2026-01-01.")
@click.option("--after", type=FILE, help="The archive that this one follows; else it begins with the first entry.")
@click.option("--vkey-file", type=FILE, help="File of the verifier key; else the one beside `host.signing_key`.")
@data_option
@output.json_option
def seal(
    *,
    target: Path,
    tenant: str,
    before: str,
    after: Path | None,
    vkey_file: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Write the entries of a log that are older than TIME to a file, with the proof that they were signed.

    The file verifies alone, and together with the archive before it and the log that goes on: `altar audit verify`.
    Nothing is taken out of the host's own log.
    """
    from altar.aesp.audit.archive import check_archive, position_before, write_archive
    from altar.aesp.audit.opening import open_stored
    from altar.aesp.audit.past import past_of
    from altar.ledger.reader import unknown_log
    from altar.ledger.signer import log_vkey

    key = log_vkey(_host_key(vkey_file), tenant)
    start = check_archive(after, vkey=key).stop if after is not None else 0
    reader = open_stored(ledger_in(data))
    temporary = target.with_name(f".{target.name}.new")
    try:
        log = next((each for each in reader.logs() if each.tenant == tenant), None)
        if log is None:
            raise unknown_log(tenant)
        stop = position_before(reader, log, time_ms_of(before, option="--before") or 0)
        with temporary.open("wb") as out:
            said = past_of(reader, tenant).rotations
            made = write_archive(reader, log, out, start=start, stop=stop, vkey=key, rotations=said)
            out.flush()
            os.fsync(out.fileno())
        check_archive(temporary, vkey=key)
        temporary.replace(target)
    except OSError as error:
        raise ConfigurationError("ENVIRONMENT_ERROR", f"Cannot write {str(target)!r}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
        reader.close()
    told = {"file": str(target), "origin": made.origin, "start": made.start, "stop": made.stop}
    output.data(told, as_json=as_json, text=f"wrote {target} (entries {made.start} to {made.stop - 1})")


@click.command(short_help="Forget for good who a pseudonym of the log stands for.")
@click.argument("principal")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--source", help="The host, while it is running: `grid://host:port`; the setting `source` unless given.")
@data_option
@output.json_option
def forget(*, principal: str, yes: bool, source: str | None, data: Path | None, as_json: bool) -> None:
    """Destroy the pseudonym and the key of PRINCIPAL, given as `<tenant>/<name>`; its entries stay and verify.

    Nobody can tell any more whose they are, nor confirm what was in them. There is no way back.
    A host that is running is asked to do it, which needs the permission `audit:forget`; it is done at once.
    Refused while the log of the tenant is held.
    """
    from altar.aesp.audit.forgetting import forget_offline

    if not yes:
        click.confirm(f"Forget {principal} for good?", abort=True, err=True)
    settings = settings_of()
    place = ledger_in(data)
    if isinstance(place, Path) and writer_of(place) is not None:
        tenant, _, name = principal.partition("/")
        request = {"tenant_id": tenant, "principal_id": name}
        ask_host("EnterpriseAuditService/ForgetPrincipal", request, source=source)
        found = True
    else:
        found = forget_offline(
            writable(place, signing_key=settings.host.signing_key),
            principal,
            signing_key=settings.host.signing_key,
            host=settings.host.name,
            wall_ms=wall_ms,
        )
    output.data({"principal": principal, "forgotten": found}, as_json=as_json, text=f"{principal} is forgotten")


def verify_archive(path: Path, *, vkey: str) -> dict[str, object]:
    """Prove an archive, and say what was proved."""
    from altar.aesp.audit.archive import check_archive

    segment = check_archive(path, vkey=vkey)
    return {
        "ok": True,
        "kind": "archive",
        "origin": segment.origin,
        "start": segment.start,
        "stop": segment.stop,
        "signed": segment.signed.size,
    }


def _host_key(file: Path | None) -> str:
    path = file or settings_of().host.signing_key.with_suffix(".vkey")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", f"The verifier key {str(path)!r} cannot be read", hint="give it with --vkey-file"
        ) from error
