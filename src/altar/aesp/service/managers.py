"""Those who carry out what administration is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.identity.api_keys import ApiKeys
    from altar.aesp.identity.passwords import LocalUsers
    from altar.aesp.identity.refresh import RefreshTokens
    from altar.aesp.identity.service_accounts import ServiceAccounts
    from altar.aesp.roles import Roles
    from altar.aesp.service.audit import Audit
    from altar.aesp.service.reach import Reach
    from altar.aesp.store.database import Store

__all__ = ["Managers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Managers:
    """Those who carry out what is asked for; ``now`` is in seconds since 1970."""

    store: Store
    directory: Directory
    roles: Roles
    keys: ApiKeys
    users: LocalUsers
    service_accounts: ServiceAccounts
    refreshing: RefreshTokens
    reach: Reach
    audit: Audit
    now: Callable[[], float]

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.now() * 1000)
