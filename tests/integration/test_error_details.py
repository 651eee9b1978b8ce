"""Everything that is wrong with a call reaches its caller, in the same words from here and from a grid."""

from __future__ import annotations

from typing import Any

import pytest

from altar.later.front import SyncSession

pytestmark = [pytest.mark.timeout(180), pytest.mark.altar(tools="tests.integration.tools")]


def test_every_defect_of_the_arguments_is_told(altar_session: SyncSession) -> None:
    error = altar_session.call("add", b="two", c=3).error

    assert error is not None
    assert {
        "defects": [
            {"path": "/a", "kind": "REQUIRED", "message": "Argument `a` is missing"},
            {"path": "/c", "kind": "UNKNOWN_FIELD", "message": "Argument `c` is not declared"},
            {"path": "/b", "kind": "TYPE", "message": "Argument `b` must be an integer, not a string"},
        ]
    } == error.details
    assert (
        "Argument `a` is missing (and 2 more) (INVALID_TOOL_ARGS)\n"
        "- /a: Argument `a` is missing\n"
        "- /c: Argument `c` is not declared\n"
        "- /b: Argument `b` must be an integer, not a string\n"
        "hint: add(a: integer, b: integer = 1)"
    ) == error.text


def test_of_many_defects_twenty_are_told_and_how_many_more_there_are(altar_session: SyncSession) -> None:
    items: Any = ["x"] * 50

    error = altar_session.call("mutate", items=items, options={}).error

    assert error is not None
    details: Any = error.details
    assert (20, 30) == (len(details["defects"]), details["more"])
    assert "/items/0" == error.field_path
    assert error.text.endswith("\n- and 30 more\nhint: mutate(items: integer[], options: object)")


def test_a_defect_of_the_whole_result_has_no_path(altar_session: SyncSession) -> None:
    error = altar_session.call("breaks_its_promise").error

    assert error is not None
    details: Any = error.details
    assert (None, "yes") == (error.field_path, error.ran)
    assert ["kind", "message"] == list(details["defects"][0])
