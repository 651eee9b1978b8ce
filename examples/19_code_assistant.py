"""A code assistant: it writes tests, runs them in a process of their own, and mends the code only if they fail."""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

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

    verdict: str
    counts: str
    report: str


@altar.tool(read_only=True)
def outline(source: str) -> list[str]:
    """The functions of a Python file, with their parameters."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return [f"{function.name}({ast.unparse(function.args)})" for function in functions]


@altar.tool(isolate="process", timeout=60)
def run_tests(source: str, tests: str) -> Report:
    """Run tests of pytest against a program; what they start ends with the process, whatever it is."""
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
            tool("outline"),
            module("source, outline: list[str] -> tests", name="write_tests"),
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
    print(result.fields["outline"], result.outputs["counts"], "->", result.outputs["last"]["counts"])
    print([step.path for step in result.steps])
    print("the model was told:", "assert 3 == 2.5" in script.requests[1].prompt)

# Prints:
# ['median(numbers)'] 1 failed, 1 passed -> 2 passed
# ['outline', 'write_tests', 'run_tests', 'verdict/mend/mend', 'run_again']
# the model was told: True
