"""Which tools a principal may see, and which it may call: one decision, asked at find, in lists and at authorize.

A tool can be seen by whoever may read or execute it; all others are told what they would be told if it did not exist.
Required roles and permissions of the contract, and its approval, count for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from altar.adm.errors import AuthorizationError
from altar.aesp.principal import Decision, Principal

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.rbac import Rbac
    from altar.aesp.refusals import Refusals
    from altar.grid.manifests.manifest import HostContract, Manifest
    from altar.later.invocation import Invocation

__all__ = ["ToolAccess"]

_KEPT = 4_096
"""Views of principals that are kept; each is a few dictionaries over the contracts of the manifest."""


class _View(NamedTuple):
    """What one principal sees of one manifest, in one version of the directory, until a binding ends."""

    manifest: Manifest
    version: int
    until: float
    seen: Manifest


class ToolAccess:
    """Decides on tools by the directory. For one thread, the host's loop."""

    def __init__(self, rbac: Rbac, directory: Directory, *, refusals: Refusals, clock: Callable[[], float]) -> None:
        """Take what decides, and where refusals are recorded; ``clock`` gives seconds since 1970."""
        self._rbac = rbac
        self._directory = directory
        self._refusals = refusals
        self._clock = clock
        self._views: dict[object, _View] = {}

    def decide(self, who: Principal, contract: HostContract, *, action: str) -> Decision:
        """Say whether a principal may ``read`` or ``execute`` a contract now, and why."""
        governance, standing = contract.governance, self._standing(who, contract)
        if standing != "ACTIVE":
            return Decision(allowed=False, reasons=(f"the contract is {standing}, not ACTIVE",))
        if governance is None:
            return self._rbac.decide(who, resource=f"tools/{contract.name}", action=action)
        return self._rbac.decide(
            who,
            resource=f"tools/{contract.name}",
            action=action,
            required_roles=governance.required_roles,
            required_permissions=governance.required_permissions,
        )

    def require(self, who: Principal, contract: HostContract) -> None:
        """Return when the principal may call the contract now; else raise what `Rbac.require` raises."""
        governance, standing = contract.governance, self._standing(who, contract)
        if standing != "ACTIVE":
            raise AuthorizationError(
                "NOT_ACTIVE",
                f"The contract of {contract.name!r} is {standing}, and is not called",
                ran="no",
                hint="call another version, or have it approved",
            )
        if governance is None:
            self._rbac.require(who, resource=f"tools/{contract.name}", action="execute")
            return
        self._rbac.require(
            who,
            resource=f"tools/{contract.name}",
            action="execute",
            required_roles=governance.required_roles,
            required_permissions=governance.required_permissions,
        )

    def sees(self, who: Principal, contract: HostContract) -> bool:
        """Whether the contract is there at all for this principal."""
        return self.decide(who, contract, action="execute").allowed or self.decide(who, contract, action="read").allowed

    def _standing(self, who: Principal, contract: HostContract) -> str:
        """Where a contract stands for a tenant: what its manifest says, and what the tenant says of it.

        The tenant can approve what the manifest says is not approved yet, and only as it was looked at; it can end what
        the manifest offers, and can never call what that has retired.
        """
        governance = contract.governance
        offered = governance.approval_status if governance is not None else ""
        snapshot = self._directory.snapshot(who.tenant)
        if snapshot is None or not snapshot.contracts:
            return offered or "ACTIVE"
        said = snapshot.contracts.get(f"{contract.name}@{contract.version}")
        if said is None or offered == "RETIRED":
            return offered or "ACTIVE"
        if said[0] == "ACTIVE" and said[1] != contract.digest:
            return "PENDING_APPROVAL"
        return said[0]

    # ----------------------------------------------------------------------------------------- for the catalog

    def of(self, who: Any, manifest: Manifest) -> Manifest:
        """The part of a manifest that ``who`` may see; the same object until that changes."""
        if type(who) is not Principal:
            return manifest.only(_nothing)
        key: object = who.id if who.scopes is None else (who.id, who.scopes)
        version, kept = self._directory.version, self._views.get(key)
        if (
            kept is not None
            and kept.version == version
            and kept.manifest is manifest
            and (kept.until == math.inf or self._clock() < kept.until)
        ):
            return kept.seen
        seen = self._seen(who, manifest)
        if kept is not None and kept.manifest is manifest and _same(kept.seen, seen):
            seen = kept.seen
        if len(self._views) >= _KEPT:
            self._views.clear()
        until = self._directory.granted(who.id).until
        self._views[key] = _View(manifest, version, until, seen)
        return seen

    def refused(self, invocation: Invocation, manifest: Manifest) -> None:
        """A call named a tool that its principal does not see; recorded when there is one of that name."""
        if manifest.get_any(invocation.name):
            self._refusals.denied(
                tenant=invocation.tenant,
                principal=invocation.principal,
                code="UNSUPPORTED_TOOL",
                resource=f"tools/{invocation.name}",
                action="execute",
                session=invocation.session_id,
                correlation=invocation.correlation_id,
            )

    def _seen(self, who: Principal, manifest: Manifest) -> Manifest:
        hidden = [contract for contract in manifest if not self.sees(who, contract)]
        if not hidden:
            return manifest
        without = set(hidden)
        return manifest.only(lambda contract: contract not in without)


def _same(one: Manifest, other: Manifest) -> bool:
    return one is other or list(one) == list(other)


def _nothing(_contract: HostContract) -> bool:
    return False
