"""What a key or token opened ends with it: real processes, one host of the tier FOUNDATION."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from altar._proto.altar.grid.v1 import host_pb2
from altar.later.front import SyncSession
from tests.integration import raw
from tests.integration.foundation_scene import FoundationGrid

IDENTITY = "EnterpriseIdentityService"
AUTHENTICATION = "EnterpriseAuthenticationService"
REFUSALS = {"INVALID_CREDENTIALS", "INVALID_SESSION"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    with FoundationGrid(tmp_path_factory.mktemp("grid")) as made:
        made.tenant("acme")
        made.tenant("rival")
        yield made


def service(scene: FoundationGrid, name: str) -> tuple[str, str]:
    """A service account that may call tools: its key, and the id of the key."""
    request = {"tenant_id": "acme", "name": name, "roles": ["developer"]}
    made = scene.ask(f"{IDENTITY}/CreateServiceAccount", request)
    return str(made["api_key"]), str(made["key"]["key_id"])


def code(session: SyncSession) -> str:
    """What a call in a session is refused with; empty when it is not."""
    error = session.call("weather", city="Graz").error
    return "" if error is None else str(error.type)


def test_a_session_ends_when_the_key_that_opened_it_is_revoked(scene: FoundationGrid) -> None:
    key, key_id = service(scene, "leaked")

    with scene.session(key) as session:
        before = code(session)
        scene.ask(f"{IDENTITY}/RevokeApiKey", {"tenant_id": "acme", "key_id": key_id})
        after = code(session)

    assert "" == before
    assert after in REFUSALS


def test_a_session_ends_when_the_token_that_opened_it_is_revoked(scene: FoundationGrid) -> None:
    token = scene.person("acme", "ann", "developer")

    with scene.session(token) as session:
        before = code(session)
        scene.ask(f"{AUTHENTICATION}/RevokeToken", {"token": token}, credential="")
        after = code(session)

    assert "" == before
    assert after in REFUSALS


def test_a_session_does_not_pass_to_whoever_gets_the_name_of_its_principal(scene: FoundationGrid) -> None:
    key, _ = service(scene, "heir")

    with scene.session(key) as session:
        before = code(session)
        scene.ask(f"{IDENTITY}/DeletePrincipal", {"tenant_id": "acme", "principal_id": "svc:heir"})
        service(scene, "heir")
        after = code(session)

    assert "" == before
    assert after in REFUSALS


def open_with(peer: raw.Stream, key: str, *, session_id: str = "", hello: bool = True) -> host_pb2.SessionCreated:
    """Open a session in the name of a key, or take one up."""
    wanted = host_pb2.CreateSession(tag=7, credential=key.encode(), session_id=session_id)
    frame = host_pb2.ConnectRequest(create_sessions=[wanted])
    if hello:
        frame.hello.CopyFrom(raw.HELLO)
    peer.send(frame)
    return peer.receive(host_pb2.ConnectResponse, lambda one: one.sessions_created).sessions_created[0]


def refusal_of(peer: raw.Stream, session_id: str, tag: int) -> str:
    """The code that a call is refused with; empty when it is not."""
    call = raw.tool_call("weather", {"city": "Graz"}, tag=tag, session=session_id)
    peer.send(host_pb2.ConnectRequest(calls=[call]))
    return str(raw.result_of(peer, tag).result.error.type)


def test_a_stream_with_a_revoked_key_calls_in_no_session_of_its_principal(scene: FoundationGrid) -> None:
    leaked, key_id = service(scene, "two-keys")
    request = {"tenant_id": "acme", "principal_id": "svc:two-keys"}
    other = str(scene.ask(f"{IDENTITY}/CreateApiKey", request)["api_key"])

    with raw.client(scene.grid, "owner") as owner, raw.client(scene.grid, "thief") as thief:
        session_id = open_with(owner, other).session_id
        open_with(thief, leaked, session_id=session_id)
        open_with(owner, other, session_id=session_id, hello=False)  # the owner's key is the one that holds it
        before = refusal_of(thief, session_id, 1)
        scene.ask(f"{IDENTITY}/RevokeApiKey", {"tenant_id": "acme", "key_id": key_id})
        after = refusal_of(thief, session_id, 2)
        again = open_with(thief, leaked, session_id=session_id, hello=False).error.type
        unharmed = refusal_of(owner, session_id, 3)

    assert ("", "INVALID_CREDENTIALS", "INVALID_CREDENTIALS", "") == (before, after, again, unharmed)


def test_a_namesake_of_another_tenant_neither_takes_up_nor_uses_a_session(scene: FoundationGrid) -> None:
    mine, _ = service(scene, "same")
    made = scene.ask(f"{IDENTITY}/CreateServiceAccount", {"tenant_id": "rival", "name": "same", "roles": ["developer"]})
    theirs = str(made["api_key"])

    with raw.client(scene.grid, "mine") as owner, raw.client(scene.grid, "theirs") as rival:
        session_id = open_with(owner, mine).session_id
        own = open_with(rival, theirs).session_id
        taken = open_with(rival, theirs, session_id=session_id, hello=False).error
        absent = open_with(rival, theirs, session_id="0" * len(session_id), hello=False).error
        used = refusal_of(rival, session_id, 1)
        allowed = refusal_of(rival, own, 2)

    assert taken.type == absent.type == "INVALID_SESSION"
    assert taken.message.replace(session_id, "") == absent.message.replace("0" * len(session_id), "")
    assert used in REFUSALS
    assert "" == allowed
