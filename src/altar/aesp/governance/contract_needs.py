"""Approvals that a contract itself asks for, with policies and without: the member ``requires_approval``.

In: a contract as its host holds it. Out: the `Need` of a request, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical, digest
from altar.adm.errors import ConfigurationError
from altar.aesp.governance.requests import CONTRACT, Need

if TYPE_CHECKING:
    from altar.adm.required_approval import RequiredApproval
    from altar.grid.manifests.manifest import HostContract
    from altar.later.invocation import Invocation

__all__ = ["need_of_contract", "required_of", "unapproved"]


def required_of(contract: HostContract) -> RequiredApproval | None:
    """What a contract asks of people before each call; None where it asks nothing."""
    governance = contract.governance
    return None if governance is None else governance.requires_approval


def need_of_contract(contract: HostContract) -> Need | None:
    """What a contract asks for, with a digest of it; None where it asks nothing."""
    asked = required_of(contract)
    if asked is None:
        return None
    said: dict[str, Any] = {"contract": contract.digest, "requires_approval": asked.to_adm()}
    return Need(CONTRACT, digest(canonical(said)), asked.approvers, asked.quorum)


def unapproved(invocation: Invocation) -> None:
    """Refuse what its contract wants approved, on a host where nobody can approve it.

    Raises ConfigurationError FEATURE_UNAVAILABLE.
    """
    if required_of(invocation.contract) is not None:
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            f"The contract of {invocation.name!r} asks for approval, and this host takes none",
            ran="no",
            hint='approvals are part of the tier ADVANCED: tier = "advanced" under [aesp] of the host',
        )
