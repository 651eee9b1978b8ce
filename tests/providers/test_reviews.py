"""A program that is optimized on real reviews with the real language model of this machine.

What the model said is recorded, without the reviews.
The model is so small that it calls every review positive: what is proved is that everything is joined, and no skill.
With ALTAR_RECORD=record the model itself is asked again, for half an hour; with ALTAR_RECORD=missing only what is new.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest

from altar.ai.lm.local import local_lm
from altar.settings import Settings, weights_directory
from altar.testing import RecordedLM
from tests.providers import reviews

pytestmark = [pytest.mark.providers, pytest.mark.timeout(3600)]

RECORDING = Path(__file__).with_name("reviews.jsonl")
NO_REVIEWS = "the reviews are not on this machine: ALTAR_REVIEWS names their file"
HELD_OUT = 200


@pytest.fixture(scope="module")
def lm() -> Iterator[Any]:
    if not reviews.FILE.is_file():
        pytest.skip(NO_REVIEWS)
    with ExitStack() as stack:
        mode: Any = os.environ.get("ALTAR_RECORD", "replay")
        if mode != "replay":
            directory = weights_directory(Settings.load().ai)
            served = stack.enter_context(local_lm(directory=directory, context=2048))
            real = served.dspy(temperature=0.0, max_tokens=60, cache=False, num_retries=0)
            recorded = RecordedLM(RECORDING, model=real, mode=mode, keeps_requests=False)
        else:
            recorded = RecordedLM(RECORDING)
        yield recorded.dspy(temperature=0.0, max_tokens=60)


def test_a_program_that_was_compiled_on_real_reviews_holds_demos_that_the_local_model_made(
    lm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import dspy

    class Sentiment(dspy.Signature):
        """Say whether the review is positive or negative."""

        review: str = dspy.InputField()
        label: Literal["positive", "negative"] = dspy.OutputField()

    def right(example: Any, prediction: Any, trace: Any = None) -> bool:
        return bool(example.label == prediction.label)

    train, held_out = reviews.examples(train=12, held_out=HELD_OUT)
    plain = dspy.Predict(Sentiment)
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        optimizer = dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=3, max_labeled_demos=2)
        compiled = optimizer.compile(plain, trainset=train)
        score = dspy.Evaluate(devset=held_out, metric=right, num_threads=1, display_progress=False)
        before, after = score(plain).score, score(compiled).score

    demos = compiled.demos
    bootstrapped = [demo for demo in demos if dict(demo).get("augmented")]
    with capsys.disabled():
        print(f"\n{HELD_OUT} held-out reviews: {before} % before, {after} % compiled, {len(bootstrapped)} demos")
    assert len(held_out) == HELD_OUT
    assert len(bootstrapped) >= 1
    assert 0 < before <= 100
    assert 0 < after <= 100
