from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResultStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESULT_STATUS_UNSPECIFIED: _ClassVar[ResultStatus]
    RESULT_STATUS_SUCCESS: _ClassVar[ResultStatus]
    RESULT_STATUS_ERROR: _ClassVar[ResultStatus]

class Ran(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RAN_UNSPECIFIED: _ClassVar[Ran]
    RAN_NO: _ClassVar[Ran]
    RAN_YES: _ClassVar[Ran]
    RAN_UNKNOWN: _ClassVar[Ran]
RESULT_STATUS_UNSPECIFIED: ResultStatus
RESULT_STATUS_SUCCESS: ResultStatus
RESULT_STATUS_ERROR: ResultStatus
RAN_UNSPECIFIED: Ran
RAN_NO: Ran
RAN_YES: Ran
RAN_UNKNOWN: Ran

class FunctionCall(_message.Message):
    __slots__ = ("call_id", "name", "args")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    name: str
    args: bytes
    def __init__(self, call_id: _Optional[str] = ..., name: _Optional[str] = ..., args: _Optional[bytes] = ...) -> None: ...

class ToolResult(_message.Message):
    __slots__ = ("call_id", "name", "status", "content", "error")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    name: str
    status: ResultStatus
    content: bytes
    error: ErrorObject
    def __init__(self, call_id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[_Union[ResultStatus, str]] = ..., content: _Optional[bytes] = ..., error: _Optional[_Union[ErrorObject, _Mapping]] = ...) -> None: ...

class ErrorObject(_message.Message):
    __slots__ = ("type", "message", "hint", "field_path", "ran", "retry_after_ms", "defects", "more_defects", "handle")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    FIELD_PATH_FIELD_NUMBER: _ClassVar[int]
    RAN_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    DEFECTS_FIELD_NUMBER: _ClassVar[int]
    MORE_DEFECTS_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    type: str
    message: str
    hint: str
    field_path: str
    ran: Ran
    retry_after_ms: int
    defects: _containers.RepeatedCompositeFieldContainer[Defect]
    more_defects: int
    handle: str
    def __init__(self, type: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., field_path: _Optional[str] = ..., ran: _Optional[_Union[Ran, str]] = ..., retry_after_ms: _Optional[int] = ..., defects: _Optional[_Iterable[_Union[Defect, _Mapping]]] = ..., more_defects: _Optional[int] = ..., handle: _Optional[str] = ...) -> None: ...

class Defect(_message.Message):
    __slots__ = ("path", "kind", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    kind: str
    message: str
    def __init__(self, path: _Optional[str] = ..., kind: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
