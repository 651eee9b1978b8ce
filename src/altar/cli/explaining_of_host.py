"""Explaining calls on a host of a tier: joined from the parts that decide on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from altar.aesp.governance.standing import Standing
from altar.aesp.policy.explain import Explainer, InForce
from altar.aesp.policy.facts import Desk
from altar.aesp.policy.rights import Rights
from altar.aesp.service.explaining import Explaining, Names
from altar.grid.manifests.manifest import Manifest

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.governance.approvals import Approvals
    from altar.aesp.governance.price_lists import PriceList
    from altar.aesp.principal import Principal
    from altar.aesp.quotas import CallQuota
    from altar.aesp.rbac import Rbac
    from altar.aesp.store.database import Store
    from altar.aesp.tool_access import ToolAccess
    from altar.grid.host.host import Host
    from altar.ledger.places import Place

__all__ = ["explaining_of_host"]


def explaining_of_host(
    *,
    host: Host | None,
    directory: Directory,
    rbac: Rbac,
    access: ToolAccess,
    quota: CallQuota,
    still: Callable[[Principal], bool],
    in_force: InForce | None,
    desk: Desk | None,
    store: Store,
    names: Names,
    log: Place,
    operator_tenant: str,
    approvals: Approvals | None = None,
    prices: Callable[[str], tuple[int, PriceList] | None] | None = None,
) -> Explaining:
    """Join the parts of a host, which has no contracts yet where it is None.

    ``in_force`` and ``desk`` are those of the check of policies, None on a host of a tier without policies, and so are
    ``approvals`` and ``prices``.
    """
    nothing = Manifest(())

    def manifest() -> Manifest:
        return nothing if host is None else host.manifest

    rights = Rights(directory=directory, rbac=rbac, access=access, left=quota.left, still=still)
    taken_from = Desk(directory=directory, now=time.time, clock=time.monotonic) if desk is None else desk
    return Explaining(
        Explainer(rights, manifest=manifest, in_force=in_force, desk=taken_from),
        directory=directory,
        rbac=rbac,
        store=store,
        log=log,
        names=names,
        manifest=manifest,
        operator_tenant=operator_tenant,
        standing=None if approvals is None else Standing(approvals, directory, rbac, now=time.time),
        prices=prices or (lambda _tenant: None),
    )
