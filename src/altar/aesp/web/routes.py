"""Who may ask which route: the one table.

A route that has no row here is not served, and a row without a route does not start.
Where a row asks for a permission, the bearer's own tenant is the only one that the route touches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["ROUTES", "Access", "Route"]


class Access(StrEnum):
    """Who may ask at all.

    ``open``: anybody who reaches the port, to prove who they are or to read how that is done.
    ``tenant``: whoever has the permission, in its own tenant.
    """

    OPEN = "open"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Route:
    """One row: method and path, who may ask, the permission ``kind:action``, and the name of the event."""

    method: str
    path: str
    access: Access
    permission: str
    event: str

    @property
    def kind(self) -> str:
        """The kind of resource."""
        return self.permission.partition(":")[0]

    @property
    def action(self) -> str:
        """What is done to it."""
        return self.permission.partition(":")[2]


def _routes() -> dict[str, Route]:
    rows: dict[str, Route] = {}
    for line in _TABLE.strip().splitlines():
        method, path, access, permission, event = line.split()
        rows[f"{method} {path}"] = Route(method, path, Access(access), permission, event)
    return rows


_TABLE: Final = """
GET    /scim/v2/ServiceProviderConfig          tenant scim:manage            admin.scim_discover
GET    /scim/v2/ResourceTypes                  tenant scim:manage            admin.scim_discover
GET    /scim/v2/ResourceTypes/{name}           tenant scim:manage            admin.scim_discover
GET    /scim/v2/Schemas                        tenant scim:manage            admin.scim_discover
GET    /scim/v2/Schemas/{name}                 tenant scim:manage            admin.scim_discover
GET    /scim/v2/{kind:scim_kind}               tenant scim:manage            admin.scim_list
POST   /scim/v2/{kind:scim_kind}               tenant scim:manage            admin.scim_create
POST   /scim/v2/{kind:scim_kind}/.search       tenant scim:manage            admin.scim_list
GET    /scim/v2/{kind:scim_kind}/{id}          tenant scim:manage            admin.scim_show
PUT    /scim/v2/{kind:scim_kind}/{id}          tenant scim:manage            admin.scim_change
PATCH  /scim/v2/{kind:scim_kind}/{id}          tenant scim:manage            admin.scim_change
DELETE /scim/v2/{kind:scim_kind}/{id}          tenant scim:manage            admin.scim_delete
POST   /scim/v2/.search                        tenant scim:manage            admin.scim_list
POST   /scim/v2/Bulk                           tenant scim:manage            admin.scim_bulk
GET    /saml/{provider}/metadata               open   providers:read         admin.saml_metadata
GET    /saml/{provider}/login                  open   tokens:create          admin.saml_begin
POST   /saml/{provider}/acs                    open   tokens:create          admin.saml_answer
GET    /identity/v1/providers                  tenant providers:read         admin.providers_show
POST   /identity/v1/providers/{provider}/test  tenant providers:test         admin.provider_test
POST   /identity/v1/providers/{provider}/sync  tenant providers:sync         admin.provider_sync
GET    /identity/v1/mappings                   tenant mappings:read          admin.mappings_list
POST   /identity/v1/mappings                   tenant mappings:create        admin.mapping_create
DELETE /identity/v1/mappings                   tenant mappings:delete        admin.mapping_delete
"""

ROUTES: Final[Mapping[str, Route]] = MappingProxyType(_routes())
"""Each route, as ``METHOD /path``, and its rule."""
