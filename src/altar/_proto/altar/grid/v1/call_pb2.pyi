from altar._proto.altar.adm.v1 import adm_pb2 as _adm_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolCall(_message.Message):
    __slots__ = ("tag", "invocation_id", "correlation_id", "call", "session_id", "version", "contract_digest", "remaining_ms", "window", "parent_tag", "parent_call_id", "depth", "once", "traceparent", "tracestate", "notices", "principal", "blobs", "variables")
    TAG_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PARENT_TAG_FIELD_NUMBER: _ClassVar[int]
    PARENT_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    ONCE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    tag: int
    invocation_id: str
    correlation_id: str
    call: _adm_pb2.FunctionCall
    session_id: str
    version: str
    contract_digest: bytes
    remaining_ms: int
    window: Window
    parent_tag: int
    parent_call_id: str
    depth: int
    once: bool
    traceparent: str
    tracestate: str
    notices: bool
    principal: str
    blobs: _containers.RepeatedCompositeFieldContainer[Blob]
    variables: bytes
    def __init__(self, tag: _Optional[int] = ..., invocation_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., call: _Optional[_Union[_adm_pb2.FunctionCall, _Mapping]] = ..., session_id: _Optional[str] = ..., version: _Optional[str] = ..., contract_digest: _Optional[bytes] = ..., remaining_ms: _Optional[int] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., parent_tag: _Optional[int] = ..., parent_call_id: _Optional[str] = ..., depth: _Optional[int] = ..., once: _Optional[bool] = ..., traceparent: _Optional[str] = ..., tracestate: _Optional[str] = ..., notices: _Optional[bool] = ..., principal: _Optional[str] = ..., blobs: _Optional[_Iterable[_Union[Blob, _Mapping]]] = ..., variables: _Optional[bytes] = ...) -> None: ...

class ToolResult(_message.Message):
    __slots__ = ("tag", "invocation_id", "correlation_id", "result", "streamed", "replayed", "blobs", "usage")
    TAG_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    STREAMED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    tag: int
    invocation_id: str
    correlation_id: str
    result: _adm_pb2.ToolResult
    streamed: StreamTotals
    replayed: bool
    blobs: _containers.RepeatedCompositeFieldContainer[Blob]
    usage: bytes
    def __init__(self, tag: _Optional[int] = ..., invocation_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., result: _Optional[_Union[_adm_pb2.ToolResult, _Mapping]] = ..., streamed: _Optional[_Union[StreamTotals, _Mapping]] = ..., replayed: _Optional[bool] = ..., blobs: _Optional[_Iterable[_Union[Blob, _Mapping]]] = ..., usage: _Optional[bytes] = ...) -> None: ...

class Blob(_message.Message):
    __slots__ = ("path", "data")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    path: str
    data: bytes
    def __init__(self, path: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("chunks", "bytes")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    chunks: int
    bytes: int
    def __init__(self, chunks: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class StreamTotals(_message.Message):
    __slots__ = ("chunks", "bytes", "digest")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    chunks: int
    bytes: int
    digest: bytes
    def __init__(self, chunks: _Optional[int] = ..., bytes: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class StreamChunk(_message.Message):
    __slots__ = ("tag", "index", "payloads")
    TAG_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    tag: int
    index: int
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, tag: _Optional[int] = ..., index: _Optional[int] = ..., payloads: _Optional[_Iterable[bytes]] = ...) -> None: ...

class StreamCredit(_message.Message):
    __slots__ = ("tag", "more")
    TAG_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    tag: int
    more: Window
    def __init__(self, tag: _Optional[int] = ..., more: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class CallNotice(_message.Message):
    __slots__ = ("tag", "progress", "log_line")
    TAG_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    LOG_LINE_FIELD_NUMBER: _ClassVar[int]
    tag: int
    progress: Progress
    log_line: LogLine
    def __init__(self, tag: _Optional[int] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., log_line: _Optional[_Union[LogLine, _Mapping]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("done", "total", "message")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    done: float
    total: float
    message: str
    def __init__(self, done: _Optional[float] = ..., total: _Optional[float] = ..., message: _Optional[str] = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("message", "facts")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    message: str
    facts: bytes
    def __init__(self, message: _Optional[str] = ..., facts: _Optional[bytes] = ...) -> None: ...

class CancelCall(_message.Message):
    __slots__ = ("tag",)
    TAG_FIELD_NUMBER: _ClassVar[int]
    tag: int
    def __init__(self, tag: _Optional[int] = ...) -> None: ...

class ContractRef(_message.Message):
    __slots__ = ("name", "version", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: bytes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[bytes] = ...) -> None: ...
