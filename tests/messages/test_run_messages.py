"""What a user is told whose run ends at a step: its time is up, or a plain function gives less than it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import altar
from altar.ai.pipelines import Pipeline, pipeline, tool, transform
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error


@altar.tool
async def run_wait(topic: str) -> str:
    """Wait for what never comes."""
    await asyncio.Event().wait()
    return topic


def run_split(topic: str) -> int:
    return 3


ENDS: dict[str, Callable[[], Pipeline]] = {
    "pipeline_run_step_out_of_time": lambda: pipeline("waits", [tool(run_wait, timeout=0.05)]),
    "pipeline_run_transform_gives_no_mapping": lambda: pipeline(
        "splits", [transform(run_split, gives=["first", "rest"])], inputs={"topic": str}
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_run_that_ends_at_a_step(told: Told, case: str) -> None:
    made = ENDS[case]()

    with altar.session([run_wait], source="later:") as session:
        result = made.run(session, topic="whales")

    assert result.error is not None
    told(case, of_error(result.error.to_error()))
