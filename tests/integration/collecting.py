"""A collector of traces: the OTLP service of OpenTelemetry on loopback, which keeps what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

__all__ = ["Collector", "SpanSent", "collecting"]


@dataclass(frozen=True, slots=True)
class SpanSent:
    """One span as it arrived: ids in hexadecimal digits, attributes by their names, and who sent it."""

    name: str
    trace: str
    span: str
    parent: str
    kind: str
    failed: str
    attributes: dict[str, Any]
    service: str
    instance: str


@dataclass(slots=True)
class Collector:
    """The spans so far, and the address that takes more."""

    endpoint: str = ""
    spans: list[SpanSent] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def of_call(self, call_id: str) -> list[SpanSent]:
        """The spans of one call."""
        return [span for span in self.spans if span.attributes.get("gen_ai.tool.call.id") == call_id]

    def take(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        """Keep what an exporter sent."""
        from opentelemetry.proto.trace.v1 import trace_pb2

        self.raw.append(request.SerializeToString())
        for of_resource in request.resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [
                    SpanSent(
                        name=span.name,
                        trace=span.trace_id.hex(),
                        span=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                        failed=span.status.message,
                        attributes=_values(span.attributes),
                        service=resource["service.name"],
                        instance=resource["service.instance.id"],
                    )
                    for span in of_scope.spans
                ]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens, for as long as the context lasts."""
    from altar.grid.trust.tls import require_tls13

    require_tls13()
    import grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

    collector = Collector()

    class Service(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(
            self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
        ) -> trace_service_pb2.ExportTraceServiceResponse:
            collector.take(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
