"""The shared cases of the data model, answered by this implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from altar.adm.conformance import Verdict, judge
from altar.cli.conformance import execute

CASES = Path(__file__).parents[2] / "spec" / "cases"


def cases() -> list[dict[str, Any]]:
    return [
        case
        for name in ("adm.json", "adm_further.json", "aesp.json")
        for case in json.loads((CASES / name).read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_the_verdict_is_the_one_of_the_case(case: dict[str, Any]) -> None:
    expected = Verdict(case["id"], case["valid"], case["error_path"], case["error_category"])

    verdict = judge(case, local_execution=execute)

    assert expected == verdict, case["why"]


def test_every_case_has_an_id_of_its_own() -> None:
    ids = [case["id"] for case in cases()]

    assert len(set(ids)) == len(ids)


def test_local_execution_is_answered_by_the_executor_that_is_handed_in() -> None:
    case = next(case for case in cases() if case["structure"] == "LocalExecution")
    seen: list[Any] = []

    def answer(given: Any) -> Verdict:
        seen.append(given)
        return Verdict(given["id"], valid=True)

    verdict = judge(case, local_execution=answer)

    assert Verdict(case["id"], valid=True) == verdict
    assert [case] == seen


@pytest.mark.parametrize(
    "case",
    [
        {"id": "a", "structure": "Nonsense", "input": {}},
        {"id": "a", "structure": "CallForTool", "input": None},
        {"id": "a", "structure": "CallForTool", "input": {}},
        {"id": "a", "structure": "Schema"},
        {"id": "a", "structure": ["Schema"], "input": {}},
        {"id": "a", "structure": "Schema", "input": {"type": "STRING"}, "adm_version": "9.9"},
        {"id": "a", "structure": "Schema", "input": {"type": "STRING"}, "mode": "tolerant"},
        {"id": "a", "structure": "Negotiation", "input": {"ours": [1], "theirs": 3}},
        {"id": "a", "structure": "JsonText", "input": {"as": "FunctionCall", "text": 7}},
        {"id": "a", "structure": "LocalExecution", "input": {}},
        {},
        None,
    ],
)
def test_a_case_that_cannot_be_read_is_answered_parse_and_never_raises(case: Any) -> None:
    verdict = judge(case)

    assert (False, None, "PARSE") == (verdict.valid, verdict.error_path, verdict.error_category)
