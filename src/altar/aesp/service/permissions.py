"""Who may call which method of administration: the one table.

A method that has no row here does not start, and neither does a row without a method.
The resource that is asked about is the kind in the permission, with the name in the request where there is one, so that
a role can be narrowed to ``roles/team-*:change``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["METHODS", "Access", "Rule"]


class Access(StrEnum):
    """Who may ask at all.

    ``open``: whoever has a certificate of the grid, to prove who they are.
    ``own``: every active principal, about itself.
    ``tenant``: whoever has the permission, in its own tenant; the operator's principals in every tenant.
    ``operator``: the operator's principals that have the permission.
    """

    OPEN = "open"
    OWN = "own"
    TENANT = "tenant"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: who may ask, the permission ``kind:action``, the name of the event, and where the request names it.

    The event is ``-`` for what the sign-in records itself.
    ``field`` is the member of the request that names the resource, empty for a question about the kind as a whole.
    """

    access: Access
    permission: str
    event: str
    field: str = ""

    @property
    def kind(self) -> str:
        """The kind of resource."""
        return self.permission.partition(":")[0]

    @property
    def action(self) -> str:
        """What is done to it."""
        return self.permission.partition(":")[2]


def _rules() -> dict[str, Rule]:
    rows: dict[str, Rule] = {}
    service = ""
    for line in _TABLE.strip().splitlines():
        if line.startswith("["):
            service = line.strip("[]")
            continue
        method, access, permission, event, *field = line.split()
        rows[f"{service}/{method}"] = Rule(Access(access), permission, event, field[0] if field else "")
    return rows


_TABLE: Final = """
[EnterpriseAuthenticationService]
AuthenticateUser           open     tokens:create            -
AuthenticateServiceAccount open     tokens:create            -
RefreshToken               open     tokens:create            -
RevokeToken                open     tokens:revoke            -
ListProviders              open     providers:read           admin.providers_list
ValidateToken              own      tokens:read              admin.token_validate
GetUserRoles               own      tokens:read              admin.own_roles
GetUserPermissions         own      tokens:read              admin.own_permissions
RotateTokenKeys            operator token-keys:rotate        admin.token_keys_rotate
[EnterpriseIdentityService]
CreatePrincipal            tenant   principals:create        admin.principal_create   name
ListPrincipals             tenant   principals:read          admin.principals_list
GetPrincipalDetails        tenant   principals:read          admin.principal_show     principal_id
SetPrincipalActive         tenant   principals:change        admin.principal_change   principal_id
DeletePrincipal            tenant   principals:delete        admin.principal_delete   principal_id
SetPassword                tenant   principals:change        admin.password_set       principal_id
UpdatePrincipalRoles       tenant   bindings:create          admin.principal_roles    principal_id
GetPrincipalAuditTrail     tenant   audit:read               admin.audit_trail        principal_id
CreateServiceAccount       tenant   service-accounts:create  admin.service_create     name
ListServiceAccounts        tenant   service-accounts:read    admin.services_list
RevokeServiceAccount       tenant   service-accounts:delete  admin.service_revoke     principal_id
CreateApiKey               tenant   keys:create              admin.key_create         principal_id
ListApiKeys                tenant   keys:read                admin.keys_list
RotateApiKey               tenant   keys:create              admin.key_rotate         key_id
RevokeApiKey               tenant   keys:delete              admin.key_revoke         key_id
CreateGroup                tenant   groups:create            admin.group_create       name
ListGroups                 tenant   groups:read              admin.groups_list
GetGroup                   tenant   groups:read              admin.group_show         name
ChangeGroupMembers         tenant   groups:change            admin.group_change       name
DeleteGroup                tenant   groups:delete            admin.group_delete       name
[EnterpriseAuthorizationService]
AuthorizeAction            tenant   bindings:read            admin.action_ask         principal_id
CheckPermission            own      tokens:read              admin.own_ask
WhoCan                     tenant   bindings:read            admin.who_can
GetEffectivePermissions    tenant   bindings:read            admin.permissions_show   principal_id
CreateRole                 tenant   roles:create             admin.role_create        name
ChangeRole                 tenant   roles:change             admin.role_change        name
ListRoles                  tenant   roles:read               admin.roles_list
GetRole                    tenant   roles:read               admin.role_show          name
DeleteRole                 tenant   roles:delete             admin.role_delete        name
AssignRole                 tenant   bindings:create          admin.binding_create     role
RevokeRole                 tenant   bindings:delete          admin.binding_delete     binding_id
ListBindings               tenant   bindings:read            admin.bindings_list
[EnterpriseAuditService]
QueryEvents                tenant   audit:read               admin.audit_query
ExportAuditLogs            tenant   audit:export             admin.audit_export
GetAuditStatistics         tenant   audit:read               admin.audit_count
ForgetPrincipal            tenant   audit:forget             admin.audit_forget
HoldLog                    tenant   audit:hold               admin.audit_hold         name
ReleaseLog                 tenant   audit:release            admin.audit_release      name
ListHolds                  tenant   audit:read               admin.audit_holds
RetainLog                  tenant   audit:retain             admin.audit_retain
[EnterpriseTenantService]
CreateTenant               operator tenants:create           admin.tenant_create      tenant_id
ListTenants                operator tenants:read             admin.tenants_list
GetTenant                  tenant   tenants:read             admin.tenant_show        tenant_id
SuspendTenant              operator tenants:suspend          admin.tenant_suspend     tenant_id
ResumeTenant               operator tenants:suspend          admin.tenant_resume      tenant_id
SetTenantQuotas            operator tenants:change           admin.tenant_quotas      tenant_id
ExportTenant               operator tenants:export           admin.tenant_export      tenant_id
DeleteTenant               operator tenants:delete           admin.tenant_delete      tenant_id
PurgeTenant                operator tenants:delete           admin.tenant_purge       tenant_id
[EnterprisePolicyService]
CreatePolicy               tenant   policies:create          admin.policy_create
UpdatePolicy               tenant   policies:create          admin.policy_update      version
DeletePolicy               tenant   policies:delete          admin.policy_delete      version
GetPolicy                  tenant   policies:read            admin.policy_show        version
ListPolicies               tenant   policies:read            admin.policies_list
ValidatePolicy             tenant   policies:read            admin.policy_validate
TestPolicy                 tenant   policies:read            admin.policy_test
DiffPolicy                 tenant   policies:read            admin.policy_diff
SubmitPolicy               tenant   policies:create          admin.policy_submit      version
ActivatePolicy             tenant   policies:activate        admin.policy_activate    version
RollbackPolicy             tenant   policies:activate        admin.policy_rollback
RetirePolicy               tenant   policies:activate        admin.policy_retire      version
EvaluatePolicy             tenant   policies:explain         admin.policy_evaluate
Explain                    own      tokens:read              admin.explain
ReplayPolicy               tenant   policies:replay          admin.policy_replay
[EnterpriseContractService]
SubmitContract             tenant   contracts:create         admin.contract_submit    contract
ActivateContract           tenant   contracts:activate       admin.contract_activate  contract
RetireContract             tenant   contracts:activate       admin.contract_retire    contract
ListContracts              tenant   contracts:read           admin.contracts_list
[EnterpriseArtefactService]
CreateArtefact             tenant   artefacts:create         admin.artefact_create    artefact
DeleteArtefact             tenant   artefacts:delete         admin.artefact_delete    artefact
GetArtefact                tenant   artefacts:read           admin.artefact_show      artefact
ListArtefacts              tenant   artefacts:read           admin.artefacts_list     artefact
SubmitArtefact             tenant   artefacts:create         admin.artefact_submit    artefact
ActivateArtefact           tenant   artefacts:activate       admin.artefact_activate  artefact
RollbackArtefact           tenant   artefacts:activate       admin.artefact_rollback  artefact
RetireArtefact             tenant   artefacts:activate       admin.artefact_retire    artefact
GetPrice                   tenant   tools:read               admin.price_show         tool
[EnterpriseGovernanceService]
ListPendingApprovals       own      approvals:read           admin.approvals_list
GetApproval                own      approvals:read           admin.approval_show      approval_id
AdjudicateApproval         own      approvals:decide         admin.approval_decide    approval_id
WithdrawApproval           own      approvals:withdraw       admin.approval_withdraw  approval_id
GetApprovalHistory         tenant   approvals:read           admin.approval_history   approval_id
OpenBreakGlass             tenant   governance:break_glass   admin.break_glass_open
CloseBreakGlass            tenant   governance:break_glass   admin.break_glass_close  break_glass_id
ListBreakGlass             tenant   governance:read          admin.break_glass_list
"""

METHODS: Final[Mapping[str, Rule]] = MappingProxyType(_rules())
"""Each method, as ``Service/Method``, and its rule."""
