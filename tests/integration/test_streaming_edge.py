"""Streams at the host's edge: clients and runtimes that speak the wire by hand, rightly and wrongly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2
from altar.adm.canonical import JsonValue, canonical
from altar.later.chunks import account_of
from altar.testing import LocalGrid
from tests.integration import raw, streaming_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

NUMBERS = itertools.count(1)
"""Of runtimes: one that has broken the protocol a few times gets no calls for a while."""
YES, UNKNOWN, NO = adm_pb2.RAN_YES, adm_pb2.RAN_UNKNOWN, adm_pb2.RAN_NO


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    settings = {"host.heartbeat": 5, "host.max_message_bytes": 100_000, "host.stream_idle": 0.6}
    with LocalGrid([streaming_tools.__file__], runtimes=0, settings=settings) as running:
        yield running
        stop_and_audit(running)


class Scene:
    """A client that has asked for a stream, and a runtime that has the call."""

    def __init__(self, client: raw.Stream, runtime: raw.Stream, call: call_pb2.ToolCall) -> None:
        self.client = client
        self.runtime = runtime
        self.call = call
        self.values: list[bytes] = []
        self.due = 0

    def send(self, *payloads: bytes, index: int | None = None) -> None:
        """Values from the runtime."""
        chunk = call_pb2.StreamChunk(tag=self.call.tag, index=self.due if index is None else index, payloads=payloads)
        self.due += len(payloads)
        self.runtime.send(runtime_pb2.AttachRequest(stream_chunks=[chunk]))

    def end(self, *values: bytes, content: bytes = b"", totals: bool = True) -> None:
        """The runtime's word on how it ended: well, having passed on these values."""
        result = call_pb2.ToolResult(tag=self.call.tag)
        result.result.status = adm_pb2.RESULT_STATUS_SUCCESS
        result.result.content = content
        if totals:
            account = account_of(values)
            result.streamed.chunks, result.streamed.bytes = account.chunks, account.bytes
            result.streamed.digest = bytes.fromhex(account.digest.removeprefix("sha256:"))
        self.runtime.send(runtime_pb2.AttachRequest(results=[result]))

    def grant(self, chunks: int, size: int) -> None:
        """Credit from the client."""
        more = call_pb2.Window(chunks=chunks, bytes=size)
        self.client.send(host_pb2.ConnectRequest(stream_credits=[call_pb2.StreamCredit(tag=1, more=more)]))

    def credit(self) -> tuple[int, int]:
        """The next credit that the runtime gets."""
        frame = self.runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.stream_credits)
        (credit,) = frame.stream_credits
        assert credit.tag == self.call.tag
        return credit.more.chunks, credit.more.bytes

    def read(self, count: int) -> list[bytes]:
        """Values at the client, until there are so many in all; in order, without a gap."""
        while len(self.values) < count:
            self._take(self.client.receive(host_pb2.ConnectResponse))
        return self.values

    def result(self) -> call_pb2.ToolResult:
        """The result at the client; what came before it is in ``values``."""
        while not self.client.results:
            self._take(self.client.receive(host_pb2.ConnectResponse))
        return self.client.results.pop()

    def failed(self) -> tuple[str, str, int]:
        """Code, message and `ran` of the result, which is an error."""
        result = self.result().result
        assert result.status == adm_pb2.RESULT_STATUS_ERROR
        return result.error.type, result.error.message, result.error.ran

    def cancelled(self) -> bool:
        """Wait until the runtime is told that nobody waits for the call any more."""
        frame = self.runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.cancels)
        return [cancel.tag for cancel in frame.cancels] == [self.call.tag]

    def _take(self, frame: host_pb2.ConnectResponse) -> None:
        for chunk in frame.stream_chunks:
            assert (chunk.tag, chunk.index) == (1, len(self.values))
            self.values.extend(chunk.payloads)


@contextmanager
def attached(grid: LocalGrid, *names: str, capabilities: tuple[str, ...] = ("streaming",)) -> Iterator[raw.Stream]:
    """A runtime that fulfils these tools."""
    with raw.client(grid) as asking:
        refs = [contract.ref for contract in raw.open_session(asking, *names).contracts]
    name = f"by-hand-{next(NUMBERS)}"
    with raw.runtime(grid, name) as runtime:
        announce = runtime_pb2.AnnounceRuntime(
            runtime_id=name, language="raw", protocol_versions=["1.0"], capabilities=capabilities, concurrency=1
        )
        fulfill = runtime_pb2.FulfillTools(contracts=refs)
        runtime.send(runtime_pb2.AttachRequest(announce=announce, fulfill=fulfill))
        runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("fulfilled"))
        runtime.send(runtime_pb2.AttachRequest(credits=1))
        yield runtime


@pytest.fixture
def begin(grid: LocalGrid) -> Iterator[Callable[..., Scene]]:
    """Ask for a stream with a window, and wait until the runtime has the call."""
    with raw.client(grid) as client, attached(grid, "streaming_count") as runtime:
        session = raw.open_session(client).session_id

        def beginning(chunks: int = 100, size: int = 10_000, **more: bool) -> Scene:
            window = call_pb2.Window(chunks=chunks, bytes=size)
            arguments: JsonValue = {"upto": 9}
            call = raw.tool_call("streaming_count", arguments, session=session, window=window, **more)
            client.send(host_pb2.ConnectRequest(calls=[call]))
            (sent,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
            return Scene(client, runtime, sent)

        yield beginning


# ------------------------------------------------------------------------------------------------------- what is right


def test_values_pass_in_order_and_the_result_says_how_many_there_were(begin: Callable[..., Scene]) -> None:
    scene = begin()
    scene.send(b"0", b"1")
    scene.send(b"2")
    scene.end(b"0", b"1", b"2")

    result = scene.result()

    assert scene.values == [b"0", b"1", b"2"]
    assert result.result.status == adm_pb2.RESULT_STATUS_SUCCESS
    assert result.result.content == b""
    account = account_of([b"0", b"1", b"2"])
    assert (result.streamed.chunks, result.streamed.bytes) == (account.chunks, account.bytes)
    assert f"sha256:{bytes(result.streamed.digest).hex()}" == account.digest


def test_a_runtime_is_granted_what_the_client_granted_and_no_more(begin: Callable[..., Scene]) -> None:
    scene = begin(chunks=2, size=50)

    assert (scene.call.window.chunks, scene.call.window.bytes) == (2, 50)
    scene.send(b"0", b"1")
    assert scene.read(2) == [b"0", b"1"]
    scene.grant(3, 7)
    assert scene.credit() == (3, 7)
    scene.send(b"2", b"3", b"4")
    scene.end(b"0", b"1", b"2", b"3", b"4")
    assert scene.result().streamed.chunks == 5


def test_a_client_that_grants_without_measure_makes_the_host_hold_no_more(begin: Callable[..., Scene]) -> None:
    scene = begin(chunks=2**31, size=2**60)
    scene.grant(2**32 - 1, 2**63)

    assert (scene.call.window.chunks, scene.call.window.bytes) == (4096, 1024 * 1024)
    scene.send(b"0")
    assert scene.read(1) == [b"0"]
    assert scene.credit() == (1, 1)


def test_a_value_larger_than_the_window_passes_alone(begin: Callable[..., Scene]) -> None:
    scene = begin(chunks=10, size=1)
    scene.send(b"1234567")
    assert scene.read(1) == [b"1234567"]

    scene.grant(1, 7)
    assert scene.credit() == (1, 7)
    scene.send(b"89")
    assert scene.read(2) == [b"1234567", b"89"]
    scene.end(b"1234567", b"89")
    assert scene.result().streamed.chunks == 2


def test_a_client_that_leaves_cancels_the_call_and_is_told_what_became_of_it(begin: Callable[..., Scene]) -> None:
    scene = begin()
    scene.send(b"0")
    scene.read(1)
    scene.client.send(host_pb2.ConnectRequest(cancels=[call_pb2.CancelCall(tag=1)]))
    assert scene.cancelled()
    result = call_pb2.ToolResult(tag=scene.call.tag)
    result.result.status = adm_pb2.RESULT_STATUS_ERROR
    result.result.error.type, result.result.error.message, result.result.error.ran = "CANCELLED", "Left", YES
    scene.runtime.send(runtime_pb2.AttachRequest(results=[result]))

    answer = scene.result()

    assert (answer.result.error.type, answer.streamed.chunks) == ("CANCELLED", 1)


def test_a_tool_that_answers_with_one_value_gives_it_as_its_result(begin: Callable[..., Scene]) -> None:
    scene = begin()
    scene.end(content=b"[7]", totals=False)

    result = scene.result()

    assert (result.result.content, result.HasField("streamed")) == (b"[7]", False)


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("index", [0, 3, 1000])
def test_a_value_out_of_order_breaks_the_protocol_and_ends_the_call(begin: Callable[..., Scene], index: int) -> None:
    scene = begin()
    scene.send(b"0", b"1")
    scene.send(b"2", index=index)

    message = f"Value {index} of the stream came when value 2 was due"
    assert scene.failed() == ("PROTOCOL_VIOLATION", message, YES)
    assert scene.values == [b"0", b"1"]
    assert scene.cancelled()


@pytest.mark.parametrize(("chunks", "size"), [(2, 1000), (1000, 4)], ids=["chunks", "bytes"])
def test_more_than_was_granted_breaks_the_protocol(begin: Callable[..., Scene], chunks: int, size: int) -> None:
    scene = begin(chunks=chunks, size=size)
    scene.send(b"10", b"11", b"12")

    message = f"3 values of 6 bytes came, and only {chunks} of {size} bytes were granted"
    assert scene.failed() == ("PROTOCOL_VIOLATION", message, YES)
    assert scene.values == []
    assert scene.cancelled()


@pytest.mark.parametrize(
    ("payload", "code", "path"),
    [
        (b'"two"', "SCHEMA_VIOLATION", "/2"),
        (b"1,2", "SERIALIZATION_ERROR", "/2"),
        (b"2.0", "SERIALIZATION_ERROR", "/2"),
        (b"", "SERIALIZATION_ERROR", "/2"),
        (b"1]", "SERIALIZATION_ERROR", "/2"),
        (b"9" * 100_001, "MESSAGE_TOO_LARGE", "/2"),
    ],
    ids=["type", "two", "form", "nothing", "bracket", "size"],
)
def test_the_host_checks_each_value_itself_and_passes_on_those_before_it(
    begin: Callable[..., Scene], payload: bytes, code: str, path: str
) -> None:
    scene = begin(size=10**6)
    scene.send(b"0", b"1", payload, b"3")

    result = scene.result()

    assert scene.values == [b"0", b"1"]
    assert (result.result.error.type, result.result.error.field_path, result.result.error.ran) == (code, path, YES)
    assert result.streamed.chunks == 2
    assert scene.cancelled()


def test_texts_that_are_a_list_only_together_do_not_pass(begin: Callable[..., Scene]) -> None:
    scene = begin()
    scene.send(b"0", b"1,2", b"3")

    assert scene.failed()[0] == "SERIALIZATION_ERROR"
    assert scene.values == [b"0"]


@pytest.mark.parametrize("said", [(), (b"0",), (b"0", b"2"), (b"0", b"1", b"2")])
def test_a_runtime_that_says_it_sent_something_else_has_broken_the_protocol(
    begin: Callable[..., Scene], said: tuple[bytes, ...]
) -> None:
    scene = begin()
    scene.send(b"0", b"1")
    scene.end(*said)

    message = f"The other side said that it passed on {len(said)} values, and 2 came"
    assert scene.failed() == ("PROTOCOL_VIOLATION", message, YES)


def test_a_stream_that_ends_well_and_does_not_say_what_it_sent_has_broken_the_protocol(
    begin: Callable[..., Scene],
) -> None:
    scene = begin()
    scene.end(totals=False)

    message = "The other side said nothing of the values it passed on, and 0 came"
    assert scene.failed() == ("PROTOCOL_VIOLATION", message, YES)


def test_values_and_then_one_result_break_the_protocol(begin: Callable[..., Scene]) -> None:
    scene = begin()
    scene.send(b"0")
    scene.end(content=b"[0]", totals=False)

    assert scene.failed() == ("PROTOCOL_VIOLATION", "The runtime sent values and then one result", YES)


def test_values_that_nobody_asked_for_one_by_one_break_the_protocol(grid: LocalGrid) -> None:
    with raw.client(grid) as client, attached(grid, "streaming_count") as runtime:
        session = raw.open_session(client).session_id
        client.send(host_pb2.ConnectRequest(calls=[raw.tool_call("streaming_count", {"upto": 1}, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        scene = Scene(client, runtime, call)
        scene.send(b"0")

        message = "The runtime sent values of 'streaming_count' one by one, and nobody asked for that"
        assert scene.failed() == ("PROTOCOL_VIOLATION", message, YES)
        assert not call.HasField("window")
        assert scene.cancelled()


def test_values_and_credit_for_a_call_that_has_ended_are_dropped(begin: Callable[..., Scene]) -> None:
    scene = begin()
    scene.send(b"0")
    scene.end(b"0")
    scene.result()
    scene.send(b"1")
    scene.grant(1, 1)
    scene.end(b"0", b"1")
    scene.runtime.send(runtime_pb2.AttachRequest(credits=1))

    again = begin()

    again.send(b"5")
    again.end(b"5")
    assert again.result().streamed.chunks == 1
    assert again.values == [b"5"]


@pytest.mark.parametrize("window", [(0, 1), (1, 0)])
def test_a_window_that_nothing_fits_in_is_refused(grid: LocalGrid, window: tuple[int, int]) -> None:
    chunks, size = window
    with raw.client(grid) as client:
        session = raw.open_session(client).session_id
        none = call_pb2.Window(chunks=chunks, bytes=size)
        call = raw.tool_call("streaming_count", {"upto": 1}, session=session, window=none)
        client.send(host_pb2.ConnectRequest(calls=[call]))
        error = raw.result_of(client).result.error

    expected = ("PROTOCOL_VIOLATION", f"The window of the stream is {chunks} chunks and {size} bytes", NO)
    assert (error.type, error.message, error.ran) == expected


def test_the_unary_method_gives_one_result_and_says_so(grid: LocalGrid) -> None:
    call = raw.tool_call("streaming_count", {"upto": 1}, window=call_pb2.Window(chunks=1, bytes=1))

    error = raw.unary(grid, call).result.error

    assert (error.type, error.ran) == ("FEATURE_UNAVAILABLE", NO)
    assert error.message == "CallTool gives one result, and no values one by one"


def test_a_runtime_that_does_not_stream_is_not_asked_to(grid: LocalGrid) -> None:
    with raw.client(grid) as client, attached(grid, "streaming_count", capabilities=("deadline", "cancel")):
        session = raw.open_session(client).session_id
        window = call_pb2.Window(chunks=1, bytes=1)
        call = raw.tool_call("streaming_count", {"upto": 1}, session=session, window=window)
        client.send(host_pb2.ConnectRequest(calls=[call]))
        error = raw.result_of(client).result.error

    assert (error.type, error.ran) == ("FEATURE_UNAVAILABLE", NO)
    assert "'streaming'" in error.message


# ---------------------------------------------------------------------------------------------------- what stands still


def test_a_stream_that_nobody_reads_is_ended(begin: Callable[..., Scene]) -> None:
    scene = begin(chunks=1)
    scene.send(b"0")

    code, message, ran = scene.failed()

    assert (code, ran) == ("CANCELLED", YES)
    assert message.startswith("Nobody has read the values of 'streaming_count' for ")
    assert scene.cancelled()


def test_a_stream_that_brings_nothing_is_ended(begin: Callable[..., Scene]) -> None:
    scene = begin()
    scene.send(b"0")

    expected = ("TIMEOUT", "'streaming_count' had not ended when its time was up", YES)
    assert scene.failed() == expected
    assert scene.values == [b"0"]
    assert scene.cancelled()


# ------------------------------------------------------------------------------------------------- told on the way


def _progress(tag: int, done: float) -> call_pb2.CallNotice:
    return call_pb2.CallNotice(tag=tag, progress=call_pb2.Progress(done=done))


def test_what_a_tool_tells_reaches_a_client_that_listens_and_no_other(begin: Callable[..., Scene]) -> None:
    scene = begin(notices=True)
    assert scene.call.notices
    scene.runtime.send(runtime_pb2.AttachRequest(notices=[_progress(scene.call.tag, 0.5)]))
    frame = scene.client.receive(host_pb2.ConnectResponse, lambda frame: frame.notices)
    scene.end()
    scene.result()
    scene.runtime.send(runtime_pb2.AttachRequest(credits=1))
    silent = begin()
    silent.runtime.send(runtime_pb2.AttachRequest(notices=[_progress(silent.call.tag, 0.5)]))
    silent.end()
    last = silent.client.receive(host_pb2.ConnectResponse, lambda frame: frame.results)

    assert [(notice.tag, notice.progress.done) for notice in frame.notices] == [(1, 0.5)]
    assert not silent.call.notices
    assert not last.notices


def test_nothing_is_told_after_the_result_nor_of_a_call_that_never_was(begin: Callable[..., Scene]) -> None:
    scene = begin(notices=True)
    result = call_pb2.ToolResult(tag=scene.call.tag)
    result.result.status = adm_pb2.RESULT_STATUS_SUCCESS
    result.result.content = canonical([1])
    late = [_progress(scene.call.tag, 1), _progress(999_999, 1)]
    scene.runtime.send(runtime_pb2.AttachRequest(results=[result]))
    scene.runtime.send(runtime_pb2.AttachRequest(notices=late, credits=1))
    scene.result()
    silent = begin()
    silent.end()
    last = silent.client.receive(host_pb2.ConnectResponse, lambda frame: frame.results)

    assert not last.notices
