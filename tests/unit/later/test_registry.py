"""The registry of a process, and the part of it that a session may use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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
NEWER = altar.tool(other, name="add", version="1.1.0", register=False)
EARLY = altar.tool(other, name="add", version="2.0.0-rc.1", register=False)


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


def test_another_function_takes_the_place_of_the_first_where_that_is_said() -> None:
    registry = Registry()
    registry.register(ADD)

    registry.register(OTHER, replace=True)

    assert list(registry) == [OTHER]


def test_versions_of_one_name_stand_side_by_side() -> None:
    registry = Registry()
    for tool in (NEWER, EARLY, ADD, LAST):
        registry.register(tool)

    assert list(registry) == [EARLY, NEWER, ADD, LAST]
    assert len(registry) == 4
    assert registry.get("add") is NEWER
    assert registry.get("add", "~1.0") is ADD
    assert registry.get("add", "^2") is None
    assert registry.get("add", "newest") is None


@pytest.mark.parametrize(
    ("version", "tool"), [("1.0.0", ADD), ("1.1.0", NEWER), ("2.0.0-rc.1", EARLY), ("", NEWER), ("<1.1", ADD)]
)
def test_a_runtime_runs_exactly_the_version_that_a_call_names(
    version: str, tool: altar.ToolFunction[..., object]
) -> None:
    registry = Registry()
    for known in (ADD, NEWER, EARLY):
        registry.register(known)

    assert registry.find(Invocation("add", b"{}", version=version)) is tool


def test_versions_that_differ_in_build_metadata_only_are_one_version() -> None:
    registry = Registry()
    registry.register(altar.tool(add, version="1.0.0+a", register=False))

    with pytest.raises(altar.DeclarationError, match="'add' is declared twice"):
        registry.register(OTHER)
    registry.register(ADD)
    assert list(registry) == [ADD]


def test_a_version_or_a_whole_tool_can_be_forgotten() -> None:
    registry = Registry()
    for tool in (ADD, NEWER, EARLY, LAST):
        registry.register(tool)

    registry.unregister("add", "1.0.0")
    assert list(registry) == [EARLY, NEWER, LAST]
    registry.unregister("add")
    assert list(registry) == [LAST]
    assert {ADD, NEWER, EARLY, LAST} == set(registry.ever())


@pytest.mark.parametrize(
    ("name", "version", "code"),
    [("absent", None, "UNSUPPORTED_TOOL"), ("add", "3.0.0", "VERSION_MISMATCH"), ("add", "", "VERSION_MISMATCH")],
)
def test_what_is_not_there_cannot_be_forgotten(name: str, version: str | None, code: str) -> None:
    registry = Registry()
    registry.register(ADD)

    with pytest.raises(altar.ValidationError) as refused:
        registry.unregister(name, version)
    assert refused.value.code == code
    assert list(registry) == [ADD]


def test_threads_may_register_and_look_at_once() -> None:
    registry = Registry()
    versions = [f"1.{minor}.0" for minor in range(40)]

    def declare(minor: str) -> int:
        registry.register(altar.tool(add, version=minor, register=False))
        return len([known.name for known in registry if registry.get(known.name, known.version) is known])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(declare, versions))
    assert {tool.version for tool in registry} == set(versions)


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
        ("", "there is add, subtract"),
        ("zzz", "there is add, subtract"),
    ],
)
def test_an_unknown_tool_is_answered_with_the_nearest_name_or_with_what_there_is(name: str, hint: str) -> None:
    assert unknown_tool(name, ["subtract", "add"]).hint == hint


@pytest.mark.parametrize(("count", "more"), [(8, ""), (9, " and 1 more"), (5000, " and 4992 more")])
def test_no_more_than_a_few_of_many_tools_are_named(count: int, more: str) -> None:
    names = [f"tool_{number:04}" for number in range(count)]

    assert unknown_tool("zzz", names).hint == f"there is {', '.join(names[:8])}{more}"


def test_who_declared_no_tool_at_all_is_told_to_import_the_module() -> None:
    assert unknown_tool("add", []).hint == "no tool is declared here: import the module that declares it"


def secret() -> int:
    """Keep it to yourself."""
    return 1


def test_only_tools_of_the_session_are_named() -> None:
    registry = Registry()
    registry.register(ADD)
    registry.register(NEWER)
    registry.register(altar.tool(secret, register=False))
    tools = SessionTools(registry.choose(["add"]), ttl=timedelta(hours=1), clock=FakeClock())

    with pytest.raises(altar.ValidationError) as refused:
        tools.find(Invocation("zzz", b"{}"))
    assert refused.value.hint == "there is add"


def test_a_session_holds_only_its_own_tools() -> None:
    tools = SessionTools([ADD], ttl=timedelta(hours=1), clock=FakeClock())

    assert tools.find(Invocation("add", b"{}")) is ADD
    with pytest.raises(altar.ValidationError, match="Tool 'last' is not in this session"):
        tools.find(Invocation("last", b"{}"))


def test_a_session_finds_the_version_that_a_call_asks_for() -> None:
    tools = SessionTools([ADD, NEWER], ttl=timedelta(hours=1), clock=FakeClock())

    assert tools.find(Invocation("add", b"{}")) is NEWER
    assert tools.find(Invocation("add", b"{}", version="~1.0")) is ADD
    assert tools.names == ["add"]
    assert tools.declaration("add", "1.0.0") is ADD.declaration
    assert tools.declaration("add") is NEWER.declaration
    assert tools.declaration("add", "^2") is None
    assert tools.declaration("add", "newest") is None


def test_a_deprecated_tool_is_said_once_in_the_log_of_a_session_that_calls_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = altar.tool(add, name="old", version="0.9.0", deprecated=True, register=False)
    older = altar.tool(add, name="older", deprecated=True, register=False)
    tools = SessionTools([old, older, ADD], ttl=timedelta(hours=1), clock=FakeClock())

    for _ in range(3):
        tools.find(Invocation("old", b"{}"))
        tools.find(Invocation("add", b"{}"))

    said = [
        (entry.levelname, entry.message, entry.__dict__["tool"], entry.__dict__["version"]) for entry in caplog.records
    ]
    assert said == [("WARNING", "tool is deprecated", "old", "0.9.0")]


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
