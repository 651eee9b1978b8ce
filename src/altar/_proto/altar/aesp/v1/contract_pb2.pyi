from altar._proto.altar.aesp.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ContractStanding(_message.Message):
    __slots__ = ("contract", "status", "digest", "authors", "reviewed_by", "changed_ms")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    AUTHORS_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_BY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_MS_FIELD_NUMBER: _ClassVar[int]
    contract: str
    status: _policy_pb2.ArtefactStatus
    digest: str
    authors: _containers.RepeatedScalarFieldContainer[str]
    reviewed_by: str
    changed_ms: int
    def __init__(self, contract: _Optional[str] = ..., status: _Optional[_Union[_policy_pb2.ArtefactStatus, str]] = ..., digest: _Optional[str] = ..., authors: _Optional[_Iterable[str]] = ..., reviewed_by: _Optional[str] = ..., changed_ms: _Optional[int] = ...) -> None: ...

class SubmitContractRequest(_message.Message):
    __slots__ = ("tenant_id", "contract", "note")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    contract: str
    note: str
    def __init__(self, tenant_id: _Optional[str] = ..., contract: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class SubmitContractResponse(_message.Message):
    __slots__ = ("standing",)
    STANDING_FIELD_NUMBER: _ClassVar[int]
    standing: ContractStanding
    def __init__(self, standing: _Optional[_Union[ContractStanding, _Mapping]] = ...) -> None: ...

class ActivateContractRequest(_message.Message):
    __slots__ = ("tenant_id", "contract", "digest")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    contract: str
    digest: str
    def __init__(self, tenant_id: _Optional[str] = ..., contract: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class ActivateContractResponse(_message.Message):
    __slots__ = ("standing",)
    STANDING_FIELD_NUMBER: _ClassVar[int]
    standing: ContractStanding
    def __init__(self, standing: _Optional[_Union[ContractStanding, _Mapping]] = ...) -> None: ...

class RetireContractRequest(_message.Message):
    __slots__ = ("tenant_id", "contract")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    contract: str
    def __init__(self, tenant_id: _Optional[str] = ..., contract: _Optional[str] = ...) -> None: ...

class RetireContractResponse(_message.Message):
    __slots__ = ("standing",)
    STANDING_FIELD_NUMBER: _ClassVar[int]
    standing: ContractStanding
    def __init__(self, standing: _Optional[_Union[ContractStanding, _Mapping]] = ...) -> None: ...

class ListContractsRequest(_message.Message):
    __slots__ = ("tenant_id", "limit", "cursor")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    limit: int
    cursor: str
    def __init__(self, tenant_id: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListContractsResponse(_message.Message):
    __slots__ = ("contracts", "next_cursor")
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    contracts: _containers.RepeatedCompositeFieldContainer[ContractStanding]
    next_cursor: str
    def __init__(self, contracts: _Optional[_Iterable[_Union[ContractStanding, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...
