"""`altar lint`: says what makes the tools of a module hard for models, or impossible to promote."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ValidationError
from altar.cli import output
from altar.cli.tools import load_modules, module_of, named_or_set

if TYPE_CHECKING:
    from altar.later.linting.lint import Finding, Rule

__all__ = ["lint"]


@click.command()
@click.argument("modules", nargs=-1)
@click.option("--select", metavar="RULES", help="Only these rules: ids or how they begin, joined by commas.")
@click.option("--ignore", metavar="RULES", help="Not these rules.")
@click.option("--rules", "only_rules", is_flag=True, help="List the rules instead.")
@output.json_option
def lint(*, modules: tuple[str, ...], select: str | None, ignore: str | None, only_rules: bool, as_json: bool) -> int:
    """Judge the tools that MODULES declare; without MODULES, those of the setting `runtime.tools`.

    Tools whose contract came from a framework or a server are their authors', and left out.

    Ends with 1 when there is an error or a warning, with 0 when there is none.
    """
    from altar.later.linting.lint import lint as judge
    from altar.later.linting.lint import selected
    from altar.later.registry import REGISTRY

    rules = selected(select=_words(select), ignore=_words(ignore))
    if only_rules:
        output.data([_rule(rule) for rule in rules], as_json=as_json, text=_table(rules))
        return output.DONE
    names = named_or_set(modules)
    if not names:
        raise ValidationError(
            "MALFORMED_REQUEST",
            "There is nothing to judge: no modules are named",
            hint="name one, as in `altar lint weather.py`, or set runtime.tools in altar.toml",
        )
    with redirect_stdout(sys.stderr):  # what a module prints when it is imported is not our data
        load_modules(names)
    tools = [tool for tool in REGISTRY.tools() if ":" not in module_of(tool)]
    found = [finding for tool in tools for finding in judge(tool, rules=rules)]
    output.data(
        {"tools": len(tools), "findings": [_members(finding) for finding in found]},
        as_json=as_json,
        text="\n".join(_paragraphs(found)),
    )
    if not as_json:
        output.say(_summary(found, len(tools)))
    return output.FAILED if any(finding.rule.severity != "info" for finding in found) else output.DONE


def _words(given: str | None) -> list[str]:
    return [word.strip().upper() for word in given.split(",")] if given is not None else []


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "severity": rule.severity,
        "sentence": rule.sentence,
        "hint": rule.hint,
    }


def _table(rules: Sequence[Rule]) -> str:
    return output.columns([(rule.id, rule.severity, rule.name, rule.sentence) for rule in rules])


def _members(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule.id,
        "name": finding.rule.name,
        "severity": finding.rule.severity,
        "tool": finding.tool,
        "message": finding.message,
        "path": finding.path,
        "hint": finding.rule.hint,
        "file": finding.file,
        "line": finding.line,
    }


def _paragraphs(found: Sequence[Finding]) -> Iterator[str]:
    """The findings of each tool below its name, and the hint of a rule once."""
    for (tool, place), findings in groupby(found, key=lambda finding: (finding.tool, _place(finding))):
        yield f"{tool}  {place}"
        for rule, alike in groupby(findings, key=lambda finding: finding.rule):
            for finding in alike:
                yield f"  {rule.severity} {rule.id} {rule.name}: {finding.message}"
            yield f"    hint: {rule.hint}"


def _place(finding: Finding) -> str:
    if finding.file is None:
        return ""
    file = Path(finding.file)
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{shown}" if finding.line is None else f"{shown}:{finding.line}"


def _summary(found: Sequence[Finding], tools: int) -> str:
    counts = Counter(finding.rule.severity for finding in found)
    said = [_count(counts[severity], severity) for severity in ("error", "warning", "info") if counts[severity]]
    return f"{', '.join(said) or 'nothing'} found in {_count(tools, 'tool')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 or word == "info" else f"{number} {word}s"
