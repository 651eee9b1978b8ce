"""Versions in order of precedence (semver.org §11), and the ranges that admit them."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.adm.errors import ValidationError
from altar.adm.ranges import MAX_LENGTH, Range, Version, named

ASCENDING = """
    0.0.0-0 0.0.0 0.0.1 0.1.0 0.9.9 0.10.0
    1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0
    1.0.1-0 1.0.1-1 1.0.1-9 1.0.1-10 1.0.1-10.0 1.0.1--- 1.0.1-0a 1.0.1-A 1.0.1-a 1.0.1-a.b.c 1.0.1-a.b.d 1.0.1
    1.9.0 1.10.0 1.11.0 2.0.0 2.1.0 2.1.1 10.0.0 99999999999999999999999.0.0
""".split()
"""The examples of semver.org §11 and what is most easily got wrong beside them, each below the next."""


def test_every_version_is_below_all_that_follow() -> None:
    for lower, higher in itertools.combinations(map(Version.parse, ASCENDING), 2):
        assert lower < higher
        assert not higher <= lower
        assert lower != higher


def test_versions_sort_by_precedence() -> None:
    shuffled = random.Random(7).sample(ASCENDING, len(ASCENDING))

    assert ASCENDING == [version.text for version in sorted(map(Version.parse, shuffled))]


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0.0+a", "1.0.0+b"), ("1.0.0", "1.0.0+20130313144700"), ("1.0.0-rc.1+x", "1.0.0-rc.1+001")],
)
def test_build_metadata_is_kept_and_makes_no_difference(one: str, other: str) -> None:
    first, second = Version.parse(one), Version.parse(other)

    assert first == second
    assert hash(first) == hash(second)
    assert (str(first), str(second)) == (one, other)
    assert second in Range.parse(one)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1.2", "1.2.3.4", "01.2.3", "1.02.3", "1.2.03", "1.2.x", "v1.2.3", "=1.2.3", " 1.2.3", "1.2.3\n"),
        *("1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3-a_b", "1.2.3+", "1.2.3+a+b", "1.2.3-é", "-1.2.3", "a.b.c"),
        "\u0661.2.3",
        "1.2." + "3" * MAX_LENGTH,
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a version") as refused:
        Version.parse(text)
    assert (refused.value.code, refused.value.ran) == ("VERSION_MISMATCH", "no")
    assert refused.value.hint == "write major.minor.patch, such as 1.2.0"


RELEASES = "0.0.1 0.0.2 0.1.0 0.1.9 0.2.0 1.0.0 1.2.2 1.2.3 1.2.9 1.3.0 1.10.0 2.0.0 2.0.1 3.0.0".split()


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("*", "0.0.1", "3.0.0"),
        ("x", "0.0.1", "3.0.0"),
        ("1.2.3", "1.2.3", "1.2.3"),
        ("=1.2.3", "1.2.3", "1.2.3"),
        ("1.2", "1.2.2", "1.2.9"),
        ("1.2.x", "1.2.2", "1.2.9"),
        ("1.2.*", "1.2.2", "1.2.9"),
        ("1", "1.0.0", "1.10.0"),
        ("1.x", "1.0.0", "1.10.0"),
        ("1.X.X", "1.0.0", "1.10.0"),
        ("=1", "1.0.0", "1.10.0"),
        ("^1.2.3", "1.2.3", "1.10.0"),
        ("^1.2", "1.2.2", "1.10.0"),
        ("^1", "1.0.0", "1.10.0"),
        ("^0.1.0", "0.1.0", "0.1.9"),
        ("^0.1", "0.1.0", "0.1.9"),
        ("^0.0.1", "0.0.1", "0.0.1"),
        ("^0.0", "0.0.1", "0.0.2"),
        ("^0", "0.0.1", "0.2.0"),
        ("~1.2.3", "1.2.3", "1.2.9"),
        ("~1.2", "1.2.2", "1.2.9"),
        ("~1", "1.0.0", "1.10.0"),
        (">1.2.3", "1.2.9", "3.0.0"),
        (">1.2", "1.3.0", "3.0.0"),
        (">1", "2.0.0", "3.0.0"),
        (">=1.2.3", "1.2.3", "3.0.0"),
        (">=1.3", "1.3.0", "3.0.0"),
        ("<1.2.3", "0.0.1", "1.2.2"),
        ("<1.2", "0.0.1", "1.0.0"),
        ("<=1.2.3", "0.0.1", "1.2.3"),
        ("<=1.2", "0.0.1", "1.2.9"),
        ("<=1.x", "0.0.1", "1.10.0"),
        (">=1.2,<2", "1.2.2", "1.10.0"),
        (" >= 1.2 , < 2 ", "1.2.2", "1.10.0"),
        ("^1.2,<=1.3.0,*", "1.2.2", "1.3.0"),
        (">1.2.3,1.2.x", "1.2.9", "1.2.9"),
    ],
)
def test_a_range_admits_what_lies_between(text: str, first: str, last: str) -> None:
    wanted = RELEASES[RELEASES.index(first) : RELEASES.index(last) + 1]

    assert wanted == [version for version in RELEASES if Version.parse(version) in Range.parse(text)]


@pytest.mark.parametrize("text", ["<0.0.1", ">3", ">2,<1", "1.2.3,1.2.9", "^4", "=0.0.3"])
def test_a_range_may_admit_nothing(text: str) -> None:
    assert [] == [version for version in RELEASES if Version.parse(version) in Range.parse(text)]


@pytest.mark.parametrize(
    ("text", "version", "admitted"),
    [
        ("*", "2.0.0-rc.1", False),
        ("2.x", "2.0.0-rc.1", False),
        ("^1", "1.3.0-rc.1", False),
        ("<2", "2.0.0-rc.1", False),
        ("<=2.0.0", "2.0.0-rc.1", False),
        (">=1.2,<2", "2.0.0-0", False),
        ("2.0.0", "2.0.0-rc.1", False),
        ("2.0.0-rc.1", "2.0.0-rc.1", True),
        ("2.0.0-rc.1", "2.0.0-rc.1+build", True),
        ("2.0.0-rc.1", "2.0.0-rc.2", False),
        ("2.0.0-rc.1", "2.0.0", False),
        ("^2.0.0-rc.1", "2.0.0-rc.0", False),
        ("^2.0.0-rc.1", "2.0.0-rc.10", True),
        ("^2.0.0-rc.1", "2.0.0", True),
        ("^2.0.0-rc.1", "2.7.0", True),
        ("^2.0.0-rc.1", "2.0.1-rc.1", False),
        ("^2.0.0-rc.1", "3.0.0-0", False),
        ("~1.2.3-b", "1.2.3-c", True),
        ("~1.2.3-b", "1.2.4-c", False),
        (">=1.0.0-a,<2", "1.0.0-b", True),
        ("<2.0.0-rc.1", "2.0.0-beta", True),
        ("<2.0.0-rc.1", "1.9.0-beta", False),
        ("^0.0.3-beta", "0.0.3-pr.2", True),
        ("^0.0.3-beta", "0.0.4-0", False),
    ],
)
def test_a_pre_release_is_meant_only_by_who_asks_for_it(text: str, version: str, *, admitted: bool) -> None:
    assert (Version.parse(version) in Range.parse(text)) is admitted


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "1,", ",1", "1,,2", "a", "v1", "1.2.3.4", "1.x.3", "1.2.x-rc", "1.2-rc", "01", "1.02", "x.1"),
        *("^", ">=", "^*", ">=x", "=>1", "==1", "~>1", "!=1", "^^1", "^1 ^2", "1 || 2", "1.0.0 - 2.0.0", "latest"),
        *("1.2.3-", "1.2.3-01", "^1.2\n", "^1.\u0662", "get@1", "1\x00"),
        "1." + "2" * MAX_LENGTH,
    ],
)
def test_what_is_no_range_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a version or a range of versions") as refused:
        Range.parse(text)
    assert (refused.value.code, refused.value.ran) == ("VERSION_MISMATCH", "no")
    assert refused.value.hint == "write 1.2.3, ^1.2, ~1.2.0, 1.x, or >=1.2,<2 with commas between"
    assert len(refused.value.message) < 2 * MAX_LENGTH


def test_a_range_is_shown_as_it_was_written() -> None:
    assert str(Range.parse(" ^1.2 ,<2")) == " ^1.2 ,<2"


@pytest.mark.parametrize(
    ("tool", "parts"),
    [("add", ("add", "")), ("add@^1.2", ("add", "^1.2")), ("add@>=1,<2", ("add", ">=1,<2")), ("", ("", ""))],
)
def test_a_name_carries_its_range_behind_it(tool: str, parts: tuple[str, str]) -> None:
    assert named(tool) == parts


@pytest.mark.parametrize("tool", ["add@", "add@latest", "add@1@2", "@"])
def test_a_name_with_something_else_behind_it_is_refused(tool: str) -> None:
    with pytest.raises(ValidationError, match="is not a version or a range"):
        named(tool)


# ------------------------------------------------------------------------------------------------------- properties

NUMBERS = st.integers(0, 3)
PARTS = st.one_of(st.integers(0, 20).map(str), st.from_regex(r"[a-c-][0-9a-c-]{0,2}", fullmatch=True))
VERSIONS = st.builds(
    lambda core, pre: ".".join(map(str, core)) + ("-" + ".".join(pre) if pre else ""),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.lists(PARTS, max_size=3),
)
CONDITIONS = st.builds(str.__add__, st.sampled_from(["^", "~", ">=", "<", "<=", ">"]), VERSIONS)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_precedence_is_an_order(one: str, two: str, three: str) -> None:
    low, middle, high = sorted(map(Version.parse, (one, two, three)))

    assert low <= middle <= high
    assert low <= high
    assert (low == high) == (not low < high)


@given(VERSIONS, VERSIONS)
def test_a_release_is_in_exactly_one_of_below_exactly_and_above(one: str, other: str) -> None:
    release = Version.parse(one.partition("-")[0])

    assert 1 == sum(release in Range.parse(sign + other) for sign in "<=>")


@given(
    VERSIONS, st.lists(st.builds(str.__add__, st.sampled_from(["^", "~", ">=", "<", "<=", ">"]), VERSIONS), min_size=1)
)
def test_a_joined_release_must_satisfy_every_condition(one: str, conditions: list[str]) -> None:
    release = Version.parse(one.partition("-")[0])
    text = ",".join(conditions[:6])

    assert (release in Range.parse(text)) == all(release in Range.parse(part) for part in conditions[:6])


@given(VERSIONS)
def test_every_version_admits_itself(one: str) -> None:
    for sign in ("", "=", "^", "~", ">=", "<="):
        assert Version.parse(one) in Range.parse(sign + one)
