"""What a run of a pipeline does: the fields that flow, what fails and is tried again, undone, cancelled or in time."""

from __future__ import annotations

from typing import Any

import pytest

import altar
from altar.ai.pipelines import (
    branch,
    parallel,
    pipeline,
    sub,
    tool,
    transform,
)
from altar.ai.pipelines import map as each_of
from altar.later.gate import OpenGate
from altar.later.invocation import Invocation
from altar.later.session import Options, Session
from altar.testing import RecordingGate
from tests.unit.ai.pipeline_scene import (
    AT_ONCE,
    DONE,
    FAILS,
    SOON,
    clean,
    failing,
    paths,
    pl_loose,
    pl_up,
    run,
)

__all__ = ["clean"]


# --------------------------------------------------------------------------------------------------- fields that flow


def test_each_step_takes_fields_and_adds_what_it_gives() -> None:
    made = pipeline(
        "flows",
        [
            tool("pl_find", {"limit": 3}, output="hits"),
            each_of(tool(pl_up), over="hits", item="text", output="loud"),
            parallel(first=tool("pl_up", inputs={"text": "query"}), second=transform(len, takes=["loud"], gives=["n"])),
            transform(lambda first, second: f"{first}{second}", gives=["answer"], name="join"),
        ],
        inputs={"query": str},
    )

    result = run(made, query="a")

    assert {"answer": "A3"} == result.unwrap()
    assert "A3" == result.text
    assert {"query", "hits", "loud", "first", "second", "answer"} == set(result.fields)
    assert ["A0", "A1", "A2"] == result.fields["loud"]
    assert [
        "pl_find",
        "loud[0]",
        "loud[1]",
        "loud[2]",
        "parallel/first",
        "parallel/second",
        "join",
    ] == [step.path for step in result.steps]


def test_a_map_runs_no_more_at_a_time_than_it_is_told_and_keeps_the_order() -> None:
    made = pipeline(
        "maps",
        [
            tool("pl_find", {"limit": 20}, output="hits"),
            each_of(tool("pl_up"), over="hits", item="text", output="loud", concurrency=3),
        ],
    )

    result = run(made, query="a")

    assert [f"A{number}" for number in range(20)] == result.outputs["loud"]
    assert 3 == AT_ONCE["most"]


def test_a_branch_goes_where_the_value_of_its_field_leads_and_gives_what_that_way_gives() -> None:
    other = pipeline("else_", [pl_loose])
    made = pipeline(
        "branches",
        [branch("kind", {"pay": "paying", "book": "booking", "true": "booking"}, default=other)],
        pipelines={"paying": [tool("pl_pay")], "booking": [tool("pl_book")]},
        inputs={"kind": {}, "amount": int},
    )

    assert {"receipt": "r1"} == run(made, kind="pay", amount=1).outputs
    assert {"seat": "1A"} == run(made, kind="book", amount=1).outputs
    assert {"seat": "1A"} == run(made, kind=True, amount=1).outputs
    assert {"amount": 2, "note": "new"} == run(made, kind="?", amount=1).outputs, "it takes the field that it replaces"


def test_a_branch_without_a_way_fails_with_the_nearest_case() -> None:
    made = pipeline(
        "lost",
        [branch(lambda fields: fields["kind"], {"billing": "paying"}, name="route")],
        pipelines={"paying": [tool("pl_pay")]},
        inputs="kind: str, amount: int",
    )

    error = run(made, kind="biling", amount=1).error

    assert error is not None
    assert "Step 'route' of 'lost': no case is for 'biling', and there is no default" == error.message
    assert "did you mean 'billing'?" == error.hint


def test_a_result_that_would_replace_a_field_by_accident_fails_its_step() -> None:
    steps = [tool("pl_find", {"query": "a"}, output="note"), tool("pl_loose")]

    result = run(pipeline("loose", steps, inputs={"amount": int}), amount=1)

    assert result.error is not None
    assert "Step 'pl_loose' of 'loose': its result has 'note', and there is a field of this name already" == (
        result.error.message
    )
    assert ["pl_find", "pl_loose"] == [step.path for step in result.steps]


def test_steps_of_another_pipeline_stand_in_this_one() -> None:
    shout = pipeline("shout", [tool("pl_up", output="loud")], inputs={"text": str})
    made = pipeline(
        "whole",
        [transform(str, takes=["query"], gives=["text"], name="text"), shout, sub("again")],
        pipelines={
            "again": [tool("pl_up", inputs={"text": "loud"}, output="louder")],
        },
        inputs={"query": str},
    )

    result = run(made, query="a")

    assert {"loud": "A", "louder": "A"} == {name: result.fields[name] for name in ("loud", "louder")}
    assert ["text", "shout/pl_up", "again/pl_up"] == [step.path for step in result.steps]


def test_a_transform_cannot_change_a_field_that_it_was_given() -> None:
    def spoil(hits: list[str]) -> int:
        hits.clear()
        return len(hits)

    result = run(pipeline("spoils", [tool("pl_find", output="hits"), transform(spoil)]), query="a")

    assert {"spoil": 0} == result.outputs
    assert ["a0", "a1"] == result.fields["hits"]


def test_inputs_that_do_not_fit_are_told_in_the_words_of_any_tool_and_nothing_runs() -> None:
    made = pipeline("strict", [tool("pl_find")], inputs="query: str, limit: int = 1")

    error = run(made, quer="a").error

    assert error is not None
    assert ("INVALID_TOOL_ARGS", "/query", "no") == (error.type, error.field_path, error.ran)
    assert [] == DONE
    assert {"pl_find": ["a0"]} == run(made, query="a").outputs


# ------------------------------------------------------------------------------------- what fails, and what is undone


def test_a_step_that_may_be_repeated_is_tried_again_and_says_how_often() -> None:
    FAILS["find"] = [failing("TOOL_EXECUTION_FAILED"), failing("TIMEOUT")]

    result = run(pipeline("tries", [tool("pl_find", retry=SOON)]), query="a")

    assert [3] == [step.attempts for step in result.steps]
    assert ["find"] * 3 == DONE


class Refusing(OpenGate):
    """Answers the first call of a tool with an error in place of running it, as a host would that lost a runtime."""

    def __init__(self, tool: str, error: altar.AltarError) -> None:
        self.tool = tool
        self.errors = [error]
        self.asked = 0

    def authorize(self, invocation: Invocation) -> None:
        if invocation.name == self.tool:
            self.asked += 1
            if self.errors:
                raise self.errors.pop()


@pytest.mark.parametrize(
    ("code", "ran", "times"),
    [
        ("DEPENDENCY_UNAVAILABLE", "no", 2),
        ("DEPENDENCY_UNAVAILABLE", "unknown", 1),
        ("RUNTIME_CRASH", "unknown", 1),
        ("TOOL_EXECUTION_FAILED", "yes", 1),
        ("PERMISSION_DENIED", "no", 1),
        ("APPROVAL_PENDING", "no", 1),
        ("BUDGET_EXCEEDED", "no", 1),
        ("RATE_LIMIT_EXCEEDED", "no", 2),
    ],
)
def test_what_must_not_happen_twice_is_tried_again_only_where_it_did_not_run(code: str, ran: Any, times: int) -> None:
    gate = Refusing("pl_book", failing(code, ran=ran))

    result = run(pipeline("once", [tool("pl_book", retry=SOON)]), Session(Options(gate=gate)), amount=1)

    assert times == gate.asked
    assert (times == 2) == (result.error is None)


@pytest.mark.parametrize(
    ("code", "ran", "stands_in"),
    [
        ("TOOL_EXECUTION_FAILED", "yes", True),
        ("DEPENDENCY_UNAVAILABLE", "no", True),
        ("DEPENDENCY_UNAVAILABLE", "unknown", False),
        ("PERMISSION_DENIED", "no", False),
        ("BUDGET_EXCEEDED", "no", False),
        ("APPROVAL_PENDING", "no", False),
    ],
)
def test_a_fallback_stands_in_for_a_failure_and_never_for_a_refusal(code: str, ran: Any, stands_in: bool) -> None:
    gate = Refusing("pl_book", failing(code, ran=ran))
    made = pipeline("falls", [tool("pl_book", output="got", fallback=tool("pl_pay"))])

    result = run(made, Session(Options(gate=gate)), amount=2)

    assert ({"got": {"receipt": "r2"}} if stands_in else {}) == result.outputs
    assert (["pay"] if stands_in else []) == DONE


def test_a_denied_step_tells_what_ran_before_and_undoes_it() -> None:
    gate = RecordingGate(refuse={"pl_book": failing("PERMISSION_DENIED")})
    made = pipeline("denied", [tool("pl_pay", compensate=tool("pl_refund")), tool("pl_book")], inputs={"amount": int})

    result = run(made, Session(Options(gate=gate)), amount=3)

    assert result.error is not None
    assert ("PERMISSION_DENIED", "Step 'pl_book' of 'denied': It did not work") == (
        result.error.type,
        result.error.message,
    )
    assert [("pl_pay", "compensated"), ("pl_book", "failed"), ("pl_pay (compensation)", "done")] == paths(result)
    assert ("pl_pay",) == result.compensated
    assert ["pay", "refund r3"] == DONE


def test_what_was_done_is_undone_last_first_and_a_compensation_that_fails_is_told() -> None:
    FAILS["refund r2"] = [failing("TOOL_EXECUTION_FAILED")]
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]
    paid = [
        tool(
            "pl_pay",
            {"amount": amount},
            output=f"paid{amount}",
            name=f"pay{amount}",
            compensate=tool("pl_refund", {"receipt": f"r{amount}"}),
        )
        for amount in (1, 2, 3)
    ]

    result = run(pipeline("undoes", [*paid, tool("pl_book")], inputs={"amount": int}), amount=1)

    assert ["pay", "pay", "pay", "book", "refund r3", "refund r2", "refund r1"] == DONE
    assert ("pay3", "pay1") == result.compensated
    assert result.error is not None
    assert "not undone, because the compensation failed: 'pay2'" == result.error.hint


def test_a_branch_of_parallel_that_fails_cancels_the_others_and_waits_for_them() -> None:
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]
    made = pipeline("together", [parallel(tool("pl_wait"), tool("pl_book"))], inputs={"amount": int})

    result = run(made, amount=1)

    assert ["wait", "book", "left"] == DONE
    assert [("parallel/pl_wait", "cancelled"), ("parallel/pl_book", "failed")] == paths(result)


def test_when_the_time_of_a_run_is_up_the_step_that_ran_is_named() -> None:
    made = pipeline("late", [tool("pl_pay"), tool("pl_wait", fallback=tool("pl_find", {"query": "a"}))], timeout=0.2)

    result = run(made, amount=1)

    assert result.error is not None
    assert ("TIMEOUT", "'late' may take 0.2 s, and its time was up while step 'pl_wait' ran") == (
        result.error.type,
        result.error.message,
    )
    assert ["pay", "wait", "left"] == DONE, "no time is left for a fallback"


def test_a_step_has_a_time_of_its_own_and_its_fallback_the_rest() -> None:
    made = pipeline("slow", [tool("pl_wait", timeout=0.05, output="x", fallback=tool("pl_pay"))])

    result = run(made, amount=1)

    assert {"x": {"receipt": "r1"}} == result.outputs
    assert [("pl_wait", "failed"), ("pl_wait (fallback)", "done")] == paths(result)
