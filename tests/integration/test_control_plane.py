"""Who may see and call what on a host of the tier FOUNDATION, over real connections, and what a change takes away."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2
from altar.adm.errors import AltarError, AuthorizationError
from altar.grid import wire
from altar.testing.waiting import until
from tests.integration import foundation_tools, raw
from tests.integration.foundation_scene import OPERATOR, FoundationGrid

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    governance = {"transfer": {"required_roles": ["cashier"], "security_classification": "CONFIDENTIAL"}}
    with FoundationGrid(tmp_path_factory.mktemp("plane") / "grid", governance=governance) as made:
        for tenant in ("acme", "rival"):
            made.tenant(tenant)
            made.ask(
                "EnterpriseAuthorizationService/CreateRole",
                {"tenant_id": tenant, "name": "cashier", "permissions": ["tools/transfer:execute"]},
            )
        yield made


def test_a_tool_that_may_not_be_seen_is_refused_in_the_words_of_one_that_does_not_exist(scene: FoundationGrid) -> None:
    token = scene.person("acme", "narrow")
    scene.give("acme", "narrow", "developer", scope="sessions")
    scene.give("acme", "narrow", "developer", scope="tools/weather")

    with raw.client(scene.grid) as peer:
        created = _open(peer, token)
        answers = []
        for tag, name in enumerate(("transfer", "transfex"), 1):
            call = raw.tool_call(name, {"amount": 1}, tag=tag, session=created.session_id)
            peer.send(host_pb2.ConnectRequest(calls=[call]))
            answers.append(raw.result_of(peer, tag).result.error)

    assert ["weather"] == [contract.ref.name for contract in created.contracts]
    hidden, absent = answers
    assert "UNSUPPORTED_TOOL" == hidden.type
    assert str(absent).replace("transfex", "transfer") == str(hidden)
    scene.recorded("acme", "call.denied", "acme/narrow", "DENIED")


def test_what_a_contract_requires_is_required_and_what_changes_counts_at_once(scene: FoundationGrid) -> None:
    token = scene.person("acme", "clerk", "developer")

    with scene.session(token) as session:
        before = session.call("transfer", amount=5)
        scene.give("acme", "clerk", "cashier")
        until(lambda: "transfer" in session.tools, what="word of another contract")
        after = session.call("transfer", amount=5)

    assert before.error is not None
    assert "UNSUPPORTED_TOOL" == before.error.type
    assert 5 == after.unwrap()


def test_a_tool_cannot_call_for_its_caller_what_the_caller_may_not(scene: FoundationGrid) -> None:
    token = scene.person("acme", "intern", "developer")

    with scene.session(token) as session:
        refused = session.call("outer", amount=5)

    assert refused.error is not None
    assert "UNSUPPORTED_TOOL" == refused.error.type, refused.error
    denied = scene.recorded("acme", "call.denied", "acme/intern", "DENIED")
    assert ("tools/transfer", "UNSUPPORTED_TOOL") == (denied["resource"], denied["code"])


def test_a_tool_may_call_for_its_caller_what_the_caller_may(scene: FoundationGrid) -> None:
    token = scene.person("acme", "teller", "developer", "cashier")

    with scene.session(token) as session:
        moved = session.call("outer", amount=5)

    assert 5 == moved.unwrap()
    ended = [one["tool"] for one in _records(scene, "acme", "acme/teller") if one["event"] == "call.started"]
    assert {"outer", "transfer"} == set(ended)


def test_somebody_who_is_deactivated_loses_streams_and_sessions_at_once(scene: FoundationGrid) -> None:
    token = scene.person("acme", "leaver", "developer")

    with raw.client(scene.grid) as peer:
        session = _open(peer, token).session_id
        window = call_pb2.Window(chunks=1000, bytes=1 << 20)
        call = raw.tool_call("numbers", {"count": 5000}, session=session, remaining_ms=60_000, window=window)
        peer.send(host_pb2.ConnectRequest(calls=[call]))
        peer.receive(host_pb2.ConnectResponse, lambda frame: frame.stream_chunks)
        wanted = {"tenant_id": "acme", "principal_id": "acme/leaver", "active": False}
        scene.ask("EnterpriseIdentityService/SetPrincipalActive", wanted)
        ended = raw.result_of(peer)
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("weather", {"city": "x"}, tag=2, session=session)]))
        refused = raw.result_of(peer, 2)

    assert "INVALID_CREDENTIALS" == ended.result.error.type
    assert ended.streamed.chunks < 5000
    assert "INVALID_SESSION" == refused.result.error.type
    scene.recorded("acme", "session.closed", "", "")


def test_the_runtime_of_a_tenant_gets_the_calls_of_that_tenant_and_of_no_other(scene: FoundationGrid) -> None:
    acme, rival = scene.person("acme", "anna", "developer"), scene.person("rival", "rita", "developer")
    scene.grid.kill_runtime(1)
    files = scene.grid.authority.issue("runtime", "own", scene.directory / "certificates", tenant="rival")

    with raw.stream(scene.grid, files, "/altar.grid.v1.RuntimeService/Attach") as peer:
        _fulfil(peer, "own")
        with raw.client(scene.grid, "one") as foreign, raw.client(scene.grid, "two") as own:
            _call_weather(foreign, _open(foreign, acme).session_id, remaining_ms=1500)
            _call_weather(own, _open(own, rival).session_id, remaining_ms=20_000)
            frame = peer.receive(runtime_pb2.AttachResponse, lambda each: each.calls)
            late = raw.result_of(foreign)

    scene.grid.start_runtime(1)
    assert ["rival/rita"] == [call.principal for call in frame.calls]
    assert late.result.error.type in {"TIMEOUT", "DEPENDENCY_UNAVAILABLE"}


def test_a_runtime_cannot_act_as_its_last_caller_when_the_call_has_ended(scene: FoundationGrid) -> None:
    token = scene.person("acme", "victim", "developer", "cashier")
    scene.grid.kill_runtime(1)

    with raw.runtime(scene.grid, "evil") as peer, raw.client(scene.grid) as client:
        _fulfil(peer, "evil", "nested")
        _call_weather(client, _open(client, token).session_id)
        taken = peer.receive(runtime_pb2.AttachResponse, lambda each: each.calls).calls[0]
        result = call_pb2.ToolResult(tag=taken.tag)
        result.result.status = adm_pb2.RESULT_STATUS_SUCCESS
        result.result.content = b'"done"'
        peer.send(runtime_pb2.AttachRequest(results=[result]))
        raw.result_of(client)
        stolen = raw.tool_call("transfer", {"amount": 9}, tag=77, parent_tag=taken.tag)
        peer.send(runtime_pb2.AttachRequest(nested_calls=[stolen]))
        refused = peer.receive(runtime_pb2.AttachResponse, lambda each: each.nested_results).nested_results[0]

    scene.grid.start_runtime(1)
    assert "INVALID_SESSION" == refused.result.error.type


def test_a_key_that_was_narrowed_may_do_no_more_than_that(scene: FoundationGrid) -> None:
    scene.person("acme", "robot", "developer", "cashier")
    wanted = {"tenant_id": "acme", "principal_id": "robot", "scopes": ["sessions:create", "tools/weather:*"]}
    key = scene.ask("EnterpriseIdentityService/CreateApiKey", wanted)["api_key"]

    with scene.session(key) as session:
        tools = list(session.tools)
        allowed = session.call("weather", city="Linz")

    assert ["weather"] == tools
    assert "sunny in Linz" == allowed.unwrap()


def test_a_certificate_that_nobody_made_a_principal_may_do_nothing(scene: FoundationGrid) -> None:
    with pytest.raises(AuthorizationError) as refused, scene.grid.session():
        pass

    assert "INVALID_CREDENTIALS" == refused.value.code


def test_a_suspended_tenant_gets_no_answer_and_a_resumed_one_does(scene: FoundationGrid) -> None:
    token = scene.person("rival", "sam", "developer")

    with scene.session(token) as session:
        scene.ask("EnterpriseTenantService/SuspendTenant", {"tenant_id": "rival"})
        suspended = session.call("weather", city="Wels")
        scene.ask("EnterpriseTenantService/ResumeTenant", {"tenant_id": "rival"})
        until(lambda: session.call("weather", city="Wels").error is None, what="an answer for the resumed tenant")

    assert suspended.error is not None
    assert suspended.error.type in {"TENANT_SUSPENDED", "UNSUPPORTED_TOOL"}


def test_a_tenant_makes_no_more_calls_than_its_quota(scene: FoundationGrid) -> None:
    scene.tenant("small", quotas={"calls_per_minute": 2, "sessions": 1})
    token = scene.person("small", "sue", "developer")

    with scene.session(token) as session:
        codes = [getattr(session.call("weather", city="x").error, "type", "") for _ in range(3)]
        with pytest.raises(AltarError) as full, scene.session(token):
            pass

    assert ["", "", "RATE_LIMIT_EXCEEDED"] == codes
    assert "RATE_LIMIT_EXCEEDED" == full.value.code


def test_nobody_gives_more_than_they_have(scene: FoundationGrid) -> None:
    scene.ask(
        "EnterpriseAuthorizationService/CreateRole",
        {"tenant_id": "acme", "name": "binder", "permissions": ["bindings:create", "roles:create"]},
    )
    token = scene.person("acme", "climber", "binder")

    for method, request in (
        ("EnterpriseAuthorizationService/AssignRole", {"role": "admin", "principal_id": "climber"}),
        ("EnterpriseAuthorizationService/CreateRole", {"name": "mine", "permissions": ["*"]}),
        ("EnterpriseAuthorizationService/CreateRole", {"name": "mine", "inherits": ["admin"]}),
    ):
        with pytest.raises(AuthorizationError) as refused:
            scene.ask(method, request, credential=token)
        assert "PERMISSION_DENIED" == refused.value.code


def test_the_operator_is_recorded_where_it_acts(scene: FoundationGrid) -> None:
    scene.person("acme", "temp")
    scene.ask("EnterpriseIdentityService/DeletePrincipal", {"tenant_id": "acme", "principal_id": "temp"})

    entry = scene.recorded("acme", "admin.principal_delete", f"{OPERATOR}/root", "SUCCESS")

    assert ("principals/temp", "delete") == (entry["resource"], entry["action"])


def _records(scene: FoundationGrid, tenant: str, principal: str) -> list[dict[str, Any]]:
    """The whole records of a principal, the newest first."""
    return [json.loads(base64.b64decode(one["record"])) for one in scene.events(tenant, principal_id=principal)]


def _open(peer: raw.Stream, token: str) -> host_pb2.SessionCreated:
    wanted = host_pb2.CreateSession(tag=1, credential=token.encode())
    peer.send(host_pb2.ConnectRequest(hello=raw.HELLO, create_sessions=[wanted]))
    return peer.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_created).sessions_created[0]


def _call_weather(peer: raw.Stream, session: str, *, remaining_ms: int = 20_000) -> None:
    call = raw.tool_call("weather", {"city": "Graz"}, session=session, remaining_ms=remaining_ms)
    peer.send(host_pb2.ConnectRequest(calls=[call]))


def _fulfil(peer: raw.Stream, name: str, *capabilities: str) -> None:
    """Attach by hand as a runtime that fulfils `weather`, with room for four calls."""
    tool = foundation_tools.weather
    ref = call_pb2.ContractRef(name=tool.name, version=tool.version, digest=wire.digest_to_wire(tool.digest))
    peer.send(
        runtime_pb2.AttachRequest(
            announce=runtime_pb2.AnnounceRuntime(
                runtime_id=name,
                language="raw",
                sdk_version="0",
                protocol_versions=["1.0"],
                capabilities=capabilities,
                concurrency=4,
            ),
            fulfill=runtime_pb2.FulfillTools(contracts=[ref]),
            credits=4,
        )
    )
    peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("fulfilled"))
