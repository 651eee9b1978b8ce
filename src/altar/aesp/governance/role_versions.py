"""Roles as versions: what a role grants is written, looked at by a second human, and then in force.

::

    description = "Reads the record."
    permissions = ["audit:read", "tools:read"]
    inherits = ["viewer"]

A version says all that the role grants by itself; whoever is bound to the role has it from the moment of the swap on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar.aesp.governance.artefact_rows import Artefact, ArtefactKind, Status, active_ones
from altar.aesp.governance.documents import Table, body_of, members_of, toml_in
from altar.aesp.policy.writing import assigned
from altar.aesp.roles import checked_role, find_role, put_role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from altar.aesp.built_in_roles import Role

__all__ = ["body_of_role", "hold_role", "odd_roles", "read_role", "role_changes", "role_of", "written_role"]

_KNOWN = ("description", "inherits", "permissions")


def read_role(name: str, source: str) -> Role:
    """Read what a role is to grant from TOML.

    Raises ValidationError MALFORMED_REQUEST for what is none, RESOURCE_CONFLICT for the name of a built-in role.
    """
    return _role(name, Table(toml_in(source), known=_KNOWN))


def role_of(name: str, body: str) -> Role:
    """Give the role that a version is about; errors as of `read_role`."""
    return _role(name, Table(members_of(body), known=_KNOWN))


def body_of_role(role: Role) -> str:
    """Give the text of a version, which is the same for roles that grant the same."""
    return body_of(
        {
            "description": role.description,
            "inherits": list(role.inherits),
            "permissions": [permission.text for permission in role.permissions],
        }
    )


def written_role(role: Role) -> str:
    """Give a role as TOML that can be handed in again."""
    members = members_of(body_of_role(role))
    return "".join(assigned(name, members[name]) + "\n" for name in _KNOWN)


def role_changes(before: Role | None, after: Role) -> Iterator[str]:
    """Say what a role grants otherwise than it did; None where there was no such role."""
    was = {each.text for each in before.permissions} if before is not None else set()
    becomes = {each.text for each in after.permissions}
    for word, names in (
        ("grants", becomes - was),
        ("grants no more", was - becomes),
        ("inherits", {*after.inherits} - {*(before.inherits if before is not None else ())}),
        ("inherits no more", {*(before.inherits if before is not None else ())} - {*after.inherits}),
    ):
        yield from (f"{word}: {name}" for name in sorted(names))


def hold_role(connection: Connection, made: Artefact, now_ms: int) -> None:
    """Let a role grant what its version says that is ACTIVE now; nothing when that was RETIRED.

    Errors as of `altar.aesp.roles.put_role`, and of `role_of`.
    """
    is_active = made.status is Status.ACTIVE
    role = role_of(made.name, made.body) if is_active else checked_role(made.name, (), (), "")
    put_role(connection, role, tenant=made.tenant, now_ms=now_ms)


def odd_roles(connection: Connection, *, tenant: str) -> tuple[str, ...]:
    """Say which roles do not grant what their version in force says, because somebody has changed the database."""
    found: list[str] = []
    for active in active_ones(connection, ArtefactKind.ROLE, tenant=tenant):
        held = find_role(connection, tenant=tenant, name=active.name)
        if body_of_role(held) != active.body or not active.is_whole:
            found.append(f"The role {active.name!r} does not grant what version {active.version} says")
    return tuple(found)


def _role(name: str, table: Table) -> Role:
    return checked_role(name, table.texts("permissions"), table.texts("inherits"), table.text("description"))
