from altar._proto.altar.adm.v1 import adm_pb2 as _adm_pb2
from altar._proto.altar.grid.v1 import call_pb2 as _call_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuthorizationStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTHORIZATION_STATUS_UNSPECIFIED: _ClassVar[AuthorizationStatus]
    AUTHORIZATION_STATUS_APPROVED: _ClassVar[AuthorizationStatus]
    AUTHORIZATION_STATUS_DENIED: _ClassVar[AuthorizationStatus]
    AUTHORIZATION_STATUS_PENDING: _ClassVar[AuthorizationStatus]

class LogStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOG_STATUS_UNSPECIFIED: _ClassVar[LogStatus]
    LOG_STATUS_LOGGED: _ClassVar[LogStatus]
    LOG_STATUS_REJECTED: _ClassVar[LogStatus]
AUTHORIZATION_STATUS_UNSPECIFIED: AuthorizationStatus
AUTHORIZATION_STATUS_APPROVED: AuthorizationStatus
AUTHORIZATION_STATUS_DENIED: AuthorizationStatus
AUTHORIZATION_STATUS_PENDING: AuthorizationStatus
LOG_STATUS_UNSPECIFIED: LogStatus
LOG_STATUS_LOGGED: LogStatus
LOG_STATUS_REJECTED: LogStatus

class AuthorizeToolCall(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.ToolCall
    def __init__(self, call: _Optional[_Union[_call_pb2.ToolCall, _Mapping]] = ...) -> None: ...

class AuthorizeToolCallResponse(_message.Message):
    __slots__ = ("tag", "status", "invocation_id", "authorization_ttl_ms", "error", "variables")
    TAG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZATION_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    tag: int
    status: AuthorizationStatus
    invocation_id: str
    authorization_ttl_ms: int
    error: _adm_pb2.ErrorObject
    variables: bytes
    def __init__(self, tag: _Optional[int] = ..., status: _Optional[_Union[AuthorizationStatus, str]] = ..., invocation_id: _Optional[str] = ..., authorization_ttl_ms: _Optional[int] = ..., error: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ..., variables: _Optional[bytes] = ...) -> None: ...

class LogToolResult(_message.Message):
    __slots__ = ("tag", "invocation_id", "call_id", "status", "code", "ran", "result_digest", "began_ms", "ended_ms", "journal", "position", "fallback")
    TAG_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    RAN_FIELD_NUMBER: _ClassVar[int]
    RESULT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BEGAN_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_MS_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    tag: int
    invocation_id: str
    call_id: str
    status: _adm_pb2.ResultStatus
    code: str
    ran: _adm_pb2.Ran
    result_digest: bytes
    began_ms: int
    ended_ms: int
    journal: str
    position: int
    fallback: Fallback
    def __init__(self, tag: _Optional[int] = ..., invocation_id: _Optional[str] = ..., call_id: _Optional[str] = ..., status: _Optional[_Union[_adm_pb2.ResultStatus, str]] = ..., code: _Optional[str] = ..., ran: _Optional[_Union[_adm_pb2.Ran, str]] = ..., result_digest: _Optional[bytes] = ..., began_ms: _Optional[int] = ..., ended_ms: _Optional[int] = ..., journal: _Optional[str] = ..., position: _Optional[int] = ..., fallback: _Optional[_Union[Fallback, _Mapping]] = ...) -> None: ...

class Fallback(_message.Message):
    __slots__ = ("contract", "arguments_digest", "session_id", "correlation_id")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    contract: _call_pb2.ContractRef
    arguments_digest: bytes
    session_id: str
    correlation_id: str
    def __init__(self, contract: _Optional[_Union[_call_pb2.ContractRef, _Mapping]] = ..., arguments_digest: _Optional[bytes] = ..., session_id: _Optional[str] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class LogToolResultResponse(_message.Message):
    __slots__ = ("tag", "status", "error")
    TAG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    tag: int
    status: LogStatus
    error: _adm_pb2.ErrorObject
    def __init__(self, tag: _Optional[int] = ..., status: _Optional[_Union[LogStatus, str]] = ..., error: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ...) -> None: ...
