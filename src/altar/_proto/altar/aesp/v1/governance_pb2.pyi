from altar._proto.altar.grid.v1 import host_pb2 as _host_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Adjudication(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADJUDICATION_UNSPECIFIED: _ClassVar[Adjudication]
    ADJUDICATION_APPROVE: _ClassVar[Adjudication]
    ADJUDICATION_REFUSE: _ClassVar[Adjudication]
ADJUDICATION_UNSPECIFIED: Adjudication
ADJUDICATION_APPROVE: Adjudication
ADJUDICATION_REFUSE: Adjudication

class ApprovalNeed(_message.Message):
    __slots__ = ("policy", "approvers", "quorum", "approved")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    APPROVERS_FIELD_NUMBER: _ClassVar[int]
    QUORUM_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    policy: str
    approvers: _containers.RepeatedScalarFieldContainer[str]
    quorum: int
    approved: int
    def __init__(self, policy: _Optional[str] = ..., approvers: _Optional[_Iterable[str]] = ..., quorum: _Optional[int] = ..., approved: _Optional[int] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("approval_id", "state", "tool", "version", "principal_id", "created_ms", "expires_ms", "needs", "bundle_digest", "digest", "arguments", "votes")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    state: _host_pb2.ApprovalState
    tool: str
    version: str
    principal_id: str
    created_ms: int
    expires_ms: int
    needs: _containers.RepeatedCompositeFieldContainer[ApprovalNeed]
    bundle_digest: str
    digest: str
    arguments: str
    votes: _containers.RepeatedCompositeFieldContainer[ApprovalVote]
    def __init__(self, approval_id: _Optional[str] = ..., state: _Optional[_Union[_host_pb2.ApprovalState, str]] = ..., tool: _Optional[str] = ..., version: _Optional[str] = ..., principal_id: _Optional[str] = ..., created_ms: _Optional[int] = ..., expires_ms: _Optional[int] = ..., needs: _Optional[_Iterable[_Union[ApprovalNeed, _Mapping]]] = ..., bundle_digest: _Optional[str] = ..., digest: _Optional[str] = ..., arguments: _Optional[str] = ..., votes: _Optional[_Iterable[_Union[ApprovalVote, _Mapping]]] = ...) -> None: ...

class ApprovalVote(_message.Message):
    __slots__ = ("principal_id", "approved", "reason", "decided_ms")
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECIDED_MS_FIELD_NUMBER: _ClassVar[int]
    principal_id: str
    approved: bool
    reason: str
    decided_ms: int
    def __init__(self, principal_id: _Optional[str] = ..., approved: _Optional[bool] = ..., reason: _Optional[str] = ..., decided_ms: _Optional[int] = ...) -> None: ...

class ListPendingApprovalsRequest(_message.Message):
    __slots__ = ("limit", "cursor")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    limit: int
    cursor: str
    def __init__(self, limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListPendingApprovalsResponse(_message.Message):
    __slots__ = ("approvals", "next_cursor")
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    next_cursor: str
    def __init__(self, approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetApprovalRequest(_message.Message):
    __slots__ = ("approval_id",)
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    def __init__(self, approval_id: _Optional[str] = ...) -> None: ...

class GetApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class AdjudicateApprovalRequest(_message.Message):
    __slots__ = ("approval_id", "adjudication", "digest", "reason")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    ADJUDICATION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    adjudication: Adjudication
    digest: str
    reason: str
    def __init__(self, approval_id: _Optional[str] = ..., adjudication: _Optional[_Union[Adjudication, str]] = ..., digest: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AdjudicateApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class WithdrawApprovalRequest(_message.Message):
    __slots__ = ("approval_id",)
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    def __init__(self, approval_id: _Optional[str] = ...) -> None: ...

class WithdrawApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class GetApprovalHistoryRequest(_message.Message):
    __slots__ = ("approval_id", "limit", "cursor")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    limit: int
    cursor: str
    def __init__(self, approval_id: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class GetApprovalHistoryResponse(_message.Message):
    __slots__ = ("events", "next_cursor")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[ApprovalEvent]
    next_cursor: str
    def __init__(self, events: _Optional[_Iterable[_Union[ApprovalEvent, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class ApprovalEvent(_message.Message):
    __slots__ = ("event", "approval_id", "principal_id", "time_ms", "resource", "data")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    event: str
    approval_id: str
    principal_id: str
    time_ms: int
    resource: str
    data: str
    def __init__(self, event: _Optional[str] = ..., approval_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., time_ms: _Optional[int] = ..., resource: _Optional[str] = ..., data: _Optional[str] = ...) -> None: ...

class BreakGlass(_message.Message):
    __slots__ = ("break_glass_id", "tools", "reason", "principal_id", "opened_ms", "until_ms", "used")
    BREAK_GLASS_ID_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    break_glass_id: str
    tools: str
    reason: str
    principal_id: str
    opened_ms: int
    until_ms: int
    used: int
    def __init__(self, break_glass_id: _Optional[str] = ..., tools: _Optional[str] = ..., reason: _Optional[str] = ..., principal_id: _Optional[str] = ..., opened_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., used: _Optional[int] = ...) -> None: ...

class OpenBreakGlassRequest(_message.Message):
    __slots__ = ("tools", "reason", "seconds")
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    tools: str
    reason: str
    seconds: int
    def __init__(self, tools: _Optional[str] = ..., reason: _Optional[str] = ..., seconds: _Optional[int] = ...) -> None: ...

class OpenBreakGlassResponse(_message.Message):
    __slots__ = ("break_glass",)
    BREAK_GLASS_FIELD_NUMBER: _ClassVar[int]
    break_glass: BreakGlass
    def __init__(self, break_glass: _Optional[_Union[BreakGlass, _Mapping]] = ...) -> None: ...

class CloseBreakGlassRequest(_message.Message):
    __slots__ = ("break_glass_id",)
    BREAK_GLASS_ID_FIELD_NUMBER: _ClassVar[int]
    break_glass_id: str
    def __init__(self, break_glass_id: _Optional[str] = ...) -> None: ...

class CloseBreakGlassResponse(_message.Message):
    __slots__ = ("break_glass",)
    BREAK_GLASS_FIELD_NUMBER: _ClassVar[int]
    break_glass: BreakGlass
    def __init__(self, break_glass: _Optional[_Union[BreakGlass, _Mapping]] = ...) -> None: ...

class ListBreakGlassRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBreakGlassResponse(_message.Message):
    __slots__ = ("open",)
    OPEN_FIELD_NUMBER: _ClassVar[int]
    open: _containers.RepeatedCompositeFieldContainer[BreakGlass]
    def __init__(self, open: _Optional[_Iterable[_Union[BreakGlass, _Mapping]]] = ...) -> None: ...
