from altar._proto.altar.aesp.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArtefactVersion(_message.Message):
    __slots__ = ("artefact", "version", "status", "digest", "note", "authors", "reviewed_by", "changed_by", "against", "created_ms", "changed_ms", "activated_ms")
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    AUTHORS_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_BY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BY_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_MS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATED_MS_FIELD_NUMBER: _ClassVar[int]
    artefact: str
    version: int
    status: _policy_pb2.ArtefactStatus
    digest: str
    note: str
    authors: _containers.RepeatedScalarFieldContainer[str]
    reviewed_by: str
    changed_by: str
    against: int
    created_ms: int
    changed_ms: int
    activated_ms: int
    def __init__(self, artefact: _Optional[str] = ..., version: _Optional[int] = ..., status: _Optional[_Union[_policy_pb2.ArtefactStatus, str]] = ..., digest: _Optional[str] = ..., note: _Optional[str] = ..., authors: _Optional[_Iterable[str]] = ..., reviewed_by: _Optional[str] = ..., changed_by: _Optional[str] = ..., against: _Optional[int] = ..., created_ms: _Optional[int] = ..., changed_ms: _Optional[int] = ..., activated_ms: _Optional[int] = ...) -> None: ...

class CreateArtefactRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact", "source", "note", "draft", "replaces")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    source: str
    note: str
    draft: bool
    replaces: int
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ..., source: _Optional[str] = ..., note: _Optional[str] = ..., draft: _Optional[bool] = ..., replaces: _Optional[int] = ...) -> None: ...

class CreateArtefactResponse(_message.Message):
    __slots__ = ("version", "changes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    version: ArtefactVersion
    changes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[_Union[ArtefactVersion, _Mapping]] = ..., changes: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteArtefactRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class DeleteArtefactResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetArtefactRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetArtefactResponse(_message.Message):
    __slots__ = ("version", "source", "changes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    version: ArtefactVersion
    source: str
    changes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[_Union[ArtefactVersion, _Mapping]] = ..., source: _Optional[str] = ..., changes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListArtefactsRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact", "limit", "cursor")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    limit: int
    cursor: str
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListArtefactsResponse(_message.Message):
    __slots__ = ("versions", "next_cursor", "problems")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ArtefactVersion]
    next_cursor: str
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, versions: _Optional[_Iterable[_Union[ArtefactVersion, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class SubmitArtefactRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class SubmitArtefactResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: ArtefactVersion
    def __init__(self, version: _Optional[_Union[ArtefactVersion, _Mapping]] = ...) -> None: ...

class ActivateArtefactRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact", "version", "digest")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    version: int
    digest: str
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ..., version: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class ActivateArtefactResponse(_message.Message):
    __slots__ = ("version", "before")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    version: ArtefactVersion
    before: ArtefactVersion
    def __init__(self, version: _Optional[_Union[ArtefactVersion, _Mapping]] = ..., before: _Optional[_Union[ArtefactVersion, _Mapping]] = ...) -> None: ...

class RollbackArtefactRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ...) -> None: ...

class RollbackArtefactResponse(_message.Message):
    __slots__ = ("version", "before")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    version: ArtefactVersion
    before: ArtefactVersion
    def __init__(self, version: _Optional[_Union[ArtefactVersion, _Mapping]] = ..., before: _Optional[_Union[ArtefactVersion, _Mapping]] = ...) -> None: ...

class RetireArtefactRequest(_message.Message):
    __slots__ = ("tenant_id", "artefact", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    artefact: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., artefact: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class RetireArtefactResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: ArtefactVersion
    def __init__(self, version: _Optional[_Union[ArtefactVersion, _Mapping]] = ...) -> None: ...

class GetPriceRequest(_message.Message):
    __slots__ = ("tenant_id", "tool")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    tool: str
    def __init__(self, tenant_id: _Optional[str] = ..., tool: _Optional[str] = ...) -> None: ...

class GetPriceResponse(_message.Message):
    __slots__ = ("tool", "currency", "rates", "estimate", "version")
    class RatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOOL_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tool: str
    currency: str
    rates: _containers.ScalarMap[str, str]
    estimate: str
    version: int
    def __init__(self, tool: _Optional[str] = ..., currency: _Optional[str] = ..., rates: _Optional[_Mapping[str, str]] = ..., estimate: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...
