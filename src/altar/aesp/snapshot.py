"""One tenant as it is now, in memory: people, groups, roles and bindings, and what each person may do.

A snapshot is never changed: a change makes a new one, which shares with the old one what stayed.
What a person may do is worked out when it is first asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from altar.aesp.built_in_roles import BUILT_IN_ROLES, Role
from altar.aesp.permissions import Permission, Scope
from altar.aesp.principal import PrincipalKind

__all__ = [
    "Binding",
    "Grant",
    "Grants",
    "Person",
    "PersonRow",
    "Snapshot",
    "Tenant",
    "TenantStatus",
    "closure",
    "indexed",
]

TenantStatus = str
"""``ACTIVE``, ``SUSPENDED`` or ``DELETED``."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant: only while it is ``ACTIVE`` anything is done for it.

    ``quotas`` names limits as whole numbers; what is not named has none.
    """

    name: str
    status: TenantStatus
    display: str = ""
    organization: str = ""
    business_unit: str = ""
    quotas: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def active(self) -> bool:
        """Tell whether anything is done for it."""
        return self.status == "ACTIVE"


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A principal as the store has it.

    ``created_ms`` tells an account from an earlier one of the same name.
    """

    name: str
    kind: PrincipalKind
    display: str
    email: str
    active: bool
    clearance: str
    not_before_ms: int
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class Binding:
    """A role given to one principal or one group, for some resources, for some time.

    ``expires`` is in seconds since 1970, infinite when it does not end.
    """

    id: str
    role: str
    principal: str | None
    group: str | None
    scope: Scope
    expires: float = math.inf
    source: str = "local"


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that somebody holds now, and how they came to it.

    ``via`` are the groups from the principal to the binding; ``through`` the roles from the bound one to this.
    """

    role: str
    permissions: tuple[Permission, ...]
    binding: Binding
    via: tuple[str, ...]
    through: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grants:
    """All that somebody holds now; it stays so until ``until``, in seconds since 1970, unless something is changed."""

    held: tuple[Grant, ...] = ()
    until: float = math.inf

    @property
    def roles(self) -> tuple[str, ...]:
        """Give the names of the roles, sorted, each once."""
        return tuple(sorted({grant.role for grant in self.held}))

    @property
    def permissions(self) -> tuple[str, ...]:
        """Give the permissions as texts, sorted, each once; scopes of bindings are not applied to them."""
        return tuple(sorted({permission.text for grant in self.held for permission in grant.permissions}))


@dataclass(frozen=True, slots=True)
class Person:
    """A principal of the host: what the store says of it, and the groups and roles it has now."""

    id: str
    tenant: str
    name: str
    kind: PrincipalKind
    display: str
    email: str
    active: bool
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    organization: str
    business_unit: str
    clearance: str
    not_before: float
    grants: Grants = field(repr=False)
    created_ms: int = 0


NOBODYS = Grants()


@dataclass(slots=True)
class Snapshot:
    """One tenant at one version; what is in it is not changed once it is in use.

    ``contracts`` is what the tenant says of contracts, by ``name@version``: ``ACTIVE`` or ``RETIRED``, and the digest
    of the contract that it was said of.
    """

    tenant: Tenant
    version: int
    people: dict[str, PersonRow] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    groups_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)
    of_principal: dict[str, tuple[str, ...]] = field(default_factory=dict)
    of_group: dict[str, tuple[str, ...]] = field(default_factory=dict)
    contracts: dict[str, tuple[str, str]] = field(default_factory=dict)
    known: dict[str, Person] = field(default_factory=dict)

    def person(self, name: str, *, now: float) -> Person | None:
        """Give a principal with its groups and roles at ``now``, in seconds since 1970."""
        known = self.known.get(name)
        if known is not None and (known.grants.until == math.inf or now < known.grants.until):
            return known
        row = self.people.get(name)
        if row is None:
            return None
        paths = self.paths_to_groups(name)
        grants = self._granted(name, paths, now=now) if row.active else NOBODYS
        made = Person(
            id=f"{self.tenant.name}/{name}",
            tenant=self.tenant.name,
            name=name,
            kind=row.kind,
            display=row.display,
            email=row.email,
            active=row.active,
            groups=tuple(sorted(paths)),
            roles=grants.roles,
            organization=self.tenant.organization,
            business_unit=self.tenant.business_unit,
            clearance=row.clearance,
            not_before=row.not_before_ms / 1000,
            grants=grants,
            created_ms=row.created_ms,
        )
        self.known[name] = made
        return made

    def role(self, name: str) -> Role | None:
        """Give a role of the tenant or a built-in one, which nothing can stand in for."""
        return BUILT_IN_ROLES.get(name) or self.roles.get(name)

    def paths_to_groups(self, name: str) -> dict[str, tuple[str, ...]]:
        """Give every group that a principal is in, directly or through others, with the shortest way there."""
        paths: dict[str, tuple[str, ...]] = {group: (group,) for group in self.groups_of.get(name, ())}
        waiting = list(paths)
        for group in waiting:
            for parent in self.parents.get(group, ()):
                if parent not in paths:
                    paths[parent] = (*paths[group], parent)
                    waiting.append(parent)
        return paths

    def _granted(self, name: str, paths: Mapping[str, tuple[str, ...]], *, now: float) -> Grants:
        none: tuple[str, ...] = ()
        found = [(self.bindings[each], none) for each in self.of_principal.get(name, ())]
        found += [(self.bindings[each], path) for group, path in paths.items() for each in self.of_group.get(group, ())]
        held: list[Grant] = []
        until = math.inf
        for binding, via in found:
            if binding.expires <= now:
                continue
            until = min(until, binding.expires)
            held.extend(
                Grant(role.name, role.permissions, binding, via, through)
                for role, through in closure(binding.role, self.role)
            )
        return Grants(tuple(held), until)


def closure(name: str, find: Callable[[str], Role | None]) -> list[tuple[Role, tuple[str, ...]]]:
    """Give a role and all it inherits, each with the way to it.

    What is not there gives nothing, and a cycle does no harm.
    """
    first = find(name)
    if first is None:
        return []
    found: list[tuple[Role, tuple[str, ...]]] = [(first, (name,))]
    seen = {name}
    for role, way in found:
        for other in role.inherits:
            taken = None if other in seen else find(other)
            if taken is not None:
                seen.add(other)
                found.append((taken, (*way, other)))
    return found


def indexed(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Gather the second of each pair under the first."""
    gathered: dict[str, list[str]] = {}
    for key, value in pairs:
        gathered.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in gathered.items()}
