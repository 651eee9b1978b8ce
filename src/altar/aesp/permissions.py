"""The grammar of permissions, and the one function that says whether a permission covers what is asked.

A permission is ``resource:action``; a resource is a kind or ``kind/name``::

    tools:execute               all tools
    tools/weather.*:execute     the tools whose names begin so
    *:read                      reading anything
    *                           everything

``*`` stands for any run of characters within one part: the kind, the name or the action.
A permission on a kind covers everything of that kind; one on names covers no question about the kind as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from altar.adm.errors import ValidationError

__all__ = ["Permission", "Scope", "parse_permission", "parse_scope", "split_resource"]

_LONGEST = 256
_KIND = r"[a-z*][a-z0-9_.*-]*"
_NAME = r"[!-~]+"
_ACTION = r"[a-z*][a-z0-9_*-]*"
_PERMISSION = re.compile(rf"(?P<kind>{_KIND})(?:/(?P<name>{_NAME}))?:(?P<action>{_ACTION})")
_RESOURCE = re.compile(rf"(?P<kind>{_KIND})(?:/(?P<name>{_NAME}))?")

Match = Callable[[str], bool] | None
"""Whether a part is meant; None: every part is, also one that is absent."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the resources: those that a binding is for."""

    text: str
    kind: Match
    name: Match

    def covers(self, kind: str, name: str | None) -> bool:
        """Tell whether a resource lies within; ``name`` is None for the kind as a whole."""
        if self.kind is not None and not self.kind(kind):
            return False
        return self.name is None or (name is not None and self.name(name))


@dataclass(frozen=True, slots=True)
class Permission:
    """An action on some resources."""

    text: str
    on: Scope
    action: Match

    def covers(self, kind: str, name: str | None, action: str) -> bool:
        """Tell whether it allows this action on this resource."""
        if self.action is not None and not self.action(action):
            return False
        return self.on.covers(kind, name)


@lru_cache(maxsize=16_384)
def parse_permission(text: str) -> Permission:
    """Read a permission; ValidationError MALFORMED_REQUEST when it is none or has more than 256 characters."""
    if text == "*":
        return Permission(text, Scope("*", None, None), None)
    found = _PERMISSION.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise _refused(text, "permission", "resource:action, such as tools:execute or tools/weather.*:execute")
    kind, name, action = found["kind"], found["name"], found["action"]
    return Permission(text, Scope(text.rpartition(":")[0], _match(kind), _match_name(name)), _match(action))


@lru_cache(maxsize=16_384)
def parse_scope(text: str) -> Scope:
    """Read the resources of a binding; ValidationError MALFORMED_REQUEST when they are none."""
    found = _RESOURCE.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise _refused(text, "scope", "a kind or kind/name, such as tools/weather.*, or * for everything")
    return Scope(text, _match(found["kind"]), _match_name(found["name"]))


@lru_cache(maxsize=16_384)
def split_resource(resource: str) -> tuple[str, str | None]:
    """Give kind and name of a resource that is asked about; the name is None for the kind as a whole.

    A resource is a fact and no pattern: a ``*`` in a question is only covered by a pattern that covers all.
    """
    kind, slash, name = resource.partition("/")
    return kind, name if slash else None


def covered(permissions: Iterable[Permission], *, resource: str, action: str) -> Permission | None:
    """Give the first of them that covers it."""
    kind, name = split_resource(resource)
    return next((each for each in permissions if each.covers(kind, name, action)), None)


def _match(pattern: str) -> Match:
    if pattern == "*":
        return None
    return _matcher(pattern)


def _match_name(pattern: str | None) -> Match:
    # a name of * asks for some name: unlike no name at all it does not cover the kind as a whole
    return None if pattern is None else _matcher(pattern)


@lru_cache(maxsize=16_384)
def _matcher(pattern: str) -> Callable[[str], bool]:
    if "*" not in pattern:
        return pattern.__eq__
    parts = pattern.split("*")
    first, middle, last = parts[0], [part for part in parts[1:-1] if part], parts[-1]

    def matches(text: str) -> bool:
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:  # the leftmost place is always as good as any other: no backtracking
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    return matches


def _refused(text: str, what: str, form: str) -> ValidationError:
    return ValidationError("MALFORMED_REQUEST", f"{text[:80]!r} is no {what}", hint=f"write {form}")
