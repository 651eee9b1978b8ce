# pip install 'altar-ai[dspy]' pytest
"""A code assistant: it writes tests, runs them in a process of their own, and mends the code only if they fail."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import altar
from altar.ai.pipelines import branch, module, pipeline, tool, transform
from altar.testing import ScriptedLM

PYTEST = [sys.executable, "-m", "pytest", "-q", "--disable-plugin-autoload"]
SOURCE = "def median(numbers):\n    return sorted(numbers)[len(numbers) // 2]\n"
TESTS = """from program import median
def test_odd():
    assert median([3, 1, 2]) == 2
def test_even():
    assert median([4, 1, 2, 3]) == 2.5
"""
MENDED = "from statistics import median\n"


@dataclass
class Report:
    """How tests ended: passed or failed, how many of each, and all that pytest said."""

    verdict: Literal["passed", "failed"]
    counts: str
    report: str


@altar.tool(isolate="process", timeout=60)
def run_tests(source: str, tests: str) -> Report:
    """Run tests of pytest against a program; what they start ends with the process, whatever it is.

    Args:
        source: The program, which the tests import as `program`.
        tests: A file of tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(source)
        Path(folder, "test_program.py").write_text(tests)
        run = subprocess.run(PYTEST, cwd=folder, capture_output=True, text=True, check=False)
    *_, last = run.stdout.splitlines()
    return Report("failed" if run.returncode else "passed", last.partition(" in ")[0], run.stdout)


if __name__ == "__main__":  # a child process that runs the tests needs none of this
    import dspy

    assistant = pipeline(
        "code_assistant",
        [
            module("source -> tests", name="write_tests"),
            tool("run_tests"),
            branch("verdict", {"failed": "mend", "passed": "keep"}),
            tool("run_tests", inputs={"source": "program"}, output="last", name="run_again"),
        ],
        pipelines={
            "mend": [module("source, report -> program", kind="ChainOfThought", name="mend")],
            "keep": [transform(lambda source: source, takes=["source"], gives=["program"], name="keep")],
        },
        outputs=["program", "counts", "last"],
    )
    script = ScriptedLM([{"tests": TESTS}, {"reasoning": "An even count has two middles.", "program": MENDED}])
    dspy.configure(lm=script.dspy())
    with altar.session(source="later:") as session:
        result = assistant.run(session, source=SOURCE)
    print(result.outputs["counts"], "->", result.outputs["last"]["counts"])
    print(result.outputs["program"].strip())
    print([step.path for step in result.steps])
    print("the model was told:", "assert 3 == 2.5" in script.requests[1].prompt)

# Prints:
# 1 failed, 1 passed -> 2 passed
# from statistics import median
# ['write_tests', 'run_tests', 'verdict/mend/mend', 'run_again']
# the model was told: True
