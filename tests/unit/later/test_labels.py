"""Labels: how they are written, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

import altar
from altar.adm.errors import ConfigurationError, DeclarationError, ValidationError
from altar.later.labels import LONGEST, MOST, labels_in, labels_of, preferred, required_by


def test_labels_are_sorted_by_name() -> None:
    assert labels_of({"zone": "a", "hardware": "gpu"}, what="it") == (("hardware", "gpu"), ("zone", "a"))


@pytest.mark.parametrize(
    "given",
    [
        {"": "a"},
        {"zone": ""},
        {"zone": "a\n"},
        {"zone": "a" * (LONGEST + 1)},
        {"zone": 1},
        {str(number): "a" for number in range(MOST + 1)},
    ],
)
def test_labels_that_are_none_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="The labels of the runtime are not") as refused:
        labels_of(given, what="the runtime")

    assert refused.value.code == "MALFORMED_REQUEST"


def test_region_is_preferred_before_zone_before_the_others() -> None:
    given = {"hardware": "gpu", "zone": "a", "region": "eu", "disk": "fast"}

    assert [name for name, _ in preferred(given)] == ["region", "zone", "disk", "hardware"]


def test_labels_are_written_as_a_name_and_a_value() -> None:
    assert labels_in(("zone=a", "note=x=y"), setting="runtime.labels") == {"zone": "a", "note": "x=y"}


@pytest.mark.parametrize("texts", [("zone",), ("=a",), ("zone=",), ("zone=a", "zone=b")])
def test_labels_that_are_written_otherwise_are_refused_by_the_name_of_the_setting(texts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"runtime\.labels"):
        labels_in(texts, setting="runtime.labels")


def test_a_tool_says_in_its_contract_what_its_runtimes_must_have() -> None:
    @altar.tool(requires={"hardware": "gpu"}, register=False)
    def train() -> None:
        """Train."""

    assert train.declaration.metadata == {"altar.requires": {"hardware": "gpu"}}
    assert required_by(train.declaration) == (("hardware", "gpu"),)


def test_a_tool_that_requires_what_are_no_labels_is_refused_where_it_is_declared() -> None:
    def train() -> None:
        """Train."""

    with pytest.raises(DeclarationError, match="The labels of the contract of 'train'"):
        altar.tool(train, requires={"hardware": ""}, register=False)


@pytest.mark.parametrize("given", ["gpu", ["gpu"], {"hardware": 1}, None, 7])
def test_a_contract_that_requires_what_are_no_labels_is_refused(given: object) -> None:
    def train() -> None:
        """Train."""

    made = altar.tool(train, metadata={"altar.requires": given}, register=False)

    if given is None:
        assert required_by(made.declaration) == ()
    else:
        with pytest.raises(ValidationError, match="The labels of the contract of 'train'"):
            required_by(made.declaration)
