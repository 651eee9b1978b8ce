"""A program that was compiled with the model of this machine is found again by another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.providers, pytest.mark.timeout(300)]

PROGRAM = """
import json
from pathlib import Path
import dspy
from altar import ai
from altar.ai.lm.local import local_lm
from altar.settings import Settings, weights_directory

ai.configure(compiled_programs=Path("kept"))
examples = [dspy.Example(question="1+1", answer="2").with_inputs("question")]
with local_lm(directory=weights_directory(Settings.load().ai), fetching=False) as lm:
    made = ai.compilation(
        dspy.Predict("question -> answer"), trainset=examples, optimizer="LabeledFewShot", k=1, lm=lm.dspy()
    )
print(json.dumps([lm.base_url, made.is_cached, made.not_kept]))
"""


def test_the_second_process_finds_what_the_first_compiled_though_its_model_has_another_port(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))

    (first_at, *first), (second_at, *second) = found
    assert first_at != second_at
    assert [False, ""] == first
    assert [True, ""] == second
