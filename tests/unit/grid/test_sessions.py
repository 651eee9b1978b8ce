"""Sessions on the host: bound to a principal, living as long as they are used."""

from __future__ import annotations

from datetime import timedelta

import pytest

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.grid.host import sessions
from altar.grid.host.sessions import HostCatalog, Sessions
from altar.later.invocation import Invocation
from altar.testing import FakeClock
from tests.unit.grid.contracts import MANIFEST


class Place:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sessions = Sessions(
            default_ttl=timedelta(seconds=10),
            max_ttl=timedelta(seconds=60),
            per_principal=3,
            clock=self.clock,
        )
        self.catalog = HostCatalog(MANIFEST, self.sessions)

    def open(self, *tools: str, principal: str = "alice", ttl: float = 0) -> str:
        return self.sessions.create(principal, tools, ttl=ttl, manifest=MANIFEST).session_id

    def call(self, session: str, name: str = "add", *, principal: str = "alice", digest: str = "") -> Invocation:
        made = Invocation(name, b'{"n":1}', "c", principal=principal, session_id=session, known_digest=digest)
        self.catalog.find(made)
        return made


@pytest.fixture
def place() -> Place:
    return Place()


def test_an_id_is_long_and_never_given_twice(place: Place) -> None:
    ids = {place.open(principal=f"p{number}") for number in range(100)}

    assert len(ids) == 100
    assert all(len(session) == len("session-") + 32 for session in ids)


@pytest.mark.parametrize(("asked", "given"), [(0, 10), (5, 5), (3600, 60)])
def test_a_lifetime_is_capped_and_has_a_default(place: Place, asked: float, given: float) -> None:
    assert place.sessions.create("alice", (), ttl=asked, manifest=MANIFEST).ttl == given


def test_a_session_with_a_tool_that_does_not_exist_is_not_opened(place: Place) -> None:
    with pytest.raises(ValidationError, match="'ad' is not"):
        place.open("add", "ad")
    assert len(place.sessions) == 0


def test_a_principal_has_so_many_sessions_and_no_more(place: Place) -> None:
    opened = [place.open() for _ in range(3)]

    with pytest.raises(AuthorizationError) as refused:
        place.open()
    assert refused.value.code == "RATE_LIMIT_EXCEEDED"
    place.open(principal="bob")
    place.sessions.destroy(opened[0], "alice", force=False)
    place.open()


def test_sessions_that_have_expired_are_counted_no_more(place: Place) -> None:
    for _ in range(3):
        place.open()
    place.clock.advance(10)

    place.sessions.sweep()

    assert len([place.open() for _ in range(3)]) == 3
    with pytest.raises(AuthorizationError, match="which is the limit"):
        place.open()


def test_the_contract_and_its_version_are_filled_in(place: Place) -> None:
    invocation = place.call(place.open())

    assert invocation.version == "1.10.0"


def test_a_tool_outside_the_session_is_refused_as_one_that_never_was(place: Place) -> None:
    session = place.open("add")

    with pytest.raises(ValidationError) as hidden:
        place.call(session, "look")
    with pytest.raises(ValidationError) as absent:
        place.call(session, "loop")
    assert hidden.value.code == absent.value.code == "UNSUPPORTED_TOOL"
    assert hidden.value.message == absent.value.message.replace("loop", "look")
    assert hidden.value.hint == absent.value.hint


def test_a_session_may_call_the_versions_it_was_opened_with(place: Place) -> None:
    session = place.open("add@<1.10")
    made = Invocation("add", b'{"n":1}', "c", principal="alice", session_id=session, version="^1.10")

    assert place.call(session).version == "1.9.0"
    with pytest.raises(ValidationError) as refused:
        place.catalog.find(made)
    assert (refused.value.code, refused.value.hint) == ("VERSION_MISMATCH", "there is 1.9.0, 1.0.0")


def test_a_session_does_not_name_one_contract_in_ever_more_ways(place: Place) -> None:
    ranges = [f"look@>=0.{minor}" for minor in range(100)]

    place.open(*ranges[:8])
    with pytest.raises(ValidationError, match="names 1 contracts in 100 ways"):
        place.open(*ranges)


@pytest.mark.parametrize("tool", ["add@^2", "add@newest"])
def test_a_session_with_a_range_that_nothing_satisfies_is_not_opened(place: Place, tool: str) -> None:
    with pytest.raises(ValidationError) as refused:
        place.open(tool)
    assert refused.value.code == "VERSION_MISMATCH"
    assert len(place.sessions) == 0


def test_the_session_of_another_is_refused_as_one_that_never_was(place: Place) -> None:
    session = place.open(principal="bob")

    with pytest.raises(ValidationError) as foreign:
        place.call(session)
    with pytest.raises(ValidationError) as absent:
        place.call("session-0")
    assert (foreign.value.code, foreign.value.message) == (absent.value.code, absent.value.message)
    with pytest.raises(ValidationError):
        place.sessions.destroy(session, "alice", force=True)


def test_a_digest_that_is_stale_is_refused(place: Place) -> None:
    session = place.open()
    place.call(session, digest=MANIFEST.find("add").digest)

    with pytest.raises(ValidationError) as refused:
        place.call(session, digest="sha256:" + "0" * 64)
    assert (refused.value.code, refused.value.ran) == ("VERSION_MISMATCH", "no")


def test_every_call_lets_a_session_live_longer_and_silence_ends_it(place: Place) -> None:
    session = place.open()
    for _ in range(3):
        place.clock.advance(9)
        place.sessions.ended(place.call(session))
    place.clock.advance(10)

    with pytest.raises(AuthorizationError) as refused:
        place.call(session)
    assert refused.value.code == "SESSION_EXPIRED"
    assert [gone.session_id for gone in place.sessions.sweep()] == [session]
    assert place.sessions.sweep() == []


def test_a_session_that_has_expired_is_remembered_as_that_by_its_principal_alone(place: Place) -> None:
    session = place.open()
    place.clock.advance(10)
    place.sessions.sweep()

    with pytest.raises(AuthorizationError) as expired:
        place.call(session)
    with pytest.raises(ValidationError) as foreign:
        place.call(session, principal="bob")

    assert ("SESSION_EXPIRED", "INVALID_SESSION") == (expired.value.code, foreign.value.code)


def test_only_the_newest_expired_sessions_are_remembered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_EXPIRED", 2)
    ids = [place.open() for _ in range(3)]
    place.clock.advance(10)
    place.sessions.sweep()

    def code(session: str) -> str:
        with pytest.raises(AltarError) as refused:
            place.call(session)
        return refused.value.code

    assert ["INVALID_SESSION", "SESSION_EXPIRED", "SESSION_EXPIRED"] == [code(session) for session in ids]


def test_a_session_that_was_destroyed_is_not_one_that_has_expired(place: Place) -> None:
    session = place.open()
    place.sessions.destroy(session, "alice", force=False)

    with pytest.raises(ValidationError, match="There is no such session"):
        place.call(session)


@pytest.mark.parametrize(("asked", "given"), [(0, 10), (30, 30), (3600, 60), (3, 3)])
def test_an_extended_session_lives_so_long_from_now_and_from_each_use_on(
    place: Place, asked: float, given: float
) -> None:
    session = place.open()
    place.clock.advance(8)

    extended = place.sessions.extend(session, "alice", ttl=asked)

    assert (given, given) == (extended.ttl, place.sessions.seconds_left(extended))
    place.clock.advance(given - 1)
    place.sessions.ended(place.call(session))
    assert given == place.sessions.seconds_left(extended)


def test_to_look_at_a_session_is_not_to_use_it(place: Place) -> None:
    session = place.open()
    place.clock.advance(9)

    assert session == place.sessions.owned(session, "alice").session_id
    assert [session] == [one.session_id for one in place.sessions.of("alice")]
    place.clock.advance(1)
    assert [] == place.sessions.of("alice")
    with pytest.raises(AuthorizationError):
        place.sessions.owned(session, "alice")


def test_nobody_sees_or_extends_the_sessions_of_another(place: Place) -> None:
    session = place.open(principal="bob")

    assert [] == place.sessions.of("alice")
    with pytest.raises(ValidationError, match="There is no such session"):
        place.sessions.owned(session, "alice")
    with pytest.raises(ValidationError, match="There is no such session"):
        place.sessions.extend(session, "alice", ttl=1)


def test_a_session_with_a_call_in_flight_is_swept_when_that_has_ended(place: Place) -> None:
    invocation = place.call(place.open())
    place.clock.advance(100)

    assert place.sessions.sweep() == []
    place.sessions.ended(invocation)
    assert len(place.sessions.sweep()) == 1


def test_a_session_with_a_call_in_flight_is_destroyed_by_force_only(place: Place) -> None:
    session = place.open()
    invocation = place.call(session)

    with pytest.raises(ValidationError, match="calls in flight"):
        place.sessions.destroy(session, "alice", force=False)
    assert place.sessions.destroy(session, "alice", force=True).calls == {invocation}
    assert len(place.sessions) == 0


def test_without_a_session_the_whole_manifest_may_be_called(place: Place) -> None:
    assert place.call("", "look").version == "1.0.0"
