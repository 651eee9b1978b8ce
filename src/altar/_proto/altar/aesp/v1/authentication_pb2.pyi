from altar._proto.altar.aesp.v1 import principal_pb2 as _principal_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RotateTokenKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RotateTokenKeysResponse(_message.Message):
    __slots__ = ("key_id", "overlap_ends_ms")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_ENDS_MS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    overlap_ends_ms: int
    def __init__(self, key_id: _Optional[str] = ..., overlap_ends_ms: _Optional[int] = ...) -> None: ...

class AuthenticateUserRequest(_message.Message):
    __slots__ = ("provider", "tenant_id", "username_password", "saml_token", "oauth_token")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SAML_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OAUTH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    tenant_id: str
    username_password: UsernamePassword
    saml_token: str
    oauth_token: OauthToken
    def __init__(self, provider: _Optional[str] = ..., tenant_id: _Optional[str] = ..., username_password: _Optional[_Union[UsernamePassword, _Mapping]] = ..., saml_token: _Optional[str] = ..., oauth_token: _Optional[_Union[OauthToken, _Mapping]] = ...) -> None: ...

class UsernamePassword(_message.Message):
    __slots__ = ("username", "password", "new_password")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    NEW_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    username: str
    password: str
    new_password: str
    def __init__(self, username: _Optional[str] = ..., password: _Optional[str] = ..., new_password: _Optional[str] = ...) -> None: ...

class OauthToken(_message.Message):
    __slots__ = ("token", "nonce")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    token: str
    nonce: str
    def __init__(self, token: _Optional[str] = ..., nonce: _Optional[str] = ...) -> None: ...

class AuthenticateUserResponse(_message.Message):
    __slots__ = ("details",)
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    details: SuccessfulAuthDetails
    def __init__(self, details: _Optional[_Union[SuccessfulAuthDetails, _Mapping]] = ...) -> None: ...

class SuccessfulAuthDetails(_message.Message):
    __slots__ = ("access_token", "refresh_token", "expires_ms", "security_context")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    SECURITY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    refresh_token: str
    expires_ms: int
    security_context: _principal_pb2.EnterpriseSecurityContext
    def __init__(self, access_token: _Optional[str] = ..., refresh_token: _Optional[str] = ..., expires_ms: _Optional[int] = ..., security_context: _Optional[_Union[_principal_pb2.EnterpriseSecurityContext, _Mapping]] = ...) -> None: ...

class AuthenticateServiceAccountRequest(_message.Message):
    __slots__ = ("api_key",)
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    api_key: str
    def __init__(self, api_key: _Optional[str] = ...) -> None: ...

class AuthenticateServiceAccountResponse(_message.Message):
    __slots__ = ("security_context",)
    SECURITY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    security_context: _principal_pb2.EnterpriseSecurityContext
    def __init__(self, security_context: _Optional[_Union[_principal_pb2.EnterpriseSecurityContext, _Mapping]] = ...) -> None: ...

class RefreshTokenRequest(_message.Message):
    __slots__ = ("refresh_token",)
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    refresh_token: str
    def __init__(self, refresh_token: _Optional[str] = ...) -> None: ...

class RefreshTokenResponse(_message.Message):
    __slots__ = ("details",)
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    details: SuccessfulAuthDetails
    def __init__(self, details: _Optional[_Union[SuccessfulAuthDetails, _Mapping]] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class RevokeTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProvidersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProvidersResponse(_message.Message):
    __slots__ = ("providers",)
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, providers: _Optional[_Iterable[str]] = ...) -> None: ...

class ValidateTokenRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ValidateTokenResponse(_message.Message):
    __slots__ = ("security_context",)
    SECURITY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    security_context: _principal_pb2.EnterpriseSecurityContext
    def __init__(self, security_context: _Optional[_Union[_principal_pb2.EnterpriseSecurityContext, _Mapping]] = ...) -> None: ...

class GetUserRolesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetUserRolesResponse(_message.Message):
    __slots__ = ("roles",)
    ROLES_FIELD_NUMBER: _ClassVar[int]
    roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, roles: _Optional[_Iterable[str]] = ...) -> None: ...

class GetUserPermissionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetUserPermissionsResponse(_message.Message):
    __slots__ = ("permissions",)
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    permissions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, permissions: _Optional[_Iterable[str]] = ...) -> None: ...
