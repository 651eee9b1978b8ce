"""What `altar login` keeps between two commands: one private file for each host, renewed when it is nearly over.

Two processes that use the same login take turns: a refresh token is good for one use, and a second use of the same one
would end the login for both.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError

if TYPE_CHECKING:
    from altar.grid.client.authentication import Issued
    from altar.grid.trust.certificates import CertificateFiles

__all__ = ["SavedLogin", "SavedLogins"]

_EARLY = 60.0
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class SavedLogin:
    """A login as it lies in its file; ``expires`` is the end of the access token, in seconds since 1970."""

    target: str
    provider: str
    principal: str
    tenant: str
    expires: float
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class SavedLogins:
    """The login at one host, in ``directory``; ``now`` is in seconds since 1970.

    ``files`` are the certificate files of the client, over which the login is renewed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        target: str,
        files: CertificateFiles | None,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the end of a token is a time of the wall clock
    ) -> None:
        self._directory = directory
        self._target = target
        self._files = files
        self._now = now
        name = re.sub(r"[^A-Za-z0-9.-]", "_", target)
        self.path = directory / f"{name}.json"

    def exists(self) -> bool:
        """Whether somebody has signed in to this host."""
        return self.path.is_file()

    def read(self) -> SavedLogin:
        """The login as it is.

        Raises INVALID_CREDENTIALS when there is none, ENVIRONMENT_ERROR when others can read it or it is damaged.
        """
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                said: Any = json.loads(file.read(_LARGEST))
        except FileNotFoundError as none:
            raise AuthorizationError(
                "INVALID_CREDENTIALS", f"Nobody is signed in to {self._target}", ran="no", hint="run `altar login`"
            ) from none
        except (OSError, ValueError) as failed:
            raise self._unusable("cannot be read") from failed
        if mode & 0o077:
            raise self._unusable(f"can be read by others: its mode is {mode & 0o777:04o}")
        try:
            saved = SavedLogin(**said)
        except TypeError as damaged:
            raise self._unusable("is damaged") from damaged
        if saved.target != self._target:
            raise self._unusable("belongs to another host")
        return saved

    def write(self, issued: Issued, *, provider: str) -> SavedLogin:
        """Keep what a host has issued, in place of what there was."""
        saved = SavedLogin(
            target=self._target,
            provider=provider,
            principal=issued.principal,
            tenant=issued.tenant,
            expires=issued.expires,
            access_token=issued.access_token,
            refresh_token=issued.refresh_token,
        )
        with self._turn():
            self._replace(saved)
        return saved

    def remove(self) -> None:
        """Forget the login; nothing when there is none."""
        self.path.unlink(missing_ok=True)

    def access_token(self) -> str:
        """An access token that is good for a minute at least, renewed at the host when that is due; blocks.

        Raises INVALID_CREDENTIALS when nobody is signed in, or the host renews the login no more.
        """
        saved = self.read()
        if saved.expires - self._now() > _EARLY:
            return saved.access_token
        with self._turn():
            saved = self.read()  # another process may have renewed it while this one waited
            if saved.expires - self._now() > _EARLY:
                return saved.access_token
            return self._renewed(saved).access_token

    def _renewed(self, saved: SavedLogin) -> SavedLogin:
        from altar.grid.client.authentication import Authentication

        if self._files is None:
            raise self._unusable("cannot be renewed without the certificate of the client")
        try:
            with Authentication(self._target, self._files) as host:
                issued = host.refresh(saved.refresh_token)
        except AltarError as refused:
            if refused.code == "INVALID_CREDENTIALS":
                refused.hint = "run `altar login` again"
            raise
        renewed = SavedLogin(
            target=self._target,
            provider=saved.provider,
            principal=issued.principal,
            tenant=issued.tenant,
            expires=issued.expires,
            access_token=issued.access_token,
            refresh_token=issued.refresh_token,
        )
        self._replace(renewed)
        return renewed

    def _replace(self, saved: SavedLogin) -> None:
        """Write the file in one step, private from its first byte."""
        handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=f".{self.path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(saved), file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(self.path)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the login alone, among all processes of this user."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as failed:
            raise self._unusable(f"cannot be written: {failed.strerror}") from failed
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _unusable(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The saved login {str(self.path)!r} {why}",
            ran="no",
            hint="remove it and run `altar login` again",
        )
