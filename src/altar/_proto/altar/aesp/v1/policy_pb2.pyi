from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArtefactStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARTEFACT_STATUS_UNSPECIFIED: _ClassVar[ArtefactStatus]
    ARTEFACT_STATUS_DRAFT: _ClassVar[ArtefactStatus]
    ARTEFACT_STATUS_PENDING_APPROVAL: _ClassVar[ArtefactStatus]
    ARTEFACT_STATUS_ACTIVE: _ClassVar[ArtefactStatus]
    ARTEFACT_STATUS_RETIRED: _ClassVar[ArtefactStatus]
ARTEFACT_STATUS_UNSPECIFIED: ArtefactStatus
ARTEFACT_STATUS_DRAFT: ArtefactStatus
ARTEFACT_STATUS_PENDING_APPROVAL: ArtefactStatus
ARTEFACT_STATUS_ACTIVE: ArtefactStatus
ARTEFACT_STATUS_RETIRED: ArtefactStatus

class PolicyVersion(_message.Message):
    __slots__ = ("version", "status", "digest", "note", "authors", "reviewed_by", "changed_by", "against", "created_ms", "changed_ms", "activated_ms")
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
    version: int
    status: ArtefactStatus
    digest: str
    note: str
    authors: _containers.RepeatedScalarFieldContainer[str]
    reviewed_by: str
    changed_by: str
    against: int
    created_ms: int
    changed_ms: int
    activated_ms: int
    def __init__(self, version: _Optional[int] = ..., status: _Optional[_Union[ArtefactStatus, str]] = ..., digest: _Optional[str] = ..., note: _Optional[str] = ..., authors: _Optional[_Iterable[str]] = ..., reviewed_by: _Optional[str] = ..., changed_by: _Optional[str] = ..., against: _Optional[int] = ..., created_ms: _Optional[int] = ..., changed_ms: _Optional[int] = ..., activated_ms: _Optional[int] = ...) -> None: ...

class PolicyFinding(_message.Message):
    __slots__ = ("severity", "rule", "policy", "line", "message")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    severity: str
    rule: str
    policy: str
    line: int
    message: str
    def __init__(self, severity: _Optional[str] = ..., rule: _Optional[str] = ..., policy: _Optional[str] = ..., line: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class PolicyCase(_message.Message):
    __slots__ = ("name", "passed", "expected", "decided", "policy", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    passed: bool
    expected: str
    decided: str
    policy: str
    message: str
    def __init__(self, name: _Optional[str] = ..., passed: _Optional[bool] = ..., expected: _Optional[str] = ..., decided: _Optional[str] = ..., policy: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class PolicyChange(_message.Message):
    __slots__ = ("case_name", "tool", "was", "becomes", "policy")
    CASE_NAME_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    WAS_FIELD_NUMBER: _ClassVar[int]
    BECOMES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    case_name: str
    tool: str
    was: str
    becomes: str
    policy: str
    def __init__(self, case_name: _Optional[str] = ..., tool: _Optional[str] = ..., was: _Optional[str] = ..., becomes: _Optional[str] = ..., policy: _Optional[str] = ...) -> None: ...

class PolicyReport(_message.Message):
    __slots__ = ("accepted", "findings", "cases", "changes", "added", "removed", "changed", "policies")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    findings: _containers.RepeatedCompositeFieldContainer[PolicyFinding]
    cases: _containers.RepeatedCompositeFieldContainer[PolicyCase]
    changes: _containers.RepeatedCompositeFieldContainer[PolicyChange]
    added: _containers.RepeatedScalarFieldContainer[str]
    removed: _containers.RepeatedScalarFieldContainer[str]
    changed: _containers.RepeatedScalarFieldContainer[str]
    policies: int
    def __init__(self, accepted: _Optional[bool] = ..., findings: _Optional[_Iterable[_Union[PolicyFinding, _Mapping]]] = ..., cases: _Optional[_Iterable[_Union[PolicyCase, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[PolicyChange, _Mapping]]] = ..., added: _Optional[_Iterable[str]] = ..., removed: _Optional[_Iterable[str]] = ..., changed: _Optional[_Iterable[str]] = ..., policies: _Optional[int] = ...) -> None: ...

class CreatePolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "source", "note", "draft")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    source: str
    note: str
    draft: bool
    def __init__(self, tenant_id: _Optional[str] = ..., source: _Optional[str] = ..., note: _Optional[str] = ..., draft: _Optional[bool] = ...) -> None: ...

class CreatePolicyResponse(_message.Message):
    __slots__ = ("policy", "report")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    report: PolicyReport
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ..., report: _Optional[_Union[PolicyReport, _Mapping]] = ...) -> None: ...

class UpdatePolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "version", "source", "note", "draft")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    source: str
    note: str
    draft: bool
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ..., source: _Optional[str] = ..., note: _Optional[str] = ..., draft: _Optional[bool] = ...) -> None: ...

class UpdatePolicyResponse(_message.Message):
    __slots__ = ("policy", "report")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    report: PolicyReport
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ..., report: _Optional[_Union[PolicyReport, _Mapping]] = ...) -> None: ...

class DeletePolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class DeletePolicyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy", "source")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    source: str
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ..., source: _Optional[str] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ("tenant_id", "limit", "cursor")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    limit: int
    cursor: str
    def __init__(self, tenant_id: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies", "next_cursor", "problems")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[PolicyVersion]
    next_cursor: str
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, policies: _Optional[_Iterable[_Union[PolicyVersion, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class ValidatePolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "source")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    source: str
    def __init__(self, tenant_id: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class ValidatePolicyResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: PolicyReport
    def __init__(self, report: _Optional[_Union[PolicyReport, _Mapping]] = ...) -> None: ...

class TestPolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "version", "source")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    source: str
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class TestPolicyResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: PolicyReport
    def __init__(self, report: _Optional[_Union[PolicyReport, _Mapping]] = ...) -> None: ...

class DiffPolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "from_version", "to_version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    from_version: int
    to_version: int
    def __init__(self, tenant_id: _Optional[str] = ..., from_version: _Optional[int] = ..., to_version: _Optional[int] = ...) -> None: ...

class DiffPolicyResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: PolicyReport
    def __init__(self, report: _Optional[_Union[PolicyReport, _Mapping]] = ...) -> None: ...

class SubmitPolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class SubmitPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ...) -> None: ...

class ActivatePolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "version", "digest")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    digest: str
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class ActivatePolicyResponse(_message.Message):
    __slots__ = ("policy", "before")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    before: PolicyVersion
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ..., before: _Optional[_Union[PolicyVersion, _Mapping]] = ...) -> None: ...

class RollbackPolicyRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class RollbackPolicyResponse(_message.Message):
    __slots__ = ("policy", "before")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    before: PolicyVersion
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ..., before: _Optional[_Union[PolicyVersion, _Mapping]] = ...) -> None: ...

class RetirePolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class RetirePolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ...) -> None: ...

class EvaluatePolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "principal_id", "tool", "version", "arguments", "time_ms", "environment")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    principal_id: str
    tool: str
    version: str
    arguments: bytes
    time_ms: int
    environment: _containers.ScalarMap[str, str]
    def __init__(self, tenant_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., tool: _Optional[str] = ..., version: _Optional[str] = ..., arguments: _Optional[bytes] = ..., time_ms: _Optional[int] = ..., environment: _Optional[_Mapping[str, str]] = ...) -> None: ...

class EvaluatePolicyResponse(_message.Message):
    __slots__ = ("decision", "policy", "code", "text", "json")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    decision: str
    policy: str
    code: str
    text: str
    json: bytes
    def __init__(self, decision: _Optional[str] = ..., policy: _Optional[str] = ..., code: _Optional[str] = ..., text: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("tenant_id", "principal_id", "tool", "version", "arguments", "time_ms", "environment", "invocation_id", "call_id", "position")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    principal_id: str
    tool: str
    version: str
    arguments: bytes
    time_ms: int
    environment: _containers.ScalarMap[str, str]
    invocation_id: str
    call_id: str
    position: int
    def __init__(self, tenant_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., tool: _Optional[str] = ..., version: _Optional[str] = ..., arguments: _Optional[bytes] = ..., time_ms: _Optional[int] = ..., environment: _Optional[_Mapping[str, str]] = ..., invocation_id: _Optional[str] = ..., call_id: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("allowed", "verdict", "text", "json")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    verdict: str
    text: str
    json: bytes
    def __init__(self, allowed: _Optional[bool] = ..., verdict: _Optional[str] = ..., text: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...

class ReplayPolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "bundle", "start_ms", "end_ms")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    bundle: str
    start_ms: int
    end_ms: int
    def __init__(self, tenant_id: _Optional[str] = ..., bundle: _Optional[str] = ..., start_ms: _Optional[int] = ..., end_ms: _Optional[int] = ...) -> None: ...

class ReplayPolicyResponse(_message.Message):
    __slots__ = ("done", "total", "text", "json")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    text: str
    json: bytes
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., text: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...
