"""The conformance cases of the CEL specification (google/cel-spec, tests/simple), through the interface of policies.

Each expression is compiled with the types of its variables, evaluated with their values, and its value compared.
A case of an error is answered rightly by an error when it is compiled or when it is evaluated: both deny.
What ALTAR does not answer stands in `cel_exceptions.toml` with the reason; a case there that passes fails the run.
"""

from __future__ import annotations

from collections import Counter

import pytest

from altar.adm.errors import AltarError
from altar.aesp.policy.cel import compile_expression, has_nul
from altar.aesp.policy.native import UnsureError, native_judge
from tests.conformance.cel_suite import Case, alike, cases, exceptions, expected_needs, reasons

MIN_PASSING = 1_100
MIN_JUDGED = 60


def suite() -> tuple[Case, ...]:
    """The cases of the suite; skips the test where there is no npm to fetch them with."""
    found = cases()
    if found is None:
        pytest.skip("npm is missing, with which the conformance cases of CEL are fetched")
    return found


def is_right(case: Case) -> bool:
    """Whether ALTAR answers the case as the specification wants."""
    try:
        expression = compile_expression(case.expression, variables=case.variables, result="")
        value = case.expected if case.check_only else expression.evaluate(case.values)
    except AltarError:
        return case.fails
    return not case.fails and alike(value, case.expected)


def test_each_case_is_answered_as_the_specification_wants_or_is_excepted() -> None:
    excepted = exceptions()

    wrong = [case.name for case in suite() if not case.needs and is_right(case) != (case.name not in excepted)]

    assert [] == wrong


def test_each_exception_names_a_case_that_is_run_and_a_reason_that_is_told() -> None:
    run = {case.name for case in suite() if not case.needs}

    assert set() == exceptions().keys() - run
    assert reasons().keys() == set(exceptions().values()) | set(expected_needs())


def test_what_no_policy_can_be_given_is_counted() -> None:
    assert expected_needs() == Counter(case.needs for case in suite() if case.needs)


def test_the_figures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    run = [case for case in suite() if not case.needs]
    passing = len(run) - len(exceptions())
    lines = [f"{len(suite())} cases, {passing} pass, {len(exceptions())} excepted, {len(suite()) - len(run)} not run"]
    lacking = {name[:2] for name, reason in exceptions().items() if reason == "extension"}
    anyhow = sum(case.fails and case.name[:2] in lacking for case in run)
    lines.append(f"  {anyhow} of those that pass want an error of an extension, and get one for want of the extension")
    told = Counter(exceptions().values()) + Counter(expected_needs())
    lines += [f"  {count}: {reasons()[reason]}" for reason, count in told.most_common()]

    with capsys.disabled():
        print("\nCEL conformance:", *lines, sep="\n  ")

    assert passing - anyhow >= MIN_PASSING


def test_conditions_judged_in_python_are_answered_as_by_the_engine() -> None:
    wrong, judged = [], 0
    for case in suite():
        if case.needs or case.check_only:
            continue
        try:
            expression = compile_expression(case.expression, variables=case.variables, result="")
        except AltarError:
            continue
        native = native_judge(expression, types=case.variables)
        try:
            said = None if native is None or has_nul(case.values) else native.judge(case.values)
        except UnsureError:
            continue
        judged += said is not None
        if said is not None and (case.fails or said is not case.expected):
            wrong.append(case.name)

    assert [] == wrong
    assert judged >= MIN_JUDGED
