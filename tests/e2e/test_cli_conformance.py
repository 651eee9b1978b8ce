"""`altar conformance`: cases in, verdicts out, one a line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from altar.cli.conformance import execute
from tests.e2e.command import COMMAND, altar

CASES = [
    {"id": "a", "structure": "Schema", "input": {"type": "STRING"}},
    {"id": "b", "structure": "Schema", "input": {"type": "NONSENSE"}},
    {"id": "c", "structure": "FunctionCall", "input": {"call_id": "1", "name": "f", "args": {}}},
]


def test_each_case_is_answered_by_one_line_in_order(tmp_path: Path) -> None:
    stdin = "".join(json.dumps(case) + "\n" for case in CASES)

    done = altar("conformance", at=tmp_path, stdin=stdin)

    answers = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, done.err) == (0, "")
    assert [("a", True), ("b", False), ("c", True)] == [(one["id"], one["valid"]) for one in answers]
    assert all(list(one) == ["id", "valid", "error_path", "error_category"] for one in answers)
    assert answers[1]["error_path"] == "/type"


def test_a_line_that_is_no_case_is_answered_and_not_valid(tmp_path: Path) -> None:
    done = altar("conformance", "--json", at=tmp_path, stdin='{\n\n[1]\n{"id": "x"}\n')

    answers = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0
    assert [False, False, False] == [one["valid"] for one in answers]


def test_an_answer_comes_before_the_next_case_is_sent(tmp_path: Path) -> None:
    with subprocess.Popen([COMMAND, "conformance"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for case in CASES:
            process.stdin.write(json.dumps(case).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == case["id"]
        process.stdin.close()
        assert process.wait(timeout=20) == 0


SEAT = {
    "name": "seat",
    "description": "A seat.",
    "parameters": {"type": "OBJECT", "properties": {"row": {"type": "INTEGER"}}, "required": ["row"]},
}
HALT = {"name": "halt", "description": "Stop.", "parameters": {"type": "OBJECT", "properties": {}}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (True, None, None)),
        ({"impl": {"returns": None}}, (True, None, None)),
        ({"call": {"call_id": "1", "name": "halt", "args": {}}}, (False, "/call/name", "TOOL_NOT_AVAILABLE")),
        ({"call": {"call_id": "1", "name": "hal", "args": {}}}, (False, "/call/name", "TOOL_NOT_AVAILABLE")),
        ({"session_tools": ["seat", "hal"]}, (False, "/session_tools/1", "TOOL_NOT_AVAILABLE")),
        (
            {"call": {"call_id": "1", "name": "seat", "args": {"row": "4"}}},
            (False, "/call/args/row", "PARAMETER_VALIDATION_FAILED"),
        ),
        (
            {"call": {"call_id": "1", "name": "seat", "args": {}}},
            (False, "/call/args/row", "PARAMETER_VALIDATION_FAILED"),
        ),
        ({"call": {"call_id": "1", "name": "seat"}}, (False, "/call/args", "REQUIRED")),
        ({"impl": {"raises": "no"}}, (False, None, "EXECUTION_ERROR")),
        ({"impl": {"returns_text": "NaN"}}, (False, None, "RESULT_NOT_SERIALIZABLE")),
        ({"impl": {"returns_socket": True}}, (False, None, "RESULT_NOT_SERIALIZABLE")),
        ({"declarations": [SEAT, SEAT]}, (True, None, None)),
        ({"declarations": [SEAT, {**HALT, "name": "seat"}]}, (False, "/declarations/1/name", "DUPLICATE")),
        ({"declarations": [SEAT, {**HALT, "name": "a b"}]}, (False, "/declarations/1/name", "PATTERN")),
    ],
)
def test_a_local_call_is_judged_by_the_executor(
    changes: dict[str, Any], expected: tuple[bool, str | None, str | None]
) -> None:
    held = {
        "declarations": [SEAT, HALT],
        "session_tools": ["seat"],
        "call": {"call_id": "1", "name": "seat", "args": {"row": 4}},
        "impl": {"returns": {"seat": "4C"}},
    }

    verdict = execute({"id": "x", "structure": "LocalExecution", "input": held | changes})

    assert (verdict.valid, verdict.error_path, verdict.error_category) == expected
