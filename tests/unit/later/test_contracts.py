"""Which contract a name and a range mean, and the words for those that mean none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from altar.adm.errors import ValidationError
from altar.later.contracts import Contracts


@dataclass(frozen=True)
class Contract:
    name: str
    version: str


def contracts(*versions: str, name: str = "add") -> Contracts[Contract]:
    return Contracts(Contract(name, version) for version in versions)


def texts(found: Contracts[Contract]) -> list[str]:
    return [f"{contract.name}@{contract.version}" for contract in found]


SEVERAL = contracts("1.0.0", "2.0.0-rc.1", "1.10.0", "1.9.0", "0.9.0")


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("", "1.10.0"),
        ("*", "1.10.0"),
        ("^1", "1.10.0"),
        ("1.9", "1.9.0"),
        ("<1.9", "1.0.0"),
        ("1.0.0", "1.0.0"),
        ("2.0.0-rc.1", "2.0.0-rc.1"),
        ("^2.0.0-rc", "2.0.0-rc.1"),
        (">=1,<1.10", "1.9.0"),
        ("0", "0.9.0"),
    ],
)
def test_the_highest_version_that_satisfies_is_meant(asked: str, version: str) -> None:
    assert SEVERAL.find("add", asked).version == version
    assert SEVERAL.look("add", asked) is SEVERAL.find("add", asked)


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ("2", "; ask for the pre-release itself: add@2.0.0-rc.1"),
        ("2.0.0", "; ask for the pre-release itself: add@2.0.0-rc.1"),
        ("^1.11", ""),
        ("1.0.1", ""),
        (">2", ""),
    ],
)
def test_a_range_that_nothing_satisfies_is_refused_with_what_there_is(asked: str, more: str) -> None:
    assert SEVERAL.look("add", asked) is None
    with pytest.raises(ValidationError) as refused:
        SEVERAL.find("add", asked)
    assert (refused.value.code, refused.value.ran) == ("VERSION_MISMATCH", "no")
    assert refused.value.message == f"Tool 'add' has no version '{asked}' here"
    assert refused.value.hint == f"there is 2.0.0-rc.1, 1.10.0, 1.9.0, 1.0.0, 0.9.0{more}"


def test_many_versions_are_not_all_told() -> None:
    many = contracts(*(f"1.{minor}.0" for minor in range(1000)))

    with pytest.raises(ValidationError) as refused:
        many.find("add", "^2")
    assert refused.value.hint == (
        "there is 1.999.0, 1.998.0, 1.997.0, 1.996.0, 1.995.0, 1.994.0, 1.993.0, 1.992.0 and 992 more"
    )


@pytest.mark.parametrize("asked", ["", "^1", "nonsense"])
def test_a_name_there_is_not_is_refused_first(asked: str) -> None:
    assert SEVERAL.look("ad", asked) is None
    with pytest.raises(ValidationError) as refused:
        SEVERAL.find("ad", asked)
    assert (refused.value.code, refused.value.hint) == ("UNSUPPORTED_TOOL", "did you mean 'add'?")


def test_only_a_pre_release_is_meant_where_there_is_nothing_else() -> None:
    early = contracts("0.1.0-alpha", "0.1.0-beta")

    assert early.find("add").version == "0.1.0-beta"
    with pytest.raises(ValidationError, match="has no version"):
        early.find("add", "*")


def test_build_metadata_is_ignored_in_looking_and_kept_in_what_is_found() -> None:
    built = contracts("1.2.3+build.7")

    assert built.find("add", "1.2.3").version == "1.2.3+build.7"
    assert built.find("add", "1.2.3+other").version == "1.2.3+build.7"
    assert built.get("add", "1.2.3") is None
    assert built.get("add", "1.2.3+build.7") is not None


def test_the_same_version_takes_the_place_of_the_one_before() -> None:
    several = contracts("1.2.3+a", "1.0.0", "1.2.3+b")

    assert texts(several) == ["add@1.2.3+b", "add@1.0.0"]


def test_what_is_removed_is_meant_no_more() -> None:
    several = contracts("1.0.0", "2.0.0")
    newest = several.find("add")
    several.remove(newest)
    several.remove(newest)
    assert several.find("add").version == "1.0.0"

    several.remove(several.find("add"))

    assert (several.names, len(several), list(several)) == ([], 0, [])
    with pytest.raises(ValidationError, match="'add' is not in this session"):
        several.find("add")


def test_a_part_holds_what_its_ranges_allow_and_nothing_else() -> None:
    both = Contracts([*SEVERAL, Contract("look", "1.0.0"), Contract("send", "1.0.0")])

    part = both.choose(["add@1.x", "add@0.9.0", "look"])

    assert texts(part) == ["add@1.10.0", "add@1.9.0", "add@1.0.0", "add@0.9.0", "look@1.0.0"]
    assert part.find("add", "*").version == "1.10.0"
    with pytest.raises(ValidationError) as refused:
        part.find("add", "2.0.0-rc.1")
    assert refused.value.hint == "there is 1.10.0, 1.9.0, 1.0.0, 0.9.0"
    with pytest.raises(ValidationError, match="'send' is not in this session"):
        part.find("send")


def test_a_part_by_name_alone_holds_every_version_of_it() -> None:
    part = SEVERAL.choose(["add"])

    assert texts(part) == texts(SEVERAL)
    assert part.find("add", "2.0.0-rc.1").version == "2.0.0-rc.1"


def test_a_part_for_no_names_is_all_of_it_and_stays_as_it_was() -> None:
    whole = contracts("1.0.0")
    part = whole.choose([])

    whole.add(Contract("add", "2.0.0"))
    whole.add(Contract("look", "1.0.0"))

    assert texts(part) == ["add@1.0.0"]
    assert part.find("add").version == "1.0.0"


@pytest.mark.parametrize(
    ("tool", "code"),
    [("ad", "UNSUPPORTED_TOOL"), ("add@^3", "VERSION_MISMATCH"), ("add@new", "VERSION_MISMATCH")],
)
def test_a_part_cannot_be_chosen_by_what_means_nothing(tool: str, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SEVERAL.choose(["add", tool])
    assert refused.value.code == code


def test_a_choice_that_allows_nothing_at_all_is_not_taken_for_everything() -> None:
    with pytest.raises(ValidationError, match="is not in this session"):
        Contracts[Contract]().choose(["add"])


def test_what_was_found_before_is_looked_for_again_when_something_came_or_went() -> None:
    several = contracts("1.0.0")
    newer = Contract("add", "1.1.0")

    assert several.find("add", "^1").version == "1.0.0"
    several.add(newer)
    assert several.find("add", "^1").version == "1.1.0"
    several.remove(newer)
    assert several.find("add", "^1").version == "1.0.0"
