"""A sink that is Datadog's intake of logs: `POST /api/v2/logs`, a gzipped JSON array, the key in `DD-API-KEY`."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import orjson

from altar.aesp.audit.record import Record, members_of
from altar.aesp.audit.sinks.http import HttpSender
from altar.aesp.audit.sinks.sink import SinkOptions

__all__ = ["DatadogSink"]


class DatadogSink:
    """Sends to the intake at ``address``, such as `https://http-intake.logs.datadoghq.eu`."""

    def __init__(self, options: SinkOptions) -> None:
        """Take the address, the key and the name of the service."""
        self._http = HttpSender(options)
        self._service = options.service
        self._headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "DD-API-KEY": options.token,
        }

    def send(self, records: Sequence[Record]) -> None:
        """Send the records; the intake answers 202 when it has them."""
        events = [self._event(record) for record in records]
        content = gzip.compress(orjson.dumps(events), compresslevel=6, mtime=0)
        self._http.send(content, headers=self._headers, address=f"{self._http.address}/api/v2/logs")

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _event(self, record: Record) -> dict[str, object]:
        return {
            "ddsource": "altar",
            "ddtags": f"tenant:{record.tenant or '-'},event:{record.event}",
            "hostname": record.origin,
            "service": self._service,
            "status": "warn" if record.outcome in {"DENIED", "FAILURE"} else "info",
            "timestamp": record.time_ms,
            "message": " ".join(part for part in (record.event, record.tool, record.outcome, record.code) if part),
            "altar": members_of(record),
        }
