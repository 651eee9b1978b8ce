"""Traces: the way of one call from a client through a host to its function, as spans of OpenTelemetry.

A call carries its place in a trace as W3C Trace Context (`traceparent`, `tracestate`) from process to process.
Each process that traces adds one span and hands on its own id; each that does not hands on what came.
Who begins a trace decides, once for all, whether it is sampled; only sampled calls cost spans.
A call that is not sampled has a trace id all the same, which its log lines say.

The names are those of OpenTelemetry for generative AI where there is one (`execute_tool`, `gen_ai.tool.name`), else
`altar.*`.  Arguments and results are never in a span, and neither is the message of an error, which may quote them.

A source, a host and a runtime are given a :class:`Tracing`, or None, which costs nothing.
It needs the packages of the extra ``observe``, which are imported when the first one is opened.
"""

from __future__ import annotations

import logging
import os
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from altar.adm.errors import ConfigurationError
from altar.later.invocation import Answer, Invocation, Outcome

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span

__all__ = ["Trace", "Tracing", "made_tracing", "open_tracing", "trace_of", "tracing_in"]

_log = logging.getLogger("altar.grid")

Role = Literal["client", "host", "runtime"]
"""Who adds a span."""

LONGEST_STATE: Final = 512
"""Characters of a `tracestate` that are handed on (W3C Trace Context §3.3.1.5); a longer one is dropped."""

EXPORT_SECONDS: Final = 3.0
"""How long a collector may take for a batch of spans before they are lost."""

_PARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"[\x20-\x7e]*")


@dataclass(slots=True)
class Trace:
    """Where a call stands in a trace: the ids that its next process is told, and the span of this one, if there is."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""
    span: Span | None = None

    @property
    def parent(self) -> str:
        """The `traceparent` of W3C Trace Context §3.2, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def trace_of(traceparent: str, tracestate: str = "") -> Trace | None:
    """What a peer said of a call's place in a trace; None when it cannot be read, as if nothing had been said."""
    read = _PARENT.fullmatch(traceparent) if len(traceparent) <= 2 * 55 else None
    if read is None or traceparent.startswith("ff") or (traceparent.startswith("00") and len(traceparent) != 55):
        return None
    if not int(read["trace"], 16) or not int(read["span"], 16):
        return None
    state = tracestate if len(tracestate) <= LONGEST_STATE and _STATE.fullmatch(tracestate) else ""
    return Trace(read["trace"], read["span"], bool(int(read["flags"], 16) & 1), state)


class Tracing:
    """The spans of one party of a grid.

    ``sample`` is the share, 0 to 1, of the traces that begin here and are recorded; others follow who began them.
    """

    __slots__ = ("_kind", "_name", "_provider", "_role", "_sample", "_tracer")

    def __init__(self, provider: TracerProvider, *, role: Role, sample: float) -> None:
        from opentelemetry.trace import SpanKind

        from altar import __version__

        self._provider = provider
        self._tracer = provider.get_tracer("altar", __version__)
        self._role: Role = role
        self._sample = sample
        self._kind = {"client": SpanKind.CLIENT, "host": SpanKind.SERVER, "runtime": SpanKind.INTERNAL}[role]
        self._name = "execute_tool" if role == "runtime" else "call_tool"

    def begin(self, invocation: Invocation) -> None:
        """A call passes this process: it begins or goes on in a trace, and gets a span if that is sampled."""
        above = invocation.trace
        if above is None:
            above = _current() if self._role == "client" else None
        if above is None:
            sampled = self._sample > 0 and random.random() < self._sample  # noqa: S311 - a share, no secret
            if not sampled:
                invocation.trace = _unsampled()
                return
        elif not above.sampled:
            invocation.trace = above
            return
        invocation.trace = self._started(invocation, above)

    def end(self, invocation: Invocation, outcome: Outcome) -> None:
        """The call is answered: its span, if it has one, says how and ends."""
        trace: Trace | None = invocation.trace
        if trace is None or trace.span is None:
            return
        span, trace.span = trace.span, None
        span.set_attributes(self._said_at_the_end(invocation, outcome))
        if outcome.error is not None:
            from opentelemetry.trace import Status, StatusCode

            span.set_status(Status(StatusCode.ERROR, outcome.error.code))
        span.end()

    def ending(self, settle: Answer) -> Answer:
        """The same answer, which ends the span of its call first."""

        def ended(invocation: Invocation, outcome: Outcome) -> None:
            self.end(invocation, outcome)
            settle(invocation, outcome)

        return ended

    def close(self) -> None:
        """Send what has ended and not been sent; blocks for some seconds at most. Also done when the process ends."""
        self._provider.shutdown()

    def each(self, frame: Sequence[Invocation], execute: Callable[[Sequence[Invocation]], None]) -> None:
        """Begin each call of a frame, and carry it out, a sampled one with its span as the current one.

        So the spans that a function makes, through OpenTelemetry's own interface, are below that of its call.
        """
        from opentelemetry import context
        from opentelemetry.trace import set_span_in_context

        plain = []
        for invocation in frame:
            self.begin(invocation)
            if invocation.trace.span is None:
                plain.append(invocation)
                continue
            token = context.attach(set_span_in_context(invocation.trace.span))
            try:
                execute((invocation,))
            finally:
                context.detach(token)
        if plain:
            execute(plain)

    def _started(self, invocation: Invocation, above: Trace | None) -> Trace:
        from opentelemetry import trace as otel

        parent = None
        if above is not None:
            told = otel.SpanContext(
                int(above.trace_id, 16),
                int(above.span_id, 16),
                is_remote=above.span is None,
                trace_flags=otel.TraceFlags(otel.TraceFlags.SAMPLED),
                trace_state=otel.TraceState.from_header([above.state]) if above.state else None,
            )
            parent = otel.set_span_in_context(otel.NonRecordingSpan(told))
        span = self._tracer.start_span(
            f"{self._name} {invocation.name}",
            context=parent if parent is not None else otel.set_span_in_context(otel.INVALID_SPAN),
            kind=self._kind,
            attributes=self._said_at_the_beginning(invocation),
        )
        made = span.get_span_context()
        state = above.state if above is not None else ""
        return Trace(f"{made.trace_id:032x}", f"{made.span_id:016x}", sampled=True, state=state, span=span)

    def _said_at_the_beginning(self, invocation: Invocation) -> dict[str, str]:
        said = {
            "gen_ai.tool.name": invocation.name,
            "gen_ai.tool.call.id": invocation.call_id,
            "gen_ai.tool.type": "function",
            "altar.role": self._role,
        }
        if self._role == "runtime":
            said["gen_ai.operation.name"] = "execute_tool"
        return said

    def _said_at_the_end(self, invocation: Invocation, outcome: Outcome) -> dict[str, Any]:
        said: dict[str, Any] = {
            "altar.invocation.id": invocation.invocation_id,
            "altar.correlation.id": invocation.correlation_id,
            "altar.tool.version": invocation.version,
            "altar.tenant": invocation.tenant,
        }
        if self._role == "host":
            said |= {
                "altar.principal": invocation.principal,
                "altar.runtime.id": invocation.runtime,
                "altar.attempts": invocation.attempts,
            }
        if outcome.error is not None:
            said |= {"error.type": outcome.error.code, "altar.ran": outcome.error.ran}
        return {key: value for key, value in said.items() if value != ""}


def _unsampled() -> Trace:
    """The beginning of a trace that nobody records; its id is for the log."""
    trace_id, span_id = random.getrandbits(128) or 1, random.getrandbits(64) or 1  # ids, no secrets
    return Trace(f"{trace_id:032x}", f"{span_id:016x}", sampled=False)


def _current() -> Trace | None:
    """The span that the caller's own program is in, if it traces too."""
    from opentelemetry import trace as otel

    here = otel.get_current_span().get_span_context()
    if not here.is_valid:
        return None
    state = here.trace_state.to_header()
    return Trace(
        f"{here.trace_id:032x}",
        f"{here.span_id:016x}",
        bool(here.trace_flags & otel.TraceFlags.SAMPLED),
        state if len(state) <= LONGEST_STATE else "",
    )


def tracing_in(options: Mapping[str, Any]) -> Tracing | None:
    """What the options of a source ask for: a ``tracing`` of the caller's own, or spans for ``otlp_endpoint``.

    ``trace_sample`` is the share of the traces that are recorded, all of them unless it says otherwise.
    """
    given: Tracing | None = options.get("tracing")
    endpoint = options.get("otlp_endpoint")
    if given is not None or not endpoint:
        return given
    sample = float(options.get("trace_sample", 1.0))
    return open_tracing(role="client", name=f"client-{os.getpid()}", endpoint=endpoint, sample=sample)


@cache
def open_tracing(*, role: Role, name: str, endpoint: str, sample: float) -> Tracing | None:
    """Spans of a party of that role and name, sent to an OTLP collector (gRPC) as they end, in the background.

    ``endpoint`` is ``http://host:port``, or ``https://…`` for one that speaks TLS 1.3.
    None, with a warning in the log, when the packages of the extra ``observe`` are not installed: a call does not fail
    because nobody watches it.
    The same arguments give the same object, whose last spans are sent when the process ends.
    Raises ConfigurationError INVALID_CONFIG for an endpoint that is not a URL of these.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The endpoint {endpoint!r} is no URL of a collector",
            hint="write http://127.0.0.1:4317",
        )
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as missing:
        _log.warning(
            "traces are off: a package is not installed",
            extra={"package": missing.name, "hint": "pip install 'altar-ai[observe]'"},
        )
        return None
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=EXPORT_SECONDS)
    return made_tracing(BatchSpanProcessor(exporter), role=role, name=name, sample=sample)


def made_tracing(processor: SpanProcessor, *, role: Role, name: str, sample: float) -> Tracing:
    """Spans of a party of that role and name, handed to a processor of OpenTelemetry's SDK as they end."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    from altar import __version__

    about = {
        "service.namespace": "altar",
        "service.name": f"altar-{role}",
        "service.instance.id": name,
        "service.version": __version__,
    }
    provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource(about))  # only sampled calls come this far
    provider.add_span_processor(processor)
    return Tracing(provider, role=role, sample=sample)
