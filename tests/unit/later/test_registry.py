"""The registry of a process, and the part of it that a session may use."""

from __future__ import annotations

from datetime import timedelta

import pytest

import altar
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation
from altar.later.registry import Registry, SessionTools, unknown_tool
from altar.testing import FakeClock


def add(a: int) -> int:
    """Add one."""
    return a + 1


def other(a: int) -> int:
    """Something else."""
    return a


ADD = altar.tool(add, register=False)
OTHER = altar.tool(other, name="add", register=False)
LAST = altar.tool(other, name="last", register=False)


def test_tools_are_found_by_name_and_listed_in_order() -> None:
    registry = Registry()
    registry.register(LAST)
    registry.register(ADD)

    assert registry.get("add") is ADD
    assert registry.get("absent") is None
    assert list(registry) == [ADD, LAST]
    assert len(registry) == 2
    assert registry.find(Invocation("last", b"{}")) is LAST


def test_a_function_that_is_declared_again_replaces_itself() -> None:
    registry = Registry()
    registry.register(ADD)
    again = altar.tool(add, register=False)

    registry.register(again)

    assert registry.get("add") is again


def test_another_function_of_the_same_name_is_refused() -> None:
    registry = Registry()
    registry.register(ADD)

    with pytest.raises(altar.DeclarationError, match="'add' is declared twice"):
        registry.register(OTHER)
    assert registry.get("add") is ADD


def test_what_is_cleared_is_gone() -> None:
    registry = Registry()
    registry.register(ADD)
    registry.clear()

    with pytest.raises(altar.ValidationError) as refused:
        registry.find(Invocation("add", b"{}"))
    assert (refused.value.code, refused.value.ran) == ("UNSUPPORTED_TOOL", "no")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ad", "did you mean 'add'?"),
        ("", "`altar tools` lists what there is"),
        ("zzz", "`altar tools` lists what there is"),
    ],
)
def test_an_unknown_tool_is_answered_with_the_nearest_name(name: str, hint: str) -> None:
    assert unknown_tool(name, ["add", "subtract"]).hint == hint


def test_a_session_holds_only_its_own_tools() -> None:
    tools = SessionTools([ADD], ttl=timedelta(hours=1), clock=FakeClock())

    assert tools.find(Invocation("add", b"{}")) is ADD
    with pytest.raises(altar.ValidationError, match="Tool 'last' is not in this session"):
        tools.find(Invocation("last", b"{}"))


def test_a_session_that_nobody_uses_expires() -> None:
    clock = FakeClock()
    tools = SessionTools([ADD], ttl=timedelta(seconds=10), clock=clock)
    clock.advance(10)

    with pytest.raises(altar.AuthorizationError, match="expired") as refused:
        tools.find(Invocation("add", b"{}"))
    assert (refused.value.code, refused.value.ran) == ("SESSION_EXPIRED", "no")


def test_every_call_lets_the_session_live_longer() -> None:
    clock = FakeClock()
    tools = SessionTools([ADD], ttl=timedelta(seconds=10), clock=clock)

    for _ in range(5):
        clock.advance(9)
        assert tools.find(Invocation("add", b"{}")) is ADD


def test_arguments_beyond_the_limit_are_refused_as_a_host_would() -> None:
    tools = SessionTools([ADD], ttl=timedelta(hours=1), clock=FakeClock())
    assert tools.find(Invocation("add", b"x" * MAX_MESSAGE_BYTES)) is ADD

    with pytest.raises(altar.TransportError) as refused:
        tools.find(Invocation("add", b"x" * (MAX_MESSAGE_BYTES + 1)))
    assert (refused.value.code, refused.value.ran) == ("MESSAGE_TOO_LARGE", "no")
