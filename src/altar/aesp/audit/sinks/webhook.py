"""Webhooks: a record as one signed request of HTTP, by the scheme of Standard Webhooks.

`WebhookSink` is a sink like any other: what its receiver does not acknowledge is sent again, over a restart too, with
the same `webhook-id`.
The signature is over id, time and body (HMAC-SHA-256), so that nobody can make one up, change one, or send an old one.

An address is one that the operator wrote; its name is resolved once for each request, and every address it has is
checked, so that a name cannot lead into the network behind the host.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ConfigurationError
from altar.aesp.audit.record import Record, members_of
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions
from altar.aesp.identity.outbound import Origin, Outbound, Resolve, resolve

__all__ = ["WebhookSink", "message_id", "secrets_in", "signed"]

_PURPOSE = "webhook"
_PREFIX = "whsec_"
_FEWEST, _MOST = 24, 64
"""Bytes of a secret, as Standard Webhooks has them."""


class WebhookSink:
    """Posts each record to ``options.address``, in order; a status of the 200s takes it."""

    def __init__(
        self,
        options: SinkOptions,
        *,
        wall: Callable[[], float] = time.time,  # noqa: TID251 - receivers compare it with their own wall clock
        resolver: Resolve = resolve,
    ) -> None:
        """Take the address and the secrets; raises ConfigurationError INVALID_CONFIG for those that cannot be used."""
        self._address = options.address
        self._keys = secrets_in(options.token, name=options.name)
        self._wall = wall
        Origin.parse(options.address)
        self._outbound = Outbound(
            {_PURPOSE: [options.address]},
            networks=options.networks,
            authority=Path(options.authority) if options.authority else None,
            seconds=options.timeout,
            max_bytes=64 * 1024,
            resolver=resolver,
        )

    def send(self, records: Sequence[Record]) -> None:
        """Send the records one by one; raises `SinkError` at the first that is not taken."""
        asyncio.run(self._send(records))

    def close(self) -> None:
        """Nothing is kept open between requests."""

    async def post(self, name: str, kind: str, *, time_ms: int, data: Mapping[str, Any]) -> None:
        """Send one message of that id; raises `SinkError` when it is not taken."""
        at = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = canonical({"data": dict(data), "timestamp": at, "type": kind})
        headers = {"content-type": "application/json", **signed(self._keys, name, int(self._wall()), body)}
        try:
            answer = await self._outbound.post(_PURPOSE, self._address, content=body, headers=headers)
        except AltarError as failed:
            raise SinkError(f"the receiver cannot be reached: {failed.detail or failed.message}"[:300]) from failed
        if not 200 <= answer.status < 300:
            after = answer.headers.get("retry-after", "")
            wait = min(float(after), 3600.0) if after.isascii() and after.isdecimal() else 0.0
            raise SinkError(f"the receiver answered with status {answer.status}", retry_after=wait)

    async def _send(self, records: Sequence[Record]) -> None:
        for record in records:
            await self.post(message_id(record.id), record.event, time_ms=record.time_ms, data=members_of(record))


def signed(keys: Sequence[bytes], name: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks for a message of that id sent at that second; each secret signs."""
    content = b"%s.%d.%s" % (name.encode(), at, body)
    signatures = [base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys]
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }


def secrets_in(text: str, *, name: str) -> tuple[bytes, ...]:
    """The secrets in a file: one ``whsec_…`` on each line, of which all sign, so that one can follow another.

    Raises ConfigurationError INVALID_CONFIG for none, for more than four, and for one that is none.
    """
    words = text.split()
    try:
        texts = [word.removeprefix(_PREFIX) for word in words]
        keys = tuple(base64.b64decode(text + "=" * (-len(text) % 4), validate=True) for text in texts)
    except (binascii.Error, ValueError):
        keys = ()
    is_sound = all(word.startswith(_PREFIX) for word in words) and all(_FEWEST <= len(key) <= _MOST for key in keys)
    if not (0 < len(keys) <= 4 and is_sound):
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The secret of the webhook {name!r} cannot be used",
            hint=f"write {_PREFIX} and base64 of {_FEWEST} to {_MOST} random bytes; of several lines all sign",
        )
    return keys


def message_id(text: str) -> str:
    """An id without dots, which separate the parts that are signed; the same each time."""
    return f"msg_{sha256(text.encode()).hexdigest()[:32]}"
