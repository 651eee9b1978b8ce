"""Whether a principal may do something, and why: roles with inheritance, deny by default.

What is allowed is what some role grants that the principal holds now, by itself or through its groups, for this
resource; a token or key that was narrowed may do no more than it was narrowed to.
Nothing forbids: there are only grants, so their order cannot matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from altar.adm.errors import AuthorizationError
from altar.aesp.directory import Directory
from altar.aesp.permissions import covered, parse_permission, split_resource
from altar.aesp.principal import Decision, Principal
from altar.aesp.snapshot import Grant

__all__ = ["Holder", "Rbac"]

_KEPT = 65_536


class _Kept(NamedTuple):
    version: int
    until: float
    decision: Decision
    code: str


class Holder(NamedTuple):
    """Somebody who may do it, and why."""

    principal: str
    reasons: tuple[str, ...]


class Rbac:
    """Decides from the directory; a decision is kept until the directory changes or a binding ends."""

    def __init__(self, directory: Directory) -> None:
        """Take the directory, and its clock."""
        self._directory = directory
        self._clock: Callable[[], float] = directory.clock
        self._kept: dict[tuple[object, ...], _Kept] = {}

    def decide(
        self,
        principal: Principal,
        *,
        resource: str,
        action: str,
        required_roles: Collection[str] = (),
        required_permissions: Collection[str] = (),
    ) -> Decision:
        """Say whether the principal may do this now, and why or what is missing.

        ``required_roles`` must all be held for this resource, and ``required_permissions`` all be granted, beside the
        permission for the action itself.
        """
        return self._decide(principal, resource, action, required_roles, required_permissions).decision

    def require(
        self,
        principal: Principal,
        *,
        resource: str,
        action: str,
        required_roles: Collection[str] = (),
        required_permissions: Collection[str] = (),
    ) -> None:
        """Return when `decide` allows it.

        Raises AuthorizationError: INVALID_CREDENTIALS when the principal is not there or not active any more,
        TENANT_SUSPENDED, INSUFFICIENT_SCOPE when only the narrowed token or key forbids it, NOT_ACTIVE while the host
        cannot reach its store, else PERMISSION_DENIED.
        """
        kept = self._decide(principal, resource, action, required_roles, required_permissions)
        if not kept.decision.allowed:
            raise AuthorizationError(
                kept.code,
                _MESSAGES.get(kept.code) or f"{principal.id!r} may not {action} {resource!r}",
                hint=_HINTS[kept.code],
                detail="; ".join(kept.decision.reasons),
            )

    def can_i(self, principal: Principal, *, resource: str, action: str) -> Decision:
        """Say the same as `decide`, with every grant that allows it, not only the first."""
        person = self._directory.principal(principal.id)
        decision = self.decide(principal, resource=resource, action=action)
        if not decision.allowed or person is None:
            return decision
        return Decision(allowed=True, reasons=tuple(_granting(person.grants.held, resource, action)))

    def who_can(self, *, tenant: str, resource: str, action: str) -> tuple[Holder, ...]:
        """Give every active principal of a tenant that may do this now, by name, each with the grants that allow it."""
        snapshot = self._directory.snapshot(tenant)
        if snapshot is None or not snapshot.tenant.active:
            return ()
        now = self._clock()
        found: list[Holder] = []
        for name in sorted(snapshot.people):
            person = snapshot.person(name, now=now)
            reasons = () if person is None else tuple(_granting(person.grants.held, resource, action))
            if person is not None and reasons:
                found.append(Holder(person.id, reasons))
        return tuple(found)

    def _decide(
        self,
        principal: Principal,
        resource: str,
        action: str,
        required_roles: Collection[str],
        required_permissions: Collection[str],
    ) -> _Kept:
        asked = (
            principal.id,
            principal.tenant,
            principal.scopes,
            resource,
            action,
            required_roles,
            required_permissions,
        )
        directory = self._directory
        version = directory.version
        try:
            kept = self._kept.get(asked)
        except TypeError:  # a list: as good as a tuple, only not to be kept under
            return self._decide(principal, resource, action, tuple(required_roles), tuple(required_permissions))
        if directory.stale:
            return _STALE
        if kept is not None and kept.version == version and (kept.until == math.inf or self._clock() < kept.until):
            return kept
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        # the version is read before the facts: a change meanwhile makes this one old, never the other way round
        made = self._decided(version, principal, resource, action, required_roles, required_permissions)
        self._kept[asked] = made
        return made

    def _decided(
        self,
        version: int,
        principal: Principal,
        resource: str,
        action: str,
        required_roles: Collection[str],
        required_permissions: Collection[str],
    ) -> _Kept:
        person = self._directory.principal(principal.id)
        if person is None or not person.active or person.tenant != principal.tenant:
            return _no(version, "INVALID_CREDENTIALS", "the principal is not there or not active")
        tenant = self._directory.tenant(person.tenant)
        if tenant is None or not tenant.active:
            return _no(version, "TENANT_SUSPENDED", f"the tenant {person.tenant} is not active")
        until = person.grants.until
        needed = [(resource, action), *map(_split, required_permissions)]
        reasons: list[str] = []
        for on, what in needed:
            reason = next(_granting(person.grants.held, on, what), None)
            if reason is None:
                return _no(version, "PERMISSION_DENIED", f"no role grants {on}:{what}", until=until)
            reasons.append(reason)
        missing = set(required_roles) - {grant.role for grant in person.grants.held if _is_for(grant, resource)}
        if missing:
            names = ", ".join(sorted(missing))
            return _no(version, "PERMISSION_DENIED", f"the required role is not held: {names}", until=until)
        for on, what in needed if principal.scopes is not None else ():
            if covered(map(parse_permission, principal.scopes or ()), resource=on, action=what) is None:
                return _no(version, "INSUFFICIENT_SCOPE", f"the token or key does not carry {on}:{what}", until=until)
        return _Kept(version, until, Decision(allowed=True, reasons=tuple(reasons)), "")


def _granting(held: Iterable[Grant], resource: str, action: str) -> Iterator[str]:
    """Give the words for each grant that allows it."""
    kind, name = split_resource(resource)
    for grant in held:
        if grant.binding.scope.covers(kind, name):
            for permission in grant.permissions:
                if permission.covers(kind, name, action):
                    yield _words(grant, permission.text)
                    break


def _is_for(grant: Grant, resource: str) -> bool:
    return grant.binding.scope.covers(*split_resource(resource))


def _words(grant: Grant, permission: str) -> str:
    words = f"role {grant.role} grants {permission}"
    if len(grant.through) > 1:
        words += f", inherited by {' from '.join(grant.through[:-1])}"
    if grant.via:
        words += f", through group {' in '.join(grant.via)}"
    if grant.binding.scope.text != "*":
        words += f", for {grant.binding.scope.text}"
    return f"{words} (binding {grant.binding.id})"


def _split(permission: str) -> tuple[str, str]:
    """Read a required permission as the question that it is: `*` in it must be covered as a whole."""
    resource, _, action = parse_permission(permission).text.rpartition(":")
    return resource or "*", action


def _no(version: int, code: str, reason: str, *, until: float = math.inf) -> _Kept:
    return _Kept(version, until, Decision(allowed=False, reasons=(reason,)), code)


_STALE = _no(-1, "NOT_ACTIVE", "the store of tenants and roles has been out of reach for too long")
_MESSAGES = {
    "NOT_ACTIVE": "The host cannot find out at present who may do what",
    "INVALID_CREDENTIALS": "The credentials are not valid any more",
    "TENANT_SUSPENDED": "Nothing is done for this tenant at present",
}
_HINTS = {
    "NOT_ACTIVE": "repeat it later; the operator of the host can see the cause in its log",
    "INVALID_CREDENTIALS": "log in again",
    "TENANT_SUSPENDED": "ask the operator of the host",
    "INSUFFICIENT_SCOPE": "use a token or key that is not narrowed so far",
    "PERMISSION_DENIED": "ask an administrator of the tenant for a role that grants it",
}
