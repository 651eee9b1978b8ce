"""All sinks of one log: made as they were asked for, run together, watched from outside.

One process at a time forwards a log; a lock beside it says who.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from altar.adm.errors import ConfigurationError
from altar.aesp.audit.record import Records
from altar.aesp.audit.sinks.cursors import Cursors, SinkStatus
from altar.aesp.audit.sinks.datadog import DatadogSink
from altar.aesp.audit.sinks.files import FileSink
from altar.aesp.audit.sinks.otlp import OtlpSink
from altar.aesp.audit.sinks.pump import Pump
from altar.aesp.audit.sinks.s3 import S3Sink
from altar.aesp.audit.sinks.sink import Kind, Sink, SinkOptions
from altar.aesp.audit.sinks.splunk import SplunkSink
from altar.aesp.audit.sinks.syslog import SyslogSink
from altar.aesp.audit.sinks.webhook import WebhookSink

__all__ = ["Forwarder", "Lag", "lags", "make_sink"]

MAX_SINKS = 32
_KINDS: Mapping[Kind, Callable[[SinkOptions], Sink]] = {
    "file": FileSink,
    "syslog": SyslogSink,
    "datadog": DatadogSink,
    "splunk": SplunkSink,
    "otlp": OtlpSink,
    "s3": S3Sink,
    "webhook": WebhookSink,
}


def make_sink(options: SinkOptions) -> Sink:
    """Make a sink. Raises ConfigurationError for options that do not fit its kind."""
    return _KINDS[options.kind](options)


class Forwarder:
    """Runs the sinks of a log, each in a thread of its own, until it is left."""

    def __init__(
        self,
        log: str | Path,
        sinks: Sequence[SinkOptions],
        *,
        records: Callable[[], Records],
        wall_ms: Callable[[], int],
        poll: float = 0.5,
        longest_pause: float = 60.0,
    ) -> None:
        """Make the sinks of the log at `log`; `records` opens it for reading.

        Raises ConfigurationError INVALID_CONFIG for sinks that cannot be, or of which two have one name.
        """
        names = [each.name for each in sinks]
        if len(set(names)) != len(names) or len(sinks) > MAX_SINKS:
            raise ConfigurationError(
                "INVALID_CONFIG", f"Sinks have names of their own, and there are at most {MAX_SINKS}", ran="no"
            )
        self._lock = Path(f"{log}.sinks.lock")
        self._file = -1
        cursors = Cursors(f"{log}.sinks", wall_ms=wall_ms)
        self._pumps = [
            Pump(each, make_sink(each), records=records, cursors=cursors, poll=poll, longest_pause=longest_pause)
            for each in sinks
        ]

    def __enter__(self) -> Self:
        """Begin to forward. Raises ConfigurationError ENVIRONMENT_ERROR when another process does."""
        self._file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise ConfigurationError(
                "ENVIRONMENT_ERROR", "Another process forwards this log already", hint="stop that one first"
            ) from error
        for pump in self._pumps:
            pump.start()
        return self

    def __exit__(self, *_: object) -> None:
        for pump in self._pumps:
            pump.stop()
        with suppress(OSError):
            os.close(self._file)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a sink is behind: its status, and how many commits it has not acknowledged."""

    status: SinkStatus
    entries: int


def lags(log: str | Path, *, size: int, wall_ms: Callable[[], int]) -> list[Lag]:
    """Give how far each sink of the log at `log` is behind; `size` is the number of the next commit."""
    cursors = Cursors(f"{log}.sinks", wall_ms=wall_ms)
    return [Lag(status, max(0, size - status.next)) for status in cursors.all()]
