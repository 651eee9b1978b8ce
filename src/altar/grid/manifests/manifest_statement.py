"""What is signed of a manifest: its contracts, and which version of them this is, until when, and in whose place.

A statement is canonical JSON inside a DSSE envelope of type ``application/vnd.altar.manifest+json``::

    {"created": "2026-01-01T00:00:00Z", "expires": "2026-04-01T00:00:00Z", "manifest": {…}, "previous": "sha256:…",
     "version": 7}

``version`` counts from 1 and rises with each statement.
``previous`` is the digest of the payload that it replaces, or empty.
A rollback is a statement with a lower version, which says that in ``rollback_to`` as well.
It names in ``previous`` exactly the payload that it replaces, so it can be used once, and only where it is meant.
Times are RFC 3339 in UTC, whole seconds.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from altar.adm.canonical import canonical, digest, parse
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, ToolManifest
from altar.adm.errors import AltarError, ConfigurationError
from altar.grid.manifests.envelope import MAX_ENVELOPE_BYTES, Envelope
from altar.grid.manifests.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from altar.ledger.signer import Signer

__all__ = [
    "MAX_VERSION",
    "PAYLOAD_TYPE",
    "Statement",
    "is_current",
    "next_statement",
    "rollback_statement",
    "sign_file",
    "statement_in",
    "write_signed",
    "write_whole",
]

PAYLOAD_TYPE: Final = "application/vnd.altar.manifest+json"
MAX_VERSION: Final = 2**53 - 1
"""The highest version of a statement: what every reader of JSON holds exactly."""

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_MEMBERS: Final = frozenset({"version", "created", "expires", "previous", "rollback_to", "manifest"})
_DIGEST_LENGTH: Final = len("sha256:") + 64


@dataclass(frozen=True, slots=True)
class Statement:
    """One version of a manifest. ``manifest`` is the ADM document, not checked yet; ``manifest_of`` checks it."""

    version: int
    created: datetime
    expires: datetime
    previous: str
    manifest: Mapping[str, Any]
    rollback_to: int | None = None

    @classmethod
    def read(cls, payload: bytes) -> Self:
        """Read a payload. Raises ConfigurationError INVALID_CONFIG for one that is no statement."""
        try:
            document: object = parse(payload, max_bytes=MAX_ENVELOPE_BYTES, max_depth=MAX_DOCUMENT_DEPTH)
        except AltarError as error:
            raise _malformed(error.message) from error
        if not isinstance(document, dict):
            raise _malformed("it is not a JSON object")
        unknown = sorted(document.keys() - _MEMBERS)
        if unknown:
            raise _malformed(f"it has a member {unknown[0]!r}")
        previous, manifest = document.get("previous", ""), document.get("manifest")
        if not isinstance(previous, str) or len(previous) not in {0, _DIGEST_LENGTH}:
            raise _malformed("`previous` is no digest")
        if not isinstance(manifest, dict):
            raise _malformed("it has no `manifest`")
        created, expires = _time(document, "created"), _time(document, "expires")
        if expires <= created:
            raise _malformed("it expires before it was made")
        rollback = _version(document, "rollback_to") if "rollback_to" in document else None
        version = _version(document, "version")
        if rollback is not None and (rollback != version or not previous):
            raise _malformed("a rollback has the version that `rollback_to` names, and a `previous`")
        return cls(version, created, expires, previous, manifest, rollback)

    def payload(self) -> bytes:
        """The statement as canonical JSON."""
        document: dict[str, Any] = {
            "version": self.version,
            "created": self.created.strftime(_TIME),
            "expires": self.expires.strftime(_TIME),
            "previous": self.previous,
            "manifest": self.manifest,
        }
        if self.rollback_to is not None:
            document["rollback_to"] = self.rollback_to
        return canonical(document, max_depth=MAX_DOCUMENT_DEPTH)

    def seal(self, signer: Signer) -> Envelope:
        """Sign the statement."""
        return Envelope.seal(self.payload(), payload_type=PAYLOAD_TYPE, signer=signer)

    def contracts(self, source: str) -> Manifest:
        """The contracts. Raises ConfigurationError INVALID_CONFIG when the document inside is no manifest."""
        return Manifest.of(self.manifest, source=source)


def statement_in(envelope: Envelope) -> Statement:
    """The statement in an envelope, whoever signed it. Raises ConfigurationError INVALID_CONFIG when it holds none."""
    if envelope.payload_type != PAYLOAD_TYPE:
        raise _malformed(f"the envelope holds {envelope.payload_type[:80]!r} and not {PAYLOAD_TYPE!r}")
    return Statement.read(envelope.payload)


def next_statement(
    manifest: Mapping[str, Any],
    *,
    replaces: Envelope | None,
    now: datetime,
    lifetime: timedelta,
    version: int | None = None,
) -> Statement:
    """The statement that follows the one in ``replaces``, or the first one; ``version`` is the next unless given.

    Raises ConfigurationError INVALID_CONFIG for a manifest that is none and for a version that does not rise.
    """
    ToolManifest.from_adm(manifest)
    older = statement_in(replaces).version if replaces is not None else 0
    number = older + 1 if version is None else version
    if not older < number <= MAX_VERSION:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"Version {number} does not follow version {older}",
            hint="versions of a manifest rise; `altar manifest rollback` signs a way back",
        )
    created = now.astimezone(UTC).replace(microsecond=0)
    previous = digest(replaces.payload) if replaces is not None else ""
    return Statement(number, created, created + lifetime, previous, manifest)


def rollback_statement(older: Envelope, *, replaces: Envelope, now: datetime, lifetime: timedelta) -> Statement:
    """The statement that puts an older one in the place of the one in ``replaces``.

    Raises ConfigurationError INVALID_CONFIG unless its version is lower.
    """
    back, current = statement_in(older), statement_in(replaces)
    if back.version >= current.version:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"Version {back.version} is not older than version {current.version}",
            hint="name the older manifest first, and the one that is active with --from",
        )
    created = now.astimezone(UTC).replace(microsecond=0)
    return Statement(
        back.version, created, created + lifetime, digest(replaces.payload), back.manifest, rollback_to=back.version
    )


def sign_file(
    manifest: Path, target: Path, signer: Signer, *, lifetime: timedelta, above: int = 0, now: datetime | None = None
) -> Statement:
    """Sign the manifest in one file into another, in the place of the statement that is there.

    One that is there, says the same and holds for half of ``lifetime`` yet is kept.
    The version is the next one after that, and above ``above``.
    Raises ConfigurationError when the manifest is none or a file cannot be read or written.
    """
    moment = now or datetime.now(UTC)  # noqa: TID251 - the default where the caller gives no time
    try:
        content = manifest.read_bytes()
        older = Envelope.read(target.read_bytes()) if target.exists() else None
        if older is not None and is_current(target, content, key=signer.vkey, until=moment + lifetime / 2):
            return statement_in(older)
        document: Any = parse(content, max_bytes=MAX_ENVELOPE_BYTES, max_depth=MAX_DOCUMENT_DEPTH)
        version = max(above, statement_in(older).version if older is not None else 0) + 1
        made = next_statement(document, replaces=older, now=moment, lifetime=lifetime, version=version)
        write_signed(target, made.seal(signer))
    except OSError as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", f"Cannot sign {str(manifest)!r} into {str(target)!r}: {error.strerror}"
        ) from error
    return made


def is_current(target: Path, manifest: bytes, *, key: str, until: datetime) -> bool:
    """Whether a signed file holds this manifest, was signed with this key, and holds beyond ``until``."""
    try:
        envelope = Envelope.read(target.read_bytes())
        envelope.signer((key,))
        statement = statement_in(envelope)
        document = parse(manifest, max_bytes=MAX_ENVELOPE_BYTES, max_depth=MAX_DOCUMENT_DEPTH)
    except (OSError, AltarError):
        return False
    same = canonical(statement.manifest, max_depth=MAX_DOCUMENT_DEPTH) == canonical(
        document, max_depth=MAX_DOCUMENT_DEPTH
    )
    return same and statement.rollback_to is None and statement.expires > until


def write_signed(target: Path, envelope: Envelope) -> None:
    """Write an envelope in one step, so that a host never reads half of it. Raises OSError."""
    write_whole(target, envelope.to_bytes(), mode=0o644)


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file in one step, durably: after a crash, or an OSError, it holds the old content or the whole new one.

    ``mode`` are its permissions.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _version(document: Mapping[str, Any], member: str) -> int:
    value = document.get(member)
    if type(value) is not int or not 1 <= value <= MAX_VERSION:
        raise _malformed(f"`{member}` is no whole number from 1 on")
    return value


def _time(document: Mapping[str, Any], member: str) -> datetime:
    value = document.get(member)
    try:
        return datetime.strptime(value, _TIME).replace(tzinfo=UTC)  # type: ignore[arg-type]  # anything else raises
    except (TypeError, ValueError):
        raise _malformed(f"`{member}` is no time such as 2026-01-31T12:00:00Z") from None


def _malformed(message: str) -> ConfigurationError:
    return ConfigurationError("INVALID_CONFIG", f"it holds no statement about a manifest: {message}")
