from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PrincipalType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRINCIPAL_TYPE_UNSPECIFIED: _ClassVar[PrincipalType]
    PRINCIPAL_TYPE_USER: _ClassVar[PrincipalType]
    PRINCIPAL_TYPE_SERVICE_ACCOUNT: _ClassVar[PrincipalType]
    PRINCIPAL_TYPE_SYSTEM_ACCOUNT: _ClassVar[PrincipalType]
PRINCIPAL_TYPE_UNSPECIFIED: PrincipalType
PRINCIPAL_TYPE_USER: PrincipalType
PRINCIPAL_TYPE_SERVICE_ACCOUNT: PrincipalType
PRINCIPAL_TYPE_SYSTEM_ACCOUNT: PrincipalType

class EnterpriseSecurityContext(_message.Message):
    __slots__ = ("principal_id", "tenant_id", "claims", "organization_id", "business_unit", "roles", "permissions", "security_clearance", "data_classification", "session_expires_at", "policy_context")
    class ClaimsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class PolicyContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_UNIT_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    SECURITY_CLEARANCE_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    SESSION_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    POLICY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    principal_id: str
    tenant_id: str
    claims: _containers.ScalarMap[str, str]
    organization_id: str
    business_unit: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    permissions: _containers.RepeatedScalarFieldContainer[str]
    security_clearance: str
    data_classification: str
    session_expires_at: int
    policy_context: _containers.ScalarMap[str, str]
    def __init__(self, principal_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., claims: _Optional[_Mapping[str, str]] = ..., organization_id: _Optional[str] = ..., business_unit: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., permissions: _Optional[_Iterable[str]] = ..., security_clearance: _Optional[str] = ..., data_classification: _Optional[str] = ..., session_expires_at: _Optional[int] = ..., policy_context: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Principal(_message.Message):
    __slots__ = ("principal_id", "tenant_id", "type", "display", "email", "active", "security_clearance", "groups", "roles", "permissions", "created_ms", "source")
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    SECURITY_CLEARANCE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    principal_id: str
    tenant_id: str
    type: PrincipalType
    display: str
    email: str
    active: bool
    security_clearance: str
    groups: _containers.RepeatedScalarFieldContainer[str]
    roles: _containers.RepeatedScalarFieldContainer[str]
    permissions: _containers.RepeatedScalarFieldContainer[str]
    created_ms: int
    source: str
    def __init__(self, principal_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., type: _Optional[_Union[PrincipalType, str]] = ..., display: _Optional[str] = ..., email: _Optional[str] = ..., active: _Optional[bool] = ..., security_clearance: _Optional[str] = ..., groups: _Optional[_Iterable[str]] = ..., roles: _Optional[_Iterable[str]] = ..., permissions: _Optional[_Iterable[str]] = ..., created_ms: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("name", "display", "source", "members")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    display: str
    source: str
    members: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., display: _Optional[str] = ..., source: _Optional[str] = ..., members: _Optional[_Iterable[str]] = ...) -> None: ...

class Role(_message.Message):
    __slots__ = ("name", "permissions", "inherits", "description", "built_in")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    INHERITS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BUILT_IN_FIELD_NUMBER: _ClassVar[int]
    name: str
    permissions: _containers.RepeatedScalarFieldContainer[str]
    inherits: _containers.RepeatedScalarFieldContainer[str]
    description: str
    built_in: bool
    def __init__(self, name: _Optional[str] = ..., permissions: _Optional[_Iterable[str]] = ..., inherits: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., built_in: _Optional[bool] = ...) -> None: ...

class Binding(_message.Message):
    __slots__ = ("binding_id", "role", "principal", "group", "scope", "expires_ms", "source", "created_by", "created_ms")
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    binding_id: str
    role: str
    principal: str
    group: str
    scope: str
    expires_ms: int
    source: str
    created_by: str
    created_ms: int
    def __init__(self, binding_id: _Optional[str] = ..., role: _Optional[str] = ..., principal: _Optional[str] = ..., group: _Optional[str] = ..., scope: _Optional[str] = ..., expires_ms: _Optional[int] = ..., source: _Optional[str] = ..., created_by: _Optional[str] = ..., created_ms: _Optional[int] = ...) -> None: ...

class ApiKey(_message.Message):
    __slots__ = ("key_id", "principal_id", "description", "scopes", "narrowed", "created_ms", "expires_ms", "revoked_ms", "used_ms", "successor")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    NARROWED_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_MS_FIELD_NUMBER: _ClassVar[int]
    USED_MS_FIELD_NUMBER: _ClassVar[int]
    SUCCESSOR_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    principal_id: str
    description: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    narrowed: bool
    created_ms: int
    expires_ms: int
    revoked_ms: int
    used_ms: int
    successor: str
    def __init__(self, key_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., description: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., narrowed: _Optional[bool] = ..., created_ms: _Optional[int] = ..., expires_ms: _Optional[int] = ..., revoked_ms: _Optional[int] = ..., used_ms: _Optional[int] = ..., successor: _Optional[str] = ...) -> None: ...
