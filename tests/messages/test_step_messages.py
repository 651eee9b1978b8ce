"""What a user is told whose pipeline would undo what undoes, which never happens, or has a step that is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import altar
from altar.ai.pipelines import parallel, pipeline, sub, tool, transform
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error


@altar.tool(register=False)
def undo_pay(amount: int) -> str:
    """Pay."""
    return "receipt"


@altar.tool(register=False)
def undo_refund(amount: int) -> str:
    """Pay back."""
    return "refunded"


PAID_BACK = tool(undo_refund, name="refund", output="back", compensate=tool(undo_pay, name="pay_again", output="again"))
SAYS_NOTHING = tool(undo_refund, name="refund", output="back")

WRONG: dict[str, Callable[[], object]] = {
    "pipeline_compensation_of_a_compensation": lambda: pipeline(
        "shop", [tool(undo_pay, name="pay", compensate=PAID_BACK)]
    ),
    "pipeline_compensation_of_a_fallbacks_compensation": lambda: pipeline(
        "shop", [tool(undo_pay, name="pay", output="p", fallback=tool(undo_pay, name="other", compensate=PAID_BACK))]
    ),
    "pipeline_compensation_inside_of_a_compensation": lambda: pipeline(
        "shop",
        [tool(undo_pay, name="pay", compensate=sub("back"))],
        pipelines={"back": [parallel(PAID_BACK, name="all_at_once")]},
    ),
    "pipeline_compensation_of_a_compensations_fallback": lambda: pipeline(
        "shop",
        [
            tool(
                undo_pay,
                name="pay",
                compensate=tool(undo_refund, name="refund", output="back", fallback=PAID_BACK),
            )
        ],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_pipeline_that_would_undo_what_undoes(told: Told, case: str) -> None:
    with pytest.raises(altar.DeclarationError) as refused:
        WRONG[case]()
    assert "INVALID_PIPELINE" == refused.value.code
    told(case, of_error(refused.value))


def test_a_compensation_may_have_a_fallback_and_a_pipeline_that_undoes_nothing_inside() -> None:
    step = tool(undo_pay, name="pay", compensate=sub("back", fallback=SAYS_NOTHING))

    assert pipeline("shop", [step], pipelines={"back": [SAYS_NOTHING]}).undoes


def undo_plainly(amount: int) -> int:
    return amount


MISUSED: dict[str, Callable[[], object]] = {
    "pipeline_transform_with_a_timeout": lambda: transform(undo_plainly, timeout=2),
    "pipeline_transform_with_a_retry": lambda: transform(undo_plainly, retry=2),
    "pipeline_transform_with_an_output": lambda: transform(undo_plainly, output="x"),  # type: ignore[call-arg]  # wrong
    "pipeline_unknown_option": lambda: tool(undo_pay, retries=3),  # type: ignore[call-arg]  # wrong use
    "pipeline_function_as_a_step": lambda: pipeline("shop", [undo_plainly]),
    "pipeline_number_as_a_step": lambda: pipeline("shop", [[1]]),
    "pipeline_timeout_without_an_end": lambda: pipeline("shop", [undo_pay], timeout=float("inf")),
}


@pytest.mark.parametrize("case", MISUSED)
def test_a_step_that_cannot_be_made(told: Told, case: str) -> None:
    with pytest.raises(altar.DeclarationError) as refused:
        MISUSED[case]()
    assert "INVALID_PIPELINE" == refused.value.code
    told(case, of_error(refused.value))
