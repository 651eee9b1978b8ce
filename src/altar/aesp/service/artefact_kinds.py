"""What each kind of artefact is to the service: how its text is read and written, what it changes, who may want it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.governance.configuration import (
    CONFIGURATION,
    Settable,
    body_of_configuration,
    configuration_changes,
    configuration_of,
    read_configuration,
    written_configuration,
)
from altar.aesp.governance.price_lists import PRICES, price_changes, prices_of, read_prices, written_prices
from altar.aesp.governance.role_versions import (
    body_of_role,
    odd_roles,
    read_role,
    role_changes,
    role_of,
    written_role,
)

if TYPE_CHECKING:
    from altar.adm.canonical import JsonValue
    from altar.aesp.built_in_roles import Role
    from altar.aesp.roles import Roles
    from altar.aesp.service.administration import Asked
    from altar.aesp.service.reach import Reach
    from altar.aesp.store.database import Store
    from altar.grid.manifests.manifest import HostContract

__all__ = ["ConfigurationKind", "Kind", "PriceKind", "RoleKind"]


class Kind(Protocol):
    """One kind of artefact. ``name`` is that of the artefact without its kind."""

    def body(self, name: str, source: str) -> str:
        """Read what somebody wrote, and give it as it is kept; ValidationError for what is none."""
        ...

    def written(self, name: str, body: str) -> str:
        """Give what is kept as TOML; ValidationError for what cannot be read."""
        ...

    def require(self, asked: Asked, name: str, body: str) -> None:
        """Return when the asker may hand this in or put it in force; else AuthorizationError or ValidationError."""
        ...

    async def changes(self, asked: Asked, name: str, before: str | None, after: str) -> tuple[str, ...]:
        """Say what would be otherwise than it is; ``before`` is the body in force, None for none."""
        ...

    async def problems(self, tenant: str) -> tuple[str, ...]:
        """Say where what holds on this host is not what is in force."""
        ...


class RoleKind:
    """Roles: nobody writes one, or puts one in force, that grants more than they may do themselves."""

    def __init__(self, store: Store, roles: Roles, reach: Reach) -> None:
        self._store = store
        self._roles = roles
        self._reach = reach

    def body(self, name: str, source: str) -> str:
        """Read a role."""
        return body_of_role(read_role(name, source))

    def written(self, name: str, body: str) -> str:
        """Write a role out."""
        return written_role(role_of(name, body))

    def require(self, asked: Asked, name: str, body: str) -> None:
        """Raise PERMISSION_DENIED for what the asker may not do; UNKNOWN_RESOURCE for a role that is not there."""
        role = role_of(name, body)
        texts = [permission.text for permission in role.permissions]
        self._reach.require(asked.principal, texts, what=f"the role {name!r}")
        for taken in role.inherits:
            self._reach.require_role(asked.principal, taken, tenant=asked.tenant)

    async def changes(self, asked: Asked, name: str, before: str | None, after: str) -> tuple[str, ...]:
        """Compare with the version in force, or with the role as it was made without versions."""
        was = role_of(name, before) if before is not None else await self._unversioned(asked.tenant, name)
        return tuple(role_changes(was, role_of(name, after)))

    async def problems(self, tenant: str) -> tuple[str, ...]:
        """Roles whose rows are not what was activated."""
        return await self._store.run(lambda c: odd_roles(c, tenant=tenant), tenant=tenant, reads=True)

    async def _unversioned(self, tenant: str, name: str) -> Role | None:
        try:
            return await self._roles.show(name, tenant=tenant)
        except ValidationError:
            return None


class PriceKind:
    """The price list of a tenant; ``contracts`` are those of the host now."""

    def __init__(self, contracts: Callable[[], Iterable[HostContract]], problems: Callable[[str], str]) -> None:
        """Take the contracts, and what says why the list in force cannot be read, "" when it can."""
        self._contracts = contracts
        self._problems = problems

    def body(self, name: str, source: str) -> str:
        """Read a price list, of which a tenant has one."""
        _require_one(name, PRICES, "price")
        return read_prices(source).body

    def written(self, name: str, body: str) -> str:
        """Write a price list out."""
        return written_prices(prices_of(body))

    def require(self, asked: Asked, name: str, body: str) -> None:
        """Raise when it cannot be read."""
        _require_one(name, PRICES, "price")
        prices_of(body)

    async def changes(self, asked: Asked, name: str, before: str | None, after: str) -> tuple[str, ...]:
        """Compare what the tools of this host cost, and say which patterns are about none of them."""
        tools = sorted({contract.name for contract in self._contracts()})
        prices = prices_of(after)
        differ = price_changes(prices_of(before) if before is not None else None, prices, tools)
        idle = (
            f"no tool of this host is named by {price.tools[at]!r}"
            for price in prices.prices
            for at, scope in enumerate(price.scopes)
            if not any(scope.covers("tools", tool) for tool in tools)
        )
        return (*differ, *idle)

    async def problems(self, tenant: str) -> tuple[str, ...]:
        """Why the list in force cannot be read."""
        said = self._problems(tenant)
        return (said,) if said else ()


class ConfigurationKind:
    """The configuration of the hosts, which belongs to the operator's tenant alone."""

    def __init__(self, settable: Settable, *, operator_tenant: str, problem: Callable[[], str]) -> None:
        self._settable = settable
        self._operator = operator_tenant
        self._problem = problem

    def body(self, name: str, source: str) -> str:
        """Read values, of settings that may change while a host runs."""
        _require_one(name, CONFIGURATION, "configuration")
        return body_of_configuration(read_configuration(source, self._settable))

    def written(self, name: str, body: str) -> str:
        """Write values out."""
        return written_configuration(configuration_of(body, self._settable))

    def require(self, asked: Asked, name: str, body: str) -> None:
        """Raise PERMISSION_DENIED in another tenant than the operator's."""
        if asked.tenant != self._operator:
            raise AuthorizationError(
                "PERMISSION_DENIED",
                "Configuration is about the hosts, and belongs to the tenant of their operator",
                ran="no",
                hint="ask the operator of the host",
            )
        _require_one(name, CONFIGURATION, "configuration")
        configuration_of(body, self._settable)

    async def changes(self, asked: Asked, name: str, before: str | None, after: str) -> tuple[str, ...]:
        """Compare with what holds now: the version in force, and beneath it the file of this host."""
        now: Mapping[str, JsonValue] = self._settable.now()
        values = configuration_of(after, self._settable)
        gone = configuration_of(before, self._settable).keys() - values.keys() if before is not None else ()
        known = {name: held for name, held in now.items() if name in values or name in gone}
        return tuple(configuration_changes(known, values))

    async def problems(self, tenant: str) -> tuple[str, ...]:
        """Why the version in force is not what this host does."""
        said = self._problem() if tenant == self._operator else ""
        return (said,) if said else ()


def _require_one(name: str, only: str, kind: str) -> None:
    if name != only:
        raise ValidationError(
            "MALFORMED_REQUEST", f"There is no {kind}/{name[:64]!s}", ran="no", hint=f"the one there is: {kind}/{only}"
        )
