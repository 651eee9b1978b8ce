"""`altar lint`: what it prints, and the numbers it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import altar

ROOT = Path(__file__).resolve().parents[2]

DESCRIBE = "describe it in the docstring under `Args:`, in Annotated[…, Field(description='…')] or InputField(desc='…')"
TOOLS = '''"""Tools of a shop."""

import altar

print("imported")


@altar.tool(read_only=True)
def price(article: str) -> int:
    """Say what an article costs."""
    return 1


@altar.tool(read_only=True)
def count() -> int:
    """Say how many articles there are."""
    return 1
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(TOOLS)
    return tmp_path


def test_findings_are_grouped_by_tool_with_their_places_and_hints(shop: Path) -> None:
    shown = altar("lint", "shop.py", at=shop)

    assert shown.code == 1
    assert shown.out == (
        "price  shop.py:9\n"
        "  warning A003 undescribed-parameter: parameter 'article' has no description\n"
        f"    hint: {DESCRIBE}\n"
        "  info A103 unbounded-text: `article` takes a text of any length\n"
        "    hint: limit it: Annotated[str, Field(max_length=…)], a Literal or an Enum\n"
    )
    assert shown.err == "imported\n1 warning, 1 info found in 2 tools\n"


def test_findings_are_one_json_value(shop: Path) -> None:
    shown = altar("lint", "--json", "--select", "a003", "shop", at=shop)

    assert shown.code == 1
    assert shown.json == {
        "tools": 2,
        "findings": [
            {
                "rule": "A003",
                "name": "undescribed-parameter",
                "severity": "warning",
                "tool": "price",
                "message": "parameter 'article' has no description",
                "path": "/parameters/properties/article",
                "hint": DESCRIBE,
                "file": str(shop / "shop.py"),
                "line": 9,
            }
        ],
    }


def test_an_info_alone_is_no_failure(shop: Path) -> None:
    shown = altar("lint", "--ignore", "A003", "shop", at=shop)

    assert (shown.code, shown.err) == (0, "imported\n1 info found in 2 tools\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--select", "Q", "shop"), "No rule begins with 'Q'"),
        ((), "There is nothing to judge: no modules are named"),
        (("nowhere.py",), "There is no file 'nowhere.py'"),
    ],
)
def test_wrong_use_ends_with_2(shop: Path, arguments: tuple[str, ...], words: str) -> None:
    shown = altar("lint", *arguments, at=shop)

    assert (shown.code, shown.out) == (2, "")
    assert words in shown.err


def test_the_rules_are_listed(shop: Path) -> None:
    shown = altar("lint", "--rules", "--json", "--select", "A5", at=shop)

    assert ["A501", "A502", "A503", "A504"] == [rule["id"] for rule in shown.json]
    assert altar("lint", "--rules", at=shop).out.startswith("A001  warning  short-description")


EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if "semantic_kernel" not in path.name]
"""All but the one whose framework lives in an environment of its own."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_clean(example: Path, tmp_path: Path) -> None:
    shown = altar("lint", str(example), at=tmp_path)

    assert shown.code == 0, shown.out
