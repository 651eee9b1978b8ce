"""EnterpriseTenantService: tenants, for the operator of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar._proto.altar.aesp.v1 import tenant_pb2 as pb
from altar.adm.errors import ValidationError
from altar.aesp.service import messages
from altar.aesp.service.paging import after, limit_of, next_cursor

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.service.administration import Asked
    from altar.aesp.tenants import Tenants as Manager

__all__ = ["Tenants"]

_LINES = 256


class Tenants:
    """Making, suspending and ending tenants. The operator's own tenant cannot be taken away."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseTenantService"]

    def __init__(self, tenants: Manager, *, operator_tenant: str) -> None:
        self._tenants = tenants
        self._operator = operator_tenant

    async def create_tenant(self, _asked: Asked, request: pb.CreateTenantRequest) -> pb.CreateTenantResponse:
        """A new tenant, active, with nobody in it."""
        made = await self._tenants.create(
            request.tenant_id,
            display=request.display,
            organization=request.organization or None,
            business_unit=request.business_unit or None,
            quotas=dict(request.quotas),
        )
        return pb.CreateTenantResponse(tenant=messages.tenant(made))

    async def list_tenants(self, _asked: Asked, request: pb.ListTenantsRequest) -> pb.ListTenantsResponse:
        """All tenants by name, a page of them."""
        limit = limit_of(request.limit)
        found = await self._tenants.list(after=after(request.cursor), limit=limit)
        cursor = next_cursor(found, limit, lambda tenant: tenant.name)
        return pb.ListTenantsResponse(tenants=map(messages.tenant, found), next_cursor=cursor)

    async def get_tenant(self, asked: Asked, _request: pb.GetTenantRequest) -> pb.GetTenantResponse:
        """One tenant; the caller's own unless the operator asks."""
        described = await self._tenants.describe(asked.tenant)
        return pb.GetTenantResponse(tenant=messages.tenant(described.tenant))

    async def suspend_tenant(self, _asked: Asked, request: pb.SuspendTenantRequest) -> pb.SuspendTenantResponse:
        """Do nothing for a tenant from now on."""
        await self._tenants.suspend(self._other(request.tenant_id))
        return pb.SuspendTenantResponse()

    async def resume_tenant(self, _asked: Asked, request: pb.ResumeTenantRequest) -> pb.ResumeTenantResponse:
        """Serve a tenant again."""
        await self._tenants.resume(request.tenant_id)
        return pb.ResumeTenantResponse()

    async def set_tenant_quotas(self, _asked: Asked, request: pb.SetTenantQuotasRequest) -> pb.SetTenantQuotasResponse:
        """Change some limits of a tenant, or take them away."""
        changed: dict[str, int | None] = dict.fromkeys(request.unlimited)
        changed.update(request.quotas)
        made = await self._tenants.set_quotas(request.tenant_id, changed)
        return pb.SetTenantQuotasResponse(tenant=messages.tenant(made))

    async def export_tenant(self, _asked: Asked, request: pb.ExportTenantRequest) -> list[pb.ExportTenantResponse]:
        """All that the store has of a tenant, but its secrets."""
        lines = await self._tenants.export(request.tenant_id)
        return [
            pb.ExportTenantResponse(chunk="".join(f"{line}\n" for line in lines[at : at + _LINES]).encode())
            for at in range(0, len(lines), _LINES)
        ]

    async def delete_tenant(self, _asked: Asked, request: pb.DeleteTenantRequest) -> pb.DeleteTenantResponse:
        """Mark a tenant: nothing is done for it, and it can be purged."""
        await self._tenants.delete(self._other(request.tenant_id))
        return pb.DeleteTenantResponse()

    async def purge_tenant(self, _asked: Asked, request: pb.PurgeTenantRequest) -> pb.PurgeTenantResponse:
        """Remove a marked tenant for good."""
        await self._tenants.purge(self._other(request.tenant_id), confirmation=request.confirm)
        return pb.PurgeTenantResponse()

    def _other(self, tenant: str) -> str:
        if tenant == self._operator:
            raise ValidationError(
                "RESOURCE_CONFLICT", "The operator's own tenant cannot be taken away", ran="no", hint="name another one"
            )
        return tenant
