"""From values of the managers to messages of the wire, and back where a request holds an enum. Zero is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from altar._proto.altar.aesp.v1 import principal_pb2, tenant_pb2
from altar.adm.errors import ValidationError
from altar.aesp.principal import PrincipalKind

if TYPE_CHECKING:
    from altar.adm.enterprise import EnterpriseSecurityContext
    from altar.aesp.built_in_roles import Role
    from altar.aesp.directory import Person, Tenant
    from altar.aesp.identity.api_keys import ApiKey
    from altar.aesp.roles import BindingRow

__all__ = ["binding", "context", "group", "key", "kind_named", "kind_of", "principal", "role", "tenant"]

_KINDS: Mapping[int, PrincipalKind] = {
    principal_pb2.PRINCIPAL_TYPE_USER: PrincipalKind.USER,
    principal_pb2.PRINCIPAL_TYPE_SERVICE_ACCOUNT: PrincipalKind.SERVICE_ACCOUNT,
    principal_pb2.PRINCIPAL_TYPE_SYSTEM_ACCOUNT: PrincipalKind.SYSTEM_ACCOUNT,
}
_TYPES: Mapping[str, principal_pb2.PrincipalType] = {
    PrincipalKind.USER: principal_pb2.PRINCIPAL_TYPE_USER,
    PrincipalKind.SERVICE_ACCOUNT: principal_pb2.PRINCIPAL_TYPE_SERVICE_ACCOUNT,
    PrincipalKind.SYSTEM_ACCOUNT: principal_pb2.PRINCIPAL_TYPE_SYSTEM_ACCOUNT,
}
_STATUS = {
    "ACTIVE": tenant_pb2.TENANT_STATUS_ACTIVE,
    "SUSPENDED": tenant_pb2.TENANT_STATUS_SUSPENDED,
    "DELETED": tenant_pb2.TENANT_STATUS_DELETED,
}


def kind_of(number: int, *, optional: bool = False) -> PrincipalKind | None:
    """The kind that a number means; MALFORMED_REQUEST for zero, unless it is ``optional``, and for an unknown one."""
    if optional and not number:
        return None
    kind = _KINDS.get(number)
    if kind is None:
        raise ValidationError("MALFORMED_REQUEST", "The request names no type of principal", ran="no", path="/type")
    return kind


def kind_named(name: str) -> PrincipalKind:
    """The kind in a row of the store."""
    return PrincipalKind(name)


def principal(row: Any, person: Person | None, *, permissions: Iterable[str] = ()) -> principal_pb2.Principal:
    """A principal: its row in the store, and what the directory knows of its groups and roles."""
    return principal_pb2.Principal(
        principal_id=f"{row.tenant}/{row.name}",
        tenant_id=row.tenant,
        type=_TYPES[row.kind],
        display=row.display,
        email=row.email,
        active=row.active,
        security_clearance=row.clearance,
        groups=person.groups if person is not None else (),
        roles=person.roles if person is not None else (),
        permissions=permissions,
        created_ms=row.created_ms,
        source=row.source,
    )


def context(made: EnterpriseSecurityContext) -> principal_pb2.EnterpriseSecurityContext:
    """A security context; its members have the names of the message."""
    return principal_pb2.EnterpriseSecurityContext(**{name: value for name, value in made.to_adm().items() if value})


def group(row: Any, members: Iterable[str] = ()) -> principal_pb2.Group:
    """A group, with the names in it where they were asked for."""
    return principal_pb2.Group(name=row.name, display=row.display, source=row.source, members=members)


def role(made: Role) -> principal_pb2.Role:
    """A role."""
    return principal_pb2.Role(
        name=made.name,
        permissions=[permission.text for permission in made.permissions],
        inherits=made.inherits,
        description=made.description,
        built_in=made.built_in,
    )


def binding(row: BindingRow) -> principal_pb2.Binding:
    """A binding."""
    return principal_pb2.Binding(
        binding_id=row.id,
        role=row.role,
        principal=row.principal or "",
        group=row.group or "",
        scope=row.scope,
        expires_ms=row.expires_ms or 0,
        source=row.source,
        created_by=row.created_by,
        created_ms=row.created_ms,
    )


def key(made: ApiKey) -> principal_pb2.ApiKey:
    """An API key without its secret."""
    return principal_pb2.ApiKey(
        key_id=made.id,
        principal_id=made.principal,
        description=made.description,
        scopes=sorted(made.scopes or ()),
        narrowed=made.scopes is not None,
        created_ms=made.created_ms,
        expires_ms=made.expires_ms or 0,
        revoked_ms=made.revoked_ms or 0,
        used_ms=made.used_ms or 0,
        successor=made.successor,
    )


def tenant(known: Tenant) -> tenant_pb2.Tenant:
    """A tenant."""
    return tenant_pb2.Tenant(
        tenant_id=known.name,
        display=known.display,
        organization=known.organization or "",
        business_unit=known.business_unit or "",
        status=_STATUS[known.status],
        quotas=dict(known.quotas),
    )
