"""Sending a batch over HTTP: one address, one client, and every failure as a `SinkError`.

Plain `http://` is for loopback only; redirects are not followed, and no proxy is taken from the environment.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from altar.adm.errors import ConfigurationError
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions
from altar.grid.host.operations import is_loopback

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "HttpSender", "RefusedError", "checked_address"]

LONGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""

Answer = tuple[int, bytes]
"""The status of an answer, and its body."""


class RefusedError(SinkError):
    """The receiver answered, and did not take it; ``body`` is what it said, at most some tens of KiB."""

    def __init__(self, status: int, body: bytes, *, retry_after: float = 0.0) -> None:
        super().__init__(f"the receiver answered with status {status}", retry_after=retry_after, too_much=status == 413)
        self.status = status
        self.body = body


class HttpSender:
    """Posts and puts to one service. For one thread; connections are kept until `close`."""

    def __init__(self, options: SinkOptions) -> None:
        """Take the address; raises ConfigurationError INVALID_CONFIG for one that must not be used."""
        self.address = checked_address(options.address, name=options.name)
        self._options = options
        self._client: httpx.Client | None = None

    def send(
        self, content: bytes, *, headers: Mapping[str, str], address: str | None = None, method: str = "POST"
    ) -> Answer:
        """Send, and give the answer when it is of the 200s. Raises `SinkError` otherwise."""
        import httpx

        if self._client is None:
            self._client = self._made()
        try:
            with self._client.stream(method, address or self.address, content=content, headers=headers) as answer:
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > LONGEST_ANSWER:
                        raise SinkError("the receiver's answer is far too long")
        except (httpx.HTTPError, ssl.SSLError) as error:
            self.close()
            raise SinkError(f"the receiver cannot be reached: {type(error).__name__}") from error
        if 200 <= answer.status_code < 300:
            return answer.status_code, body
        raise RefusedError(answer.status_code, body, retry_after=_seconds(answer.headers.get("retry-after", "")))

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _made(self) -> httpx.Client:
        import httpx

        verify: ssl.SSLContext | bool = True
        if self._options.authority or self._options.certificate:
            verify = ssl.create_default_context(cafile=self._options.authority or None)
            if self._options.certificate:
                verify.load_cert_chain(self._options.certificate, self._options.key or None)
        return httpx.Client(verify=verify, timeout=self._options.timeout, follow_redirects=False, trust_env=False)


def checked_address(address: str, *, name: str) -> str:
    """Give an address back that may be sent to: https, or http on loopback; without a user or a fragment.

    Raises ConfigurationError INVALID_CONFIG.
    """
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname and not (parts.username or parts.fragment):
        return address.rstrip("/")
    if parts.scheme == "http" and is_loopback(parts.hostname or "") and not (parts.username or parts.fragment):
        return address.rstrip("/")
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"The address of the sink {name!r} cannot be used",
        hint="write https://…; plain http:// is for loopback only, and no address holds a password",
    )


def _seconds(text: str) -> float:
    return min(float(text), 3600.0) if text.isascii() and text.isdecimal() else 0.0
