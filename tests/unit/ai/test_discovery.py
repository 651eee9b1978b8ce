"""What is found in DSPy, and what a name of it reaches."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import types
from typing import Any

import dspy
import pytest

import altar
from altar.adm.errors import AltarError
from altar.ai import call, chain_of_thought, discover, predict, react
from altar.ai.discovery import KINDS, entry_of
from altar.testing import ScriptedLM

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),  # what DSPy says of its own use of itself
    pytest.mark.filterwarnings("ignore:.*is experimental:UserWarning"),
]


def lm(*answers: Any) -> Any:
    return ScriptedLM(list(answers)).dspy()


@altar.tool
def disco_double(number: int) -> int:
    """Double a number."""
    return 2 * number


# ------------------------------------------------------------------------------------------------------ discovery


def test_every_public_class_and_function_of_dspy_is_listed_once() -> None:
    public = {
        id(value): name
        for name, value in sorted(vars(dspy).items(), reverse=True)
        if not name.startswith("_")
        and isinstance(value, (type, types.FunctionType, types.MethodType))
        and str(value.__module__).startswith("dspy")
    }

    rows = discover()
    names = [row.name for row in rows]

    assert set() == set(public.values()) - set(names) - {"BootstrapRS"}
    assert len(set(names)) == len(names)
    assert sum(inspect.isclass(entry_of(name)[1]) for name in names) >= 70  # type: ignore[index]  # it is in the list
    assert "BootstrapFewShotWithRandomSearch" == entry_of("BootstrapRS")[0].name  # type: ignore[index]  # it is there


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ChainOfThought", "module"),
        ("GEPA", "optimizer"),
        ("BetterTogether", "optimizer"),
        ("Signature", "signature"),
        ("Image", "type"),
        ("JSONAdapter", "adapter"),
        ("LM", "language model"),
        ("KNN", "retriever"),
        ("Evaluate", "evaluation"),
        ("Example", "data"),
        ("LocalInterpreter", "interpreter"),
        ("majority", "function"),
        ("configure", "function"),
        ("AdapterParseError", "error"),
        ("evaluate.SemanticF1", "module"),
    ],
)
def test_each_is_of_the_kind_that_it_is(name: str, kind: str) -> None:
    row = entry_of(name)

    assert row is not None
    assert kind == row[0].kind
    assert name in [each.name for each in discover(kind=row[0].kind)]


def test_a_row_tells_the_parameters_the_stage_and_the_reason() -> None:
    react_row, rlm, load = (entry_of(name)[0] for name in ("ReAct", "RLM", "load"))  # type: ignore[index]  # all are there

    assert ["signature", "tools", "max_iters"] == [each.name for each in react_row.parameters]
    assert [True, True, False] == [each.required for each in react_row.parameters]
    assert ("20", "int") == (react_row.parameters[2].default, react_row.parameters[2].annotation)
    assert ("experimental", "Recursive Language Model module.") == (rlm.stage, rlm.summary)
    assert (False, False) == (load.callable, load.served)
    assert "unpickles" in load.note


def test_the_list_is_json_in_the_order_of_kinds_and_the_same_each_time() -> None:
    rows = [row.to_json() for row in discover()]

    assert rows == json.loads(json.dumps(rows))
    assert sorted(rows, key=lambda row: (KINDS.index(row["kind"]), row["name"])) == rows
    assert " object at 0x" not in json.dumps(rows)


def test_nothing_that_unpickles_runs_code_or_holds_a_key_is_reached() -> None:
    reached = {row.name for row in discover() if row.callable}

    assert set() == reached & {"load", "load_settings", "configure", "LM", "LocalInterpreter", "PythonInterpreter"}
    assert set() == reached & {"Module", "SignatureMeta", "ColBERTv2", "Retrieve", "datasets.HotPotQA", "datasets.MATH"}
    assert set() == {row.kind for row in discover() if row.callable} & {"interpreter", "language model", "error"}


def test_nothing_of_dspy_is_loaded_before_it_is_used() -> None:
    program = (
        "import sys, altar.ai, altar.ai.calls, altar.adapters.dspy, altar.cli.dspy; sys.exit('dspy' in sys.modules)"
    )

    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode


def test_without_dspy_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['dspy'] = None\n"
        "import altar, altar.ai\n"
        "try:\n    altar.ai.discover()\n"
        "except altar.ConfigurationError as error:\n"
        "    print(error.code, error.hint)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert 'ENVIRONMENT_ERROR pip install "altar-ai[dspy]"' == done.stdout.strip()


# ------------------------------------------------------------------------------------------------ the universal call


def test_a_class_is_made_and_a_function_is_called_by_name() -> None:
    module = call("ChainOfThought", "question -> answer")
    field = call("infer_prefix", "some_text")

    assert dspy.ChainOfThought is type(module)
    assert "Some Text" == field


def test_with_inputs_a_module_answers_at_once_under_the_language_model_that_is_given() -> None:
    answered = call("Predict", "question -> answer", inputs={"question": "2+2?"}, lm=lm({"answer": "4"}))

    assert "4" == answered.answer
    assert dspy.settings.lm is None


def test_with_inputs_an_optimizer_compiles_and_an_evaluation_measures() -> None:
    examples = [dspy.Example(question="2+2?", answer="4").with_inputs("question")]

    compiled = call("LabeledFewShot", k=1, inputs={"student": dspy.Predict("question -> answer"), "trainset": examples})
    score = call(
        "Evaluate",
        devset=examples,
        metric=lambda example, answered, _=None: example.answer == answered.answer,
        num_threads=1,
        inputs={"program": compiled},
        lm=lm({"answer": "4"}),
    )

    assert 1 == len(compiled.demos)
    assert 100.0 == score.score


def test_every_class_that_is_called_by_name_is_reached_and_never_by_a_path() -> None:
    for row in discover():
        if row.callable:
            assert entry_of(row.name)[1].__name__  # type: ignore[index]  # it is in the list

    for path in ("dspy.ChainOfThought", "os.system", "builtins.eval", "evaluate.evaluate.Evaluate", "__class__", ""):
        with pytest.raises(AltarError, match="DSPy has no public") as refused:
            call(path, "question -> answer")
        assert "UNKNOWN_RESOURCE" == refused.value.code


@pytest.mark.parametrize(
    ("name", "arguments", "code", "words", "hint"),
    [
        ("ReActt", (), "UNKNOWN_RESOURCE", "DSPy has no public 'ReActt'", "did you mean 'ReAct'?"),
        ("MIPRO", (), "UNKNOWN_RESOURCE", "DSPy has no public 'MIPRO'", "'MIPROv2' took its place"),
        ("load", ("x",), "UNKNOWN_RESOURCE", "it unpickles whole programs", "--callable"),
        ("CodeInterpreter", (), "UNKNOWN_RESOURCE", "is not called by name", "--callable"),
        ("ReAct", ("q -> a",), "INVALID_TOOL_ARGS", "missing a required argument: 'tools'", "ReAct(signature, tools"),
        ("ReAct", ("q -> a", [], 1, 2), "INVALID_TOOL_ARGS", "too many positional arguments", "max_iters=…"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_with_it(
    name: str, arguments: tuple[Any, ...], code: str, words: str, hint: str
) -> None:
    with pytest.raises(AltarError) as refused:
        call(name, *arguments)

    assert (code, "no") == (refused.value.code, refused.value.ran)
    assert words in refused.value.message
    assert hint in str(refused.value.hint)


def test_inputs_for_what_takes_none_are_refused() -> None:
    with pytest.raises(AltarError, match="'Example' makes a value that takes no inputs"):
        call("Example", question="q", inputs={"x": 1})


# -------------------------------------------------------------------------------------------- in a line each


def test_a_module_is_made_asked_and_asked_once_in_a_line_each() -> None:
    made = predict("question -> answer", lm=lm({"answer": "4"}))

    assert dspy.Predict is type(made)
    assert "4" == made(question="2+2?").answer
    assert "5" == predict("question -> answer", question="2+3?", lm=lm({"answer": "5"})).answer
    assert ("Two.", "2") == tuple(
        chain_of_thought("question -> answer", question="1+1?", lm=lm({"reasoning": "Two.", "answer": "2"})).values()
    )[:2]


def test_a_field_may_be_called_as_a_parameter_is() -> None:
    script = ScriptedLM([{"answer": "4"}])

    answered = predict("inputs -> answer", inputs={"inputs": "which?"}, lm=script.dspy())

    assert "4" == answered.answer
    assert "which?" in script.requests[0].prompt


def test_the_settings_of_each_request_are_those_that_were_given() -> None:
    assert {"temperature": 0.3} == predict("question -> answer", config={"temperature": 0.3}).config


def test_an_agent_calls_tools_of_altar_through_its_session_and_functions_beside_them() -> None:
    def half(number: int) -> float:
        """Halve a number."""
        return number / 2

    script = ScriptedLM(
        [
            {"next_thought": "", "next_tool_name": "disco_double", "next_tool_args": {"number": 4}},
            {"next_thought": "", "next_tool_name": "half", "next_tool_args": {"number": 8}},
            {"next_thought": "", "next_tool_name": "finish", "next_tool_args": {}},
            {"reasoning": "r", "answer": "done"},
        ]
    )

    with altar.session([disco_double], source="later:") as session:
        agent = react("question -> answer", [disco_double, half], session=session, lm=script.dspy())
        answered = agent(question="q")
        named = react("question -> answer", ["disco_double"], session=session)
        everything = react("question -> answer", session=session)

    assert (8, 4.0) == (answered.trajectory["observation_0"], answered.trajectory["observation_1"])
    assert ["disco_double", "finish"] == list(named.tools) == list(everything.tools)


def test_a_tool_of_altar_without_a_session_is_refused() -> None:
    with pytest.raises(AltarError, match="'disco_double' is called through a session, and none is given"):
        react("question -> answer", [disco_double])
