"""Peers that speak the wire by hand, so that they can say what no honest client or runtime would."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2
from altar.adm.canonical import JsonValue, canonical
from altar.testing import PATIENCE, LocalGrid

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles, Role

F = TypeVar("F")


class Stream:
    """One raw stream: bytes out, bytes in."""

    def __init__(self, call: Any, out: queue.SimpleQueue[bytes | None]) -> None:
        self._call = call
        self._out = out
        self.results: list[call_pb2.ToolResult] = []

    def send(self, frame: Any) -> None:
        """Send a message, or bytes as they are."""
        self._out.put(frame if isinstance(frame, bytes) else frame.SerializeToString())

    def receive(self, kind: type[F], wanted: Callable[[F], Any] = lambda _: True) -> F:
        """The next frame that is ``wanted``; StopIteration or RpcError when the stream ended before."""
        while True:
            frame = kind.FromString(next(self._call))  # type: ignore[attr-defined]  # a protobuf message
            if isinstance(frame, host_pb2.ConnectResponse):
                self.results.extend(frame.results)
            if wanted(frame):
                return frame  # type: ignore[no-any-return]  # FromString is untyped


@contextmanager
def stream(grid: LocalGrid, files: CertificateFiles, method: str) -> Iterator[Stream]:
    """A stream to the host, as the holder of a certificate."""
    from altar.grid.trust.tls import channel_credentials, require_tls13

    require_tls13()
    import grpc

    out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with grpc.secure_channel(f"127.0.0.1:{grid.port}", channel_credentials(files)) as channel:
        call: Any = channel.stream_stream(method)(iter(out.get, None), timeout=PATIENCE)  # type: ignore[arg-type]  # bytes
        try:
            yield Stream(call, out)
        finally:
            out.put(None)
            call.cancel()


@contextmanager
def client(grid: LocalGrid, name: str = "raw", *, role: Role = "client") -> Iterator[Stream]:
    """A client's stream, with nothing said yet."""
    with stream(grid, grid.certificate(role, name), "/altar.grid.v1.HostService/Connect") as opened:
        yield opened


@contextmanager
def runtime(grid: LocalGrid, name: str) -> Iterator[Stream]:
    """A runtime's stream, with nothing said yet."""
    with stream(grid, grid.certificate("runtime", name), "/altar.grid.v1.RuntimeService/Attach") as opened:
        yield opened


def unary(grid: LocalGrid, call: call_pb2.ToolCall) -> call_pb2.ToolResult:
    """One call by the unary method."""
    from altar.grid.trust.tls import channel_credentials, require_tls13

    require_tls13()
    import grpc

    with grpc.secure_channel(f"127.0.0.1:{grid.port}", channel_credentials(grid.client)) as channel:
        method = channel.unary_unary(
            "/altar.grid.v1.HostService/CallTool",
            request_serializer=host_pb2.CallToolRequest.SerializeToString,
            response_deserializer=host_pb2.CallToolResponse.FromString,
        )
        response: host_pb2.CallToolResponse = method(host_pb2.CallToolRequest(call=call), timeout=PATIENCE)
        return response.result


HELLO = host_pb2.ClientHello(protocol_versions=["1.0"], language="raw", sdk_version="0")


def open_session(peer: Stream, *tools: str) -> host_pb2.SessionCreated:
    """Say hello and open a session."""
    wanted = host_pb2.CreateSession(tag=1, tools=tools)
    peer.send(host_pb2.ConnectRequest(hello=HELLO, create_sessions=[wanted]))
    return peer.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_created).sessions_created[0]


def tool_call(
    name: str, arguments: JsonValue, *, tag: int = 1, session: str = "", remaining_ms: int = 20_000, **more: Any
) -> call_pb2.ToolCall:
    """A call in its envelope."""
    call = call_pb2.ToolCall(tag=tag, session_id=session, remaining_ms=remaining_ms, **more)
    call.call.call_id = f"raw-{tag}"
    call.call.name = name
    call.call.args = canonical(arguments)
    return call


def result_of(peer: Stream, tag: int = 1) -> call_pb2.ToolResult:
    """Wait for the result with that tag."""
    while not (found := [result for result in peer.results if result.tag == tag]):
        peer.receive(host_pb2.ConnectResponse)
    peer.results.remove(found[0])
    return found[0]


def announce(peer: Stream, name: str, contracts: list[call_pb2.ContractRef]) -> runtime_pb2.FulfillToolsResponse:
    """Attach as a runtime, say which contracts it fulfils and grant one credit."""
    peer.send(
        runtime_pb2.AttachRequest(
            announce=runtime_pb2.AnnounceRuntime(runtime_id=name, language="raw", protocol_versions=["1.0"]),
            fulfill=runtime_pb2.FulfillTools(contracts=contracts),
        )
    )
    fulfilled = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("fulfilled")).fulfilled
    peer.send(runtime_pb2.AttachRequest(credits=1))  # now: a call that waits would come in the frame that was just read
    return fulfilled
