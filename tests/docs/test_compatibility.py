"""The compatibility page speaks of names that exist, and the names that were promised are still there."""

from __future__ import annotations

import importlib
import re

import pytest

import altar
from altar.cli.main import cli
from altar.settings import Settings
from scripts import generate_reference
from tests.docs.reader import ROOT
from tests.docs.test_reference import settings_of

PAGE = (ROOT / "docs" / "reference" / "compatibility.md").read_text()
ROWS = [row.split(" | ") for row in re.findall(r"^\| (.*) \|$", PAGE, flags=re.MULTILINE)]
HERE = [row[1] for row in ROWS if len(row) == 2 and row[0] not in {"there", "---"}]
SPOKEN = sorted({name for cell in HERE for name in re.findall(r"`([^`]+)`", cell)})
PUBLIC_BELOW = sorted(set(re.findall(r"`(altar\.[\w.]+)`", PAGE.partition("## From")[0].partition("- **Removal")[0])))

PROMISED = frozenset(
    "AltarError Annotations AuthorizationError ConfigurationError DeclarationError ErrorObject "
    "ExecutionError FunctionCall FunctionDeclaration ResultStatus Schema Session SyncSession Tool ToolContext "
    "ToolContract ToolFunction ToolManifest ToolResult TransportError ValidationError VariableConflictError "
    "load_tools session tool".split()
)
"""The public names of the last release: one may go only after it has warned for a minor version."""


def test_no_promised_name_has_gone() -> None:
    assert set() == PROMISED - set(altar.__all__)


def test_a_new_public_name_is_promised_too() -> None:
    assert set() == set(altar.__all__) - PROMISED


def test_the_public_names_stay_few() -> None:
    assert len(altar.__all__) <= 25


@pytest.mark.parametrize("name", PUBLIC_BELOW)
def test_what_is_promised_below_the_package_exists(name: str) -> None:
    test_a_name_on_the_page_exists(name)


def test_something_below_the_package_is_promised() -> None:
    for_tools = {"altar.testing", "altar.adm.formats", "altar.later.linting.lint.allow"}
    built_of_tools = {"altar.ai", "altar.ai.pipelines", "altar.ai.agents", "altar.adapters"}

    assert for_tools | built_of_tools == set(PUBLIC_BELOW)


def test_every_row_says_what_it_is_here() -> None:
    assert len(HERE) >= 25
    assert [] == [cell for cell in HERE if not re.search(r"`|not in this release|nothing to start", cell)]


@pytest.mark.parametrize("name", [name for name in SPOKEN if name.startswith("altar.")])
def test_a_name_on_the_page_exists(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return
    pytest.fail(f"{name} does not exist")


@pytest.mark.parametrize("command", [name for name in SPOKEN if name.startswith("altar ")])
def test_a_command_on_the_page_exists(command: str) -> None:
    assert command in {path for path, _ in generate_reference.commands(cli, path="altar")}


@pytest.mark.parametrize("key", [name for name in SPOKEN if re.fullmatch(r"(host|runtime|tls)\.\w+", name)])
def test_a_setting_on_the_page_exists(key: str) -> None:
    assert key in set(settings_of(Settings))
