"""The four roles that every tenant has; they are part of the program, so nobody can change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from altar.aesp.permissions import Permission, parse_permission

__all__ = ["BUILT_IN_ROLES", "Role", "make_role"]


@dataclass(frozen=True, slots=True)
class Role:
    """What a role allows by itself, and which roles it takes up."""

    name: str
    permissions: tuple[Permission, ...]
    inherits: tuple[str, ...] = ()
    description: str = ""
    built_in: bool = False


def make_role(
    name: str, permissions: tuple[str, ...], *, inherits: tuple[str, ...] = (), description: str = ""
) -> Role:
    """Make a role of a tenant's own; ValidationError MALFORMED_REQUEST for a permission that is none."""
    return Role(name, tuple(parse_permission(each) for each in permissions), inherits, description)


def _built_in(name: str, permissions: str, description: str, inherits: tuple[str, ...] = ()) -> Role:
    return Role(name, tuple(map(parse_permission, permissions.split())), inherits, description, built_in=True)


BUILT_IN_ROLES: Mapping[str, Role] = MappingProxyType(
    {
        role.name: role
        for role in (
            _built_in("admin", "*", "May do everything in the tenant."),
            _built_in(
                "developer",
                "tools:read tools:execute sessions:create sessions:read",
                "Calls tools and opens sessions.",
                ("viewer",),
            ),
            _built_in(
                "operator",
                "tools:execute sessions:manage runtimes:monitor",
                "Calls tools, looks after sessions and runtimes.",
                ("viewer",),
            ),
            _built_in("viewer", "tools:read sessions:read", "Sees tools and sessions."),
        )
    }
)
"""Each by its name."""
