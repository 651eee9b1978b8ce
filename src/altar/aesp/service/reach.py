"""Nobody hands out more than they have: a role, a key, a password or a place in a group gives what its giver may do.

Without this, whoever may make bindings could bind themselves to everything.
The operator's principals are held to the same, by what they may do in the operator's tenant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from altar.adm.errors import AuthorizationError
from altar.aesp.store.people import unknown

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.principal import Principal
    from altar.aesp.rbac import Rbac

__all__ = ["Reach"]


class Reach:
    """Judges by the directory what a principal may hand out."""

    def __init__(self, rbac: Rbac, directory: Directory) -> None:
        self._rbac = rbac
        self._directory = directory

    def require(self, who: Principal, permissions: Iterable[str], *, what: str) -> None:
        """Raise PERMISSION_DENIED unless the principal holds each permission itself; ``what`` names the gift."""
        for permission in sorted(set(permissions)):
            resource, _, action = permission.rpartition(":")
            if not self._rbac.decide(who, resource=resource or "*", action=action).allowed:
                raise AuthorizationError(
                    "PERMISSION_DENIED",
                    f"{who.id!r} cannot give {what}, which grants {permission!r}",
                    ran="no",
                    hint="only what you may do yourself can be given to others",
                )

    def require_role(self, who: Principal, role: str, *, tenant: str) -> None:
        """The same for everything that a role of a tenant grants, by itself or through others.

        UNKNOWN_RESOURCE for a role that is not there, or that this host has not heard of yet.
        """
        snapshot = self._directory.snapshot(tenant)
        if snapshot is None or snapshot.role(role) is None:  # nobody can say here what it would give
            raise unknown("role", role)
        self.require(who, self.permissions_of(role, tenant=tenant), what=f"the role {role!r}")

    def require_principal(self, who: Principal, name: str, *, tenant: str) -> None:
        """The same for everything that a principal may do, or could if it were active; for its keys and passwords.

        Nobody has to be asked about themselves, unless they came by a token or key that was narrowed.
        """
        if who.id == f"{tenant}/{name}" and who.scopes is None:
            return
        self.require(who, self._permissions_of_principal(name, tenant=tenant), what=f"the access of {name!r}")

    def require_key(self, who: Principal, name: str, *, tenant: str, scopes: Collection[str] | None) -> None:
        """The same for a key of a principal, narrowed to ``scopes`` unless they are None.

        Whoever came by a narrowed token or key can give itself a key that may as little, and none that may more.
        """
        if who.id == f"{tenant}/{name}" and scopes is not None:
            self.require(who, scopes if who.scopes is not None else (), what="a key")
        else:
            self.require_principal(who, name, tenant=tenant)

    def require_group(self, who: Principal, group: str, *, tenant: str) -> None:
        """The same for everything that members of a group may do by that."""
        snapshot = self._directory.snapshot(tenant)
        if snapshot is None:
            return
        groups, waiting = {group}, [group]
        for each in waiting:
            for parent in snapshot.parents.get(each, ()):
                if parent not in groups:
                    groups.add(parent)
                    waiting.append(parent)
        for each in groups:
            for binding in snapshot.of_group.get(each, ()):
                self.require_role(who, snapshot.bindings[binding].role, tenant=tenant)

    def permissions_of(self, role: str, *, tenant: str) -> tuple[str, ...]:
        """What a role grants, inherited permissions too; nothing for one that is not there."""
        snapshot = self._directory.snapshot(tenant)
        if snapshot is None:
            return ()
        found, names = set[str](), [role]
        for name in names:
            known = snapshot.role(name)
            if known is not None:
                found |= {permission.text for permission in known.permissions}
                names.extend(taken for taken in known.inherits if taken not in names)
        return tuple(sorted(found))

    def _permissions_of_principal(self, name: str, *, tenant: str) -> tuple[str, ...]:
        """What the roles of a principal and of its groups grant, also while it is deactivated."""
        snapshot = self._directory.snapshot(tenant)
        if snapshot is None:
            return ()
        bound = list(snapshot.of_principal.get(name, ()))
        for group in snapshot.paths_to_groups(name):
            bound.extend(snapshot.of_group.get(group, ()))
        roles = {snapshot.bindings[each].role for each in bound if not self._is_over(snapshot.bindings[each].expires)}
        return tuple(sorted({each for role in roles for each in self.permissions_of(role, tenant=tenant)}))

    def _is_over(self, expires: float) -> bool:
        return expires <= self._directory.clock()
