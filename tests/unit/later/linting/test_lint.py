"""The rules of lint: each is found where it is broken, and nowhere else."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.errors import ConfigurationError
from altar.later.linting.lint import RULES, UNUSED, Finding, allow, lint, selected
from altar.later.tool import ToolFunction
from tests.unit.later.linting import lint_cases as cases

ROOT = Path(__file__).resolve().parents[4]

FOUND: list[tuple[str, ToolFunction[..., Any], list[tuple[str, str]]]] = [
    ("good", cases.good, []),
    ("with_a_context", cases.with_a_context, []),
    ("short", cases.short, [("A001", "the description 'Count.' has fewer than 3 words")]),
    ("long", cases.long, [("A002", "the description has 1200 characters, and 1024 are allowed")]),
    ("long_parameter", cases.long_parameter, [("A002", "the description of 'number' has 1200 characters, and …")]),
    ("undescribed", cases.undescribed, [("A003", "parameter 'number' has no description")]),
    ("count_it_all", cases.count_it_all, [("A004", "the description repeats the name")]),
    ("repeats", cases.repeats, [("A004", "the description of 'number' repeats its name")]),
    ("renamed", cases.renamed, [("A005", "the docstring describes 'amount', and there is no such parameter")]),
    ("filled_in", cases.filled_in, [("A005", "the docstring describes 'amount', and …")]),
    ("of_any_name", cases.of_any_name, []),
    ("documented", cases.documented, [("A104", "`texts` takes a list of any length")]),
    (
        "open_object",
        cases.open_object,
        [
            ("A101", "`Loose.extra` takes an object with any members"),
            ("A401", "`Loose.extra`: written as an object without members, as OpenAI's strict mode has no maps"),
            ("A402", "`Loose.extra`: written as an object without members, as Anthropic's strict mode has no maps"),
        ],
    ),
    (
        "anything",
        cases.anything,
        [
            ("A102", "`value` takes any value"),
            ("A401", "`value`: written as any plain value, as OpenAI's strict mode wants every place to have a type"),
            ("A402", "`value`: written as any plain value, as Anthropic's strict mode wants …"),
        ],
    ),
    (
        "given",
        cases.given,
        [
            ("A102", "`page_number` takes any value"),
            ("A102", "`pages[]` takes any value"),
            ("A104", "`pages` takes a list of any length"),
            ("A401", "`page_number`: written as any plain value, …"),
            ("A401", "`pages[]`: written as any plain value, …"),
            ("A401", "`counts`: written as an object without members, …"),
            ("A402", "`page_number`: written as any plain value, …"),
            ("A402", "`pages[]`: written as any plain value, …"),
            ("A402", "`counts`: written as an object without members, …"),
        ],
    ),
    (
        "unbounded",
        cases.unbounded,
        [("A103", "`texts[]` takes a text of any length"), ("A104", "`texts` takes a list of any length")],
    ),
    (
        "inexact",
        cases.inexact,
        [
            ("A105", f"`number` names the number {2**55} as its default"),
            ("A105", f"`number` names the number {2**60} as its maximum"),
        ],
    ),
    ("mutable", cases.mutable, [("A107", "the default of 'numbers' is a list, which every call shares")]),
    ("no_result", cases.no_result, [("A201", "the function does not say what it returns")]),
    ("open_result", cases.open_result, [("A202", "the result may be anything")]),
    ("hyphen", cases.hyphen, [("A301", "the name 'with-hyphen' is no Python identifier")]),
    ("alias", cases.alias, [("A302", "the parameter name 'how many' is not up to 64 ASCII letters, …")]),
    ("like_a_context", cases.like_a_context, [("A303", "parameter 'ctx' looks like a context, and …")]),
    (
        "mapping",
        cases.mapping,
        [
            ("A401", "`counts`: written as an object without members, as OpenAI's strict mode has no maps"),
            ("A402", "`counts`: written as an object without members, as Anthropic's strict mode has no maps"),
        ],
    ),
    ("contradictory", cases.contradictory, [("A501", "the tool is declared read_only and destructive")]),
    ("updateStock", cases.updateStock, [("A502", "the tool is declared read_only, and its name says 'update'")]),
    ("purge_stock", cases.purge_stock, [("A503", "the name says 'purge', and the tool is not declared destructive")]),
    ("drop_stock", cases.drop_stock, []),
    ("silent", cases.silent, [("A504", "the tool does not say whether it changes anything")]),
    ("made_by_import", cases.made_by_import, []),
    (
        "partial",
        cases.partial,
        [("A603", "'partial' is not what Python finds as 'tests.unit.later.linting.lint_cases.good', so no …")],
    ),
    ("allowed", cases.allowed, []),
    ("allowed_below", cases.allowed_below, []),
    ("needlessly_allowed", cases.needlessly_allowed, [("A901", "A001 is allowed and not broken")]),
]


@pytest.mark.parametrize(("tool", "expected"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND])
def test_a_tool_is_told_exactly_the_rules_that_it_breaks(
    tool: ToolFunction[..., Any], expected: list[tuple[str, str]]
) -> None:
    found = [(finding.rule.id, finding.message) for finding in lint(tool)]

    assert [rule for rule, _ in expected] == [rule for rule, _ in found]
    for (_, words), (_, message) in zip(expected, found, strict=True):
        assert re.fullmatch(".*".join(map(re.escape, words.split("…"))), message), message


def test_a_default_that_json_cannot_hold_is_found() -> None:
    found = [finding.message for finding in lint(cases.unseen) if finding.rule.id == "A106"]

    assert ["the default of 'number', of the Python type 'type', cannot be shown as JSON"] == found


def test_a_function_of_the_program_itself_is_found(tmp_path: Path) -> None:
    program = '''
import altar
from altar.later.linting.lint import lint

@altar.tool
def once() -> None:
    """Do this only once."""

print([finding.rule.id for finding in lint(once)])
'''
    (tmp_path / "program.py").write_text(program)

    run = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "['A504', 'A601']\n" == run.stdout


def test_a_function_inside_another_one_is_found_unless_an_import_declared_it() -> None:
    (finding,) = lint(cases.make())

    assert "A602" == finding.rule.id
    assert "the function is defined inside of 'make', so a runtime has it only where that is called" == finding.message
    assert [] == lint(cases.made_by_import)


def test_a_function_that_the_program_makes_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "making.py").write_text(MAKING)
    (tmp_path / "program.py").write_text(
        "import making\nprint(making.found(making.make()), making.found(making.MADE))\n"
    )

    run = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "['A602'] []\n" == run.stdout


def test_what_a_text_runs_is_no_import() -> None:
    scope: dict[str, Any] = {"__name__": "nowhere", "make": cases.make}
    exec("made = make()", scope)

    assert ["A602"] == [finding.rule.id for finding in lint(scope["made"])]


MAKING = '''
import altar
from altar.later.linting.lint import lint

def make():
    @altar.tool(read_only=True, register=False)
    def once() -> None:
        """Do this only once."""
    return once

def found(tool):
    return [finding.rule.id for finding in lint(tool)]

MADE = make()
'''


def test_every_rule_is_broken_by_a_test() -> None:
    broken = {rule for _, _, expected in FOUND for rule, _ in expected} | {"A106", "A601", "A602"}

    assert {rule.id for rule in (*RULES, UNUSED)} == broken


def test_the_rules_have_ids_in_order_and_end_their_sentences() -> None:
    ids = [rule.id for rule in (*RULES, UNUSED)]

    assert sorted(set(ids)) == ids
    assert [] == [rule.id for rule in RULES if not rule.sentence.endswith(".") or rule.hint.endswith(".")]


def test_a_finding_says_where_the_function_stands() -> None:
    (finding,) = lint(cases.short)
    lines = inspect.getsource(cases).splitlines()

    assert (finding.file, "def short(number: Number) -> int:") == (cases.__file__, lines[(finding.line or 0) - 1])
    assert "/description" == finding.path


def test_a_function_without_source_has_no_place() -> None:
    scope: dict[str, Any] = {}
    exec('def bare() -> None:\n    "Do."\n', scope)
    tool = altar.tool(scope["bare"], register=False)

    assert {(None, None)} == {(finding.file, finding.line) for finding in lint(tool)}


def test_an_allowance_is_no_part_of_the_contract() -> None:
    without = altar.tool(cases.allowed.function, name="an-old-name", idempotent=True, register=False)

    assert without.digest == cases.allowed.digest


@pytest.mark.parametrize("select", [["A0"], ["A001", "A00"]])
def test_rules_are_selected_by_how_their_ids_begin(select: list[str]) -> None:
    assert ["A001", "A002", "A004", "A005"] == [rule.id for rule in selected(select=select, ignore=["A003"])]


@pytest.mark.parametrize("word", ["X", "", "a001"])
def test_a_word_that_selects_nothing_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match="No rule begins with"):
        selected(select=[word])


def test_an_allowance_without_a_rule_or_a_reason_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="There is no rule 'A999'"):
        allow("A999", because="why not")
    with pytest.raises(ConfigurationError, match="An allowance needs a reason"):
        allow("A101", because=" ")


def test_only_some_rules_are_asked() -> None:
    assert [] == lint(cases.short, rules=selected(select=["A5"]))


def test_a_finding_is_a_value() -> None:
    assert Finding(RULES[0], "tool", "words") == Finding(RULES[0], "tool", "words")
