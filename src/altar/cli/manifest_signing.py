"""`altar manifest keygen`, `sign`, `verify` and `rollback`: whose word a manifest is, and until when it holds.

The private key stays with whoever signs; a host is given the verifier key only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output

if TYPE_CHECKING:
    from altar.grid.manifests.envelope import Envelope
    from altar.grid.manifests.manifest_statement import Statement
    from altar.ledger.signer import FileSigner

__all__ = ["KEY_NAME", "keygen", "lifetime_option", "open_key", "rollback", "sign", "sign_document", "verify"]

KEY_NAME = "altar.local/manifest"
"""The name of a key, unless it is given another."""

_LIFETIME = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_PATH = click.Path(path_type=Path, dir_okay=False)


def _lifetime(_ctx: click.Context, _option: click.Parameter, value: str) -> timedelta:
    match = _LIFETIME.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no time such as 90d, 12h or 30m")
    return int(match[1]) * _UNITS[match[2]]


lifetime_option = click.option(
    "--expires",
    metavar="TIME",
    callback=_lifetime,
    default="90d",
    show_default=True,
    help="How long it holds: 90d, 12h, 30m.",
)
"""The option that says how long a signed manifest holds."""


@click.command(short_help="Make a key that signs manifests.")
@click.argument("file", type=_PATH)
@click.option("--name", default=KEY_NAME, show_default=True, help="Name of the key.")
@output.json_option
def keygen(*, file: Path, name: str, as_json: bool) -> None:
    """Make a key in FILE, which nobody but its owner may read, and its verifier key beside it, as FILE.vkey.

    A host is given the verifier key: `host.manifest_keys` in its settings.
    """
    from altar.ledger.signer import FileSigner

    signer = FileSigner.create(file, name=name)
    verifier = file.with_suffix(".vkey")
    _write(verifier, (signer.vkey + "\n").encode())
    output.data({"key": str(file), "verifier": str(verifier), "vkey": signer.vkey}, as_json=as_json, text=signer.vkey)


@click.command(short_help="Sign a manifest.")
@click.argument("file", type=_PATH)
@click.option("--key", type=_PATH, required=True, help="The private key.")
@lifetime_option
@click.option("--version", type=click.IntRange(min=1), help="Its version; without it the next one after OUTPUT's.")
@click.option("-o", "--output", "target", type=_PATH, help="File to write; without it, FILE with the end .signed.json.")
@output.json_option
def sign(*, file: Path, key: Path, expires: timedelta, version: int | None, target: Path | None, as_json: bool) -> None:
    """Sign the manifest FILE, so that a host takes it.

    Versions rise: without `--version` it is one above that of the signed manifest which is in the place of the output.
    A host that runs takes up the new file within a second.
    """
    from altar.adm.canonical import parse
    from altar.adm.declaration import MAX_DOCUMENT_DEPTH
    from altar.grid.manifests.envelope import MAX_ENVELOPE_BYTES
    from altar.grid.manifests.manifest import Manifest

    Manifest.load(file)  # what is signed is sound
    document: Any = parse(file.read_bytes(), max_bytes=MAX_ENVELOPE_BYTES, max_depth=MAX_DOCUMENT_DEPTH)
    written = target or file.with_suffix(".signed.json")
    made = sign_document(document, written, key=key, lifetime=expires, version=version)
    _tell(made, written, as_json=as_json)


@click.command(short_help="Check who signed a manifest, and until when it holds.")
@click.argument("file", type=_PATH)
@click.option("--keys", type=_PATH, multiple=True, required=True, help="File of verifier keys; may be repeated.")
@output.json_option
def verify(*, file: Path, keys: tuple[Path, ...], as_json: bool) -> int:
    """Check that a trusted key signed FILE, that it holds now, and that a host can use it.

    Which versions a host has seen before is known to the host alone.
    Exit code 1 when it has expired, 2 when it is not genuine.
    """
    from altar.grid.manifests.envelope import read_keys
    from altar.grid.manifests.manifest_store import open_signed

    envelope, statement, signer = open_signed(file, read_keys(keys))
    contracts = statement.contracts(str(file))
    expired = datetime.now(UTC) >= statement.expires
    facts = {
        "ok": not expired,
        "file": str(file),
        "signed_by": signer.partition("+")[0],
        **_facts(statement, envelope),
        "functions": len(list(contracts)),
    }
    output.data(facts, as_json=as_json, text=output.columns([(name, _shown(value)) for name, value in facts.items()]))
    if expired:
        output.warn(f"it expired at {statement.expires:%Y-%m-%d %H:%M} UTC; sign it again with a higher version")
    return output.FAILED if expired else output.DONE


@click.command(short_help="Sign the way back to an older manifest.")
@click.argument("older", type=_PATH)
@click.option("--from", "current", type=_PATH, required=True, help="The signed manifest that is active now.")
@click.option("--key", type=_PATH, required=True, help="The private key.")
@lifetime_option
@click.option("-o", "--output", "target", type=_PATH, required=True, help="File to write.")
@output.json_option
def rollback(*, older: Path, current: Path, key: Path, expires: timedelta, target: Path, as_json: bool) -> None:
    """Sign the older signed manifest OLDER again, as the one that follows the active one.

    A host refuses a lower version by itself.
    It takes this one because it says that it is a way back, and from exactly which manifest.
    So it cannot be used twice.
    """
    from altar.grid.manifests.manifest_statement import rollback_statement

    signer = open_key(key)
    from_file, to_file = _genuine(older, signer), _genuine(current, signer)
    made = rollback_statement(from_file, replaces=to_file, now=datetime.now(UTC), lifetime=expires)
    _seal(made, target, signer)
    _tell(made, target, as_json=as_json)


def sign_document(
    document: dict[str, Any],
    target: Path,
    *,
    key: Path,
    lifetime: timedelta,
    version: int | None,
    replaces: Path | None = None,
) -> Statement:
    """Sign a manifest into a file, in the place of the signed one in ``replaces`` or there; its version must rise."""
    from altar.grid.manifests.manifest_statement import next_statement

    signer = open_key(key)
    place = replaces or target
    older = _genuine(place, signer) if place.exists() else None
    made = next_statement(document, replaces=older, now=datetime.now(UTC), lifetime=lifetime, version=version)
    _seal(made, target, signer)
    return made


def open_key(key: Path) -> FileSigner:
    """The signer in a file; its name is that of the verifier key beside it, or the usual one."""
    from altar.ledger.signer import FileSigner

    verifier = key.with_suffix(".vkey")
    try:
        name = verifier.read_text(encoding="utf-8").partition("+")[0] if verifier.exists() else KEY_NAME
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("CERTIFICATE_ERROR", f"Cannot read {str(verifier)!r}: {error}") from error
    return FileSigner.open(key, name=name)


def _genuine(file: Path, signer: FileSigner) -> Envelope:
    """A signed manifest that this very key signed: nobody goes on from what a stranger put there."""
    from altar.grid.manifests.manifest_store import open_signed

    envelope, _, _ = open_signed(file, (signer.vkey,))
    return envelope


def _seal(made: Statement, target: Path, signer: FileSigner) -> None:
    from altar.grid.manifests.manifest_statement import write_signed

    try:
        write_signed(target, made.seal(signer))
    except OSError as error:
        raise ConfigurationError("ENVIRONMENT_ERROR", f"Cannot write {str(target)!r}: {error.strerror}") from error


def _tell(made: Statement, target: Path, *, as_json: bool) -> None:
    if as_json:
        output.data({"file": str(target), **_facts(made, None)}, as_json=True)
        return
    back = " (a rollback)" if made.rollback_to is not None else ""
    output.say(f"signed {target}: version {made.version}{back}, until {made.expires:%Y-%m-%d %H:%M} UTC")


def _facts(statement: Statement, envelope: Envelope | None) -> dict[str, Any]:
    from altar.adm.canonical import digest

    return {
        "version": statement.version,
        "created": statement.created.isoformat(),
        "expires": statement.expires.isoformat(),
        "previous": statement.previous,
        "rollback_to": statement.rollback_to,
        "digest": digest(envelope.payload if envelope is not None else statement.payload()),
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else str(value)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError("ENVIRONMENT_ERROR", f"Cannot write {str(path)!r}: {error.strerror}") from error
