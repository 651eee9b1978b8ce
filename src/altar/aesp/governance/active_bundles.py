"""Which bundle decides for a tenant now: read from the store, compiled once, and swapped whole.

A call asks `ActiveBundles.of` once and decides by what it got, so that it never sees half of a change.
What cannot be read, or is not what was activated, refuses every call of its tenant; a policy that does not fit a
contract of this host refuses the calls that it governs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.governance.artefacts import ArtefactKind, read_active
from altar.aesp.policy.policy import Bundle, bundle_of
from altar.aesp.policy.programs import CompiledBundle, compile_bundle

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.governance.price_lists import PriceList
    from altar.grid.manifests.manifest import HostContract

__all__ = ["POLICIES", "ActiveBundles"]

POLICIES = "policies"
"""The name of the bundle of a tenant among its artefacts."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Source(Protocol):
    """What is needed of the store; `altar.aesp.store.database.Store` is one."""

    def run_now(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Run work in one transaction, blocking."""

    def changed(self, listener: Callable[[str], None]) -> None:
        """Tell the listener of every change from now on."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """What decides for one tenant: a version of its bundle, or the reason why nothing can be decided."""

    version: int
    digest: str
    bundle: Bundle | None
    compiled: CompiledBundle | None
    broken: str = ""
    prices: PriceList | None = None


class ActiveBundles:
    """The compiled bundle of each tenant, following the store.

    ``version`` grows with each change, for whoever keeps what it worked out.
    """

    def __init__(
        self,
        store: Source,
        *,
        tenants: Iterable[str],
        contracts: Callable[[], Iterable[HostContract]],
        environment: Mapping[str, str] | None = None,
        prices: Callable[[str], tuple[int, PriceList] | None] | None = None,
    ) -> None:
        """Read and compile the bundles of ``tenants``, blocking, and follow the store from then on.

        ``contracts`` gives those of the host's manifest now, which the bundles are compiled for; ``environment`` are
        the constants of the host's operator; ``prices`` gives the price list of a tenant, if one is in force, and has
        heard of a change of the store before this does.
        """
        self.version = 0
        self._store = store
        self._contracts = contracts
        self._environment = environment or {}
        self._prices = prices
        self._ready: dict[str, _Ready] = {}
        self._renewing = threading.Lock()
        store.changed(self._renew)
        for tenant in tenants:
            self._renew(tenant)

    def of(self, tenant: str) -> CompiledBundle | None:
        """Give what decides for a tenant; None when it has no policies.

        Raises AuthorizationError POLICY_ERROR when it has some that cannot be read.
        """
        ready = self._ready.get(tenant)
        if ready is None:
            return None
        if ready.compiled is None:
            raise AuthorizationError(
                "POLICY_ERROR",
                "The policies of this tenant cannot be read, so nothing is done for it",
                ran="no",
                hint="ask an administrator of the tenant; `altar policy list` says what is wrong",
                detail=ready.broken,
            )
        return ready.compiled

    def bundle_of(self, tenant: str) -> Bundle | None:
        """Give the bundle that decides for a tenant, as it was written; None when it has none that can be read."""
        ready = self._ready.get(tenant)
        return None if ready is None else ready.bundle

    def version_of(self, tenant: str) -> int:
        """Give the number of the version that decides for a tenant, 0 when it has none."""
        ready = self._ready.get(tenant)
        return 0 if ready is None else ready.version

    def problems(self, tenant: str) -> tuple[str, ...]:
        """Say what is wrong on this host with the bundle that decides for a tenant."""
        ready = self._ready.get(tenant)
        if ready is None:
            return ()
        if ready.compiled is None:
            return (ready.broken,)
        return tuple(problem.message for problem in ready.compiled.problems)

    def set_environment(self, environment: Mapping[str, str]) -> None:
        """Take other constants of the operator, and compile every bundle for them; blocking."""
        if dict(environment) != dict(self._environment):
            self._environment = environment
            self.contracts_changed()

    def contracts_changed(self) -> None:
        """Compile every bundle for the contracts that the host has now; blocking."""
        with self._renewing:
            for tenant, ready in tuple(self._ready.items()):
                if ready.bundle is not None:
                    self._ready[tenant] = self._compiled(
                        tenant, ready.version, ready.digest, ready.bundle, ready.prices
                    )
            self.version += 1

    def _renew(self, tenant: str) -> None:
        """Read what is ACTIVE in a tenant; from here on every call is decided by it."""
        with self._renewing:
            known = self._ready.get(tenant)
            made = self._read(tenant, known)
            if made is known:
                return
            if made is None:
                self._ready.pop(tenant, None)
            else:
                self._ready[tenant] = made
            self.version += 1

    def _read(self, tenant: str, known: _Ready | None) -> _Ready | None:
        try:
            active = self._store.run_now(
                lambda connection: read_active(connection, ArtefactKind.POLICY, POLICIES, tenant=tenant),
                tenant=tenant,
                reads=True,
            )
            if active is None:
                return None
            priced = None if self._prices is None else self._prices(tenant)
            prices = None if priced is None else priced[1]
            is_known = known is not None and known.compiled is not None and known.prices is prices
            if known is not None and is_known and known.digest == active.digest:
                if known.version == active.version:
                    return known
                return _Ready(active.version, active.digest, known.bundle, known.compiled, prices=prices)
            bundle = bundle_of(active.body.encode())
        except AltarError as broken:
            if broken.code == "DEPENDENCY_UNAVAILABLE":  # the store is out of reach, which the directory sees too
                raise
            _log.error(
                "policies cannot be read", extra={"tenant": tenant, "code": broken.code, "reason": broken.message}
            )
            return _Ready(0, "", None, None, broken=broken.message)
        return self._compiled(tenant, active.version, active.digest, bundle, prices)

    def _compiled(self, tenant: str, version: int, digest: str, bundle: Bundle, prices: PriceList | None) -> _Ready:
        facts: Mapping[str, object] = {"tenant": tenant, "version": version, "digest": digest}
        try:
            compiled = compile_bundle(
                bundle,
                self._contracts(),
                environment=self._environment,
                costs=None if prices is None else prices.estimate,
            )
        except AltarError as broken:
            _log.error("policies cannot be compiled", extra={**facts, "reason": broken.message})
            return _Ready(version, digest, bundle, None, broken=broken.message, prices=prices)
        except Exception:  # noqa: BLE001 - whatever the engine raised, what it governs is refused and not let pass
            _log.exception("policies cannot be compiled", extra=dict(facts))
            broken_here = "The policies cannot be compiled on this host"
            return _Ready(version, digest, bundle, None, broken=broken_here, prices=prices)
        for problem in compiled.problems:
            _log.warning("a policy does not fit this host", extra={**facts, "reason": problem.message})
        _log.info("policies in force", extra={**facts, "policies": len(bundle.policies)})
        return _Ready(version, digest, bundle, compiled, prices=prices)
