"""EnterpriseIdentityService, the half about principals: people, service accounts, their passwords and roles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from altar._proto.altar.aesp.v1 import identity_pb2 as pb
from altar.adm.errors import AltarError, ValidationError
from altar.aesp.administrators import administrator_kept
from altar.aesp.identity.certificates import CERTIFICATE
from altar.aesp.identity.passwords import one_time_password
from altar.aesp.identity.sync import MARK
from altar.aesp.principal import PrincipalKind
from altar.aesp.service import messages
from altar.aesp.service.groups_and_keys import GroupsAndKeys
from altar.aesp.service.paging import after, limit_of, next_cursor
from altar.aesp.store import people

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor
    from sqlalchemy import Connection

    from altar.aesp.service.administration import Asked
    from altar.aesp.service.managers import Managers

__all__ = ["Identity"]


class Identity(GroupsAndKeys):
    """Principals of a tenant, and by inheritance its groups and keys."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseIdentityService"]

    def __init__(self, managers: Managers) -> None:
        super().__init__(managers)
        self._of = managers

    async def create_principal(self, asked: Asked, request: pb.CreatePrincipalRequest) -> pb.CreatePrincipalResponse:
        """Add somebody; with a one-time password where one is asked for."""
        kind = messages.kind_of(request.type)
        if kind is None or kind is PrincipalKind.SERVICE_ACCOUNT:
            raise ValidationError(
                "MALFORMED_REQUEST", "Service accounts are made with CreateServiceAccount", path="/type"
            )
        tenant, name, now_ms = asked.tenant, request.name, self._of.now_ms

        def work(connection: Connection) -> Any:
            people.create_principal(
                connection,
                tenant=tenant,
                name=name,
                now_ms=now_ms,
                kind=kind,
                display=request.display,
                email=request.email,
                clearance=request.security_clearance,
            )
            return people.find_principal(connection, tenant=tenant, name=name)

        row = await self._of.store.run(work, tenant=tenant)
        if name.startswith(CERTIFICATE):
            await self._note_holder(asked, name)
        made = pb.CreatePrincipalResponse(principal=self._told(row))
        if request.password:
            made.one_time_password = await self._new_password(tenant, name)
        return made

    async def list_principals(self, asked: Asked, request: pb.ListPrincipalsRequest) -> pb.ListPrincipalsResponse:
        """The principals of a tenant by name, a page of them."""
        kind, limit, behind = (
            messages.kind_of(request.principal_type, optional=True),
            limit_of(request.limit),
            after(request.cursor),
        )

        def work(connection: Connection) -> list[Any]:
            return people.list_principals(
                connection,
                tenant=asked.tenant,
                after=behind,
                limit=limit,
                kind=kind,
                inactive=request.include_inactive,
            )

        rows = await self._of.store.run(work, tenant=asked.tenant, reads=True)
        cursor = next_cursor(rows, limit, lambda row: str(row.name))
        return pb.ListPrincipalsResponse(principals=map(self._told, rows), next_cursor=cursor)

    async def get_principal_details(
        self, asked: Asked, request: pb.GetPrincipalDetailsRequest
    ) -> pb.GetPrincipalDetailsResponse:
        """One principal, and what its roles grant where that is asked for."""
        row = await self._row(asked, request.principal_id)
        told = self._told(row)
        if request.include_permissions:
            told.permissions.extend(self._of.directory.granted(told.principal_id).permissions)
        return pb.GetPrincipalDetailsResponse(principal=told)

    async def set_principal_active(
        self, asked: Asked, request: pb.SetPrincipalActiveRequest
    ) -> pb.SetPrincipalActiveResponse:
        """Let somebody in again, or take all access away at once; tokens that were issued before stay worthless."""
        name, now_ms = asked.name_of(request.principal_id), self._of.now_ms
        if request.active:
            self._of.reach.require_principal(asked.principal, name, tenant=asked.tenant)
        change: dict[str, Any] = {"active": request.active}
        if not request.active:
            change["not_before_ms"] = now_ms

        def work(connection: Connection) -> None:
            row = people.find_principal(connection, tenant=asked.tenant, name=name)
            attributes = json.loads(row.attributes)
            if attributes.pop(MARK, None) is not None:  # from here on it is this word that counts, and no directory's
                change["attributes"] = attributes
            with administrator_kept(connection, tenant=asked.tenant):
                people.update_principal(connection, tenant=asked.tenant, name=name, now_ms=now_ms, **change)

        await self._of.store.run(work, tenant=asked.tenant)
        return pb.SetPrincipalActiveResponse()

    async def delete_principal(self, asked: Asked, request: pb.DeletePrincipalRequest) -> pb.DeletePrincipalResponse:
        """Remove somebody with everything that hangs on them; the record stays."""
        name = asked.name_of(request.principal_id)

        def work(connection: Connection) -> None:
            with administrator_kept(connection, tenant=asked.tenant):
                people.delete_principal(connection, tenant=asked.tenant, name=name)

        await self._of.store.run(work, tenant=asked.tenant)
        return pb.DeletePrincipalResponse()

    async def set_password(self, asked: Asked, request: pb.SetPasswordRequest) -> pb.SetPasswordResponse:
        """Give somebody a one-time password and end what they are signed in with."""
        row = await self._row(asked, request.principal_id)
        self._of.reach.require_principal(asked.principal, row.name, tenant=asked.tenant)
        password = await self._new_password(asked.tenant, row.name)
        await self._of.refreshing.end_all(f"{asked.tenant}/{row.name}", tenant=asked.tenant)
        return pb.SetPasswordResponse(one_time_password=password)

    async def update_principal_roles(
        self, asked: Asked, request: pb.UpdatePrincipalRolesRequest
    ) -> pb.UpdatePrincipalRolesResponse:
        """Give and take roles for all resources; what groups and mappings give is not touched."""
        row = await self._row(asked, request.principal_id)
        for role in request.add:
            self._of.reach.require_role(asked.principal, role, tenant=asked.tenant)
        if request.remove:
            self._of.reach.require(asked.principal, ["bindings:delete"], what="a change that takes roles away")
        held = await self._of.roles.bindings(tenant=asked.tenant, principal=row.name, limit=1000)
        for binding in held:
            if binding.role in request.remove and binding.source == "local":
                await self._of.roles.unbind(binding.id, tenant=asked.tenant)
        known = {binding.role for binding in held if binding.scope == "*" and binding.expires_ms is None}
        for role in sorted(set(request.add) - known):
            await self._of.roles.bind(role, tenant=asked.tenant, principal=row.name, created_by=asked.principal.id)
        return pb.UpdatePrincipalRolesResponse(roles=self._of.directory.granted(f"{asked.tenant}/{row.name}").roles)

    async def get_principal_audit_trail(
        self, asked: Asked, request: pb.GetPrincipalAuditTrailRequest
    ) -> pb.GetPrincipalAuditTrailResponse:
        """What a principal did, the newest first."""
        row = await self._row(asked, request.principal_id)
        events, cursor = await self._of.audit.trail(
            asked.tenant, f"{asked.tenant}/{row.name}", limit=limit_of(request.limit), cursor=request.cursor
        )
        return pb.GetPrincipalAuditTrailResponse(events=events, next_cursor=cursor)

    async def create_service_account(
        self, asked: Asked, request: pb.CreateServiceAccountRequest
    ) -> pb.CreateServiceAccountResponse:
        """Add a program with its first key, and give it roles."""
        for role in request.roles:
            self._of.reach.require_role(asked.principal, role, tenant=asked.tenant)
        new = await self._of.service_accounts.create(
            request.name,
            tenant=asked.tenant,
            description=request.description,
            scopes=request.permissions or None,
            expires_ms=request.expires_ms or None,
        )
        name = new.key.principal.partition("/")[2]
        try:
            for role in sorted(set(request.roles)):
                await self._of.roles.bind(role, tenant=asked.tenant, principal=name, created_by=asked.principal.id)
        except AltarError:  # the role has just gone: neither the account nor its key is left behind
            await self._of.service_accounts.remove(name, tenant=asked.tenant)
            raise
        await self._note_holder(asked, name)
        row = await self._row(asked, name)
        return pb.CreateServiceAccountResponse(principal=self._told(row), key=messages.key(new.key), api_key=new.text)

    async def list_service_accounts(
        self, asked: Asked, request: pb.ListServiceAccountsRequest
    ) -> pb.ListServiceAccountsResponse:
        """The service accounts of a tenant by name, a page of them."""
        limit, behind = limit_of(request.limit), after(request.cursor)

        def work(connection: Connection) -> list[Any]:
            kind = PrincipalKind.SERVICE_ACCOUNT
            return people.list_principals(connection, tenant=asked.tenant, after=behind, limit=limit, kind=kind)

        rows = await self._of.store.run(work, tenant=asked.tenant, reads=True)
        cursor = next_cursor(rows, limit, lambda row: str(row.name))
        return pb.ListServiceAccountsResponse(service_accounts=map(self._told, rows), next_cursor=cursor)

    async def revoke_service_account(
        self, asked: Asked, request: pb.RevokeServiceAccountRequest
    ) -> pb.RevokeServiceAccountResponse:
        """Take all access from a program at once."""
        await self._of.service_accounts.revoke(asked.name_of(request.principal_id), tenant=asked.tenant)
        return pb.RevokeServiceAccountResponse()

    async def _row(self, asked: Asked, principal_id: str) -> Any:
        name = asked.name_of(principal_id)
        return await self._of.store.run(
            lambda connection: people.find_principal(connection, tenant=asked.tenant, name=name),
            tenant=asked.tenant,
            reads=True,
        )

    async def _new_password(self, tenant: str, name: str) -> str:
        password = one_time_password()
        await self._of.users.set_password(f"{tenant}/{name}", password, tenant=tenant, once=True)
        return password

    def _told(self, row: Any) -> Any:
        return messages.principal(row, self._of.directory.principal(f"{row.tenant}/{row.name}"))
