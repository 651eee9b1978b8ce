from altar._proto.altar.adm.v1 import adm_pb2 as _adm_pb2
from altar._proto.altar.grid.v1 import call_pb2 as _call_pb2
from altar._proto.altar.grid.v1 import variable_pb2 as _variable_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FulfillmentStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FULFILLMENT_STATUS_UNSPECIFIED: _ClassVar[FulfillmentStatus]
    FULFILLMENT_STATUS_SUCCESS: _ClassVar[FulfillmentStatus]
    FULFILLMENT_STATUS_PARTIAL_SUCCESS: _ClassVar[FulfillmentStatus]
    FULFILLMENT_STATUS_FAILURE: _ClassVar[FulfillmentStatus]
FULFILLMENT_STATUS_UNSPECIFIED: FulfillmentStatus
FULFILLMENT_STATUS_SUCCESS: FulfillmentStatus
FULFILLMENT_STATUS_PARTIAL_SUCCESS: FulfillmentStatus
FULFILLMENT_STATUS_FAILURE: FulfillmentStatus

class AttachRequest(_message.Message):
    __slots__ = ("announce", "fulfill", "results", "credits", "heartbeat", "drain", "register", "stream_chunks", "notices", "nested_calls", "nested_cancels", "stream_credits", "variable_requests")
    ANNOUNCE_FIELD_NUMBER: _ClassVar[int]
    FULFILL_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    STREAM_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NESTED_CALLS_FIELD_NUMBER: _ClassVar[int]
    NESTED_CANCELS_FIELD_NUMBER: _ClassVar[int]
    STREAM_CREDITS_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    announce: AnnounceRuntime
    fulfill: FulfillTools
    results: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolResult]
    credits: int
    heartbeat: Heartbeat
    drain: Drain
    register: RegisterTools
    stream_chunks: _containers.RepeatedCompositeFieldContainer[_call_pb2.StreamChunk]
    notices: _containers.RepeatedCompositeFieldContainer[_call_pb2.CallNotice]
    nested_calls: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolCall]
    nested_cancels: _containers.RepeatedCompositeFieldContainer[_call_pb2.CancelCall]
    stream_credits: _containers.RepeatedCompositeFieldContainer[_call_pb2.StreamCredit]
    variable_requests: _containers.RepeatedCompositeFieldContainer[_variable_pb2.VariableRequest]
    def __init__(self, announce: _Optional[_Union[AnnounceRuntime, _Mapping]] = ..., fulfill: _Optional[_Union[FulfillTools, _Mapping]] = ..., results: _Optional[_Iterable[_Union[_call_pb2.ToolResult, _Mapping]]] = ..., credits: _Optional[int] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., register: _Optional[_Union[RegisterTools, _Mapping]] = ..., stream_chunks: _Optional[_Iterable[_Union[_call_pb2.StreamChunk, _Mapping]]] = ..., notices: _Optional[_Iterable[_Union[_call_pb2.CallNotice, _Mapping]]] = ..., nested_calls: _Optional[_Iterable[_Union[_call_pb2.ToolCall, _Mapping]]] = ..., nested_cancels: _Optional[_Iterable[_Union[_call_pb2.CancelCall, _Mapping]]] = ..., stream_credits: _Optional[_Iterable[_Union[_call_pb2.StreamCredit, _Mapping]]] = ..., variable_requests: _Optional[_Iterable[_Union[_variable_pb2.VariableRequest, _Mapping]]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("announced", "fulfilled", "calls", "cancels", "heartbeat", "closing", "registered", "stream_credits", "nested_results", "stream_chunks", "notices", "offered", "variable_answers")
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    FULFILLED_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    STREAM_CREDITS_FIELD_NUMBER: _ClassVar[int]
    NESTED_RESULTS_FIELD_NUMBER: _ClassVar[int]
    STREAM_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    announced: AnnounceRuntimeResponse
    fulfilled: FulfillToolsResponse
    calls: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolCall]
    cancels: _containers.RepeatedCompositeFieldContainer[_call_pb2.CancelCall]
    heartbeat: Heartbeat
    closing: _adm_pb2.ErrorObject
    registered: RegisterToolsResponse
    stream_credits: _containers.RepeatedCompositeFieldContainer[_call_pb2.StreamCredit]
    nested_results: _containers.RepeatedCompositeFieldContainer[_call_pb2.ToolResult]
    stream_chunks: _containers.RepeatedCompositeFieldContainer[_call_pb2.StreamChunk]
    notices: _containers.RepeatedCompositeFieldContainer[_call_pb2.CallNotice]
    offered: ContractsOffered
    variable_answers: _containers.RepeatedCompositeFieldContainer[_variable_pb2.VariableAnswer]
    def __init__(self, announced: _Optional[_Union[AnnounceRuntimeResponse, _Mapping]] = ..., fulfilled: _Optional[_Union[FulfillToolsResponse, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[_call_pb2.ToolCall, _Mapping]]] = ..., cancels: _Optional[_Iterable[_Union[_call_pb2.CancelCall, _Mapping]]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., closing: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ..., registered: _Optional[_Union[RegisterToolsResponse, _Mapping]] = ..., stream_credits: _Optional[_Iterable[_Union[_call_pb2.StreamCredit, _Mapping]]] = ..., nested_results: _Optional[_Iterable[_Union[_call_pb2.ToolResult, _Mapping]]] = ..., stream_chunks: _Optional[_Iterable[_Union[_call_pb2.StreamChunk, _Mapping]]] = ..., notices: _Optional[_Iterable[_Union[_call_pb2.CallNotice, _Mapping]]] = ..., offered: _Optional[_Union[ContractsOffered, _Mapping]] = ..., variable_answers: _Optional[_Iterable[_Union[_variable_pb2.VariableAnswer, _Mapping]]] = ...) -> None: ...

class AnnounceRuntime(_message.Message):
    __slots__ = ("runtime_id", "language", "sdk_version", "protocol_versions", "capabilities", "labels", "concurrency", "instance_id")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUNTIME_ID_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    runtime_id: str
    language: str
    sdk_version: str
    protocol_versions: _containers.RepeatedScalarFieldContainer[str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    concurrency: int
    instance_id: str
    def __init__(self, runtime_id: _Optional[str] = ..., language: _Optional[str] = ..., sdk_version: _Optional[str] = ..., protocol_versions: _Optional[_Iterable[str]] = ..., capabilities: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., concurrency: _Optional[int] = ..., instance_id: _Optional[str] = ...) -> None: ...

class AnnounceRuntimeResponse(_message.Message):
    __slots__ = ("protocol_version", "connection_epoch", "available_contracts", "heartbeat_ms", "max_message_bytes", "capabilities", "development")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    DEVELOPMENT_FIELD_NUMBER: _ClassVar[int]
    protocol_version: str
    connection_epoch: int
    available_contracts: _containers.RepeatedCompositeFieldContainer[_call_pb2.ContractRef]
    heartbeat_ms: int
    max_message_bytes: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    development: bool
    def __init__(self, protocol_version: _Optional[str] = ..., connection_epoch: _Optional[int] = ..., available_contracts: _Optional[_Iterable[_Union[_call_pb2.ContractRef, _Mapping]]] = ..., heartbeat_ms: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., development: _Optional[bool] = ...) -> None: ...

class ContractsOffered(_message.Message):
    __slots__ = ("contracts",)
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    contracts: _containers.RepeatedCompositeFieldContainer[_call_pb2.ContractRef]
    def __init__(self, contracts: _Optional[_Iterable[_Union[_call_pb2.ContractRef, _Mapping]]] = ...) -> None: ...

class FulfillTools(_message.Message):
    __slots__ = ("contracts", "session_id")
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    contracts: _containers.RepeatedCompositeFieldContainer[_call_pb2.ContractRef]
    session_id: str
    def __init__(self, contracts: _Optional[_Iterable[_Union[_call_pb2.ContractRef, _Mapping]]] = ..., session_id: _Optional[str] = ...) -> None: ...

class FulfillToolsResponse(_message.Message):
    __slots__ = ("status", "fulfilled", "rejected")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FULFILLED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    status: FulfillmentStatus
    fulfilled: _containers.RepeatedCompositeFieldContainer[_call_pb2.ContractRef]
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedTool]
    def __init__(self, status: _Optional[_Union[FulfillmentStatus, str]] = ..., fulfilled: _Optional[_Iterable[_Union[_call_pb2.ContractRef, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[RejectedTool, _Mapping]]] = ...) -> None: ...

class RegisterTools(_message.Message):
    __slots__ = ("declarations", "session_id")
    DECLARATIONS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    declarations: _containers.RepeatedScalarFieldContainer[bytes]
    session_id: str
    def __init__(self, declarations: _Optional[_Iterable[bytes]] = ..., session_id: _Optional[str] = ...) -> None: ...

class RegisterToolsResponse(_message.Message):
    __slots__ = ("status", "accepted", "rejected")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    status: FulfillmentStatus
    accepted: _containers.RepeatedCompositeFieldContainer[_call_pb2.ContractRef]
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedTool]
    def __init__(self, status: _Optional[_Union[FulfillmentStatus, str]] = ..., accepted: _Optional[_Iterable[_Union[_call_pb2.ContractRef, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[RejectedTool, _Mapping]]] = ...) -> None: ...

class RejectedTool(_message.Message):
    __slots__ = ("contract", "error")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    contract: _call_pb2.ContractRef
    error: _adm_pb2.ErrorObject
    def __init__(self, contract: _Optional[_Union[_call_pb2.ContractRef, _Mapping]] = ..., error: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Drain(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
