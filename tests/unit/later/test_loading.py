"""Tools from modules, files and installed packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import altar
from altar.later.loading import GROUP
from altar.later.registry import REGISTRY, Registry

SHOP = '''
"""Tools of a shop."""

import altar

@altar.tool
def price_of(article: str) -> int:
    """Say what an article costs."""
    return 250

@altar.tool(name="price_of", version="2.0.0")
def price_in_cents(article: str, currency: str = "EUR") -> int:
    """Say what an article costs."""
    return 250

@altar.tool(register=False)
def hidden(article: str) -> int:
    """Not for everybody."""
    return 1
'''


class Site:
    """A directory that Python imports from, with packages as an installer leaves them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def module(self, name: str, text: str) -> Path:
        file = self.path / (name.replace(".", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def package(self, distribution: str, **offers: str) -> None:
        facts = self.path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = (f"{name} = {value}\n" for name, value in offers.items())
        (facts / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(lines))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, altar_registry: Registry) -> Iterator[Site]:
    modules, path = set(sys.modules), list(sys.path)
    monkeypatch.syspath_prepend(tmp_path)
    yield Site(tmp_path)
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) is not None:
            del sys.modules[name]
    sys.path[:] = path


def shown(tools: list[altar.ToolFunction[..., object]]) -> list[str]:
    return [f"{tool.name}@{tool.version}" for tool in tools]


@pytest.mark.parametrize("by", ["name", "file"])
def test_the_tools_of_a_module_are_registered_and_returned(site: Site, by: str) -> None:
    file = site.module("shop_a", SHOP)

    loaded = altar.load_tools("shop_a" if by == "name" else str(file))

    assert shown(loaded) == ["price_of@2.0.0", "price_of@1.0.0"]
    assert loaded == list(REGISTRY)


def test_a_module_is_imported_once_and_its_tools_are_the_same_ones(site: Site) -> None:
    file = site.module("shop_b", SHOP)

    assert altar.load_tools("shop_b") == altar.load_tools(str(file), "shop_b")


def test_tools_that_were_forgotten_are_registered_again_and_hidden_ones_are_not(site: Site) -> None:
    site.module("shop_c", SHOP)
    loaded = altar.load_tools("shop_c")
    REGISTRY.clear()

    assert altar.load_tools("shop_c") == loaded
    assert list(REGISTRY) == loaded


def test_a_package_brings_the_tools_below_it_and_those_it_imports(site: Site) -> None:
    site.module("shop_d.__init__", "from shop_d import prices\nfrom other_d import look\n")
    site.module("shop_d.prices", SHOP)
    site.module(
        "other_d",
        'import altar\n@altar.tool\ndef look() -> int:\n    "Look."\n@altar.tool\ndef no() -> int:\n    "No."',
    )

    assert shown(altar.load_tools("shop_d")) == ["look@1.0.0", "price_of@2.0.0", "price_of@1.0.0"]


def test_nothing_is_loaded_when_nothing_is_named(site: Site) -> None:
    assert altar.load_tools() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nosuch\n", "Cannot import 'shop_e': ModuleNotFoundError: No module named 'nosuch'"),
        ("1 / 0\n", "Cannot import 'shop_e': ZeroDivisionError: division by zero"),
        (None, "There is no module 'shop_e'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(site: Site, text: str | None, message: str) -> None:
    if text is not None:
        site.module("shop_e", text)

    with pytest.raises(altar.ConfigurationError) as refused:
        altar.load_tools("shop_e")
    assert (refused.value.code, refused.value.message) == ("INVALID_CONFIG", message)


@pytest.mark.parametrize(
    ("text", "package", "extra"),
    [
        ("import dspy\n", "dspy", "dspy"),
        ("import pydantic_ai\n", "pydantic_ai", "pydantic-ai"),
        ("import agents\n", "agents", "openai-agents"),
    ],
)
def test_a_module_that_imports_a_framework_which_is_not_installed_is_told_how_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, text: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    file = site.module("shop_f", text)
    site.package("shop-tools", shop="shop_f")

    for module in ("shop_f", str(file)):
        with pytest.raises(altar.ConfigurationError, match=f"'{extra}', which is not installed") as refused:
            altar.load_tools(module)
        assert ("ENVIRONMENT_ERROR", f'pip install "altar-ai[{extra}]"') == (refused.value.code, refused.value.hint)
    with pytest.raises(altar.ConfigurationError) as offered:
        altar.load_tools(installed=True)
    assert f'pip install "altar-ai[{extra}]"' == offered.value.hint


def test_a_package_that_a_framework_does_not_find_itself_is_no_missing_extra(
    site: Site,
) -> None:
    site.module("dspy_inner", "import nosuch_inner\n")
    site.module("shop_g", "import dspy_inner\n")

    with pytest.raises(altar.ConfigurationError, match="No module named 'nosuch_inner'") as refused:
        altar.load_tools("shop_g")
    assert "INVALID_CONFIG" == refused.value.code


def test_the_working_directory_is_not_made_importable(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = site.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "shop_f.py").write_text(SHOP)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in {"", "."}])

    with pytest.raises(altar.ConfigurationError, match="There is no module 'shop_f'"):
        altar.load_tools("shop_f")


# ----------------------------------------------------------------------------------------------- installed packages


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("shop_g", ["price_of@2.0.0", "price_of@1.0.0"]),
        ("shop_g:price_of", ["price_of@1.0.0"]),
        ("shop_g:hidden", ["hidden@1.0.0"]),
        ("shop_g:SOME", ["hidden@1.0.0", "price_of@1.0.0"]),
        ("shop_g:some", ["hidden@1.0.0", "price_of@1.0.0"]),
        ("shop_g:one", ["price_of@2.0.0"]),
    ],
)
def test_an_installed_package_offers_a_module_a_tool_or_a_function(site: Site, value: str, expected: list[str]) -> None:
    more = (
        "SOME = [price_of, hidden]\ndef some():\n    return (x for x in SOME)\ndef one():\n    return price_in_cents\n"
    )
    site.module("shop_g", SHOP + more)
    site.package("shop-tools", shop=value)

    assert shown(altar.load_tools(installed=True)) == expected


def test_packages_are_loaded_only_when_that_is_asked(site: Site) -> None:
    site.module("shop_h", SHOP)
    site.package("shop-tools", shop="shop_h")

    assert altar.load_tools() == []
    assert "shop_h" not in sys.modules


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nosuch", "'nosuch', which cannot be loaded: ModuleNotFoundError: No module named 'nosuch'"),
        ("shop_i:nosuch", "'shop_i:nosuch', which cannot be loaded: AttributeError: module 'shop_i' has no attribute"),
        ("shop_i:fails", "'shop_i:fails', which cannot be loaded: ZeroDivisionError: division by zero"),
        ("shop_i:NUMBER", "'shop_i:NUMBER', where there is a 'int'"),
        ("shop_i:NUMBERS", "'shop_i:NUMBERS', where there is a 'int'"),
        ("shop_i:plain", "'shop_i:plain', where there is a 'NoneType'"),
        ("bad_i", "'bad_i', which cannot be loaded: DeclarationError: "),
    ],
)
def test_a_package_that_does_not_hold_what_it_offers_is_named(site: Site, value: str, message: str) -> None:
    site.module("shop_i", "NUMBER = 1\nNUMBERS = [1]\ndef fails():\n    1 / 0\ndef plain():\n    pass\n")
    site.module("bad_i", "import altar\n@altar.tool\ndef f(x): 'F.'\n")
    site.package("shop-tools", shop=value)

    with pytest.raises(altar.ConfigurationError) as refused:
        altar.load_tools(installed=True)
    assert refused.value.code == "INVALID_CONFIG"
    assert refused.value.message.startswith(f"The package 'shop-tools' offers tools at {message}")
    assert refused.value.hint


def test_two_packages_with_one_name_and_version_are_refused_by_name(site: Site) -> None:
    site.module("shop_j", SHOP)
    site.module("shop_k", SHOP)
    site.package("shop-one", shop="shop_j")
    site.package("shop-two", shop="shop_k")

    with pytest.raises(altar.ConfigurationError, match=r"^The package 'shop-two' .* 'price_of' is declared twice"):
        altar.load_tools(installed=True)
