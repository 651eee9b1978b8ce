from altar._proto.altar.adm.v1 import adm_pb2 as _adm_pb2
from altar._proto.altar.grid.v1 import call_pb2 as _call_pb2
from altar._proto.altar.grid.v1 import governed_pb2 as _governed_pb2
from altar._proto.altar.grid.v1 import variable_pb2 as _variable_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApprovalState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPROVAL_STATE_UNSPECIFIED: _ClassVar[ApprovalState]
    APPROVAL_STATE_PENDING: _ClassVar[ApprovalState]
    APPROVAL_STATE_APPROVED: _ClassVar[ApprovalState]
    APPROVAL_STATE_REFUSED: _ClassVar[ApprovalState]
    APPROVAL_STATE_WITHDRAWN: _ClassVar[ApprovalState]
    APPROVAL_STATE_EXPIRED: _ClassVar[ApprovalState]
    APPROVAL_STATE_CONSUMED: _ClassVar[ApprovalState]
APPROVAL_STATE_UNSPECIFIED: ApprovalState
APPROVAL_STATE_PENDING: ApprovalState
APPROVAL_STATE_APPROVED: ApprovalState
APPROVAL_STATE_REFUSED: ApprovalState
APPROVAL_STATE_WITHDRAWN: ApprovalState
APPROVAL_STATE_EXPIRED: ApprovalState
APPROVAL_STATE_CONSUMED: ApprovalState

class ConnectRequest(_message.Message):
    __slots__ = ("hello", "create_sessions", "calls", "cancels", "destroy_sessions", "stream_credits", "session_requests", "authorizations", "reports", "variable_requests")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREATE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    DESTROY_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    STREAM_CREDITS_FIELD_NUMBER: _ClassVar[int]
    SESSION_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZATIONS_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    hello: ClientHello
    create_sessions: _containers.RepeatedCompositeFieldContainer[CreateSession]
    calls: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolCall]
    cancels: _containers.RepeatedCompositeFieldContainer[_call_pb2.CancelCall]
    destroy_sessions: _containers.RepeatedCompositeFieldContainer[DestroySession]
    stream_credits: _containers.RepeatedCompositeFieldContainer[_call_pb2.StreamCredit]
    session_requests: _containers.RepeatedCompositeFieldContainer[SessionRequest]
    authorizations: _containers.RepeatedCompositeFieldContainer[_governed_pb2.AuthorizeToolCall]
    reports: _containers.RepeatedCompositeFieldContainer[_governed_pb2.LogToolResult]
    variable_requests: _containers.RepeatedCompositeFieldContainer[_variable_pb2.VariableRequest]
    def __init__(self, hello: _Optional[_Union[ClientHello, _Mapping]] = ..., create_sessions: _Optional[_Iterable[_Union[CreateSession, _Mapping]]] = ..., calls: _Optional[_Iterable[_Union[_call_pb2.ToolCall, _Mapping]]] = ..., cancels: _Optional[_Iterable[_Union[_call_pb2.CancelCall, _Mapping]]] = ..., destroy_sessions: _Optional[_Iterable[_Union[DestroySession, _Mapping]]] = ..., stream_credits: _Optional[_Iterable[_Union[_call_pb2.StreamCredit, _Mapping]]] = ..., session_requests: _Optional[_Iterable[_Union[SessionRequest, _Mapping]]] = ..., authorizations: _Optional[_Iterable[_Union[_governed_pb2.AuthorizeToolCall, _Mapping]]] = ..., reports: _Optional[_Iterable[_Union[_governed_pb2.LogToolResult, _Mapping]]] = ..., variable_requests: _Optional[_Iterable[_Union[_variable_pb2.VariableRequest, _Mapping]]] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("hello", "sessions_created", "results", "sessions_destroyed", "closing", "stream_chunks", "notices", "session_answers", "authorized", "reports_taken", "contracts_changed", "variable_answers")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_CREATED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_DESTROYED_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    STREAM_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    SESSION_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    REPORTS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    CONTRACTS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    hello: HostHello
    sessions_created: _containers.RepeatedCompositeFieldContainer[SessionCreated]
    results: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolResult]
    sessions_destroyed: _containers.RepeatedCompositeFieldContainer[SessionDestroyed]
    closing: _adm_pb2.ErrorObject
    stream_chunks: _containers.RepeatedCompositeFieldContainer[_call_pb2.StreamChunk]
    notices: _containers.RepeatedCompositeFieldContainer[_call_pb2.CallNotice]
    session_answers: _containers.RepeatedCompositeFieldContainer[SessionAnswer]
    authorized: _containers.RepeatedCompositeFieldContainer[_governed_pb2.AuthorizeToolCallResponse]
    reports_taken: _containers.RepeatedCompositeFieldContainer[_governed_pb2.LogToolResultResponse]
    contracts_changed: _containers.RepeatedCompositeFieldContainer[SessionCreated]
    variable_answers: _containers.RepeatedCompositeFieldContainer[_variable_pb2.VariableAnswer]
    def __init__(self, hello: _Optional[_Union[HostHello, _Mapping]] = ..., sessions_created: _Optional[_Iterable[_Union[SessionCreated, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[_call_pb2.ToolResult, _Mapping]]] = ..., sessions_destroyed: _Optional[_Iterable[_Union[SessionDestroyed, _Mapping]]] = ..., closing: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ..., stream_chunks: _Optional[_Iterable[_Union[_call_pb2.StreamChunk, _Mapping]]] = ..., notices: _Optional[_Iterable[_Union[_call_pb2.CallNotice, _Mapping]]] = ..., session_answers: _Optional[_Iterable[_Union[SessionAnswer, _Mapping]]] = ..., authorized: _Optional[_Iterable[_Union[_governed_pb2.AuthorizeToolCallResponse, _Mapping]]] = ..., reports_taken: _Optional[_Iterable[_Union[_governed_pb2.LogToolResultResponse, _Mapping]]] = ..., contracts_changed: _Optional[_Iterable[_Union[SessionCreated, _Mapping]]] = ..., variable_answers: _Optional[_Iterable[_Union[_variable_pb2.VariableAnswer, _Mapping]]] = ...) -> None: ...

class ClientHello(_message.Message):
    __slots__ = ("protocol_versions", "language", "sdk_version", "capabilities")
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    protocol_versions: _containers.RepeatedScalarFieldContainer[str]
    language: str
    sdk_version: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_versions: _Optional[_Iterable[str]] = ..., language: _Optional[str] = ..., sdk_version: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class HostHello(_message.Message):
    __slots__ = ("protocol_version", "host", "max_message_bytes", "capabilities", "development")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    DEVELOPMENT_FIELD_NUMBER: _ClassVar[int]
    protocol_version: str
    host: str
    max_message_bytes: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    development: bool
    def __init__(self, protocol_version: _Optional[str] = ..., host: _Optional[str] = ..., max_message_bytes: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., development: _Optional[bool] = ...) -> None: ...

class CreateSession(_message.Message):
    __slots__ = ("tag", "tools", "ttl_seconds", "session_id", "labels", "credential")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TAG_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    tag: int
    tools: _containers.RepeatedScalarFieldContainer[str]
    ttl_seconds: int
    session_id: str
    labels: _containers.ScalarMap[str, str]
    credential: bytes
    def __init__(self, tag: _Optional[int] = ..., tools: _Optional[_Iterable[str]] = ..., ttl_seconds: _Optional[int] = ..., session_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., credential: _Optional[bytes] = ...) -> None: ...

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
    __slots__ = ("ref", "declaration", "weighted")
    REF_FIELD_NUMBER: _ClassVar[int]
    DECLARATION_FIELD_NUMBER: _ClassVar[int]
    WEIGHTED_FIELD_NUMBER: _ClassVar[int]
    ref: _call_pb2.ContractRef
    declaration: bytes
    weighted: bool
    def __init__(self, ref: _Optional[_Union[_call_pb2.ContractRef, _Mapping]] = ..., declaration: _Optional[bytes] = ..., weighted: _Optional[bool] = ...) -> None: ...

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

class SessionRequest(_message.Message):
    __slots__ = ("tag", "list", "describe", "extend")
    TAG_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    DESCRIBE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    tag: int
    list: ListSessions
    describe: DescribeSession
    extend: ExtendSession
    def __init__(self, tag: _Optional[int] = ..., list: _Optional[_Union[ListSessions, _Mapping]] = ..., describe: _Optional[_Union[DescribeSession, _Mapping]] = ..., extend: _Optional[_Union[ExtendSession, _Mapping]] = ...) -> None: ...

class ListSessions(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeSession(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class ExtendSession(_message.Message):
    __slots__ = ("session_id", "ttl_seconds", "credential")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    ttl_seconds: int
    credential: bytes
    def __init__(self, session_id: _Optional[str] = ..., ttl_seconds: _Optional[int] = ..., credential: _Optional[bytes] = ...) -> None: ...

class SessionAnswer(_message.Message):
    __slots__ = ("tag", "sessions", "error")
    TAG_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    tag: int
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    error: _adm_pb2.ErrorObject
    def __init__(self, tag: _Optional[int] = ..., sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ..., error: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session_id", "created_ms", "ttl_seconds", "seconds_left", "tools", "calls_in_flight", "variables", "connections", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    CALLS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    created_ms: int
    ttl_seconds: int
    seconds_left: int
    tools: _containers.RepeatedScalarFieldContainer[str]
    calls_in_flight: int
    variables: int
    connections: int
    labels: _containers.ScalarMap[str, str]
    def __init__(self, session_id: _Optional[str] = ..., created_ms: _Optional[int] = ..., ttl_seconds: _Optional[int] = ..., seconds_left: _Optional[int] = ..., tools: _Optional[_Iterable[str]] = ..., calls_in_flight: _Optional[int] = ..., variables: _Optional[int] = ..., connections: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

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

class AwaitApprovalRequest(_message.Message):
    __slots__ = ("handle", "wait_ms", "tell_call")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    TELL_CALL_FIELD_NUMBER: _ClassVar[int]
    handle: str
    wait_ms: int
    tell_call: bool
    def __init__(self, handle: _Optional[str] = ..., wait_ms: _Optional[int] = ..., tell_call: _Optional[bool] = ...) -> None: ...

class AwaitApprovalResponse(_message.Message):
    __slots__ = ("state", "name", "version", "args")
    STATE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    state: ApprovalState
    name: str
    version: str
    args: bytes
    def __init__(self, state: _Optional[_Union[ApprovalState, str]] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., args: _Optional[bytes] = ...) -> None: ...
