from altar._proto.altar.adm.v1 import adm_pb2 as _adm_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolCall(_message.Message):
    __slots__ = ("tag", "invocation_id", "correlation_id", "call", "session_id", "version", "contract_digest", "remaining_ms")
    TAG_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    tag: int
    invocation_id: str
    correlation_id: str
    call: _adm_pb2.FunctionCall
    session_id: str
    version: str
    contract_digest: bytes
    remaining_ms: int
    def __init__(self, tag: _Optional[int] = ..., invocation_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., call: _Optional[_Union[_adm_pb2.FunctionCall, _Mapping]] = ..., session_id: _Optional[str] = ..., version: _Optional[str] = ..., contract_digest: _Optional[bytes] = ..., remaining_ms: _Optional[int] = ...) -> None: ...

class ToolResult(_message.Message):
    __slots__ = ("tag", "invocation_id", "correlation_id", "result")
    TAG_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    tag: int
    invocation_id: str
    correlation_id: str
    result: _adm_pb2.ToolResult
    def __init__(self, tag: _Optional[int] = ..., invocation_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., result: _Optional[_Union[_adm_pb2.ToolResult, _Mapping]] = ...) -> None: ...

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
