"""A sink that is Splunk's HTTP Event Collector: `POST /services/collector/event`, events one after the other.

With ``acknowledge`` a batch counts when the indexer says so: its number is asked for at `/services/collector/ack`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

import orjson

from altar.aesp.audit.record import Record, members_of
from altar.aesp.audit.sinks.http import HttpSender
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions

__all__ = ["SplunkSink"]

_ASK_SECONDS = 1.0


class SplunkSink:
    """Sends to the collector at ``address``, such as `https://splunk.example:8088`."""

    def __init__(self, options: SinkOptions, *, pause: Callable[[float], object] = time.sleep) -> None:
        """Take the address, the token, the index and whether to wait for the indexer; `pause` waits for seconds."""
        self._http = HttpSender(options)
        self._options = options
        self._pause = pause
        self._channel = str(uuid.uuid4())
        self._headers = {"Authorization": f"Splunk {options.token}", "Content-Type": "application/json"}
        if options.acknowledge:
            self._headers["X-Splunk-Request-Channel"] = self._channel

    def send(self, records: Sequence[Record]) -> None:
        """Send the records, and with ``acknowledge`` wait until they are indexed."""
        content = b"\n".join(orjson.dumps(self._event(record)) for record in records)
        _, body = self._http.send(
            content, headers=self._headers, address=f"{self._http.address}/services/collector/event"
        )
        answer = _members(body)
        if answer.get("code") != 0:
            raise SinkError("the collector did not say Success")
        if self._options.acknowledge:
            self._await_indexed(answer.get("ackId"))

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _await_indexed(self, number: object) -> None:
        if not isinstance(number, int):
            raise SinkError("the collector gave no number to acknowledge: its token must have that switched on")
        address = f"{self._http.address}/services/collector/ack?channel={self._channel}"
        for _ in range(max(1, int(self._options.timeout / _ASK_SECONDS))):
            _, body = self._http.send(orjson.dumps({"acks": [number]}), headers=self._headers, address=address)
            acks = _members(body).get("acks")
            if isinstance(acks, dict) and acks.get(str(number)) is True:
                return
            self._pause(_ASK_SECONDS)
        raise SinkError("the indexer has not acknowledged in time")

    def _event(self, record: Record) -> dict[str, object]:
        event: dict[str, object] = {
            "time": record.time_ms / 1000,
            "host": record.origin,
            "source": f"altar:{record.tenant or 'host'}",
            "sourcetype": "altar:audit",
            "event": members_of(record),
        }
        if self._options.index:
            event["index"] = self._options.index
        return event


def _members(body: bytes) -> dict[str, object]:
    try:
        members = orjson.loads(body)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise SinkError("the collector's answer is not JSON")
    return members
