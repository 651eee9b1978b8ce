"""Which manifest a host trusts: the file, the keys, and the memory of what was active before.

STRICT, the default: the manifest is a statement in a signed envelope.
It is refused when it is unsigned or altered, when no trusted key signed it, when it has expired, and when its version
is lower than the highest that was ever active here, unless it is a signed rollback from exactly the one that is.
DEVELOPMENT: a plain manifest will do as well, and so will none; what is signed is held to the same rules.

The memory is a small file in the host's data directory, written before a manifest is activated.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError
from altar.grid.manifests.envelope import MAX_ENVELOPE_BYTES, Envelope, NotSignedError
from altar.grid.manifests.generated_code import require_sandboxes
from altar.grid.manifests.manifest import Manifest
from altar.grid.manifests.manifest_statement import Statement, statement_in, write_whole

__all__ = ["ActiveManifest", "ManifestStore", "ManifestWatch", "open_signed"]

_log = logging.getLogger("altar.grid")

EXPIRES_SOON: Final = timedelta(days=7)
"""A manifest that expires within this time is warned of in the log."""
WARN_EVERY: Final = timedelta(days=1)
POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class ActiveManifest:
    """The contracts of a host, and what is known of them: ``version`` 0, no ``expires`` and no ``key`` if unsigned.

    ``digest`` is that of the signed payload, or of the plain file.
    ``key`` is the verifier key that signed it.
    """

    contracts: Manifest
    version: int
    digest: str
    expires: datetime | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class _Memory:
    """What was active last, and the highest version that ever was."""

    version: int = 0
    digest: str = ""
    highest: int = 0


class ManifestStore:
    """Reads the manifest of a host and judges it; remembers what was active.

    ``keys`` are the verifier keys that are trusted, ``memory`` is the file in the host's data directory.
    """

    def __init__(self, path: Path, *, keys: Sequence[str], memory: Path, development: bool = False) -> None:
        self.path = path
        self.development = development
        self._keys = tuple(keys)
        self._memory = memory
        self._seen: tuple[int, int, int] | None = None

    def load(self, *, now: datetime) -> ActiveManifest:
        """Read the file as it is now.

        Raises ConfigurationError, in words for an operator: MISSING_MANIFEST, CERTIFICATE_ERROR when it is not signed
        as it must be or has expired, INVALID_CONFIG when it is no manifest or may not follow the one that was active.
        """
        self._seen = self._look()
        text = self._text()
        if text is None:
            return ActiveManifest(Manifest((), source=str(self.path)), 0, digest(b""))
        try:
            envelope = Envelope.read(text)
        except NotSignedError as unsigned:
            if self.development:
                return ActiveManifest(Manifest.load(self.path), 0, digest(text))
            raise self._refused(unsigned, hint=_SIGN) from unsigned
        except ConfigurationError as broken:
            raise self._refused(broken) from broken
        return self._judged(envelope, now)

    def changed(self) -> bool:
        """Whether the file is another one than the one that was read last."""
        seen = self._look()
        return seen is not None and seen != self._seen

    def remember(self, active: ActiveManifest) -> None:
        """Write down what is about to be active. Raises ConfigurationError ENVIRONMENT_ERROR when it cannot be."""
        if not active.version:
            return
        known = self._remembered()
        memory = _Memory(active.version, active.digest, max(active.version, known.highest))
        if memory == known:
            return
        try:
            write_whole(self._memory, json.dumps(asdict(memory), sort_keys=True).encode() + b"\n", mode=0o600)
        except OSError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"Cannot write {str(self._memory)!r}: {error.strerror}",
                hint="a host must remember which manifest was active; make its data directory writable",
            ) from error

    def highest(self) -> int:
        """The highest version that was ever active here; 0 for none."""
        return self._remembered().highest

    def _judged(self, envelope: Envelope, now: datetime) -> ActiveManifest:
        try:
            key = envelope.signer(self._keys)
            statement = statement_in(envelope)
        except NotSignedError as refused:
            hint = "set host.manifest_keys to the key it was signed with" if refused.reason == "unknown key" else _SIGN
            raise self._refused(refused, hint=hint) from refused
        except ConfigurationError as broken:
            raise self._refused(broken) from broken
        if now >= statement.expires:
            message = f"version {statement.version} expired at {statement.expires:%Y-%m-%d %H:%M:%S} UTC"
            raise self._refused(ConfigurationError("CERTIFICATE_ERROR", message), hint=_RENEW)
        payload = digest(envelope.payload)
        self._require_progress(statement, payload)
        contracts = statement.contracts(str(self.path))
        if not self.development:
            try:
                require_sandboxes(each.declaration for each in contracts)
            except ConfigurationError as refused:
                raise self._refused(refused) from refused
        return ActiveManifest(contracts, statement.version, payload, expires=statement.expires, key=key)

    def _require_progress(self, statement: Statement, payload: str) -> None:
        """Refuse a way back that nobody signed as such, and two contents of one version."""
        memory = self._remembered()
        if statement.version > memory.highest or payload == memory.digest:
            return
        if statement.rollback_to is not None and statement.previous == memory.digest:
            return
        if statement.rollback_to is not None:
            message = f"the rollback to version {statement.version} is not from the manifest that is active here"
        elif statement.version == memory.version:
            message = f"version {statement.version} was active here with another content"
        else:
            message = f"version {statement.version} is not above version {memory.highest}, which was active here"
        raise self._refused(
            ConfigurationError("INVALID_CONFIG", message),
            hint="sign it with a higher version, or sign the way back with `altar manifest rollback`",
        )

    def _text(self) -> bytes | None:
        if self.development and not self.path.exists():
            return None
        return _content(self.path)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ctime_ns, status.st_size, status.st_ino  # also rights that let it be read now

    def _remembered(self) -> _Memory:
        try:
            document: Any = json.loads(self._memory.read_bytes())
            return _Memory(int(document["version"]), str(document["digest"]), int(document["highest"]))
        except FileNotFoundError:
            return _Memory()
        except (OSError, ValueError, KeyError, TypeError) as damaged:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The host's memory of its manifest {str(self._memory)!r} cannot be read",
                hint="restore it; without it an older manifest could come back. If you know that none did, remove it",
                detail=repr(damaged),
            ) from damaged

    def _refused(self, error: ConfigurationError, *, hint: str | None = None) -> ConfigurationError:
        return _refusal(self.path, error, hint=hint)


_SIGN: Final = "sign it: `altar manifest sign FILE --key KEY`; for work on one machine there is `altar up`"
_RENEW: Final = "sign it again with a higher version: `altar manifest sign FILE --key KEY --expires 90d`"


def open_signed(path: Path, keys: Sequence[str]) -> tuple[Envelope, Statement, str]:
    """Read a signed manifest: its envelope, its statement and the key that signed it, whatever its version and age.

    Raises ConfigurationError MISSING_MANIFEST, INVALID_CONFIG or, when no trusted key signed it, CERTIFICATE_ERROR.
    """
    text = _content(path)
    try:
        envelope = Envelope.read(text)
        return envelope, statement_in(envelope), envelope.signer(keys)
    except ConfigurationError as refused:
        raise _refusal(path, refused) from refused


class ManifestWatch:
    """Notices a newer manifest and the end of the one that is active; a step of the loop in which a host watches.

    ``activate`` takes the new contracts into use, ``refuse`` is given what new calls are answered with from now on,
    or None when they are welcome.
    """

    def __init__(
        self,
        store: ManifestStore,
        active: ActiveManifest,
        *,
        activate: Callable[[ActiveManifest], None],
        refuse: Callable[[Callable[[], AltarError] | None], None],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active = active
        self._store = store
        self._activate = activate
        self._refuse = refuse
        self._now = now
        self._clock = clock
        self._next = 0.0
        self._warned: datetime | None = None
        self._expired = False

    def step(self) -> None:
        """Look once a second whether the file has changed, and whether the active manifest still holds."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + POLL_SECONDS
        if self._store.changed():
            self.reload()
        self._check_expiry()

    def reload(self) -> None:
        """Read the file now. One that is refused is said in the log, and the active one stays."""
        try:
            newer = self._store.load(now=self._now())
            if newer.digest == self.active.digest:
                return
            self._store.remember(newer)
        except AltarError as refused:
            _log.error("manifest refused", extra={"reason": refused.message, "hint": refused.hint})
            return
        self.active = newer
        self._warned = None
        self._activate(newer)
        self._check_expiry()

    def status(self) -> dict[str, Any]:
        """What is active, for people and for probes."""
        active = self.active
        return {
            "mode": "development" if self._store.development else "strict",
            "version": active.version,
            "digest": active.digest,
            "signed_by": active.key.partition("+")[0],
            "expires": active.expires.isoformat() if active.expires is not None else None,
            "expired": self._expired,
        }

    def _check_expiry(self) -> None:
        expires, now = self.active.expires, self._now()
        expired = expires is not None and now >= expires
        if expired != self._expired:
            self._expired = expired
            self._refuse(self._expired_error if expired else None)
        if expires is None or now < expires - EXPIRES_SOON:
            return
        if self._warned is None or now - self._warned >= WARN_EVERY:
            self._warned = now
            phrase = "manifest has expired" if expired else "manifest expires soon"
            _log.warning(phrase, extra={"version": self.active.version, "expires": expires.isoformat()})

    def _expired_error(self) -> AltarError:
        return AuthorizationError(
            "NOT_ACTIVE",
            f"The manifest of this host, version {self.active.version}, has expired",
            ran="no",
            hint="the operator signs it again with `altar manifest sign`; the host takes it up by itself",
        )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            "MISSING_MANIFEST",
            f"The manifest {str(path)!r} cannot be read: {error.strerror}",
            hint="`altar manifest build MODULE -o FILE` writes one, and `altar manifest sign FILE` signs it",
        ) from error
    if len(text) > MAX_ENVELOPE_BYTES:
        raise _refusal(path, ConfigurationError("INVALID_CONFIG", f"it is larger than {MAX_ENVELOPE_BYTES} bytes"))
    return text


def _refusal(path: Path, error: ConfigurationError, *, hint: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        error.code,
        f"The manifest {str(path)!r} is refused: {error.message}",
        hint=hint or error.hint or _SIGN,
        path=error.path,
    )
