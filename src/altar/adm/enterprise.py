"""The structures of AESP: who asks, with all that is known of them, and what is said of a contract beside its schema.

In: ADM documents. Out: `EnterpriseSecurityContext`, `Governance` and `EnterpriseToolContract`, and their documents.
A `Governance` stands beside a declaration and not in it, so that an operator can govern a tool without making another
contract of it, which runtimes would not fulfil; the signature of a manifest covers both.
Numbers that are not whole are decimal text, such as an estimated cost, so that nothing is rounded on the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Literal, Self, get_args

from altar.adm.canonical import canonical
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration, ToolContract
from altar.adm.defect import Defect, quoted
from altar.adm.errors import DeclarationError
from altar.adm.reader import Members, Mode, Structure, Version
from altar.adm.required_approval import RequiredApproval, required_approval

__all__ = [
    "ANNOTATION",
    "MEMBER",
    "MEMBERS",
    "Approval",
    "Classification",
    "EnterpriseSecurityContext",
    "EnterpriseToolContract",
    "Governance",
    "Risk",
    "governed",
    "proposed",
]

Classification = Literal["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"]
"""How sensitive data are, from the least to the most."""

Risk = Literal["LOW", "MEDIUM", "HIGH"]
"""What may go wrong when a tool is used."""

Approval = Literal["DRAFT", "PENDING_APPROVAL", "ACTIVE", "RETIRED"]
"""Where a contract stands between its author and its use; one that is not ACTIVE is not called."""

MEMBER: Final = "grid_governance"
"""The member of a ToolContract that maps ``function`` or ``function@version`` to its `Governance`."""

ANNOTATION: Final = "altar.governance"
"""The member of a declaration's metadata in which the author of a tool proposes its `Governance`."""

MOST: Final = 64
"""Most roles, permissions, tags or other entries of one member."""

_COST: Final = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,6})?")
_PERMISSION: Final = re.compile(r"(?=.{1,256}\Z)(?:\*|[a-z*][a-z0-9_.*-]*(?:/[!-~]+)?:[a-z*][a-z0-9_*-]*)")
_ROLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,62}")
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:/-]{0,63}")


@dataclass(frozen=True, slots=True)
class EnterpriseSecurityContext(Structure):
    """Who asks, in whose name and until when (AESP §3, in the place of GRID's SecurityContext).

    It is always made by the host from what it knows; one that a peer sends may narrow and never widen.
    ``session_expires_at`` is in milliseconds since 1970, 0 for no end.
    """

    principal_id: str
    tenant_id: str
    claims: Mapping[str, str] = field(default_factory=dict)
    organization_id: str = ""
    business_unit: str = ""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    security_clearance: str = ""
    data_classification: str = ""
    session_expires_at: int = 0
    policy_context: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        document: object,
        *,
        version: Version = "1.1",
        mode: Mode = "strict",
    ) -> tuple[Self | None, list[Defect]]:
        """Return the context of a document, or None and everything that is wrong with it."""
        members = Members(document, what="An enterprise security context", mode=mode)
        principal = members.text("principal_id", required=True)
        tenant = members.text("tenant_id", required=True)
        made: dict[str, Any] = {
            "claims": members.strings("claims"),
            "organization_id": members.text("organization_id") or "",
            "business_unit": members.text("business_unit") or "",
            "roles": _texts(members, "roles", _ROLE, "a role"),
            "permissions": _texts(members, "permissions", _PERMISSION, "a permission such as tools:execute"),
            "security_clearance": members.text("security_clearance") or "",
            "data_classification": members.text("data_classification") or "",
            "session_expires_at": members.count("session_expires_at") or 0,
            "policy_context": members.strings("policy_context"),
        }
        extensions = members.extensions()
        if members.found or principal is None or tenant is None:
            return None, members.found
        return cls(principal, tenant, **made, extensions=extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document; what has its default value is left out."""
        document: dict[str, Any] = {"principal_id": self.principal_id, "tenant_id": self.tenant_id}
        for name in ("claims", "policy_context"):
            if getattr(self, name):
                document[name] = dict(getattr(self, name))
        for name in ("roles", "permissions"):
            if getattr(self, name):
                document[name] = list(getattr(self, name))
        for name in (
            "organization_id",
            "business_unit",
            "security_clearance",
            "data_classification",
            "session_expires_at",
        ):
            if getattr(self, name):
                document[name] = getattr(self, name)
        return document | dict(self.extensions)


@dataclass(frozen=True, slots=True)
class Governance(Structure):
    """What is said of one function for its governance; nothing of it is in the contract's digest.

    A host of a tier enforces ``required_roles`` (each of them), ``required_permissions`` (each of them),
    ``approval_status`` and ``requires_approval``; the other members are facts that people, policies and the record
    read.
    ``estimated_cost`` is decimal text, without a currency of its own.
    ``approved_at`` is in milliseconds since 1970, 0 when nobody has said it.
    """

    refused_with: ClassVar = (DeclarationError, "INVALID_DECLARATION")

    security_classification: str = ""
    contains_pii: bool = False
    estimated_cost: str = ""
    required_roles: tuple[str, ...] = ()
    required_permissions: tuple[str, ...] = ()
    approval_status: str = ""
    requires_approval: RequiredApproval | None = None
    approved_by: str = ""
    approved_at: int = 0
    compliance_tags: tuple[str, ...] = ()
    risk_assessment: str = ""
    governance_metadata: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        document: object,
        *,
        version: Version = "1.1",
        mode: Mode = "strict",
    ) -> tuple[Self | None, list[Defect]]:
        """Return the governance of a document, or None and everything that is wrong with it."""
        members = Members(document, what="The governance of a function", mode=mode)
        made = _governance_members(members)
        extensions = members.extensions()
        return (None, members.found) if members.found else (cls(**made, extensions=extensions), [])

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document; what has its default value is left out."""
        document: dict[str, Any] = {}
        for name in MEMBERS:
            held = getattr(self, name)
            if held:
                document[name] = _written(held)
        return document | dict(self.extensions)

    def under(self, operator: Mapping[str, Any]) -> Governance:
        """What holds when an operator's document says more: each member it has takes the place of this one's.

        Raises INVALID_DECLARATION when the document is not one.
        """
        said = Governance.from_adm(operator)
        return replace(self, **{name: getattr(said, name) for name in MEMBERS if name in operator})


@dataclass(frozen=True, slots=True)
class EnterpriseToolContract(Structure):
    """One function as an AESP host holds it: its declaration and its governance (AESP §3).

    Its document is that of the declaration with the members of the governance beside them; ``contract_version`` is the
    declaration's ``version``.
    """

    refused_with: ClassVar = (DeclarationError, "INVALID_DECLARATION")

    declaration: FunctionDeclaration
    governance: Governance = field(default_factory=Governance)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the contract of a document, or None and everything that is wrong with it."""
        members = Members(document, what="An enterprise tool contract", mode=mode)
        if members.found:
            return None, members.found
        rest = {name: held for name, held in members.members.items() if name not in MEMBERS}
        if "version" in rest:
            members.say("FORBIDDEN", "The version of an enterprise tool contract is its `contract_version`", "version")
        elif "contract_version" in rest:
            rest["version"] = rest.pop("contract_version")
        declaration, found = FunctionDeclaration.read(rest, version=version, mode=mode)
        renamed = [
            replace(defect, path="/contract_version") if defect.path == "/version" else defect for defect in found
        ]
        members.found += renamed
        made = _governance_members(members)
        if members.found or declaration is None:
            return None, members.found
        return cls(declaration, Governance(**made)), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document."""
        document = self.declaration.to_adm()
        document.pop("version", None)
        return document | {"contract_version": self.declaration.version} | self.governance.to_adm()

    def canonical(self) -> bytes:
        """Return the canonical JSON of the document."""
        return canonical(self.to_adm(), max_depth=MAX_DOCUMENT_DEPTH)


def governed(contract: ToolContract) -> dict[tuple[str, str], Governance]:
    """The governance of each function of a contract group, by name and version; only of those that have one.

    What the author of a function proposes in its metadata comes first; what the group says under ``name`` takes the
    place of it, member by member, and what it says under ``name@version`` takes the place of both.
    Raises DeclarationError INVALID_DECLARATION for a document that is none, or that names no function of the group.
    """
    said = contract.extensions.get(MEMBER, {})
    if not isinstance(said, Mapping):
        raise _refused(f"/{MEMBER}", f"`{MEMBER}` must be an object, not {quoted(said)}")
    functions = contract.function_declarations
    names = {function.name for function in functions} | {f"{one.name}@{one.version}" for one in functions}
    for key, document in said.items():
        if key not in names:
            raise _refused(f"/{MEMBER}/{key}", f"`{MEMBER}` names {quoted(key)}, which is no function of this contract")
        if not isinstance(document, Mapping):
            raise _refused(f"/{MEMBER}/{key}", f"`{MEMBER}` of {quoted(key)} must be an object")
    found: dict[tuple[str, str], Governance] = {}
    for function in functions:
        holds = proposed(function)
        for document in (said.get(function.name), said.get(f"{function.name}@{function.version}")):
            if document is not None:
                holds = (holds or Governance()).under(document)
        if holds is not None:
            found[function.name, function.version] = holds
    return found


def proposed(function: FunctionDeclaration) -> Governance | None:
    """The governance that the author of a function proposes in its metadata; None where nothing is proposed.

    Raises DeclarationError INVALID_DECLARATION for a document that is none.
    """
    document = function.metadata.get(ANNOTATION)
    if document is None:
        return None
    if not isinstance(document, Mapping):
        raise _refused(f"/metadata/{ANNOTATION}", f"The governance of {function.name!r} must be an object")
    return Governance().under(document)


MEMBERS: Final = (
    "security_classification",
    "contains_pii",
    "estimated_cost",
    "required_roles",
    "required_permissions",
    "approval_status",
    "requires_approval",
    "approved_by",
    "approved_at",
    "compliance_tags",
    "risk_assessment",
    "governance_metadata",
)
"""The members of a `Governance`, in the order of AESP."""


def _governance_members(members: Members) -> dict[str, Any]:
    return {
        "security_classification": members.one_of("security_classification", get_args(Classification)) or "",
        "contains_pii": bool(members.get("contains_pii", bool)),
        "estimated_cost": members.matching("estimated_cost", _COST, "a decimal number such as 0.25") or "",
        "required_roles": _texts(members, "required_roles", _ROLE, "a role"),
        "required_permissions": _texts(members, "required_permissions", _PERMISSION, "a permission such as pii:read"),
        "approval_status": members.one_of("approval_status", get_args(Approval)) or "",
        "requires_approval": required_approval(members, "requires_approval"),
        "approved_by": members.text("approved_by") or "",
        "approved_at": members.count("approved_at") or 0,
        "compliance_tags": _texts(members, "compliance_tags", _TAG, "a tag such as GDPR"),
        "risk_assessment": members.one_of("risk_assessment", get_args(Risk)) or "",
        "governance_metadata": members.strings("governance_metadata"),
    }


def _written(held: Any) -> Any:
    """A member that is not the default, as JSON."""
    if isinstance(held, RequiredApproval):
        return held.to_adm()
    return list(held) if isinstance(held, tuple) else dict(held) if isinstance(held, Mapping) else held


def _texts(members: Members, name: str, rule: re.Pattern[str], wanted: str) -> tuple[str, ...]:
    """A list of texts that match a rule and differ; empty when it is absent."""
    held = members.get(name, list) or []
    if len(held) > MOST:
        members.say("LENGTH", f"`{name}` has {len(held)} entries; the limit is {MOST}", name)
        return ()
    seen: set[str] = set()
    for index, item in enumerate(held):
        if not isinstance(item, str):
            members.say("NULL" if item is None else "TYPE", f"`{name}` holds {quoted(item)}, not text", name, index)
        elif rule.fullmatch(item) is None:
            members.say("PATTERN", f"`{name}` holds {quoted(item)}, which is not {wanted}", name, index)
        elif item in seen:
            members.say("DUPLICATE", f"`{name}` holds {quoted(item)} more than once", name, index)
        else:
            seen.add(item)
    return tuple(item for item in held if isinstance(item, str))


def _refused(path: str, message: str) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, path=path)
