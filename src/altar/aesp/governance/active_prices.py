"""Which price list counts for a tenant now: read from the store, and swapped whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.governance.artefact_rows import ArtefactKind
from altar.aesp.governance.artefacts import read_active
from altar.aesp.governance.price_lists import PRICES, PriceList, prices_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["ActivePrices"]

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Source(Protocol):
    """What is needed of the store; `altar.aesp.store.database.Store` is one."""

    def run_now(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Run work in one transaction, blocking."""

    def changed(self, listener: Callable[[str], None]) -> None:
        """Tell the listener of every change from now on."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What counts for one tenant: a version and its list, or why it cannot be read."""

    version: int
    digest: str
    prices: PriceList | None
    broken: str = ""


class ActivePrices:
    """The price list of each tenant, following the store; made before what reads prices, so that it hears first."""

    def __init__(self, store: Source, *, tenants: Iterable[str]) -> None:
        """Read the lists of ``tenants``, blocking, and follow the store from then on."""
        self._store = store
        self._held: dict[str, _Held] = {}
        store.changed(self._renew)
        for tenant in tenants:
            self._renew(tenant)

    def of(self, tenant: str) -> tuple[int, PriceList] | None:
        """Give the version and the list that counts for a tenant; None when it has none.

        The list is the same object until another one counts.
        Raises AuthorizationError POLICY_ERROR for one that cannot be read, or is not what was activated.
        """
        held = self._held.get(tenant)
        if held is None:
            return None
        if held.prices is None:
            raise AuthorizationError(
                "POLICY_ERROR",
                "The price list of this tenant cannot be read",
                ran="no",
                hint="ask an administrator of the tenant; `altar artefacts list` says what is wrong",
                detail=held.broken,
            )
        return held.version, held.prices

    def problem(self, tenant: str) -> str:
        """Say why the list of a tenant cannot be read; "" when it can, or there is none."""
        held = self._held.get(tenant)
        return "" if held is None else held.broken

    def _renew(self, tenant: str) -> None:
        known = self._held.get(tenant)
        try:
            active = self._store.run_now(
                lambda connection: read_active(connection, ArtefactKind.PRICE, PRICES, tenant=tenant),
                tenant=tenant,
                reads=True,
            )
            if active is None:
                self._held.pop(tenant, None)
            elif known is None or (known.version, known.digest) != (active.version, active.digest) or known.broken:
                self._held[tenant] = _Held(active.version, active.digest, prices_of(active.body))
        except AltarError as broken:
            if broken.code == "DEPENDENCY_UNAVAILABLE":  # the store is out of reach, which the directory sees too
                raise
            facts = {"tenant": tenant, "code": broken.code, "reason": broken.message}
            _log.error("prices cannot be read", extra=facts)
            self._held[tenant] = _Held(0, "", None, broken=broken.message)
