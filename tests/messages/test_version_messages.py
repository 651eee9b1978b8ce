"""What a user is answered who asks for a version there is not, or whose package offers what it does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

import altar
from altar.later.registry import Registry
from altar.later.session import Options, Session
from tests.e2e.command import altar as run
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_command, of_error, of_result

pytestmark = pytest.mark.timeout(120)


def price_of(article: str) -> int:
    """Say what an article costs."""
    return 250


@pytest.fixture
def shop(altar_registry: Registry) -> Registry:
    for version in ("1.0.0", "1.4.0", "2.0.0", "3.0.0-rc.1"):
        altar.tool(price_of, version=version)
    return altar_registry


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("version_there_is_not", "price_of@^4"),
        ("version_that_is_a_pre_release", "price_of@3"),
        ("range_that_is_none", "price_of@latest"),
        ("range_that_is_empty", "price_of@"),
        ("range_of_another_grammar", "price_of@^1.2 || ^2"),
    ],
)
def test_a_call_of_a_version_there_is_not(shop: Registry, told: Told, name: str, tool: str) -> None:
    with Session(Options()) as session:
        told(name, of_result(session.call(tool, article="tea")))


def test_a_session_of_a_version_there_is_not(shop: Registry, told: Told) -> None:
    with pytest.raises(altar.AltarError) as refused:
        Session(Options(("price_of@^4",)))
    told("session_with_a_version_there_is_not", of_error(refused.value))


def test_a_declaration_with_a_version_that_is_none(shop: Registry, told: Told) -> None:
    with pytest.raises(altar.AltarError) as refused:
        altar.tool(price_of, version="1.2")
    told("declared_version_that_is_none", of_error(refused.value))


def test_a_package_that_does_not_hold_what_it_offers(tmp_path: Path, told: Told) -> None:
    facts = tmp_path / "shop_tools-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-tools\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[altar.tools]\nshop = shop.tools\n")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tools.py").write_text("\n1 / 0\n")

    done = run("tools", "--installed", at=tmp_path, environ={"PYTHONPATH": str(tmp_path)})

    told("installed_package_that_is_broken", of_command(done, hide={str(tmp_path): "DIRECTORY"}))
