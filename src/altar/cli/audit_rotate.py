"""`altar audit rotate-key`: give the logs of a host a new signing key, whether it is running or not."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from altar import __version__
from altar.adm.errors import AltarError, ConfigurationError
from altar.cli import output
from altar.cli.audit_files import data_option, ledger_in, settings_of
from altar.cli.processes import wall_ms

if TYPE_CHECKING:
    from altar.ledger.signer import FileSigner

__all__ = ["rotate_key", "writer_of"]

_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.1


@click.command("rotate-key", short_help="Give the logs a new signing key, which the old one names.")
@data_option
@output.json_option
def rotate_key(*, data: Path | None, as_json: bool) -> int:
    """Make a new key, have the old one name it in every log, and put it in the old one's place.

    The old private key is gone then; whoever has its public half verifies the log as before.
    A host that is running is told to change it, and loses nothing; on another machine, send it SIGHUP.
    Give the new verifier key, which is printed, to auditors and witnesses.
    """
    from altar.ledger.rotation import make_next, next_key, signer_in_use

    settings = settings_of()
    path, origin = settings.host.signing_key, f"altar.local/{settings.host.name}"
    place = ledger_in(data)
    before = signer_in_use(path, name=origin, log=place)
    following = make_next(path, name=origin)
    process = writer_of(place) if isinstance(place, Path) else None
    if process is None:
        _rotate_here(place, before, following, path=path, host=settings.host.name)
    else:
        _tell(process, next_key(path))
    told = {"before": before.vkey, "vkey": following.vkey}
    output.data(told, as_json=as_json, text=following.vkey)
    if not as_json:
        output.say(f"the old key was {before.vkey}")
    return output.DONE


def writer_of(log: Path) -> int | None:
    """The process that has a log open; None when none has."""
    import fcntl

    try:
        handle = os.open(f"{os.path.realpath(log)}.lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        said = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
        return int(said) if said.isdigit() else None
    else:
        return None
    finally:
        os.close(handle)


def _tell(process: int, waiting: Path) -> None:
    """Tell a host that a key waits, and return when it has taken it."""
    try:
        os.kill(process, signal.SIGHUP)
    except OSError as error:
        raise _not_taken(process, str(error.strerror)) from error
    until = time.monotonic() + _PATIENCE_SECONDS
    while waiting.exists():
        if time.monotonic() > until:
            raise _not_taken(process, "it has not taken the key yet")
        time.sleep(_LOOK_SECONDS)


def _rotate_here(place: object, before: FileSigner, following: FileSigner, *, path: Path, host: str) -> None:
    """Open the log that no host has open, change its key, and close it again."""
    from altar.ledger.ledger import Ledger
    from altar.ledger.rotation import adopt_next

    done = threading.Event()
    answers: list[AltarError | None] = []

    def then(_seq: int, error: AltarError | None) -> None:
        answers.append(error)
        done.set()

    ledger = Ledger.open(
        place,  # type: ignore[arg-type]  # a Place, which is only named where it is needed
        signer=before,
        origin=before.name,
        host=host,
        software=f"altar {__version__}",
        wall_ms=wall_ms,
        on_failure=lambda _error: None,
        per_tenant=True,
    )
    try:
        ledger.rotate(following, then)
        done.wait()
        if answers[0] is not None:
            raise answers[0]
        adopt_next(path)
    finally:
        ledger.close()
    path.with_suffix(".vkey").write_text(following.vkey + "\n", encoding="utf-8")


def _not_taken(process: int, why: str) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The host in process {process} was not given the new key: {why}",
        ran="no",
        hint="the key waits beside the old one; the host takes it at SIGHUP, or run this again while it is stopped",
    )
