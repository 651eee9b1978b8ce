"""The verbs of administration: for each noun of the command line, which method of a host it asks, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["VERBS", "Option", "Verb"]

_AUDIT = "EnterpriseAuditService"
_IDENTITY = "EnterpriseIdentityService"
_AUTHORIZATION = "EnterpriseAuthorizationService"
_TENANTS = "EnterpriseTenantService"
_CONTRACT = "EnterpriseContractService"
_GOVERNANCE = "EnterpriseGovernanceService"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its flag, the member of the request, and its kind."""

    flag: str
    member: str
    kind: Literal["text", "many", "count", "days", "switch", "quotas"]
    help: str


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: what it asks, with which arguments, and what it shows of the answer.

    ``shows`` is the member of the answer that is printed, empty for the whole answer.
    Of a list ``columns`` are the columns.
    ``line`` has words for one object in their place, with its members in braces.
    ``fixed`` are members of the request that are always so.
    ``in_tenant`` says that `--tenant` names another tenant than the caller's own, which the operator may do.
    """

    noun: str
    name: str
    method: str
    help: str
    arguments: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    shows: str = ""
    columns: tuple[str, ...] = ()
    line: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    in_tenant: bool = True


_PEOPLE = ("principal_id", "type", "active", "roles", "groups", "display")
_KEYS = ("key_id", "principal_id", "scopes", "expires_ms", "revoked_ms", "description")
_ROLES = ("name", "permissions", "inherits", "built_in")
_BINDINGS = ("binding_id", "role", "principal", "group", "scope", "expires_ms")
_TENANT = ("tenant_id", "status", "quotas", "display")
_GROUPS = ("name", "source", "display")
_APPROVALS = ("approval_id", "state", "tool", "principal_id", "expires_ms")
_GLASSES = ("break_glass_id", "tools", "principal_id", "until_ms", "used", "reason")
_CONTRACTS = ("contract", "status", "authors", "reviewed_by", "changed_ms", "digest")
_LIMIT = Option("--limit", "limit", "count", "How many at most, up to 1000.")
_CURSOR = Option("--cursor", "cursor", "text", "Where the page begins: the cursor of the page before.")
_PAGE = (_LIMIT, _CURSOR)
_DAYS = Option("--days", "expires_ms", "days", "Days after which it ends; never without.")
_DISPLAY = Option("--display", "display", "text", "Name for people.")

VERBS: tuple[Verb, ...] = (
    Verb(
        "audit",
        "hold",
        f"{_AUDIT}/HoldLog",
        "Hold the log of a tenant: nothing of it is removed, and nobody in it forgotten.",
        ("name",),
        (Option("--reason", "reason", "text", "Why; it stands in the log."),),
    ),
    Verb("audit", "release", f"{_AUDIT}/ReleaseLog", "Release a hold.", ("name",)),
    Verb(
        "audit",
        "holds",
        f"{_AUDIT}/ListHolds",
        "List what holds the log of a tenant.",
        shows="holds",
        columns=("name", "reason", "principal_id", "since_ms"),
    ),
    Verb(
        "audit",
        "retain",
        f"{_AUDIT}/RetainLog",
        "Seal and remove what is past the period of a tenant now; a host does it once a day.",
    ),
    Verb(
        "tenants",
        "create",
        f"{_TENANTS}/CreateTenant",
        "Make a tenant.",
        ("tenant_id",),
        (_DISPLAY, Option("--quota", "quotas", "quotas", "A limit, such as calls_per_minute=600; may be repeated.")),
        "tenant",
        in_tenant=False,
    ),
    Verb("tenants", "list", f"{_TENANTS}/ListTenants", "List tenants.", (), _PAGE, "tenants", _TENANT, in_tenant=False),
    Verb("tenants", "show", f"{_TENANTS}/GetTenant", "Show a tenant.", ("tenant_id",), (), "tenant", in_tenant=False),
    Verb(
        "tenants",
        "suspend",
        f"{_TENANTS}/SuspendTenant",
        "Do nothing for a tenant from now on.",
        ("tenant_id",),
        in_tenant=False,
    ),
    Verb("tenants", "resume", f"{_TENANTS}/ResumeTenant", "Serve a tenant again.", ("tenant_id",), in_tenant=False),
    Verb(
        "tenants",
        "quota",
        f"{_TENANTS}/SetTenantQuotas",
        "Change limits of a tenant.",
        ("tenant_id",),
        (
            Option("--quota", "quotas", "quotas", "A limit, such as sessions=100; may be repeated."),
            Option("--unlimited", "unlimited", "many", "A limit to take away; may be repeated."),
        ),
        "tenant",
        in_tenant=False,
    ),
    Verb(
        "tenants",
        "export",
        f"{_TENANTS}/ExportTenant",
        "Print all rows of a tenant, without its secrets.",
        ("tenant_id",),
        in_tenant=False,
    ),
    Verb(
        "tenants",
        "delete",
        f"{_TENANTS}/DeleteTenant",
        "Mark a tenant as deleted; `resume` undoes it.",
        ("tenant_id",),
        in_tenant=False,
    ),
    Verb(
        "tenants",
        "purge",
        f"{_TENANTS}/PurgeTenant",
        "Remove a deleted tenant for good.",
        ("tenant_id",),
        (Option("--confirm", "confirm", "text", "The name of the tenant once more."),),
        in_tenant=False,
    ),
    Verb(
        "principals",
        "create",
        f"{_IDENTITY}/CreatePrincipal",
        "Add a local user.",
        ("name",),
        (
            _DISPLAY,
            Option("--email", "email", "text", "Address."),
            Option("--password", "password", "switch", "Make a one-time password and print it."),
        ),
        "principal",
        fixed={"type": "PRINCIPAL_TYPE_USER"},
    ),
    Verb(
        "principals",
        "create-service",
        f"{_IDENTITY}/CreateServiceAccount",
        "Add a program with its first key.",
        ("name",),
        (
            Option("--description", "description", "text", "What it is for."),
            Option("--role", "roles", "many", "A role to give it; may be repeated."),
            Option("--scope", "permissions", "many", "A permission its key is narrowed to; may be repeated."),
            _DAYS,
        ),
        "principal",
    ),
    Verb(
        "principals",
        "list",
        f"{_IDENTITY}/ListPrincipals",
        "List principals.",
        (),
        (*_PAGE, Option("--inactive", "include_inactive", "switch", "Also those that may not sign in.")),
        "principals",
        _PEOPLE,
    ),
    Verb(
        "principals",
        "services",
        f"{_IDENTITY}/ListServiceAccounts",
        "List programs.",
        (),
        _PAGE,
        "service_accounts",
        _PEOPLE,
    ),
    Verb(
        "principals",
        "show",
        f"{_IDENTITY}/GetPrincipalDetails",
        "Show a principal and what it may do.",
        ("principal_id",),
        shows="principal",
        fixed={"include_permissions": True},
    ),
    Verb(
        "principals",
        "deactivate",
        f"{_IDENTITY}/SetPrincipalActive",
        "Take all access away at once.",
        ("principal_id",),
        fixed={"active": False},
    ),
    Verb(
        "principals",
        "activate",
        f"{_IDENTITY}/SetPrincipalActive",
        "Let somebody in again.",
        ("principal_id",),
        fixed={"active": True},
    ),
    Verb("principals", "delete", f"{_IDENTITY}/DeletePrincipal", "Remove a principal.", ("principal_id",)),
    Verb(
        "principals",
        "revoke-service",
        f"{_IDENTITY}/RevokeServiceAccount",
        "Take all access from a program at once.",
        ("principal_id",),
    ),
    Verb(
        "principals",
        "password",
        f"{_IDENTITY}/SetPassword",
        "Make a new one-time password.",
        ("principal_id",),
        shows="one_time_password",
    ),
    Verb(
        "principals",
        "roles",
        f"{_IDENTITY}/UpdatePrincipalRoles",
        "Give and take roles.",
        ("principal_id",),
        (
            Option("--add", "add", "many", "A role to give; may be repeated."),
            Option("--remove", "remove", "many", "A role to take; may be repeated."),
        ),
        "roles",
    ),
    Verb(
        "principals",
        "trail",
        f"{_IDENTITY}/GetPrincipalAuditTrail",
        "Show what a principal did.",
        ("principal_id",),
        _PAGE,
        "events",
        ("timestamp_ms", "event_type", "resource", "action", "outcome", "code"),
    ),
    Verb("groups", "create", f"{_IDENTITY}/CreateGroup", "Make a group.", ("name",), (_DISPLAY,), "group"),
    Verb(
        "groups", "list", f"{_IDENTITY}/ListGroups", "List groups.", (), _PAGE, "groups", ("name", "source", "display")
    ),
    Verb("groups", "show", f"{_IDENTITY}/GetGroup", "Show a group and who is in it.", ("name",), shows="group"),
    Verb(
        "groups",
        "members",
        f"{_IDENTITY}/ChangeGroupMembers",
        "Put principals in and take them out.",
        ("name",),
        (
            Option("--add", "add", "many", "A principal to put in; may be repeated."),
            Option("--remove", "remove", "many", "A principal to take out; may be repeated."),
        ),
        "group",
    ),
    Verb("groups", "delete", f"{_IDENTITY}/DeleteGroup", "Remove a group.", ("name",)),
    Verb(
        "roles",
        "create",
        f"{_AUTHORIZATION}/CreateRole",
        "Make a role.",
        ("name",),
        (
            Option("--permission", "permissions", "many", "What it grants, such as tools:execute; may be repeated."),
            Option("--inherit", "inherits", "many", "A role it takes up; may be repeated."),
            Option("--description", "description", "text", "What it is for."),
        ),
        "role",
    ),
    Verb(
        "roles",
        "change",
        f"{_AUTHORIZATION}/ChangeRole",
        "Let a role grant more or less.",
        ("name",),
        (
            Option("--add", "add_permissions", "many", "A permission to grant; may be repeated."),
            Option("--remove", "remove_permissions", "many", "A permission to take; may be repeated."),
            Option("--inherit", "add_inherits", "many", "A role to take up; may be repeated."),
            Option("--leave", "remove_inherits", "many", "A role to let go; may be repeated."),
        ),
        "role",
    ),
    Verb("roles", "list", f"{_AUTHORIZATION}/ListRoles", "List roles.", (), _PAGE, "roles", _ROLES),
    Verb("roles", "show", f"{_AUTHORIZATION}/GetRole", "Show a role.", ("name",), shows="role"),
    Verb("roles", "delete", f"{_AUTHORIZATION}/DeleteRole", "Remove a role.", ("name",)),
    Verb(
        "bindings",
        "create",
        f"{_AUTHORIZATION}/AssignRole",
        "Give a role to a principal or a group.",
        ("role",),
        (
            Option("--principal", "principal_id", "text", "Who gets it."),
            Option("--group", "group", "text", "Which group gets it."),
            Option("--scope", "scope", "text", "For which resources, such as tools/weather.*; all without."),
            _DAYS,
        ),
        "binding",
    ),
    Verb(
        "bindings",
        "list",
        f"{_AUTHORIZATION}/ListBindings",
        "List bindings.",
        (),
        (
            *_PAGE,
            Option("--role", "role", "text", "Of this role."),
            Option("--principal", "principal_id", "text", "Of this principal."),
            Option("--group", "group", "text", "Of this group."),
        ),
        "bindings",
        _BINDINGS,
    ),
    Verb("bindings", "delete", f"{_AUTHORIZATION}/RevokeRole", "Take a role away again.", ("binding_id",)),
    Verb(
        "bindings",
        "of",
        f"{_AUTHORIZATION}/GetEffectivePermissions",
        "Show what all roles of a principal grant.",
        ("principal_id",),
    ),
    Verb(
        "bindings",
        "check",
        f"{_AUTHORIZATION}/AuthorizeAction",
        "Say whether a principal may do something, and why.",
        ("principal_id", "resource", "action"),
    ),
    Verb(
        "keys",
        "create",
        f"{_IDENTITY}/CreateApiKey",
        "Make a key, which is printed once.",
        ("principal_id",),
        (
            Option("--description", "description", "text", "What it is for."),
            Option("--scope", "scopes", "many", "A permission it is narrowed to; may be repeated."),
            _DAYS,
        ),
        "key",
    ),
    Verb(
        "keys",
        "list",
        f"{_IDENTITY}/ListApiKeys",
        "List keys.",
        (),
        (*_PAGE, Option("--principal", "principal_id", "text", "Of this principal.")),
        "keys",
        _KEYS,
    ),
    Verb(
        "keys",
        "rotate",
        f"{_IDENTITY}/RotateApiKey",
        "Make a key in the place of another.",
        ("key_id",),
        (Option("--overlap", "overlap_seconds", "count", "Seconds that the old key goes on."),),
        "key",
    ),
    Verb("keys", "revoke", f"{_IDENTITY}/RevokeApiKey", "End a key at once.", ("key_id",)),
    Verb(
        "contracts",
        "submit",
        f"{_CONTRACT}/SubmitContract",
        "Ask for the approval of a contract, such as weather@1.0.0.",
        ("contract",),
        (Option("--note", "note", "text", "Why, for whoever reviews it."),),
        "standing",
    ),
    Verb(
        "contracts",
        "retire",
        f"{_CONTRACT}/RetireContract",
        "Let nobody of the tenant call a contract any more.",
        ("contract",),
        shows="standing",
    ),
    Verb(
        "contracts",
        "list",
        f"{_CONTRACT}/ListContracts",
        "List what the tenant says of contracts.",
        (),
        _PAGE,
        "contracts",
        _CONTRACTS,
    ),
    Verb(
        "identity",
        "rotate-keys",
        "EnterpriseAuthenticationService/RotateTokenKeys",
        "Sign tokens with a new key from now on; those of the old one stay good until they end.",
        in_tenant=False,
    ),
    Verb(
        "approvals",
        "list",
        f"{_GOVERNANCE}/ListPendingApprovals",
        "List the open requests that concern you.",
        (),
        _PAGE,
        "approvals",
        _APPROVALS,
        in_tenant=False,
    ),
    Verb(
        "approvals",
        "refuse",
        f"{_GOVERNANCE}/AdjudicateApproval",
        "Refuse a call.",
        ("approval_id",),
        (Option("--reason", "reason", "text", "Why; needed, and for the record."),),
        "approval",
        line="{approval_id}  {state}",
        fixed={"adjudication": "ADJUDICATION_REFUSE"},
        in_tenant=False,
    ),
    Verb(
        "approvals",
        "withdraw",
        f"{_GOVERNANCE}/WithdrawApproval",
        "Take back a request of your own.",
        ("approval_id",),
        (),
        "approval",
        line="{approval_id}  {state}",
        in_tenant=False,
    ),
    Verb(
        "break-glass",
        "close",
        f"{_GOVERNANCE}/CloseBreakGlass",
        "End a break-glass before its time.",
        ("break_glass_id",),
        (),
        "break_glass",
        line="{break_glass_id}  closed, calls that passed under it: {used}",
        in_tenant=False,
    ),
    Verb(
        "break-glass",
        "list",
        f"{_GOVERNANCE}/ListBreakGlass",
        "List what is open.",
        (),
        (),
        "open",
        _GLASSES,
        in_tenant=False,
    ),
)
"""Every verb of every noun."""
