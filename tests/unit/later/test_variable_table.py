"""The table of variables and its watchers, without a session or a host around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ValidationError
from altar.later.variable_table import (
    MAX_VALUE_BYTES,
    MAX_VARIABLES,
    Declare,
    Delete,
    Read,
    Record,
    Request,
    Update,
    VariableConflictError,
    VariableTable,
    Watcher,
)

INTEGER = canonical({"type": "INTEGER"})
TEXT = canonical({"type": "STRING"})


def integer(name: str, value: Any = 1) -> Declare:
    return Declare(name, INTEGER, canonical(value))


def update(values: Mapping[str, Any], expected: Mapping[str, int] | None = None) -> Update:
    return Update({name: canonical(value) for name, value in values.items()}, dict(expected or {}))


def versions(table: VariableTable) -> dict[str, int]:
    return {record.name: record.version for record in table.read()}


def refused(table: VariableTable, request: Request) -> str:
    before, size = table.read(), table.size
    with pytest.raises(AltarError) as raised:
        table.apply(request)
    assert (table.read(), table.size) == (before, size)
    assert raised.value.ran == "no"
    return raised.value.code


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Read(("x",)), "UNKNOWN_VARIABLE"),
        (Delete("x"), "UNKNOWN_VARIABLE"),
        (Delete("a", 2), "VARIABLE_CONFLICT"),
        (update({"a": 2, "x": 1}), "UNKNOWN_VARIABLE"),
        (update({"a": 2}, {"x": 1}), "UNKNOWN_VARIABLE"),
        (update({"a": 2}, {"a": 7}), "VARIABLE_CONFLICT"),
        (update({"a": 2}, {"a": 0}), "MALFORMED_REQUEST"),
        (Delete("a", 0), "MALFORMED_REQUEST"),
        (Delete("a", -1), "MALFORMED_REQUEST"),
        (Delete("a", 2**64), "MALFORMED_REQUEST"),
        (update({"a": "2"}), "SCHEMA_VIOLATION"),
        (Update({"a": b"1.0"}), "SERIALIZATION_ERROR"),
        (Update({"a": b""}), "SERIALIZATION_ERROR"),
        (Declare("a", TEXT, b'"x"'), "VARIABLE_CONFLICT"),
        (Declare("b", INTEGER, b'"x"'), "SCHEMA_VIOLATION"),
        (Declare("b", b"{", b"1"), "MALFORMED_REQUEST"),
        (Declare("b", b'{"type":"NONE"}', b"1"), "INVALID_DECLARATION"),
        (Declare("b/c", INTEGER, b"1"), "MALFORMED_REQUEST"),
        (Declare("b", INTEGER, b"1" * (MAX_VALUE_BYTES + 1)), "MESSAGE_TOO_LARGE"),
        (Read(tuple(map(str, range(MAX_VARIABLES + 1)))), "RESOURCE_EXHAUSTED"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(request_: Request, code: str) -> None:
    table = VariableTable()
    table.apply(integer("a"))

    assert refused(table, request_) == code


def test_a_conflict_names_every_variable_that_is_at_another_version() -> None:
    table = VariableTable()
    for name in "abc":
        table.apply(integer(name))
    table.apply(update({"a": 2, "b": 2}))

    with pytest.raises(VariableConflictError) as raised:
        table.apply(update({"c": 2}, {"a": 1, "b": 1, "c": 1}))

    assert raised.value.current == {"a": 2, "b": 2}
    assert raised.value.message == "Variable 'a' is at version 2, not 1 (and 1 more)"


def test_names_are_forgotten_only_together_with_the_lower_versions() -> None:
    table = VariableTable()
    table.apply(integer("first"))
    table.apply(update({"first": 2}))
    table.apply(Delete("first"))
    for number in range(MAX_VARIABLES):
        table.apply(integer(f"v{number}"))
        applied = table.apply(Delete(f"v{number}"))

    assert applied.forgotten == ("first",)
    assert table.floor == 3
    assert table.apply(integer("first")).answer[0].version == 4
    assert table.apply(integer("new")).answer[0].version == 4
    assert table.apply(integer("v1")).answer[0].version == 3


def test_a_table_that_was_kept_goes_on_where_it_was() -> None:
    table = VariableTable()
    table.apply(integer("a"))
    table.apply(integer("b"))
    gone = table.apply(Delete("b")).changed

    again = VariableTable([*table.read(), *gone], floor=7)

    assert (versions(again), again.size) == (versions(table), table.size)
    assert again.apply(integer("b")).answer[0].version == 3
    assert again.apply(integer("c")).answer[0].version == 8


NAMES = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.builds(integer, NAMES, st.integers(0, 9)),
        st.builds(update, st.dictionaries(NAMES, st.integers(0, 9)), st.dictionaries(NAMES, st.integers(0, 5))),
        st.builds(Delete, NAMES, st.none() | st.integers(1, 5)),
    ),
    max_size=30,
)


@given(STEPS, st.sets(NAMES))
@settings(max_examples=150, deadline=None)
def test_versions_only_grow_and_a_watcher_ends_up_with_what_there_is(steps: list[Request], names: set[str]) -> None:
    table = VariableTable()
    watcher = Watcher(names, lambda: None)
    watcher.begin(())
    used: set[tuple[str, int]] = set()
    told: dict[str, Record] = {}
    for number, step in enumerate(steps):
        try:
            changed = table.apply(step).changed
        except ValidationError:
            continue
        for record in changed:
            assert (record.name, record.version) not in used
            used.add((record.name, record.version))
        watcher.offer(changed)
        watcher.offer(changed)
        if number % 3 == 0 and (record_ := watcher.take()) is not None:
            told[record_.name] = record_
    while (record_ := watcher.take()) is not None:
        assert record_.version > told.get(record_.name, Record("", 0)).version
        told[record_.name] = record_

    there = {name: record for name, record in told.items() if not record.deleted}
    assert there == {record.name: record for record in table.read() if not names or record.name in names}


def test_a_watcher_is_woken_once_for_whatever_comes_until_it_looks() -> None:
    woken: list[int] = []
    watcher = Watcher((), lambda: woken.append(1))
    watcher.begin([Record("a", 1, INTEGER, b"1")])
    for version in range(2, 100):
        watcher.offer([Record("a", version, INTEGER, b"1")])

    assert len(woken) == 1
    taken = watcher.take()
    assert taken is not None
    assert taken.version == 99
    assert watcher.take() is None
    watcher.offer([Record("a", 99, INTEGER, b"1")])
    assert len(woken) == 1
    watcher.offer([Record("a", 100, INTEGER, b"1")])
    assert len(woken) == 2


def test_a_watcher_holds_no_more_than_there_are_variables_however_many_come_and_go() -> None:
    watcher = Watcher((), lambda: None)
    for number in range(10_000):
        watcher.offer([Record(f"v{number}", 1, INTEGER, b"1")])
        watcher.offer([Record(f"v{number}", 2)])

    assert watcher.take() is None


def test_what_is_gone_after_a_pause_is_told_as_deleted() -> None:
    watcher = Watcher((), lambda: None)
    watcher.begin([Record("a", 3, INTEGER, b"1"), Record("b", 1, INTEGER, b"1")])
    watcher.take()

    watcher.begin([Record("b", 1, INTEGER, b"1")])

    left = [watcher.take(), watcher.take(), watcher.take()]
    assert Record("a", 4) in left
    assert left[2] is None
