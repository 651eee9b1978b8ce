"""The security context of a principal, as AESP defines it, made from what the host knows now."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from altar.adm.enterprise import EnterpriseSecurityContext

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.principal import Principal

__all__ = ["security_context"]


def security_context(who: Principal, directory: Directory) -> EnterpriseSecurityContext:
    """Give the context of an authenticated principal: its place, its roles and permissions, and when its proof ends.

    Permissions are those of its roles, as they are bound; a token or key that was narrowed carries its scopes instead.
    """
    person = directory.principal(who.id)
    grants = directory.granted(who.id)
    ends = 0 if math.isinf(who.expires) else int(who.expires * 1000)
    return EnterpriseSecurityContext(
        who.id,
        who.tenant,
        claims=dict(who.claims),
        organization_id=person.organization if person is not None else "",
        business_unit=person.business_unit if person is not None else "",
        roles=grants.roles,
        permissions=grants.permissions if who.scopes is None else tuple(sorted(who.scopes)),
        security_clearance=person.clearance if person is not None else "",
        session_expires_at=ends,
        policy_context={"authenticated_by": who.authenticated_by, "mfa": "true" if who.mfa else "false"},
    )
