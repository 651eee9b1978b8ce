"""Which log a command of `altar audit` is about, and what of the settings belongs to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.cli.log_place import log_of

if TYPE_CHECKING:
    from altar.aesp.audit.sinks.sink import SinkOptions
    from altar.ledger.places import Place
    from altar.settings import AuditSink, Settings

__all__ = [
    "DATA",
    "FILE",
    "data_option",
    "inside",
    "ledger_in",
    "require_log",
    "settings_of",
    "sink_options",
    "time_ms_of",
]

DATA = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
MAX_SECRET = 4096
_HEAD = b'{"altar_audit_export":'
_LINES = (b'{"entry"', b'{"checkpoint"', b'{"end"')
_LONGEST_LINE = 64 * 1024

data_option = click.option("--data", type=DATA, help="Directory of the ledger; else the setting `host.data`.")


def ledger_in(data: Path | None) -> Place:
    """The ledger of a directory; without one, or where it is in a database, that of the settings."""
    if data is not None and (file := inside(data)).is_file():
        return file
    place = log_of(settings_of(), data=data)
    return inside(data) if data is not None and isinstance(place, Path) else place


def inside(path: Path) -> Path:
    """The ledger in a directory, or the file itself."""
    return path / "ledger.db" if path.is_dir() else path


def require_log(path: Path) -> None:
    """Return when a file may be a log, be it a damaged one; so that text of another kind is not called damaged.

    Raises ConfigurationError INVALID_CONFIG for text that begins as no export does and has no line of one, such as the
    copy that a sink wrote; OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        first = file.readline(_LONGEST_LINE)
        alike = sum(a == b for a, b in zip(first, _HEAD, strict=False))
        if not _is_text(first) or alike > len(_HEAD) // 2:
            return
        while line := file.readline(_LONGEST_LINE):
            if line.startswith(_LINES):
                return
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"{str(path)!r} is no export, no archive and no ledger",
        hint="a copy that a sink wrote proves nothing; write what does with `altar audit export`",
    )


def settings_of(profile: str | None = None) -> Settings:
    """The settings of this place."""
    from altar.settings import Settings

    return Settings.load(profile=profile)


def sink_options(settings: Settings) -> list[SinkOptions]:
    """The sinks of the settings, with their secrets read from their files.

    Relative paths count from the directory of `altar.toml`.
    Raises ConfigurationError ENVIRONMENT_ERROR for a file of a secret that cannot be read.
    """
    beside = settings.file.parent if settings.file is not None else Path.cwd()
    return [_options(sink, beside) for sink in settings.audit.sinks]


def time_ms_of(text: str | None, *, option: str) -> int | None:
    """Milliseconds since 1970 for a time as a person writes it, `2026-11-23` or `2026-11-23T08:00:00+01:00`.

    A time without a zone is UTC. Raises ValidationError MALFORMED_REQUEST.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{option} {text!r} is no time",
            ran="no",
            hint="write 2026-11-23 or 2026-11-23T08:00:00+01:00; without a zone it is UTC",
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _is_text(line: bytes) -> bool:
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return False
    return bool(text) and text.isprintable()


def _options(sink: AuditSink, beside: Path) -> SinkOptions:
    from altar.aesp.audit.sinks.sink import SinkOptions

    given: dict[str, Any] = sink.model_dump(exclude={"token_file", "secret_file", "authority", "certificate", "key"})
    if sink.kind == "file":
        given["address"] = str(beside / sink.address)
    given |= {name: str(beside / path) for name in ("authority", "certificate", "key") if (path := getattr(sink, name))}
    return SinkOptions(**given, token=_secret(sink.token_file, beside), secret=_secret(sink.secret_file, beside))


def _secret(path: Path | None, beside: Path) -> str:
    if path is None:
        return ""
    try:
        with (beside / path).open(encoding="utf-8") as file:
            return file.read(MAX_SECRET).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The secret of a sink in {str(path)!r} cannot be read",
            hint="name a file that holds nothing else, readable by this user only",
            detail=str(error),
        ) from error
