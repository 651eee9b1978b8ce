"""Every name, command, setting and error code has its heading in docs/reference; pages follow the code."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from altar.cli.main import cli
from altar.settings import Settings
from scripts import generate_reference
from tests.docs.reader import ROOT

REFERENCE = ROOT / "docs" / "reference"


def headings(page: str) -> set[str]:
    text = re.sub(r"```.*?```", "", (REFERENCE / page).read_text(), flags=re.DOTALL)
    return {line.strip("# `") for line in re.findall(r"^#{2,} .*$", text, flags=re.MULTILINE)}


def test_every_error_code_has_a_heading() -> None:
    codes = set(tomllib.loads((ROOT / "spec" / "errors.toml").read_text()))

    assert set() == codes - headings("errors.md")


def test_every_setting_has_a_heading() -> None:
    assert set() == set(settings_of(Settings)) - headings("settings.md")


def test_every_command_has_a_heading() -> None:
    commands = {path for path, _ in generate_reference.commands(cli, path="altar")}

    assert set() == commands - headings("cli.md")


def test_every_command_says_what_it_does() -> None:
    silent = [path for path, command in generate_reference.commands(cli, path="altar") if not command.help]

    assert [] == silent


@pytest.mark.parametrize("page", generate_reference.PYTHON_PAGES, ids=lambda page: page.file)
def test_every_public_name_has_a_heading(page: generate_reference.PythonPage) -> None:
    public = {name for module in page.modules for name in importlib.import_module(module).__all__}

    assert public
    assert set() == public - headings(page.file)
    assert f"]({page.file})" in (REFERENCE / "compatibility.md").read_text()


@pytest.mark.parametrize(
    "script", ["generate_codes.py", "generate_lint_page.py", "generate_reference.py", "generate_settings_page.py"]
)
def test_a_generated_page_is_up_to_date(script: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), "--check"]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr


def test_every_page_can_be_reached_from_the_index() -> None:
    docs = ROOT / "docs"
    pages = {page.resolve() for page in docs.rglob("*.md")}
    reached: set[Path] = set()
    waiting = [(docs / "index.md").resolve()]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", page.read_text())
        found = {(page.parent / target).resolve() for target in targets}
        waiting += (found & pages) - reached - set(waiting)

    assert set() == {str(page.relative_to(docs)) for page in pages - reached}


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every setting."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
