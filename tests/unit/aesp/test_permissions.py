"""The grammar of permissions."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.adm.errors import ValidationError
from altar.aesp.permissions import parse_permission, parse_scope, split_resource


def covers(permission: str, resource: str, action: str) -> bool:
    return parse_permission(permission).covers(*split_resource(resource), action)


@pytest.mark.parametrize(
    ("permission", "resource", "action", "expected"),
    [
        ("*", "tools/weather.today", "execute", True),
        ("*", "tools", "read", True),
        ("tools:execute", "tools", "execute", True),
        ("tools:execute", "tools/weather.today", "execute", True),
        ("tools:execute", "tools/weather.today", "read", False),
        ("tools:execute", "toolsets/x", "execute", False),
        ("tools:*", "tools/x", "anything", True),
        ("tools/weather.*:execute", "tools/weather.today", "execute", True),
        ("tools/weather.*:execute", "tools/weather.", "execute", True),
        ("tools/weather.*:execute", "tools/weather", "execute", False),
        ("tools/weather.*:execute", "tools/weatherXtoday", "execute", False),
        ("tools/weather.*:execute", "tools", "execute", False),
        ("tools/*:execute", "tools/x", "execute", True),
        ("tools/*:execute", "tools", "execute", False),
        ("tools/*.read:execute", "tools/a.read", "execute", True),
        ("tools/a*b*c:execute", "tools/a1b2c", "execute", True),
        ("tools/a*b*c:execute", "tools/abc", "execute", True),
        ("tools/a*b*c:execute", "tools/acb", "execute", False),
        ("tools/ab*ba:execute", "tools/aba", "execute", False),
        ("*:read", "sessions/1", "read", True),
        ("*:read", "sessions/1", "create", False),
        ("principals/acme/svc:*:read", "principals/acme/svc:deployer", "read", True),
        ("tools/[a]:execute", "tools/a", "execute", False),
        ("tools/a?:execute", "tools/ab", "execute", False),
        ("tools/x:execute", "tools/*", "execute", False),
        ("tools:execute", "*", "execute", False),
        ("tools:execute", "tools", "*", False),
    ],
)
def test_a_permission_covers_what_its_three_parts_cover(
    permission: str, resource: str, action: str, expected: bool
) -> None:
    assert expected is covers(permission, resource, action)


NO_PERMISSIONS = ["", ":", "tools", "tools:", ":execute", "tools/:execute", "Tools:execute", "tools:exe cute", "**:\n"]
NO_PERMISSIONS += ["a" * 300 + ":b", "tools/\u00e9:read", "tools/a b:read", "/x:read"]


@pytest.mark.parametrize("text", NO_PERMISSIONS)
def test_what_is_no_permission_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_permission(text)

    assert caught.value.code == "MALFORMED_REQUEST"


@pytest.mark.parametrize("text", ["", "/", "tools/", "tools/a b", "tools/" + "x" * 300])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_scope(text)


@given(pattern=st.text(alphabet="ab*", min_size=1, max_size=9), name=st.text(alphabet="ab", min_size=1, max_size=12))
def test_a_name_matches_as_the_pattern_of_a_shell_would(pattern: str, name: str) -> None:
    expected = re.fullmatch(fnmatch.translate(pattern), name) is not None

    assert expected is covers(f"tools/{pattern}:execute", f"tools/{name}", "execute")


def test_a_pattern_of_many_stars_costs_little() -> None:
    pattern = "tools/" + "a*" * 100 + "b:execute"

    assert covers(pattern, "tools/" + "a" * 10_000, "execute") is False
