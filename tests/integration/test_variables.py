"""Session variables: the same answers in this process and on a grid, awaited and through the synchronous front."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

import altar
from altar.adm.errors import AltarError
from altar.later.session import Options, Session
from altar.later.variable_table import MAX_SESSION_BYTES, MAX_VALUE_BYTES, MAX_VARIABLES
from altar.later.variables import SyncVariables, Variable, VariableConflictError
from altar.testing import LocalGrid
from tests.integration import tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

CANARY = "hunter2-variable"
MODES = ["later-awaited", "later-front", "grid-awaited", "grid-front"]
Ask = Callable[..., Any]
"""Calls a method of the variables by its name, and waits for what it gives."""


@dataclass
class Point:
    x: float
    y: float = 0.0


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([tools.__file__], runtimes=1) as running:
        yield running
        for log in running.directory.glob("*.log"):
            assert CANARY not in log.read_text()
        stop_and_audit(running)
        for file in (running.export(), *(running.directory / "data").glob("ledger.db")):
            assert CANARY.encode() not in file.read_bytes()


@pytest.fixture(params=MODES)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    where, _, how = request.param.partition("-")
    session = Session(Options()) if where == "later" else request.getfixturevalue("grid").session()
    with _front(session) if how == "front" else _awaited(session) as made:
        yield made


@contextmanager
def _front(session: Session) -> Iterator[Ask]:
    with session as opened:
        yield lambda method, *given, **named: getattr(opened.variables, method)(*given, **named)


@contextmanager
def _awaited(session: Session) -> Iterator[Ask]:
    with asyncio.Runner() as runner:
        runner.run(session.__aenter__())

        async def ask(method: str, *given: Any, **named: Any) -> Any:
            return await getattr(session.variables, method)(*given, **named)

        try:
            yield lambda method, *given, **named: runner.run(ask(method, *given, **named))
        finally:
            runner.run(session.__aexit__(None, None, None))


def refused(ask: Ask, *asked: Any, **named: Any) -> tuple[str, str, str | None, str]:
    """Code, message, path and `ran` of what is raised."""
    with pytest.raises(AltarError) as raised:
        ask(*asked, **named)
    return raised.value.code, raised.value.message, raised.value.path, raised.value.ran


# ------------------------------------------------------------------------------------------------- declare, get, set


@pytest.mark.parametrize(
    ("kind", "first", "then"),
    [
        (float, 0.5, 1.0),
        (int, 2**63 - 1, -(2**63)),
        (str, "ø😀", ""),
        (bool, False, True),
        (Literal["a", "b"], "a", "b"),
        (list[int], [1, 2], []),
        (dict[str, float], {"x": 1.5}, {}),
        (int | None, None, 3),
        (Point, Point(1.5), {"x": 2.5, "y": 1.5}),
        (altar.Schema.from_json_schema({"type": "string", "maxLength": 3}), "abc", ""),
    ],
    ids=str,
)
def test_a_variable_keeps_what_it_is_given_and_counts_its_versions(ask: Ask, kind: Any, first: Any, then: Any) -> None:
    declared = ask("declare", "v", kind, value=first)
    changed = ask("set", "v", then)

    assert (declared.name, declared.version, changed.version) == ("v", 1, 2)
    assert changed.value == then
    assert ask("get", "v") == changed
    assert changed.schema == declared.schema


def test_a_value_of_another_type_is_refused_with_the_place_of_what_is_wrong_and_changes_nothing(ask: Ask) -> None:
    ask("declare", "at", Point, value=Point(1.5))

    assert refused(ask, "set", "at", {"x": 1, "y": "north"}) == (
        "SCHEMA_VIOLATION",
        "The value at `y` must be a number, not a string",
        "/at/y",
        "no",
    )
    assert ask("get", "at") == Variable("at", {"x": 1.5, "y": 0}, 1, declared=ask("get", "at").declared)


def test_all_that_is_wrong_with_a_value_is_told(ask: Ask) -> None:
    ask("declare", "at", Point, value=Point(1.5))

    with pytest.raises(AltarError) as raised:
        ask("set", "at", {"x": "a", "y": "b"})

    assert [(defect.path, defect.category) for defect in raised.value.defects] == [("/at/x", "TYPE"), ("/at/y", "TYPE")]


def test_a_value_that_is_no_json_is_refused_without_being_quoted(ask: Ask) -> None:
    ask("declare", "v", str, value="")

    code, message, _, ran = refused(ask, "set", "v", object())

    assert (code, ran) == ("SERIALIZATION_ERROR", "no")
    assert message.startswith("The value of the variable, of the Python type 'object'")


def test_a_name_that_there_is_not_is_refused_with_the_nearest_one(ask: Ask) -> None:
    ask("declare", "temperature", float, value=0.5)

    for asked in (("get", "temprature"), ("set", "temprature", 1.0), ("delete", "temprature")):
        with pytest.raises(AltarError) as raised:
            ask(*asked)
        assert (raised.value.code, raised.value.hint) == ("UNKNOWN_VARIABLE", "did you mean 'temperature'?")


@pytest.mark.parametrize("name", ["", "1", "a b", "ø", "a" * 65, "../a", "a\n"])
def test_what_is_no_name_is_refused(ask: Ask, name: str) -> None:
    assert refused(ask, "declare", name, int, value=1)[0] == "MALFORMED_REQUEST"


def test_a_type_that_is_none_is_refused_where_it_is_given(ask: Ask) -> None:
    code, message, _, _ = refused(ask, "declare", "v", object(), value=1)

    assert code == "INVALID_DECLARATION"
    assert message.startswith("The type of variable 'v'")


# ----------------------------------------------------------------------------------------- declare again, and delete


def test_a_variable_that_is_declared_again_with_its_type_stays_as_it_is(ask: Ask) -> None:
    ask("declare", "v", int, value=1)
    ask("set", "v", 7)

    again = ask("declare", "v", int, value=1)

    assert (again.value, again.version) == (7, 2)


def test_a_variable_that_is_declared_again_with_another_type_is_a_conflict(ask: Ask) -> None:
    ask("declare", "v", int, value=1)

    with pytest.raises(VariableConflictError) as raised:
        ask("declare", "v", str, value="1")

    assert raised.value.code == "VARIABLE_CONFLICT"
    assert raised.value.current == {"v": 1}
    assert ask("get", "v").value == 1


def test_a_version_is_never_used_twice_also_when_a_name_is_deleted_and_declared_anew(ask: Ask) -> None:
    ask("declare", "v", int, value=1)
    ask("set", "v", 2)
    ask("delete", "v")

    assert refused(ask, "get", "v")[0] == "UNKNOWN_VARIABLE"
    assert ask("list") == []
    assert ask("declare", "v", str, value="x").version == 4


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_that_no_variable_has_is_refused_and_not_taken_for_any(ask: Ask, version: int) -> None:
    ask("declare", "a", int, value=1)

    for asked in (("delete", "a"), ("set", "a", 2)):
        code, message, _, ran = refused(ask, *asked, expected_version=version)
        assert (code, message, ran) == ("MALFORMED_REQUEST", f"{version} is not a version", "no")
    assert ask("get", "a").version == 1


def test_a_delete_can_expect_a_version_too(ask: Ask) -> None:
    ask("declare", "v", int, value=1)

    assert refused(ask, "delete", "v", expected_version=2)[0] == "VARIABLE_CONFLICT"
    ask("delete", "v", expected_version=1)
    assert ask("snapshot") == {}


# ------------------------------------------------------------------------------------------- versions and batches


def test_a_set_with_another_version_than_expected_is_a_conflict_that_says_the_current_one(ask: Ask) -> None:
    ask("declare", "v", int, value=1)
    ask("set", "v", 2, expected_version=1)

    with pytest.raises(VariableConflictError) as raised:
        ask("set", "v", 3, expected_version=1)

    assert (raised.value.code, raised.value.ran) == ("VARIABLE_CONFLICT", "no")
    assert raised.value.message == "Variable 'v' is at version 2, not 1"
    assert raised.value.current == {"v": 2}
    assert ask("get", "v").value == 2


def test_an_update_sets_all_of_its_variables(ask: Ask) -> None:
    ask("declare", "a", int, value=1)
    ask("declare", "b", str, value="x")

    changed = ask("update", {"a": 2, "b": "y"}, expected={"a": 1})

    assert {name: (each.value, each.version) for name, each in changed.items()} == {"a": (2, 2), "b": ("y", 2)}
    assert ask("snapshot") == changed


@pytest.mark.parametrize(
    ("values", "expected", "code"),
    [
        ({"a": 2, "b": 3}, {}, "SCHEMA_VIOLATION"),
        ({"a": 2, "c": 3}, {}, "UNKNOWN_VARIABLE"),
        ({"a": 2}, {"b": 7}, "VARIABLE_CONFLICT"),
        ({"a": 2, "b": "y"}, {"a": 1, "b": 2}, "VARIABLE_CONFLICT"),
    ],
)
def test_an_update_of_which_one_part_does_not_fit_changes_nothing(
    ask: Ask, values: dict[str, Any], expected: dict[str, int], code: str
) -> None:
    ask("declare", "a", int, value=1)
    ask("declare", "b", str, value="x")
    before = ask("snapshot")

    assert refused(ask, "update", values, expected=expected)[0] == code
    assert ask("snapshot") == before


# ---------------------------------------------------------------------------------------------------------- limits


def test_a_value_beyond_its_limit_is_refused_and_one_at_it_is_kept(ask: Ask) -> None:
    ask("declare", "v", str, value="")

    assert ask("set", "v", "x" * (MAX_VALUE_BYTES - 2)).version == 2
    assert refused(ask, "set", "v", "x" * MAX_VALUE_BYTES)[0] == "MESSAGE_TOO_LARGE"
    assert ask("get", "v").version == 2


def test_the_variables_of_a_session_have_a_limit_in_all(ask: Ask) -> None:
    large = "x" * (MAX_VALUE_BYTES - 1024)
    for number in range(MAX_SESSION_BYTES // MAX_VALUE_BYTES):
        ask("declare", f"v{number}", str, value=large)

    assert refused(ask, "declare", "more", str, value=large)[0] == "RESOURCE_EXHAUSTED"
    assert refused(ask, "update", dict.fromkeys(ask("list"), large + "x" * 1022))[0] == "RESOURCE_EXHAUSTED"
    ask("delete", "v0")
    assert ask("declare", "more", str, value=large).version == 1


def test_a_thousand_variables_are_kept_and_read_at_once(ask: Ask) -> None:
    for number in range(MAX_VARIABLES):
        ask("declare", f"v{number:04}", int, value=number)

    assert refused(ask, "declare", "one_more", int, value=1)[0] == "RESOURCE_EXHAUSTED"
    changed = ask("update", {f"v{number:04}": -number for number in range(MAX_VARIABLES)})
    assert len(changed) == MAX_VARIABLES
    assert [each.value for each in ask("snapshot").values()] == [-number for number in range(MAX_VARIABLES)]
    assert len(ask("list")) == MAX_VARIABLES


# ------------------------------------------------------------------------------------------------------------ watch


@pytest.fixture(params=["later", "grid"])
def session(request: pytest.FixtureRequest) -> Session:
    return Session(Options()) if request.param == "later" else request.getfixturevalue("grid").session()


def seen(variable: Variable) -> tuple[str, Any, int]:
    return variable.name, variable.value, variable.version


async def test_a_watch_begins_with_what_there_is_and_goes_on_with_what_changes(session: Session) -> None:
    async with session as s, asyncio.timeout(30):
        await s.variables.declare("a", int, value=1)
        await s.variables.declare("b", int, value=1)
        async with s.variables.watch("a") as watch:
            assert seen(await anext(watch)) == ("a", 1, 1)
            await s.variables.set("b", 2)
            await s.variables.set("a", 2)
            assert seen(await anext(watch)) == ("a", 2, 2)
            await s.variables.delete("a")
            gone = await anext(watch)
            assert (gone.deleted, seen(gone)) == (True, ("a", None, 3))
            await s.variables.declare("a", str, value="x")
            assert seen(await anext(watch)) == ("a", "x", 4)


async def test_a_slow_watcher_gets_the_latest_value_of_each_variable_and_nothing_twice(session: Session) -> None:
    async with session as s, asyncio.timeout(60):
        watch = s.variables.watch()
        for name in ("a", "b", "last"):
            await s.variables.declare(name, int, value=0)
        for number in range(300):
            await s.variables.update({"a": number, "b": -number})
        await s.variables.set("last", 1)

        found: list[tuple[str, Any, int]] = []
        async for variable in watch:
            found.append(seen(variable))
            if found[-1][:2] == ("last", 1):
                break

        await watch.aclose()
    assert len(found) == len(set(found))
    assert dict(each[:2] for each in found) == {"a": 299, "b": -299, "last": 1}
    for name in ("a", "b"):
        versions = [version for one, _, version in found if one == name]
        assert versions == sorted(versions)


async def test_a_watch_ends_with_its_session(session: Session) -> None:
    async with session as s:
        await s.variables.declare("a", int, value=1)
        watch = s.variables.watch("a", "not_yet")
        await anext(watch)
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.wait({waiting}, timeout=0)

    async with asyncio.timeout(30):
        assert await waiting is None
    assert [variable async for variable in watch] == []


async def test_a_watch_hears_that_its_session_has_expired(request: pytest.FixtureRequest) -> None:
    grid: LocalGrid = request.getfixturevalue("grid")
    here = Session(Options(ttl=timedelta(seconds=1)))
    there = Session(Options(source=grid.source, source_options=grid.options, ttl=timedelta(seconds=1)))
    for session in (here, there):
        async with session as s, asyncio.timeout(30):
            await s.variables.declare("a", int, value=1)
            watch = s.variables.watch("a")
            assert (await anext(watch)).value == 1
            with pytest.raises(altar.AuthorizationError) as raised:
                await anext(watch)
        assert (raised.value.code, raised.value.message) == ("SESSION_EXPIRED", "The session has expired")


async def test_a_watch_that_is_closed_lets_go_whoever_waits_in_it(session: Session) -> None:
    async with session as s, asyncio.timeout(30):
        watch = s.variables.watch()
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.wait({waiting}, timeout=0)
        await watch.aclose()

        assert await waiting is None
        assert await s.variables.list() == []


def test_a_watch_through_the_front_is_a_plain_iterator(session: Session) -> None:
    with session as s:
        s.variables.declare("a", int, value=1)
        with s.variables.watch("a") as watch:
            assert seen(next(watch)) == ("a", 1, 1)
            s.variables.set("a", 2)
            assert seen(next(watch)) == ("a", 2, 2)
        assert list(watch) == []


# ---------------------------------------------------------------------------------------------- sessions and closing


def test_variables_end_with_their_session(session: Session) -> None:
    with session as s:
        variables: SyncVariables = s.variables
        variables.declare("a", int, value=1)

    for use in (lambda: s.variables, lambda: variables.get("a"), lambda: variables.set("a", 1)):
        with pytest.raises(altar.ValidationError, match="session") as raised:
            use()
        assert raised.value.code == "INVALID_SESSION"


def test_two_sessions_of_one_principal_share_nothing(grid: LocalGrid) -> None:
    with grid.session() as one, grid.session() as other:
        one.variables.declare("a", int, value=1)

        assert other.variables.list() == []
        assert one.session_id != other.session_id


def test_a_secret_value_is_kept_where_it_belongs_and_nowhere_else(grid: LocalGrid) -> None:
    with grid.session() as s:
        s.variables.declare("key", str, value=CANARY)
        with pytest.raises(altar.ValidationError) as raised:
            s.variables.set("key", {"key": CANARY})
        assert CANARY not in f"{raised.value.message} {raised.value.hint}"
        assert any(CANARY.encode() in file.read_bytes() for file in _session_files(grid))


def _session_files(grid: LocalGrid) -> list[Path]:
    return sorted((grid.directory / "data").glob("ledger.db.sessions*"))
