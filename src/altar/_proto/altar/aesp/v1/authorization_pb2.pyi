from altar._proto.altar.aesp.v1 import principal_pb2 as _principal_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuthorizationDecision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTHORIZATION_DECISION_UNSPECIFIED: _ClassVar[AuthorizationDecision]
    AUTHORIZATION_DECISION_ALLOWED: _ClassVar[AuthorizationDecision]
    AUTHORIZATION_DECISION_DENIED: _ClassVar[AuthorizationDecision]
AUTHORIZATION_DECISION_UNSPECIFIED: AuthorizationDecision
AUTHORIZATION_DECISION_ALLOWED: AuthorizationDecision
AUTHORIZATION_DECISION_DENIED: AuthorizationDecision

class AuthorizeActionRequest(_message.Message):
    __slots__ = ("tenant_id", "principal_id", "resource", "action")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    principal_id: str
    resource: str
    action: str
    def __init__(self, tenant_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., resource: _Optional[str] = ..., action: _Optional[str] = ...) -> None: ...

class AuthorizeActionResponse(_message.Message):
    __slots__ = ("decision", "reasons")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    decision: AuthorizationDecision
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, decision: _Optional[_Union[AuthorizationDecision, str]] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckPermissionRequest(_message.Message):
    __slots__ = ("resource", "action")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    resource: str
    action: str
    def __init__(self, resource: _Optional[str] = ..., action: _Optional[str] = ...) -> None: ...

class CheckPermissionResponse(_message.Message):
    __slots__ = ("decision", "reasons")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    decision: AuthorizationDecision
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, decision: _Optional[_Union[AuthorizationDecision, str]] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class WhoCanRequest(_message.Message):
    __slots__ = ("tenant_id", "resource", "action")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    resource: str
    action: str
    def __init__(self, tenant_id: _Optional[str] = ..., resource: _Optional[str] = ..., action: _Optional[str] = ...) -> None: ...

class WhoCanResponse(_message.Message):
    __slots__ = ("holders",)
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    holders: _containers.RepeatedCompositeFieldContainer[Holder]
    def __init__(self, holders: _Optional[_Iterable[_Union[Holder, _Mapping]]] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("principal_id", "reasons")
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    principal_id: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, principal_id: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class GetEffectivePermissionsRequest(_message.Message):
    __slots__ = ("tenant_id", "principal_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    principal_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., principal_id: _Optional[str] = ...) -> None: ...

class GetEffectivePermissionsResponse(_message.Message):
    __slots__ = ("roles", "permissions")
    ROLES_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    roles: _containers.RepeatedScalarFieldContainer[str]
    permissions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, roles: _Optional[_Iterable[str]] = ..., permissions: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateRoleRequest(_message.Message):
    __slots__ = ("tenant_id", "name", "permissions", "inherits", "description")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    INHERITS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    permissions: _containers.RepeatedScalarFieldContainer[str]
    inherits: _containers.RepeatedScalarFieldContainer[str]
    description: str
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ..., permissions: _Optional[_Iterable[str]] = ..., inherits: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ...) -> None: ...

class CreateRoleResponse(_message.Message):
    __slots__ = ("role",)
    ROLE_FIELD_NUMBER: _ClassVar[int]
    role: _principal_pb2.Role
    def __init__(self, role: _Optional[_Union[_principal_pb2.Role, _Mapping]] = ...) -> None: ...

class ChangeRoleRequest(_message.Message):
    __slots__ = ("tenant_id", "name", "add_permissions", "remove_permissions", "add_inherits", "remove_inherits")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADD_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    ADD_INHERITS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_INHERITS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    add_permissions: _containers.RepeatedScalarFieldContainer[str]
    remove_permissions: _containers.RepeatedScalarFieldContainer[str]
    add_inherits: _containers.RepeatedScalarFieldContainer[str]
    remove_inherits: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ..., add_permissions: _Optional[_Iterable[str]] = ..., remove_permissions: _Optional[_Iterable[str]] = ..., add_inherits: _Optional[_Iterable[str]] = ..., remove_inherits: _Optional[_Iterable[str]] = ...) -> None: ...

class ChangeRoleResponse(_message.Message):
    __slots__ = ("role",)
    ROLE_FIELD_NUMBER: _ClassVar[int]
    role: _principal_pb2.Role
    def __init__(self, role: _Optional[_Union[_principal_pb2.Role, _Mapping]] = ...) -> None: ...

class ListRolesRequest(_message.Message):
    __slots__ = ("tenant_id", "limit", "cursor")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    limit: int
    cursor: str
    def __init__(self, tenant_id: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListRolesResponse(_message.Message):
    __slots__ = ("roles", "next_cursor")
    ROLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    roles: _containers.RepeatedCompositeFieldContainer[_principal_pb2.Role]
    next_cursor: str
    def __init__(self, roles: _Optional[_Iterable[_Union[_principal_pb2.Role, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetRoleRequest(_message.Message):
    __slots__ = ("tenant_id", "name")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class GetRoleResponse(_message.Message):
    __slots__ = ("role",)
    ROLE_FIELD_NUMBER: _ClassVar[int]
    role: _principal_pb2.Role
    def __init__(self, role: _Optional[_Union[_principal_pb2.Role, _Mapping]] = ...) -> None: ...

class DeleteRoleRequest(_message.Message):
    __slots__ = ("tenant_id", "name")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class DeleteRoleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AssignRoleRequest(_message.Message):
    __slots__ = ("tenant_id", "role", "principal_id", "group", "scope", "expires_ms")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    role: str
    principal_id: str
    group: str
    scope: str
    expires_ms: int
    def __init__(self, tenant_id: _Optional[str] = ..., role: _Optional[str] = ..., principal_id: _Optional[str] = ..., group: _Optional[str] = ..., scope: _Optional[str] = ..., expires_ms: _Optional[int] = ...) -> None: ...

class AssignRoleResponse(_message.Message):
    __slots__ = ("binding",)
    BINDING_FIELD_NUMBER: _ClassVar[int]
    binding: _principal_pb2.Binding
    def __init__(self, binding: _Optional[_Union[_principal_pb2.Binding, _Mapping]] = ...) -> None: ...

class RevokeRoleRequest(_message.Message):
    __slots__ = ("tenant_id", "binding_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    binding_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., binding_id: _Optional[str] = ...) -> None: ...

class RevokeRoleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBindingsRequest(_message.Message):
    __slots__ = ("tenant_id", "role", "principal_id", "group", "limit", "cursor")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    role: str
    principal_id: str
    group: str
    limit: int
    cursor: str
    def __init__(self, tenant_id: _Optional[str] = ..., role: _Optional[str] = ..., principal_id: _Optional[str] = ..., group: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListBindingsResponse(_message.Message):
    __slots__ = ("bindings", "next_cursor")
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    bindings: _containers.RepeatedCompositeFieldContainer[_principal_pb2.Binding]
    next_cursor: str
    def __init__(self, bindings: _Optional[_Iterable[_Union[_principal_pb2.Binding, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...
