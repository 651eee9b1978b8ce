"""A sink that is an OpenTelemetry collector: OTLP logs over HTTP, as protobuf, gzipped.

Records become log records with the attributes `altar.*`; `event_name` is the record's event.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from altar import __version__
from altar.adm.errors import ConfigurationError
from altar.aesp.audit.record import Record, members_of
from altar.aesp.audit.sinks.http import HttpSender
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

__all__ = ["OtlpSink"]


class OtlpSink:
    """Sends to the collector at ``address``, such as `http://127.0.0.1:4318`."""

    def __init__(self, options: SinkOptions) -> None:
        """Take the address and the name of the service.

        Raises ConfigurationError ENVIRONMENT_ERROR when the messages of OTLP are not installed.
        """
        try:
            import opentelemetry.proto.collector.logs.v1.logs_service_pb2  # noqa: F401 - asked for, used below
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                "A sink for OTLP needs the package 'opentelemetry-proto', which is not installed",
                hint="pip install 'altar-ai[observe]'",
            ) from error
        self._http = HttpSender(options)
        self._service = options.service
        self._headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        if options.token:
            self._headers["Authorization"] = f"Bearer {options.token}"

    def send(self, records: Sequence[Record]) -> None:
        """Send the records. What the collector says it has rejected for good fails the batch, and shows as such."""
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

        request = self._request(records)
        content = gzip.compress(request.SerializeToString(), compresslevel=6, mtime=0)
        _, body = self._http.send(content, headers=self._headers, address=f"{self._http.address}/v1/logs")
        answer = logs_service_pb2.ExportLogsServiceResponse()
        try:
            answer.ParseFromString(body)
        except Exception as error:  # protobuf has no common error of its own across its implementations
            raise SinkError("the collector's answer is no OTLP") from error
        if answer.partial_success.rejected_log_records:
            raise SinkError(f"the collector rejected {answer.partial_success.rejected_log_records} records")

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _request(self, records: Sequence[Record]) -> Any:
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
        from opentelemetry.proto.logs.v1 import logs_pb2

        request = logs_service_pb2.ExportLogsServiceRequest()
        resource = request.resource_logs.add()
        resource.resource.attributes.extend([_attribute("service.name", self._service)])
        scope = resource.scope_logs.add()
        scope.scope.name, scope.scope.version = "altar.audit", __version__
        for record in records:
            made = scope.log_records.add()
            made.time_unix_nano = made.observed_time_unix_nano = record.time_ms * 1_000_000
            grave = record.outcome in {"DENIED", "FAILURE"}
            made.severity_number = logs_pb2.SEVERITY_NUMBER_WARN if grave else logs_pb2.SEVERITY_NUMBER_INFO
            made.severity_text = "WARN" if grave else "INFO"
            made.event_name = record.event
            made.body.string_value = " ".join(part for part in (record.event, record.tool, record.outcome) if part)
            made.attributes.extend(
                _attribute(f"altar.{name}", value) for name, value in members_of(record).items() if name != "event"
            )
        return request


def _attribute(name: str, value: str | int) -> KeyValue:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    held = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
    return KeyValue(key=name, value=held)
