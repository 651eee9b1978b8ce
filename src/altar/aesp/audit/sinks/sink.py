"""What a sink is, what it is told to be, and what it says when it cannot take records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from altar.aesp.audit.record import Record

__all__ = ["MAX_BATCH", "Kind", "Sink", "SinkError", "SinkOptions"]

MAX_BATCH = 1_000
"""Most records that are sent at once; the least of the limits of all receivers."""

Kind = Literal["file", "syslog", "datadog", "splunk", "otlp", "s3", "webhook"]


class Sink(Protocol):
    """A receiver of records. One thread uses it, and nobody waits for that thread."""

    def send(self, records: Sequence[Record]) -> None:
        """Send records in this order, and return when the receiver has acknowledged all of them.

        Raises `SinkError` when that is not so; the same records come again then.
        """

    def close(self) -> None:
        """Let go of connections and files; never raises."""


class SinkError(Exception):
    """A receiver did not take what was sent; the message says why, without secrets and without records.

    ``retry_after`` is how many seconds the receiver asked to be left alone, 0 when it did not.
    ``too_much`` is said when it would take fewer records at once.
    """

    def __init__(self, reason: str, *, retry_after: float = 0.0, too_much: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.too_much = too_much


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """One sink as it was asked for; what does not belong to its kind is left empty.

    ``address`` is a path, ``host:port`` (syslog) or the address of an HTTP service.
    ``tenants`` and ``events`` (patterns such as ``admin.*``) narrow what is sent; empty is everything.
    ``begin`` says whether a sink that is new gets what is in the log already.
    ``batch`` is how many records are sent at once at most, ``linger`` how many seconds they may wait for more.
    ``networks`` are those beyond the public internet in which a webhook may lie, such as ``10.1.0.0/16``.
    ``rotate_bytes`` and ``keep`` are for files: how long one gets, and how many older ones stay.
    """

    name: str
    kind: Kind
    address: str
    format: str = "ndjson"
    tenants: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    begin: Literal["beginning", "now"] = "beginning"
    batch: int = 500
    linger: float = 0.0
    timeout: float = 10.0
    transport: Literal["tls", "tcp", "udp"] = "tls"
    authority: str = ""
    certificate: str = ""
    key: str = ""
    token: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    acknowledge: bool = False
    index: str = ""
    service: str = "altar"
    region: str = "us-east-1"
    bucket: str = ""
    prefix: str = ""
    networks: tuple[str, ...] = ()
    rotate_bytes: int = 64 * 1024 * 1024
    keep: int = 10
