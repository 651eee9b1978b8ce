from altar._proto.altar.adm.v1 import adm_pb2 as _adm_pb2
from altar._proto.altar.grid.v1 import call_pb2 as _call_pb2
from altar._proto.altar.grid.v1 import variable_pb2 as _variable_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectRequest(_message.Message):
    __slots__ = ("hello", "create_sessions", "calls", "cancels", "destroy_sessions", "variable_requests")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREATE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    DESTROY_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    hello: ClientHello
    create_sessions: _containers.RepeatedCompositeFieldContainer[CreateSession]
    calls: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolCall]
    cancels: _containers.RepeatedCompositeFieldContainer[_call_pb2.CancelCall]
    destroy_sessions: _containers.RepeatedCompositeFieldContainer[DestroySession]
    variable_requests: _containers.RepeatedCompositeFieldContainer[_variable_pb2.VariableRequest]
    def __init__(self, hello: _Optional[_Union[ClientHello, _Mapping]] = ..., create_sessions: _Optional[_Iterable[_Union[CreateSession, _Mapping]]] = ..., calls: _Optional[_Iterable[_Union[_call_pb2.ToolCall, _Mapping]]] = ..., cancels: _Optional[_Iterable[_Union[_call_pb2.CancelCall, _Mapping]]] = ..., destroy_sessions: _Optional[_Iterable[_Union[DestroySession, _Mapping]]] = ..., variable_requests: _Optional[_Iterable[_Union[_variable_pb2.VariableRequest, _Mapping]]] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("hello", "sessions_created", "results", "sessions_destroyed", "closing", "variable_answers")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_CREATED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_DESTROYED_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    hello: HostHello
    sessions_created: _containers.RepeatedCompositeFieldContainer[SessionCreated]
    results: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolResult]
    sessions_destroyed: _containers.RepeatedCompositeFieldContainer[SessionDestroyed]
    closing: _adm_pb2.ErrorObject
    variable_answers: _containers.RepeatedCompositeFieldContainer[_variable_pb2.VariableAnswer]
    def __init__(self, hello: _Optional[_Union[HostHello, _Mapping]] = ..., sessions_created: _Optional[_Iterable[_Union[SessionCreated, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[_call_pb2.ToolResult, _Mapping]]] = ..., sessions_destroyed: _Optional[_Iterable[_Union[SessionDestroyed, _Mapping]]] = ..., closing: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ..., variable_answers: _Optional[_Iterable[_Union[_variable_pb2.VariableAnswer, _Mapping]]] = ...) -> None: ...

class ClientHello(_message.Message):
    __slots__ = ("protocol_versions", "language", "sdk_version")
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    protocol_versions: _containers.RepeatedScalarFieldContainer[str]
    language: str
    sdk_version: str
    def __init__(self, protocol_versions: _Optional[_Iterable[str]] = ..., language: _Optional[str] = ..., sdk_version: _Optional[str] = ...) -> None: ...

class HostHello(_message.Message):
    __slots__ = ("protocol_version", "host", "max_message_bytes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: str
    host: str
    max_message_bytes: int
    def __init__(self, protocol_version: _Optional[str] = ..., host: _Optional[str] = ..., max_message_bytes: _Optional[int] = ...) -> None: ...

class CreateSession(_message.Message):
    __slots__ = ("tag", "tools", "ttl_seconds", "session_id")
    TAG_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    tag: int
    tools: _containers.RepeatedScalarFieldContainer[str]
    ttl_seconds: int
    session_id: str
    def __init__(self, tag: _Optional[int] = ..., tools: _Optional[_Iterable[str]] = ..., ttl_seconds: _Optional[int] = ..., session_id: _Optional[str] = ...) -> None: ...

class SessionCreated(_message.Message):
    __slots__ = ("tag", "session_id", "ttl_seconds", "contracts", "error")
    TAG_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    tag: int
    session_id: str
    ttl_seconds: int
    contracts: _containers.RepeatedCompositeFieldContainer[Contract]
    error: _adm_pb2.ErrorObject
    def __init__(self, tag: _Optional[int] = ..., session_id: _Optional[str] = ..., ttl_seconds: _Optional[int] = ..., contracts: _Optional[_Iterable[_Union[Contract, _Mapping]]] = ..., error: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ...) -> None: ...

class Contract(_message.Message):
    __slots__ = ("ref", "declaration")
    REF_FIELD_NUMBER: _ClassVar[int]
    DECLARATION_FIELD_NUMBER: _ClassVar[int]
    ref: _call_pb2.ContractRef
    declaration: bytes
    def __init__(self, ref: _Optional[_Union[_call_pb2.ContractRef, _Mapping]] = ..., declaration: _Optional[bytes] = ...) -> None: ...

class DestroySession(_message.Message):
    __slots__ = ("tag", "session_id", "force")
    TAG_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    tag: int
    session_id: str
    force: bool
    def __init__(self, tag: _Optional[int] = ..., session_id: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class SessionDestroyed(_message.Message):
    __slots__ = ("tag", "error")
    TAG_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    tag: int
    error: _adm_pb2.ErrorObject
    def __init__(self, tag: _Optional[int] = ..., error: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ...) -> None: ...

class CallToolRequest(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: _call_pb2.ToolCall
    def __init__(self, call: _Optional[_Union[_call_pb2.ToolCall, _Mapping]] = ...) -> None: ...

class CallToolResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _call_pb2.ToolResult
    def __init__(self, result: _Optional[_Union[_call_pb2.ToolResult, _Mapping]] = ...) -> None: ...
