"""`altar tools --format`: the tools of a module in the forms of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from altar.adm.formats import FORMATS, OPENAPI
from tests.e2e.command import altar

SHOP = '''"""Tools of a shop."""

from __future__ import annotations

import altar


@altar.tool(read_only=True, version="1.0.0")
def price(article: str) -> int:
    """Say the price."""
    return 250


@altar.tool
def buy(article: str, count: int = 1) -> None:
    """Buy articles."""
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "openapi"])
def test_each_format_is_a_list_of_documents_that_can_be_read(shop: Path, name: str) -> None:
    done = altar("tools", "shop", "--format", name, at=shop)

    assert 0 == done.code
    assert ["buy", "price"] == [FORMATS[name].read(document).declaration.name for document in done.json]


def test_openapi_is_one_document(shop: Path) -> None:
    done = altar("tools", "shop", "--format", "openapi", at=shop)

    assert ["buy", "price"] == [read.declaration.name for read in OPENAPI.read_all(done.json)]
    assert "" == done.err


def test_what_a_format_loses_is_told_beside_the_documents(shop: Path) -> None:
    done = altar("tools", "shop", "--format", "openai", at=shop)

    assert 0 == done.code
    lost = "buy/returns, price/returns, price/annotations/read_only: left out; OpenAI has no member for it"
    assert f"warning: {lost}\n" == done.err


def test_a_format_that_does_not_exist_is_wrong_use(shop: Path) -> None:
    done = altar("tools", "shop", "--format", "opneai", at=shop)

    assert 2 == done.code
    assert "'opneai' is none of json_schema, openai" in done.err
