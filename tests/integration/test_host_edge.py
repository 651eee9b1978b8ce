"""What a host answers to peers that break the rules: clients and runtimes that speak the wire by hand."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2
from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.grid.trust.authority import Authority
from altar.grid.trust.certificates import Role
from altar.testing import LocalGrid, until
from tests.integration import raw, tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    settings = {"host.heartbeat": 1, "host.max_message_bytes": 100_000}
    with LocalGrid([tools.__file__], runtimes=0, settings=settings) as running:
        yield running
        stop_and_audit(running)


def closing_of(peer: raw.Stream) -> tuple[str, str]:
    """Code and message of the host's last frame."""
    frame = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.HasField("closing"))
    return frame.closing.type, frame.closing.message


def told(result: call_pb2.ToolResult) -> tuple[str, str, int]:
    error = result.result.error
    assert result.result.status == adm_pb2.RESULT_STATUS_ERROR
    return error.type, error.message, error.ran


def contracts(grid: LocalGrid, *names: str) -> list[call_pb2.ContractRef]:
    """The contracts of the host, as a runtime that has them would name them."""
    with raw.client(grid) as peer:
        created = raw.open_session(peer, *names)
    return [contract.ref for contract in created.contracts]


NO, YES, UNKNOWN = adm_pb2.RAN_NO, adm_pb2.RAN_YES, adm_pb2.RAN_UNKNOWN

# ------------------------------------------------------------------------------------------------- broken envelopes


@pytest.mark.parametrize("frame", [b"\xff\xff\xff", b"\x0a\x05abc", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_frame_that_is_none_closes_its_own_stream_and_nothing_else(grid: LocalGrid, frame: bytes) -> None:
    with raw.client(grid, "good") as good, raw.client(grid, "bad") as bad:
        session = raw.open_session(good, "add").session_id
        raw.open_session(bad, "add")
        bad.send(frame)

        assert closing_of(bad) == ("PROTOCOL_VIOLATION", "The frame is not a message of this protocol")

        good.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nope", {}, session=session)]))
        assert told(raw.result_of(good))[0] == "UNSUPPORTED_TOOL"
    assert grid.host is not None
    assert grid.host.alive
    assert "Traceback" not in grid.host.log


def test_a_first_frame_without_hello_is_refused(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        peer.send(host_pb2.ConnectRequest())

        code, message = closing_of(peer)

    assert (code, message) == ("VERSION_MISMATCH", "This host speaks protocol 1.0; the other side offers none")


def test_a_second_hello_closes_the_stream(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        raw.open_session(peer)
        peer.send(host_pb2.ConnectRequest(hello=raw.HELLO))

        expected = ("PROTOCOL_VIOLATION", "The hello belongs in the first frame, and only there")
        assert closing_of(peer) == expected


def test_a_call_without_time_is_refused(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer).session_id
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nothing", {}, session=session, remaining_ms=0)]))

        expected = ("PROTOCOL_VIOLATION", "The call says no time that is left for it (remaining_ms is 0)", NO)
        assert told(raw.result_of(peer)) == expected


def test_a_tag_that_is_in_use_ends_the_stream(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer).session_id
        call = raw.tool_call("nothing", {}, session=session, remaining_ms=200)
        peer.send(host_pb2.ConnectRequest(calls=[call, call]))

        assert closing_of(peer) == ("PROTOCOL_VIOLATION", "Tag 1 is in use")
        assert peer.results == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (b'{"a": 1}', "SERIALIZATION_ERROR"),
        (b'{"b":1,"a":1}', "SERIALIZATION_ERROR"),
        (b'{"a":1,"a":2}', "SERIALIZATION_ERROR"),
        (b"not json", "SERIALIZATION_ERROR"),
        (b"", "SERIALIZATION_ERROR"),
        (b"[]", "INVALID_TOOL_ARGS"),
        (b'{"a":"x"}', "INVALID_TOOL_ARGS"),
        (b'{"a":"' + b"x" * 100_001 + b'"}', "MESSAGE_TOO_LARGE"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_host_reads_arguments_itself_and_believes_no_client(grid: LocalGrid, arguments: bytes, code: str) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer).session_id
        call = raw.tool_call("add", {}, session=session)
        call.call.args = arguments
        peer.send(host_pb2.ConnectRequest(calls=[call]))

        told_code, message, ran = told(raw.result_of(peer))

    assert (told_code, ran) == (code, NO)
    assert message


# -------------------------------------------------------------------------------------------------- sessions and trust


def test_a_session_is_held_to_the_tools_it_was_opened_with(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        created = raw.open_session(peer, "add", "echo")
        assert [contract.ref.name for contract in created.contracts] == ["add", "echo"]
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nothing", {}, session=created.session_id)]))

        expected = ("UNSUPPORTED_TOOL", "Tool 'nothing' is not in this session", NO)
        assert told(raw.result_of(peer)) == expected


def test_a_tool_outside_the_session_and_one_that_never_was_are_refused_in_the_same_words(
    grid: LocalGrid,
) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer, "add").session_id
        calls = [
            raw.tool_call("zzzzz", {}, tag=1, session=session),
            raw.tool_call("length", {}, tag=2, session=session),
        ]
        peer.send(host_pb2.ConnectRequest(calls=calls))
        absent, hidden = raw.result_of(peer, 1), raw.result_of(peer, 2)

    assert absent.result.error.hint == hidden.result.error.hint
    assert absent.result.error.message.replace("zzzzz", "length") == hidden.result.error.message


def test_the_session_of_another_principal_is_answered_as_one_that_never_was(grid: LocalGrid) -> None:
    with raw.client(grid, "owner") as owner, raw.client(grid, "other") as other:
        session = raw.open_session(owner).session_id
        raw.open_session(other)
        calls = [
            raw.tool_call("nothing", {}, tag=1, session=session),
            raw.tool_call("nothing", {}, tag=2, session="session-" + "0" * 32),
        ]
        other.send(host_pb2.ConnectRequest(calls=calls))

        answers = {told(raw.result_of(other, tag)) for tag in (1, 2)}

    assert answers == {("INVALID_SESSION", "There is no such session", NO)}


def test_a_contract_that_is_not_the_hosts_is_refused(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer).session_id
        call = raw.tool_call("nothing", {}, session=session, contract_digest=b"\x01" * 32)
        peer.send(host_pb2.ConnectRequest(calls=[call]))

        expected = ("VERSION_MISMATCH", "The contract of 'nothing' is not the one the caller knows", NO)
        assert told(raw.result_of(peer)) == expected


@pytest.mark.parametrize(("role", "peer_of"), [("runtime", "client"), ("client", "runtime"), ("host", "client")])
def test_a_certificate_of_another_role_is_refused(grid: LocalGrid, role: Role, peer_of: str) -> None:
    from altar.grid.trust.tls import require_tls13

    require_tls13()
    import grpc

    service = "HostService/Connect" if peer_of == "client" else "RuntimeService/Attach"
    files = grid.certificate(role, "elsewhere")
    with raw.stream(grid, files, f"/altar.grid.v1.{service}") as peer:
        peer.send(host_pb2.ConnectRequest(hello=raw.HELLO))
        with pytest.raises(grpc.RpcError) as refused:
            peer.receive(host_pb2.ConnectResponse)

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    expected = f"A certificate of role '{role}' may not connect as a {peer_of} (PERMISSION_DENIED)"
    assert refused.value.details() == expected


async def test_a_session_with_a_runtimes_certificate_says_so(grid: LocalGrid) -> None:
    import altar

    files = grid.certificate("runtime", "confused")
    options = {"certificate": files.certificate, "key": files.key, "authority": files.authority}

    with pytest.raises(altar.AuthorizationError, match="role 'runtime' may not connect as a client") as refused:
        async with grid.session(options=options):
            pass

    assert (refused.value.code, refused.value.ran) == ("PERMISSION_DENIED", "no")


def test_a_runtime_may_only_call_itself_what_its_certificate_says(grid: LocalGrid) -> None:
    with raw.runtime(grid, "honest") as peer:
        peer.send(
            runtime_pb2.AttachRequest(
                announce=runtime_pb2.AnnounceRuntime(runtime_id="liar", protocol_versions=["1.0"])
            )
        )
        frame = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("closing"))

    assert frame.closing.type == "PERMISSION_DENIED"
    assert frame.closing.message == "The certificate is for 'honest', and the runtime calls itself 'liar'"


def test_a_process_that_a_newer_one_of_its_name_replaced_is_told_so_when_it_comes_back(grid: LocalGrid) -> None:
    def attached(instance: str) -> str | None:
        with raw.runtime(grid, "twin") as peer:
            announce = runtime_pb2.AnnounceRuntime(runtime_id="twin", protocol_versions=["1.0"], instance_id=instance)
            peer.send(runtime_pb2.AttachRequest(announce=announce))
            frame = peer.receive(
                runtime_pb2.AttachResponse, lambda frame: frame.HasField("announced") or frame.HasField("closing")
            )
            return str(frame.closing.type) if frame.HasField("closing") else None

    assert [None, None, "RUNTIME_CRASH", None] == [attached(instance) for instance in ("one", "two", "one", "two")]
    assert "MALFORMED_REQUEST" == attached("x" * 65)


def test_a_stream_ends_when_its_certificate_does(grid: LocalGrid, tmp_path: Path) -> None:
    lifetime = timedelta(hours=1)
    began = datetime.now(UTC) - lifetime + timedelta(seconds=6)  # six seconds to connect in, and it ends
    files = grid.authority.issue("client", "brief", tmp_path, lifetime=lifetime, not_before=began)
    with raw.stream(grid, files, "/altar.grid.v1.HostService/Connect") as peer:
        raw.open_session(peer)

        assert closing_of(peer) == ("INVALID_CREDENTIALS", "The certificate of 'brief' has ended")


# ------------------------------------------------------------------------------------------ runtimes spoken by hand


def test_a_call_for_which_there_is_no_runtime_says_so(grid: LocalGrid) -> None:
    result = raw.unary(grid, raw.tool_call("nothing", {}))

    assert told(result) == ("DEPENDENCY_UNAVAILABLE", "No runtime fulfils 'nothing' at the moment", NO)
    assert result.result.error.retry_after_ms == 1000


def test_a_call_that_waits_for_a_runtime_runs_when_one_comes(grid: LocalGrid) -> None:
    refs = contracts(grid, "nothing")
    with raw.client(grid) as peer, raw.runtime(grid, "late") as runtime:
        session = raw.open_session(peer).session_id
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nothing", {}, session=session)]))
        raw.announce(runtime, "late", refs)
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        runtime.send(runtime_pb2.AttachRequest(results=[_success(call, None)]))

        assert raw.result_of(peer).result.content == b"null"
        assert 0 < call.remaining_ms <= 20_000


def test_a_runtime_that_answers_twice_or_what_nobody_asked_is_ignored(grid: LocalGrid) -> None:
    refs = contracts(grid, "echo")
    with raw.client(grid) as peer, raw.runtime(grid, "chatty") as runtime:
        session = raw.open_session(peer).session_id
        raw.announce(runtime, "chatty", refs)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("echo", {"value": 1}, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        unknown = call_pb2.ToolCall()
        unknown.CopyFrom(call)
        unknown.tag = 999_999
        answers = [_success(unknown, "unknown"), _success(call, "first"), _success(call, "second")]
        runtime.send(runtime_pb2.AttachRequest(results=answers, credits=1))
        assert raw.result_of(peer).result.content == b'"first"'

        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("echo", {"value": 2}, tag=2, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        runtime.send(runtime_pb2.AttachRequest(results=[_success(call, "third")]))
        assert raw.result_of(peer, 2).result.content == b'"third"'


@pytest.mark.parametrize(
    ("content", "code"),
    [(b'"seven"', "SCHEMA_VIOLATION"), (b"7.0", "SERIALIZATION_ERROR"), (b"", "SERIALIZATION_ERROR")],
)
def test_the_host_checks_results_itself_and_believes_no_runtime(grid: LocalGrid, content: bytes, code: str) -> None:
    refs = contracts(grid, "breaks_its_promise")
    with raw.client(grid) as peer, raw.runtime(grid, "liar") as runtime:
        session = raw.open_session(peer).session_id
        raw.announce(runtime, "liar", refs)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("breaks_its_promise", {}, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        answer = _success(call, None)
        answer.result.content = content
        runtime.send(runtime_pb2.AttachRequest(results=[answer]))

        told_code, _, ran = told(raw.result_of(peer))

    assert (told_code, ran) == (code, YES)


def test_a_result_beyond_the_limit_is_refused_by_the_host_itself(grid: LocalGrid) -> None:
    refs = contracts(grid, "echo")
    with raw.client(grid) as peer, raw.runtime(grid, "verbose") as runtime:
        session = raw.open_session(peer).session_id
        raw.announce(runtime, "verbose", refs)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("echo", {"value": 1}, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        runtime.send(runtime_pb2.AttachRequest(results=[_success(call, "x" * 100_000)]))

        message = "The contents of the result are 100002 bytes and the limit is 100000"
        assert told(raw.result_of(peer)) == ("MESSAGE_TOO_LARGE", message, YES)


def test_a_flood_of_contracts_is_logged_once_and_their_names_are_cut(grid: LocalGrid) -> None:
    refs = [call_pb2.ContractRef(name=f"{number:03}" + "x" * 1000, version="1.0.0") for number in range(300)]
    with raw.runtime(grid, "flood") as runtime:
        fulfilled = raw.announce(runtime, "flood", refs)

    assert [ref.name[:128] for ref in refs] == [rejected.contract.name for rejected in fulfilled.rejected]
    assert grid.host is not None
    lines = [line for line in grid.host.log.splitlines() if "fulfilment refused" in line and '"flood"' in line]
    assert [300] == [json.loads(line)["tools"] for line in lines]


def test_a_runtime_that_leaves_loses_no_call_that_was_on_its_way(grid: LocalGrid) -> None:
    refs = contracts(grid, "nothing")
    with raw.client(grid) as peer, raw.runtime(grid, "leaving") as runtime:
        session = raw.open_session(peer).session_id
        raw.announce(runtime, "leaving", refs)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nothing", {}, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        runtime.send(runtime_pb2.AttachRequest(drain=runtime_pb2.Drain()))
        runtime.send(runtime_pb2.AttachRequest(results=[_success(call, None)]))

        assert raw.result_of(peer).result.content == b"null"
        with pytest.raises(StopIteration):  # the host hangs up, and says nothing is wrong
            runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("closing"))


def test_a_result_without_a_status_is_never_a_success(grid: LocalGrid) -> None:
    refs = contracts(grid, "nothing")
    with raw.client(grid) as peer, raw.runtime(grid, "mute") as runtime:
        session = raw.open_session(peer).session_id
        raw.announce(runtime, "mute", refs)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nothing", {}, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        runtime.send(runtime_pb2.AttachRequest(results=[call_pb2.ToolResult(tag=call.tag)]))

        expected = ("PROTOCOL_VIOLATION", "The result came without a status", UNKNOWN)
        assert told(raw.result_of(peer)) == expected


def test_a_runtime_that_sends_no_frame_is_told_so_and_its_calls_are_closed(grid: LocalGrid) -> None:
    refs = contracts(grid, "nothing")
    with raw.client(grid) as peer, raw.runtime(grid, "broken") as runtime:
        session = raw.open_session(peer).session_id
        raw.announce(runtime, "broken", refs)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nothing", {}, session=session)]))
        runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls)
        runtime.send(b"\xff\xff\xff")
        frame = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("closing"))

        assert frame.closing.type == "PROTOCOL_VIOLATION"
        assert told(raw.result_of(peer))[0] == "RUNTIME_CRASH"


def test_a_session_with_calls_in_flight_is_destroyed_only_by_force(grid: LocalGrid) -> None:
    refs = contracts(grid, "nothing")
    with raw.client(grid) as peer, raw.runtime(grid, "slow") as runtime:
        session = raw.open_session(peer).session_id
        raw.announce(runtime, "slow", refs)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("nothing", {}, session=session)]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls

        def destroy(*, force: bool) -> adm_pb2.ErrorObject:
            wanted = host_pb2.DestroySession(tag=5, session_id=session, force=force)
            peer.send(host_pb2.ConnectRequest(destroy_sessions=[wanted]))
            frame = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_destroyed)
            return frame.sessions_destroyed[0].error

        refused = destroy(force=False)
        assert (refused.type, refused.message) == ("INVALID_SESSION", "The session has calls in flight: 1")
        assert not destroy(force=True).type

        (cancel,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.cancels).cancels
        assert cancel.tag == call.tag
        runtime.send(runtime_pb2.AttachRequest(results=[_success(call, None)]))
        assert raw.result_of(peer).result.content == b"null"


def test_a_unary_call_is_a_frame_of_one(grid: LocalGrid) -> None:
    refs = contracts(grid, "echo")
    with raw.runtime(grid, "one") as runtime:
        raw.announce(runtime, "one", refs)
        answer = call_pb2.ToolResult()

        import threading

        thread = threading.Thread(
            target=lambda: answer.CopyFrom(raw.unary(grid, raw.tool_call("echo", {"value": [1]})))
        )
        thread.start()
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        runtime.send(runtime_pb2.AttachRequest(results=[_success(call, {"got": 1})]))
        thread.join()

    assert (answer.result.call_id, answer.result.content) == ("raw-1", b'{"got":1}')
    assert call.call.args == b'{"value":[1]}'
    assert answer.invocation_id == call.invocation_id


# ------------------------------------------------------------------------------------------------------- silence


async def test_a_runtime_that_stops_breathing_is_detached_and_its_calls_go_elsewhere(
    grid: LocalGrid, tmp_path: Path
) -> None:
    await asyncio.to_thread(grid.start_runtime, 1)
    stopped = grid.runtimes[1]
    async with grid.session() as session:
        again = asyncio.create_task(session.call("held", directory=str(tmp_path), name="a"))
        once = asyncio.create_task(session.call("held_once", directory=str(tmp_path), name="b"))
        await asyncio.to_thread(until, lambda: len(list(tmp_path.iterdir())) == 2, what="both began")
        await asyncio.to_thread(grid.start_runtime, 2)
        stopped.send(signal.SIGSTOP)
        (tmp_path / "go").touch()

        lost, moved = await once, await again

        attached = len(stopped.announced)
        stopped.send(signal.SIGCONT)
        await asyncio.to_thread(stopped.ready, attached + 1)
        assert (await session.call("add", a=1)).unwrap() == 2

    assert moved.unwrap() == "a"
    assert lost.error is not None
    assert (lost.error.type, lost.error.ran) == ("RUNTIME_CRASH", "unknown")


def _success(call: call_pb2.ToolCall, value: object) -> call_pb2.ToolResult:
    result = call_pb2.ToolResult(tag=call.tag, invocation_id=call.invocation_id)
    result.result.call_id, result.result.name = call.call.call_id, call.call.name
    result.result.status = adm_pb2.RESULT_STATUS_SUCCESS
    result.result.content = canonical(value)  # type: ignore[arg-type]  # the tests give JSON
    return result


def test_a_host_that_trusts_two_authorities_serves_the_principals_of_its_own_domain_only(tmp_path: Path) -> None:
    partner = Authority.create(tmp_path / "partner", trust_domain="partner.example")
    stranger = partner.issue("client", "client-1", tmp_path / "strangers")
    bundle = tmp_path / "bundle.pem"
    grid = LocalGrid([tools.__file__], runtimes=0, directory=tmp_path, settings={"host.tls.authority": bundle})
    grid.prepare()
    bundle.write_bytes(grid.client.authority.read_bytes() + stranger.authority.read_bytes())
    foreign = {"certificate": stranger.certificate, "key": stranger.key, "authority": grid.client.authority}

    try:
        grid.start_host()
        with grid.session(["add"]) as own:
            seen = own.tools
        with pytest.raises(AltarError, match="foreign to this grid") as refused, grid.session(options=foreign):
            pass
    finally:
        grid.stop()

    assert ["add"] == seen
    assert "INVALID_CREDENTIALS" == refused.value.code
