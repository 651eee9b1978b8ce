from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_FORMAT_UNSPECIFIED: _ClassVar[ExportFormat]
    EXPORT_FORMAT_NDJSON: _ClassVar[ExportFormat]
    EXPORT_FORMAT_CEF: _ClassVar[ExportFormat]
    EXPORT_FORMAT_OCSF: _ClassVar[ExportFormat]
    EXPORT_FORMAT_CSV: _ClassVar[ExportFormat]
EXPORT_FORMAT_UNSPECIFIED: ExportFormat
EXPORT_FORMAT_NDJSON: ExportFormat
EXPORT_FORMAT_CEF: ExportFormat
EXPORT_FORMAT_OCSF: ExportFormat
EXPORT_FORMAT_CSV: ExportFormat

class AuditEvent(_message.Message):
    __slots__ = ("position", "timestamp_ms", "event_type", "principal_id", "tenant_id", "session_id", "resource", "action", "outcome", "code", "correlation_id", "record")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    position: int
    timestamp_ms: int
    event_type: str
    principal_id: str
    tenant_id: str
    session_id: str
    resource: str
    action: str
    outcome: str
    code: str
    correlation_id: str
    record: bytes
    def __init__(self, position: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., event_type: _Optional[str] = ..., principal_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., session_id: _Optional[str] = ..., resource: _Optional[str] = ..., action: _Optional[str] = ..., outcome: _Optional[str] = ..., code: _Optional[str] = ..., correlation_id: _Optional[str] = ..., record: _Optional[bytes] = ...) -> None: ...

class QueryEventsRequest(_message.Message):
    __slots__ = ("tenant_id", "start_ms", "end_ms", "event_type", "principal_id", "tool", "outcome", "session_id", "correlation_id", "limit", "cursor", "oldest_first")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    start_ms: int
    end_ms: int
    event_type: str
    principal_id: str
    tool: str
    outcome: str
    session_id: str
    correlation_id: str
    limit: int
    cursor: str
    oldest_first: bool
    def __init__(self, tenant_id: _Optional[str] = ..., start_ms: _Optional[int] = ..., end_ms: _Optional[int] = ..., event_type: _Optional[str] = ..., principal_id: _Optional[str] = ..., tool: _Optional[str] = ..., outcome: _Optional[str] = ..., session_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ..., oldest_first: _Optional[bool] = ...) -> None: ...

class QueryEventsResponse(_message.Message):
    __slots__ = ("events", "next_cursor")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AuditEvent]
    next_cursor: str
    def __init__(self, events: _Optional[_Iterable[_Union[AuditEvent, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class ExportAuditLogsRequest(_message.Message):
    __slots__ = ("tenant_id", "format", "start_ms", "end_ms", "cursor")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    format: ExportFormat
    start_ms: int
    end_ms: int
    cursor: str
    def __init__(self, tenant_id: _Optional[str] = ..., format: _Optional[_Union[ExportFormat, str]] = ..., start_ms: _Optional[int] = ..., end_ms: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ExportAuditLogsResponse(_message.Message):
    __slots__ = ("chunk", "next_cursor")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    next_cursor: str
    def __init__(self, chunk: _Optional[bytes] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetAuditStatisticsRequest(_message.Message):
    __slots__ = ("tenant_id", "start_ms", "end_ms")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    start_ms: int
    end_ms: int
    def __init__(self, tenant_id: _Optional[str] = ..., start_ms: _Optional[int] = ..., end_ms: _Optional[int] = ...) -> None: ...

class GetAuditStatisticsResponse(_message.Message):
    __slots__ = ("entries", "counts")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    entries: int
    counts: _containers.RepeatedCompositeFieldContainer[AuditCount]
    def __init__(self, entries: _Optional[int] = ..., counts: _Optional[_Iterable[_Union[AuditCount, _Mapping]]] = ...) -> None: ...

class AuditCount(_message.Message):
    __slots__ = ("dimension", "value", "count")
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    dimension: str
    value: str
    count: int
    def __init__(self, dimension: _Optional[str] = ..., value: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ForgetPrincipalRequest(_message.Message):
    __slots__ = ("tenant_id", "principal_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    principal_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., principal_id: _Optional[str] = ...) -> None: ...

class ForgetPrincipalResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HoldLogRequest(_message.Message):
    __slots__ = ("tenant_id", "name", "reason")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    reason: str
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class HoldLogResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReleaseLogRequest(_message.Message):
    __slots__ = ("tenant_id", "name")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ReleaseLogResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListHoldsRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class ListHoldsResponse(_message.Message):
    __slots__ = ("holds",)
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    holds: _containers.RepeatedCompositeFieldContainer[Hold]
    def __init__(self, holds: _Optional[_Iterable[_Union[Hold, _Mapping]]] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("name", "reason", "principal_id", "since_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    principal_id: str
    since_ms: int
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., principal_id: _Optional[str] = ..., since_ms: _Optional[int] = ...) -> None: ...

class RetainLogRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class RetainLogResponse(_message.Message):
    __slots__ = ("archive", "sealed", "removed", "waits")
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    archive: str
    sealed: int
    removed: int
    waits: str
    def __init__(self, archive: _Optional[str] = ..., sealed: _Optional[int] = ..., removed: _Optional[int] = ..., waits: _Optional[str] = ...) -> None: ...
