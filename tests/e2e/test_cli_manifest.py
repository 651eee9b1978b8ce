"""`altar manifest`: what a host will trust, written from code and compared with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import altar

PRICES = '''"""Prices of the shop.

Second paragraph.
"""

import altar


@altar.tool(version="1.2.0")
def price(item: str, count: int = 1) -> float:
    """The price of an item."""
    return 2.5 * count


@altar.tool
def discount(percent: float) -> float:
    """A discount."""
    return percent
'''
STOCK = '''import altar
from shop.prices import price


@altar.tool
def stock(item: str) -> int:
    """How many are left."""
    return 0
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text('"""A shop."""\n')
    (package / "prices.py").write_text(PRICES)
    (package / "stock.py").write_text(STOCK)
    return tmp_path


def test_build_writes_one_contract_for_each_module(shop: Path) -> None:
    done = altar("manifest", "build", "shop.stock", "shop.prices", "-o", "m.json", at=shop)

    assert (done.code, done.out, done.err) == (0, "", "wrote m.json (contracts: 2, functions: 3)\n")
    document = json.loads((shop / "m.json").read_text())
    assert document["manifest_version"] == "1.1.0"
    assert [
        ("shop.prices", "Prices of the shop.", ["discount", "price"]),
        ("shop.stock", "Tools of the module shop.stock.", ["stock"]),
    ] == [
        (one["name"], one["description"], [function["name"] for function in one["function_declarations"]])
        for one in document["contracts"]
    ]


def test_build_gives_the_same_bytes_whatever_the_order(shop: Path) -> None:
    first = altar("manifest", "build", "shop.stock", "shop.prices", at=shop)
    second = altar("manifest", "build", "shop.prices", "shop.stock", "shop.prices", at=shop)

    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert first.out == json.dumps(first.json, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_a_package_takes_in_the_tools_of_its_modules(shop: Path) -> None:
    (shop / "shop" / "__init__.py").write_text('"""A shop."""\nfrom shop import prices, stock\n')

    built = altar("manifest", "build", "shop", "shop.stock", at=shop).json

    assert {"shop": ["discount", "price"], "shop.stock": ["stock"]} == {
        one["name"]: [function["name"] for function in one["function_declarations"]] for one in built["contracts"]
    }


def test_tools_of_modules_that_are_not_named_are_left_out_and_said_so(shop: Path) -> None:
    done = altar("manifest", "build", "shop.stock", at=shop)

    assert [one["name"] for one in done.json["contracts"]] == ["shop.stock"]
    assert done.err == (
        "warning: left out 'discount': it is declared in 'shop.prices', which is not named\n"
        "warning: left out 'price': it is declared in 'shop.prices', which is not named\n"
    )


def test_metadata_is_written_into_the_manifest(shop: Path) -> None:
    built = altar("manifest", "build", "shop.prices", "--metadata", "owner=a=b", at=shop)
    wrong = altar("manifest", "build", "shop.prices", "--metadata", "owner", at=shop)

    assert built.json["global_metadata"] == {"owner": "a=b"}
    assert wrong.code == 2
    assert wrong.err.startswith("error: 'owner' is not metadata (MALFORMED_REQUEST)")


def test_build_with_json_and_a_file_prints_a_summary(shop: Path) -> None:
    done = altar("manifest", "build", "shop.prices", "-o", "m.json", "--json", at=shop)

    assert done.json == {"file": "m.json", "contracts": 1, "functions": 2}


def test_a_module_without_tools_has_no_manifest(shop: Path) -> None:
    done = altar("manifest", "build", "shop", at=shop)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: The module 'shop' declares no tool (MISSING_MANIFEST)")


def test_a_file_that_cannot_be_written_is_an_error(shop: Path) -> None:
    done = altar("manifest", "build", "shop.prices", "-o", "nowhere/m.json", at=shop)

    assert done.code == 2
    assert done.err.startswith("error: Cannot write 'nowhere/m.json': No such file or directory")


def test_check_against_the_same_code_finds_nothing(shop: Path) -> None:
    altar("manifest", "build", "shop.prices", "-o", "m.json", at=shop)

    plain = altar("manifest", "check", "m.json", "--json", at=shop)
    against = altar("manifest", "check", "m.json", "--against", "shop.prices", "--json", at=shop)

    assert (plain.code, against.code) == (0, 0)
    assert plain.json["digest"] == against.json["digest"]
    assert {one["state"] for one in against.json["functions"]} == {"same"}


def test_check_against_changed_code_names_each_difference(shop: Path) -> None:
    altar("manifest", "build", "shop.prices", "-o", "m.json", at=shop)
    changed = PRICES.replace("count: int = 1", "count: int = 2").replace("discount", "rebate")
    (shop / "shop" / "prices.py").write_text(changed)

    done = altar("manifest", "check", "m.json", "--against", "shop.prices", at=shop)
    as_json = altar("manifest", "check", "m.json", "--against", "shop.prices", "--json", at=shop)

    assert (done.code, as_json.code, as_json.json["ok"]) == (1, 1, False)
    assert {"discount": "missing", "price": "differs", "rebate": "extra"} == {
        one["name"]: one["state"] for one in as_json.json["functions"]
    }
    assert "price(item: string, count: integer = 2); raise its version" in done.out


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "MISSING_MANIFEST"),
        ("{", "INVALID_CONFIG"),
        ('{"a": 1, "a": 1}', "INVALID_CONFIG"),
        ('{"manifest_version": "1.1.0", "contracts": []}', "INVALID_CONFIG"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: str | None, code: str) -> None:
    if content is not None:
        (tmp_path / "m.json").write_text(content)

    done = altar("manifest", "check", "m.json", at=tmp_path)

    assert (done.code, done.out) == (2, "")
    assert f"({code})" in done.err
