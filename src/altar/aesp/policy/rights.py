"""What the checks of the tier FOUNDATION say of a call, in words: who asks, what may be seen, and which role grants it.

Nothing is decided here: what allows and what refuses are the same functions that a call meets.
What would have had to differ is looked for in the roles of the tenant, and told to those who may know them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from altar.adm.errors import AltarError
from altar.aesp.built_in_roles import BUILT_IN_ROLES
from altar.aesp.control_plane import require_active
from altar.aesp.permissions import covered, parse_permission
from altar.aesp.policy.explanation import Step
from altar.aesp.snapshot import Snapshot, closure

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.principal import Principal
    from altar.aesp.rbac import Rbac
    from altar.aesp.tool_access import ToolAccess
    from altar.grid.manifests.manifest import HostContract

__all__ = ["Rights", "unseen"]

_MOST_ROLES = 10


class Rights:
    """Explains the checks before policy. For the thread of the directory's decisions, the host's loop.

    ``left`` says how many calls of this minute the quota of a tenant still holds, None where it has none;
    ``still`` whether the proof of a principal is not revoked.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        rbac: Rbac,
        access: ToolAccess,
        left: Callable[[str], float | None],
        still: Callable[[Principal], bool],
    ) -> None:
        self._directory = directory
        self._rbac = rbac
        self._access = access
        self._left = left
        self._still = still

    def authenticated(self, who: Principal, *, assumed: bool) -> Step:
        """Whether the proof of who asks counts; ``assumed`` for a principal that is only asked about."""
        if assumed:
            return Step(check="authenticated", result="passed", reasons=("assumed: as if it had signed in just now",))
        if self._directory.clock() >= who.expires or not self._still(who):
            return Step(
                check="authenticated",
                result="refused",
                code="INVALID_CREDENTIALS",
                reasons=("the credential has ended or was revoked",),
                needed=("a credential that has neither ended nor been revoked: sign in again",),
            )
        proof = f"by {who.authenticated_by}" + (", with a second factor" if who.mfa else "")
        return Step(check="authenticated", result="passed", reasons=(proof,))

    def active(self, who: Principal) -> Step:
        """Whether the principal is there and active, and so is its tenant."""
        try:
            require_active(self._directory, who)
        except AltarError as refused:
            needed = (
                f"the tenant {who.tenant!r} would have to be active"
                if refused.code == "TENANT_SUSPENDED"
                else f"{who.id!r} would have to be there and active"
            )
            return Step(check="active", result="refused", code=refused.code, reasons=(str(refused),), needed=(needed,))
        return Step(check="active", result="passed", reasons=("the principal and its tenant are active",))

    def visible(self, who: Principal, contract: HostContract) -> Step:
        """Whether the tool is there at all for the principal."""
        for action in ("execute", "read"):
            decision = self._access.decide(who, contract, action=action)
            if decision.allowed:
                return Step(check="visible", result="passed", reasons=decision.reasons[:1])
        governance = contract.governance
        status = "" if governance is None else governance.approval_status
        if status not in {"", "ACTIVE"}:
            return Step(
                check="visible",
                result="refused",
                code="UNSUPPORTED_TOOL",
                reasons=(f"the contract is {status}, not ACTIVE (NOT_ACTIVE)",),
                needed=("the contract would have to be ACTIVE",),
            )
        return Step(
            check="visible",
            result="refused",
            code="UNSUPPORTED_TOOL",
            reasons=(
                f"no role of {who.id!r} lets it see tools/{contract.name}",
                "it is told what it would be told if there were no such tool",
            ),
            needed=self._needed(who, contract),
        )

    def permitted(self, who: Principal, contract: HostContract, *, full: bool) -> Step:
        """Whether a role grants the call; ``full`` also names the roles that would have, which others hold."""
        decision = self._access.decide(who, contract, action="execute")
        if decision.allowed:
            return Step(check="permitted", result="passed", reasons=decision.reasons)
        code = "PERMISSION_DENIED"
        try:
            self._access.require(who, contract)
        except AltarError as refused:
            code = refused.code
        if not full:
            return Step(
                check="permitted",
                result="refused",
                code=code,
                reasons=(f"what you hold does not grant tools/{contract.name}:execute",),
                needed=("a role that grants it: ask an administrator of the tenant",),
            )
        needed = self._needed(who, contract)
        return Step(check="permitted", result="refused", code=code, reasons=decision.reasons, needed=needed)

    def quota(self, tenant: str) -> Step:
        """Whether the tenant has a call left now; asking takes none."""
        left = self._left(tenant)
        if left is None:
            return Step(check="quota", result="passed", reasons=("the tenant has no quota of calls",))
        if left < 1:
            return Step(
                check="quota",
                result="refused",
                code="RATE_LIMIT_EXCEEDED",
                reasons=("the tenant has made its calls of this minute",),
                needed=("a moment's wait, or a larger quota `calls_per_minute`",),
            )
        return Step(check="quota", result="passed", reasons=(f"{int(left)} calls are left at this moment",))

    def _needed(self, who: Principal, contract: HostContract) -> tuple[str, ...]:
        """Say each permission and role that is missing, and which roles of the tenant would give it."""
        snapshot = self._directory.snapshot(who.tenant)
        if snapshot is None:
            return ()
        governance = contract.governance
        resource = f"tools/{contract.name}"
        asked = [f"{resource}:execute", *(governance.required_permissions if governance is not None else ())]
        whole = replace(who, scopes=None)
        needed: list[str] = []
        for permission in asked:
            on, _, action = parse_permission(permission).text.rpartition(":")
            if not self._rbac.decide(whole, resource=on or "*", action=action).allowed:
                needed.append(f"{permission} would have to be granted, as {_roles(snapshot, on or '*', action)}")
        held = {
            grant.role
            for grant in self._directory.granted(who.id).held
            if grant.binding.scope.covers("tools", contract.name)
        }
        missing = sorted(set(governance.required_roles if governance is not None else ()) - held)
        needed += [f"the role {role!r} would have to be held, which the contract requires" for role in missing]
        for permission in asked if who.scopes is not None else ():
            on, _, action = parse_permission(permission).text.rpartition(":")
            if covered(map(parse_permission, who.scopes or ()), resource=on or "*", action=action) is None:
                needed.append(f"the token or key would have to carry {permission}")
        return tuple(needed)


def unseen(tool: str) -> Step:
    """The step of a tool that is not there for who asks, in the same words whether or not there is one."""
    return Step(
        check="visible",
        result="refused",
        code="UNSUPPORTED_TOOL",
        reasons=(f"there is no tool {tool[:128]!r} for you",),
        needed=("a tool of that name, and a role that lets you see it",),
    )


def _roles(snapshot: Snapshot, resource: str, action: str) -> str:
    """Name the roles of a tenant that grant something, by themselves or through others."""
    kind, slash, name = resource.partition("/")
    found = sorted(
        role
        for role in {*BUILT_IN_ROLES, *snapshot.roles}
        if any(
            permission.covers(kind, name if slash else None, action)
            for each, _ in closure(role, snapshot.role)
            for permission in each.permissions
        )
    )
    if not found:
        return "no role of the tenant does"
    more = f" and {len(found) - _MOST_ROLES} more" if len(found) > _MOST_ROLES else ""
    return f"{'these roles do' if len(found) > 1 else 'this role does'}: {', '.join(found[:_MOST_ROLES])}{more}"
