from altar._proto.altar.adm.v1 import adm_pb2 as _adm_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VariableRequest(_message.Message):
    __slots__ = ("tag", "session_id", "call_tag", "declare", "update", "delete", "read", "watch", "unwatch", "record")
    TAG_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_TAG_FIELD_NUMBER: _ClassVar[int]
    DECLARE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    UNWATCH_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    tag: int
    session_id: str
    call_tag: int
    declare: DeclareVariable
    update: UpdateVariables
    delete: DeleteVariable
    read: ReadVariables
    watch: WatchVariables
    unwatch: UnwatchVariables
    record: RecordEvent
    def __init__(self, tag: _Optional[int] = ..., session_id: _Optional[str] = ..., call_tag: _Optional[int] = ..., declare: _Optional[_Union[DeclareVariable, _Mapping]] = ..., update: _Optional[_Union[UpdateVariables, _Mapping]] = ..., delete: _Optional[_Union[DeleteVariable, _Mapping]] = ..., read: _Optional[_Union[ReadVariables, _Mapping]] = ..., watch: _Optional[_Union[WatchVariables, _Mapping]] = ..., unwatch: _Optional[_Union[UnwatchVariables, _Mapping]] = ..., record: _Optional[_Union[RecordEvent, _Mapping]] = ...) -> None: ...

class DeclareVariable(_message.Message):
    __slots__ = ("name", "schema", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    schema: bytes
    value: bytes
    def __init__(self, name: _Optional[str] = ..., schema: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class UpdateVariables(_message.Message):
    __slots__ = ("values", "expected")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[VariableValue]
    expected: _containers.RepeatedCompositeFieldContainer[VariableVersion]
    def __init__(self, values: _Optional[_Iterable[_Union[VariableValue, _Mapping]]] = ..., expected: _Optional[_Iterable[_Union[VariableVersion, _Mapping]]] = ...) -> None: ...

class VariableValue(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class VariableVersion(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class DeleteVariable(_message.Message):
    __slots__ = ("name", "expected_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    expected_version: int
    def __init__(self, name: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class ReadVariables(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchVariables(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class UnwatchVariables(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RecordEvent(_message.Message):
    __slots__ = ("event", "data", "id", "correlation_id")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    event: str
    data: bytes
    id: str
    correlation_id: str
    def __init__(self, event: _Optional[str] = ..., data: _Optional[bytes] = ..., id: _Optional[str] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class VariableAnswer(_message.Message):
    __slots__ = ("tag", "variables", "error", "complete")
    TAG_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    tag: int
    variables: _containers.RepeatedCompositeFieldContainer[Variable]
    error: _adm_pb2.ErrorObject
    complete: bool
    def __init__(self, tag: _Optional[int] = ..., variables: _Optional[_Iterable[_Union[Variable, _Mapping]]] = ..., error: _Optional[_Union[_adm_pb2.ErrorObject, _Mapping]] = ..., complete: _Optional[bool] = ...) -> None: ...

class Variable(_message.Message):
    __slots__ = ("name", "version", "schema", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    schema: bytes
    value: bytes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., schema: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...
