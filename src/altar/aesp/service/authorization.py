"""EnterpriseAuthorizationService: roles, bindings, and questions about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar._proto.altar.aesp.v1 import authorization_pb2 as pb
from altar.adm.errors import ValidationError
from altar.aesp.permissions import parse_permission
from altar.aesp.principal import Principal
from altar.aesp.service import messages
from altar.aesp.service.paging import after, limit_of, next_cursor
from altar.aesp.store import people

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.principal import Decision
    from altar.aesp.rbac import Rbac
    from altar.aesp.service.administration import Asked
    from altar.aesp.service.managers import Managers

__all__ = ["Authorization"]


class Authorization:
    """Roles and bindings of a tenant, and who may do what by them."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseAuthorizationService"]

    def __init__(self, managers: Managers, rbac: Rbac) -> None:
        self._of = managers
        self._rbac = rbac

    # -------------------------------------------------------------------------------------------------- questions

    async def authorize_action(self, asked: Asked, request: pb.AuthorizeActionRequest) -> pb.AuthorizeActionResponse:
        """May a principal of the tenant do this now?"""
        person = await self._person(asked, request.principal_id)
        decision = self._rbac.can_i(person, resource=_resource(request.resource, request.action), action=request.action)
        return pb.AuthorizeActionResponse(decision=_decision(decision), reasons=decision.reasons)

    async def check_permission(self, asked: Asked, request: pb.CheckPermissionRequest) -> pb.CheckPermissionResponse:
        """May the caller itself do this now?"""
        resource = _resource(request.resource, request.action)
        decision = self._rbac.can_i(asked.principal, resource=resource, action=request.action)
        return pb.CheckPermissionResponse(decision=_decision(decision), reasons=decision.reasons)

    async def who_can(self, asked: Asked, request: pb.WhoCanRequest) -> pb.WhoCanResponse:
        """Every active principal of the tenant that may do this now, and by what."""
        resource = _resource(request.resource, request.action)
        found = self._rbac.who_can(tenant=asked.tenant, resource=resource, action=request.action)
        return pb.WhoCanResponse(holders=[pb.Holder(principal_id=one.principal, reasons=one.reasons) for one in found])

    async def get_effective_permissions(
        self, asked: Asked, request: pb.GetEffectivePermissionsRequest
    ) -> pb.GetEffectivePermissionsResponse:
        """What all the roles of a principal grant."""
        person = await self._person(asked, request.principal_id)
        grants = self._of.directory.granted(person.id)
        return pb.GetEffectivePermissionsResponse(roles=grants.roles, permissions=grants.permissions)

    # ------------------------------------------------------------------------------------------------------ roles

    async def create_role(self, asked: Asked, request: pb.CreateRoleRequest) -> pb.CreateRoleResponse:
        """A role of the tenant's own, that grants no more than its maker may do."""
        self._require_reach(asked, request.name, request.permissions, request.inherits)
        made = await self._of.roles.create(
            request.name,
            tenant=asked.tenant,
            permissions=list(request.permissions),
            inherits=list(request.inherits),
            description=request.description,
        )
        return pb.CreateRoleResponse(role=messages.role(made))

    async def change_role(self, asked: Asked, request: pb.ChangeRoleRequest) -> pb.ChangeRoleResponse:
        """Let a role grant more or less; whoever holds it notices at once."""
        self._require_reach(asked, request.name, request.add_permissions, request.add_inherits)
        made = await self._of.roles.adjust(
            request.name,
            tenant=asked.tenant,
            add=(request.add_permissions, request.add_inherits),
            remove=(request.remove_permissions, request.remove_inherits),
        )
        return pb.ChangeRoleResponse(role=messages.role(made))

    async def list_roles(self, asked: Asked, request: pb.ListRolesRequest) -> pb.ListRolesResponse:
        """The roles of a tenant by name, built-in ones among them, a page of them."""
        limit = limit_of(request.limit)
        found = await self._of.roles.list(tenant=asked.tenant, after=after(request.cursor), limit=limit)
        cursor = next_cursor(found, limit, lambda role: role.name)
        return pb.ListRolesResponse(roles=map(messages.role, found), next_cursor=cursor)

    async def get_role(self, asked: Asked, request: pb.GetRoleRequest) -> pb.GetRoleResponse:
        """One role."""
        return pb.GetRoleResponse(role=messages.role(await self._of.roles.show(request.name, tenant=asked.tenant)))

    async def delete_role(self, asked: Asked, request: pb.DeleteRoleRequest) -> pb.DeleteRoleResponse:
        """Remove a role that nobody holds and no other role takes up."""
        await self._of.roles.delete(request.name, tenant=asked.tenant)
        return pb.DeleteRoleResponse()

    # --------------------------------------------------------------------------------------------------- bindings

    async def assign_role(self, asked: Asked, request: pb.AssignRoleRequest) -> pb.AssignRoleResponse:
        """Give a role that grants no more than its giver may do."""
        self._of.reach.require_role(asked.principal, request.role, tenant=asked.tenant)
        made = await self._of.roles.bind(
            request.role,
            tenant=asked.tenant,
            principal=asked.name_of(request.principal_id) or None,
            group=request.group or None,
            scope=request.scope or "*",
            expires_ms=request.expires_ms or None,
            created_by=asked.principal.id,
        )
        return pb.AssignRoleResponse(binding=messages.binding(made))

    async def revoke_role(self, asked: Asked, request: pb.RevokeRoleRequest) -> pb.RevokeRoleResponse:
        """Take a binding away; whoever had it notices at once."""
        await self._of.roles.unbind(request.binding_id, tenant=asked.tenant)
        return pb.RevokeRoleResponse()

    async def list_bindings(self, asked: Asked, request: pb.ListBindingsRequest) -> pb.ListBindingsResponse:
        """The bindings of a tenant, of what is named, a page of them."""
        limit = limit_of(request.limit)
        found = await self._of.roles.bindings(
            tenant=asked.tenant,
            role=request.role or None,
            principal=asked.name_of(request.principal_id) or None,
            group=request.group or None,
            after=after(request.cursor),
            limit=limit,
        )
        cursor = next_cursor(found, limit, lambda binding: binding.id)
        return pb.ListBindingsResponse(bindings=map(messages.binding, found), next_cursor=cursor)

    async def _person(self, asked: Asked, principal_id: str) -> Principal:
        """A principal of the tenant, as if it asked itself; UNKNOWN_RESOURCE for one that is not there."""
        name = asked.name_of(principal_id)
        row = await self._of.store.run(
            lambda connection: people.find_principal(connection, tenant=asked.tenant, name=name),
            tenant=asked.tenant,
            reads=True,
        )
        kind = messages.kind_named(row.kind)
        return Principal(f"{asked.tenant}/{row.name}", asked.tenant, kind, authenticated_by="question")

    def _require_reach(self, asked: Asked, name: str, permissions: object, inherits: object) -> None:
        texts = [parse_permission(str(text)).text for text in permissions]  # type: ignore[attr-defined]  # a list of them
        self._of.reach.require(asked.principal, texts, what=f"the role {name!r}")
        for taken in inherits:  # type: ignore[attr-defined]  # a list of them
            self._of.reach.require_role(asked.principal, taken, tenant=asked.tenant)


def _resource(resource: str, action: str) -> str:
    """The resource asked about. Raises MALFORMED_REQUEST when resource and action are no permission."""
    if not (resource and action):
        raise ValidationError("MALFORMED_REQUEST", "The question names no resource or no action", ran="no")
    parse_permission(f"{resource}:{action}")
    return resource


def _decision(decision: Decision) -> pb.AuthorizationDecision:
    return pb.AUTHORIZATION_DECISION_ALLOWED if decision.allowed else pb.AUTHORIZATION_DECISION_DENIED
