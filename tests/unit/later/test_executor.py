"""The eight steps: in their order, and one answer for each invocation whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from altar.adm.errors import AuthorizationError, ExecutionError, ValidationError
from altar.later.executor import Executor
from altar.later.gate import OpenGate
from altar.later.invocation import Answer, Invocation, Outcome
from altar.testing import RecordingGate
from tests.unit.later.doubles import Answers, Catalog, Contract, Source, call


def executed(*frame: Invocation, catalog: Catalog | None = None, source: Source | None = None) -> Answers:
    answers = Answers()
    Executor(catalog or Catalog(), OpenGate(), source or Source(), answers).execute(frame)
    return answers


def test_a_call_that_fits_is_run_and_answered() -> None:
    assert executed(call()).outcomes == [Outcome(b"1")]


def test_each_invocation_of_a_frame_is_answered_once_and_refusals_come_first() -> None:
    frame = [call(), call("absent"), call()]

    answers = executed(*frame)

    assert [invocation for invocation, _ in answers.given] == [frame[1], frame[0], frame[2]]


def test_an_empty_frame_asks_nobody() -> None:
    assert executed().given == []


def test_a_tool_that_is_not_found_is_refused_in_the_catalogs_words() -> None:
    error = executed(call("absent")).error

    assert (error.code, error.message, error.ran) == ("UNSUPPORTED_TOOL", "no absent", "no")


def test_arguments_that_do_not_fit_are_refused_before_the_gate_is_asked() -> None:
    gate, answers, source = RecordingGate(), Answers(), Source()
    catalog = Catalog(Contract(unfit=ValidationError("INVALID_TOOL_ARGS", "no", path="/a")))

    Executor(catalog, gate, source, answers).execute([call()])

    assert answers.error.path == "/a"
    assert (gate.intents, gate.outcomes, source.ran) == ([], [], [])


def test_what_the_gate_refuses_leaves_no_intent_and_does_not_run() -> None:
    refused = AuthorizationError("PERMISSION_DENIED", "not you")
    gate, answers, source = RecordingGate({"known": refused}), Answers(), Source()

    Executor(Catalog(), gate, source, answers).execute([call()])

    assert answers.error is refused
    assert (gate.intents, source.ran) == ([], [])


@pytest.mark.parametrize("where", ["check", "authorize"])
def test_whatever_else_is_raised_before_a_call_runs_refuses_it_without_its_text(where: str) -> None:
    class Broken(RecordingGate):
        def authorize(self, invocation: Invocation) -> None:
            raise KeyError("secret")

    gate = Broken() if where == "authorize" else RecordingGate()
    catalog = Catalog(Contract(unfit=KeyError("secret"))) if where == "check" else Catalog()
    answers = Answers()

    Executor(catalog, gate, Source(), answers).execute([call()])

    assert (answers.error.code, answers.error.ran) == ("INTERNAL", "no")
    assert "secret" not in answers.error.message
    assert "secret" in (answers.error.detail or "")


def test_an_intent_is_committed_before_the_run_and_an_outcome_before_the_answer() -> None:
    order: list[str] = []

    class Gate(RecordingGate):
        def intend(
            self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer
        ) -> None:
            order.append("intent")
            run(frame)

        def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
            order.append("outcome")
            answer(invocation, outcome)

    def run(invocation: Invocation, settle: Answer) -> None:
        order.append("run")
        settle(invocation, Outcome(b"1"))

    Executor(Catalog(), Gate(), Source(run), lambda _call, _outcome: order.append("answer")).execute([call()])

    assert order == ["intent", "run", "outcome", "answer"]


def test_intents_that_cannot_be_written_are_refused_and_nothing_runs() -> None:
    class Full(RecordingGate):
        def intend(
            self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer
        ) -> None:
            for invocation in frame:
                refuse(invocation, Outcome(error=ExecutionError("LOG_UNAVAILABLE", "full", ran="no")))

    answers, source = Answers(), Source()

    Executor(Catalog(), Full(), source, answers).execute([call(), call()])

    assert [outcome.error.code for outcome in answers.outcomes if outcome.error] == ["LOG_UNAVAILABLE"] * 2
    assert source.ran == []


def test_a_source_that_raises_still_leaves_an_outcome() -> None:
    def raises(invocation: Invocation, settle: Answer) -> None:
        raise ExecutionError("RESOURCE_EXHAUSTED", "full", ran="no")

    gate, answers = RecordingGate(), Answers()

    Executor(Catalog(), gate, Source(raises), answers).execute([call()])

    assert (len(gate.intents), len(gate.outcomes)) == (1, 1)
    assert answers.error.code == "RESOURCE_EXHAUSTED"


def test_a_result_that_breaks_the_contract_is_recorded_as_broken() -> None:
    broken = ValidationError("SCHEMA_VIOLATION", "not a number", ran="yes")
    gate, answers = RecordingGate(), Answers()

    Executor(Catalog(Contract(broken=broken)), gate, Source(), answers).execute([call()])

    assert answers.error is broken
    assert gate.outcomes[0][1].error is broken


def test_a_result_that_nobody_can_check_is_not_passed_on() -> None:
    answers = executed(call(), catalog=Catalog(Contract(broken=RecursionError("deep"))))

    assert (answers.error.code, answers.error.ran) == ("TOOL_EXECUTION_FAILED", "yes")


def test_an_error_is_not_checked_against_the_contract() -> None:
    failed = ExecutionError("TIMEOUT", "late", ran="yes")
    source = Source(lambda invocation, settle: settle(invocation, Outcome(error=failed)))

    answers = executed(call(), catalog=Catalog(Contract(broken=KeyError())), source=source)

    assert answers.error is failed


def test_calls_of_one_frame_end_in_their_own_time() -> None:
    waiting: list[tuple[Invocation, Answer]] = []
    source = Source(lambda invocation, settle: waiting.append((invocation, settle)))
    first, second = call(), call()
    answers = Answers()
    Executor(Catalog(), OpenGate(), source, answers).execute([first, second])

    for invocation, settle in reversed(waiting):
        settle(invocation, Outcome(b"2"))

    assert [invocation for invocation, _ in answers.given] == [second, first]
