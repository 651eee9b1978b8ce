"""What an AESP host keeps: one table for each kind of thing, the same on SQLite and on PostgreSQL.

Every table but those of organizations begins its primary key with `tenant`, and row-level security hangs on it.
Times are whole milliseconds since 1970, in columns named ``…_ms``.
A table with ``info["changes"] = (what, column)`` tells every host of a change: triggers that `changes.py` makes write
``(tenant, version, what, value of the column)`` into `changes`, in the transaction of the change itself.
A table without it holds what no host keeps in memory, such as when a key was last used.
``info["since"]`` is the migration that makes a table, ``0001`` where it says none.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

__all__ = [
    "METADATA",
    "api_key_uses",
    "api_keys",
    "approvals",
    "artefacts",
    "bindings",
    "browser_sign_ins",
    "business_units",
    "changes",
    "counters",
    "credentials",
    "external_ids",
    "group_mappings",
    "group_nestings",
    "groups",
    "identity_providers",
    "memberships",
    "organizations",
    "principals",
    "refresh_tokens",
    "revoked_tokens",
    "role_inherits",
    "role_permissions",
    "roles",
    "scim_resources",
    "sign_in_tries",
    "tenant_versions",
    "tenants",
]

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NAME = String(128)
"""Names of tenants, principals, groups, roles."""


def _tenant() -> Column[str]:
    """The first column of every table of a tenant; its rows go when the tenant is purged."""
    return Column("tenant", NAME, ForeignKey("tenants.tenant", ondelete="CASCADE"), primary_key=True)


def _of_tenant(table: str, *columns: str) -> ForeignKeyConstraint:
    """A reference into the same tenant: no row can name anything of another one."""
    target = {"principals": "name", "groups": "name", "roles": "name", "api_keys": "id"}[table]
    return ForeignKeyConstraint(
        ["tenant", *columns], [f"{table}.tenant", f"{table}.{target}"], ondelete="CASCADE", onupdate="CASCADE"
    )


def _ms(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


organizations = Table(
    "organizations",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("display", String(256), nullable=False),
    _ms("created_ms"),
)

business_units = Table(
    "business_units",
    METADATA,
    Column("organization", NAME, ForeignKey("organizations.name", ondelete="CASCADE"), primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("display", String(256), nullable=False),
    Column("cost_center", String(128), nullable=False),
    _ms("created_ms"),
)

tenants = Table(
    "tenants",
    METADATA,
    Column("tenant", NAME, primary_key=True),
    Column("display", String(256), nullable=False),
    Column("organization", NAME, nullable=True),
    Column("business_unit", NAME, nullable=True),
    Column("status", String(16), nullable=False),
    Column("quotas", Text, nullable=False),  # canonical JSON: name of the quota → whole number
    _ms("created_ms"),
    _ms("changed_ms"),
    ForeignKeyConstraint(["organization"], ["organizations.name"]),
    ForeignKeyConstraint(["organization", "business_unit"], ["business_units.organization", "business_units.name"]),
    CheckConstraint("status in ('ACTIVE', 'SUSPENDED', 'DELETED')", name="status"),
    info={"changes": ("tenant", "tenant")},
)

# ── people and groups ────────────────────────────────────────────────────────────────────────────────────

principals = Table(
    "principals",
    METADATA,
    _tenant(),
    Column("name", NAME, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("display", String(256), nullable=False),
    Column("email", String(320), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("clearance", String(64), nullable=False),
    Column("attributes", Text, nullable=False),  # canonical JSON object of texts
    Column("source", String(128), nullable=False),  # "local", "scim" or "provider:<name>": who made the row
    _ms("created_ms"),
    _ms("changed_ms"),
    _ms("not_before_ms"),  # tokens issued before are refused; 0 = none
    CheckConstraint("kind in ('user', 'service_account', 'system_account')", name="kind"),
    info={"changes": ("principal", "name")},
)

external_ids = Table(
    "external_ids",
    METADATA,
    _tenant(),
    Column("provider", NAME, primary_key=True),
    Column("subject", String(512), primary_key=True),
    Column("principal", NAME, nullable=False),
    _ms("created_ms"),
    _of_tenant("principals", "principal"),
    Index(None, "tenant", "principal"),
)

groups = Table(
    "groups",
    METADATA,
    _tenant(),
    Column("name", NAME, primary_key=True),
    Column("display", String(256), nullable=False),
    Column("source", String(128), nullable=False),
    _ms("created_ms"),
    _ms("changed_ms"),
    info={"changes": ("group", "name")},
)

memberships = Table(
    "memberships",
    METADATA,
    _tenant(),
    Column("group_name", NAME, primary_key=True),
    Column("principal", NAME, primary_key=True),
    Column("source", String(128), primary_key=True),
    _of_tenant("groups", "group_name"),
    _of_tenant("principals", "principal"),
    Index(None, "tenant", "principal"),
    info={"changes": ("member", "principal")},
)

group_nestings = Table(
    "group_nestings",
    METADATA,
    _tenant(),
    Column("parent", NAME, primary_key=True),
    Column("child", NAME, primary_key=True),
    Column("source", String(128), primary_key=True),
    _of_tenant("groups", "parent"),
    _of_tenant("groups", "child"),
    Index(None, "tenant", "child"),
    info={"changes": ("nesting", "child")},
)

# ── roles ────────────────────────────────────────────────────────────────────────────────────────────────

roles = Table(
    "roles",
    METADATA,
    _tenant(),
    Column("name", NAME, primary_key=True),
    Column("description", String(1024), nullable=False),
    _ms("created_ms"),
    _ms("changed_ms"),
    info={"changes": ("role", "name")},
)

role_permissions = Table(
    "role_permissions",
    METADATA,
    _tenant(),
    Column("role", NAME, primary_key=True),
    Column("permission", String(256), primary_key=True),
    _of_tenant("roles", "role"),
    info={"changes": ("role", "role")},
)

role_inherits = Table(
    "role_inherits",
    METADATA,
    _tenant(),
    Column("role", NAME, primary_key=True),
    Column("inherits", NAME, primary_key=True),  # no reference: it may be a built-in role, which has no row
    _of_tenant("roles", "role"),
    info={"changes": ("role", "role")},
)

bindings = Table(
    "bindings",
    METADATA,
    _tenant(),
    Column("id", String(64), primary_key=True),
    Column("role", NAME, nullable=False),  # no reference: it may be a built-in role, which has no row
    Column("principal", NAME, nullable=True),
    Column("group_name", NAME, nullable=True),
    Column("scope", String(256), nullable=False),
    _ms("expires_ms", nullable=True),
    Column("source", String(128), nullable=False),
    Column("created_by", String(256), nullable=False),
    _ms("created_ms"),
    _of_tenant("principals", "principal"),
    _of_tenant("groups", "group_name"),
    CheckConstraint("(principal is null) <> (group_name is null)", name="subject"),
    Index(None, "tenant", "principal"),
    Index(None, "tenant", "group_name"),
    info={"changes": ("binding", "id")},
)

group_mappings = Table(
    "group_mappings",
    METADATA,
    _tenant(),
    Column("provider", NAME, primary_key=True),
    Column("pattern", String(512), primary_key=True),  # of the provider's group
    Column("role", NAME, primary_key=True),
    Column("scope", String(256), primary_key=True),
    _ms("created_ms"),
    info={"changes": ("mapping", "provider")},
)

# ── proofs of who somebody is ────────────────────────────────────────────────────────────────────────────

identity_providers = Table(
    "identity_providers",
    METADATA,
    _tenant(),
    Column("name", NAME, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("configuration", Text, nullable=False),  # canonical JSON, secrets by reference only
    Column("state", Text, nullable=False),  # canonical JSON: what a synchronization goes on from
    _ms("changed_ms"),
    info={"changes": ("provider", "name")},
)

credentials = Table(
    "credentials",
    METADATA,
    _tenant(),
    Column("principal", NAME, primary_key=True),
    Column("kind", String(32), primary_key=True),  # such as "password"
    Column("secret", Text, nullable=False),  # as its kind keeps it: never what the person types
    Column("data", Text, nullable=False),  # canonical JSON
    _ms("changed_ms"),
    _ms("expires_ms", nullable=True),
    _of_tenant("principals", "principal"),
    info={"changes": ("credential", "principal")},
)

api_keys = Table(
    "api_keys",
    METADATA,
    _tenant(),
    Column("id", String(64), primary_key=True),
    Column("principal", NAME, nullable=False),
    Column("description", String(256), nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=True),  # canonical JSON array; NULL: not narrowed
    Column("successor", String(64), nullable=True),
    _ms("created_ms"),
    _ms("expires_ms", nullable=True),
    _ms("revoked_ms", nullable=True),
    _of_tenant("principals", "principal"),
    Index("uq_api_keys_id", "id", unique=True),
    info={"changes": ("key", "id")},
)

api_key_uses = Table(
    "api_key_uses",
    METADATA,
    _tenant(),
    Column("id", String(64), primary_key=True),
    _ms("used_ms"),
    _of_tenant("api_keys", "id"),
)

refresh_tokens = Table(
    "refresh_tokens",
    METADATA,
    _tenant(),
    Column("digest", LargeBinary, primary_key=True),
    Column("family", String(64), nullable=False),
    Column("principal", NAME, nullable=False),
    Column("data", Text, nullable=False),  # canonical JSON
    _ms("created_ms"),
    _ms("expires_ms"),
    _ms("used_ms", nullable=True),
    _ms("revoked_ms", nullable=True),
    _of_tenant("principals", "principal"),
    Index(None, "tenant", "family"),
)

revoked_tokens = Table(
    "revoked_tokens",
    METADATA,
    _tenant(),
    Column("jti", String(128), primary_key=True),
    _ms("expires_ms"),  # afterwards the row is not needed
    info={"changes": ("token", "jti")},
)

scim_resources = Table(
    "scim_resources",
    METADATA,
    _tenant(),
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),  # "User" or "Group"
    Column("name", NAME, nullable=False),  # of the principal or group; it stays when the provisioner renames
    Column("called", String(512), nullable=False),  # userName or displayName, folded, as the provisioner has it now
    Column("external_id", String(512), nullable=True),
    Column("data", Text, nullable=False),  # canonical JSON: what the provisioner said beyond our columns
    Column("version", BigInteger, nullable=False),  # the etag
    _ms("created_ms"),
    _ms("changed_ms"),
    Index("uq_scim_resources_name", "tenant", "kind", "name", unique=True),
    Index("uq_scim_resources_called", "tenant", "kind", "called", unique=True),
    Index("ix_scim_resources_external", "tenant", "kind", "external_id"),
)

browser_sign_ins = Table(
    "browser_sign_ins",
    METADATA,
    _tenant(),
    Column("id", String(128), primary_key=True),  # of a request to a provider, or the digest of a one-time code
    Column("provider", NAME, nullable=False),
    Column("data", Text, nullable=False),  # canonical JSON: what the answer or the code is good for
    _ms("expires_ms"),  # afterwards the row is not needed
    Index(None, "tenant", "expires_ms"),
)

sign_in_tries = Table(
    "sign_in_tries",
    METADATA,
    _tenant(),
    Column("key", String(64), primary_key=True),  # a digest of what failures are counted for
    Column("failures", BigInteger, nullable=False),  # since the last success, or an hour without one
    _ms("failed_ms"),
    _ms("succeeded_ms"),  # 0 = never
    _ms("expires_ms"),  # afterwards the row is not needed
    Index(None, "tenant", "expires_ms"),
    info={"since": "0002"},
)

# ── what is decided before it is in force ────────────────────────────────────────────────────────────────

artefacts = Table(
    "artefacts",
    METADATA,
    _tenant(),
    Column("kind", String(16), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("status", String(16), nullable=False),
    Column("body", Text, nullable=False),  # never changed: what changes is a new version
    Column("digest", String(71), nullable=False),
    Column("note", String(1024), nullable=False),
    Column("authors", Text, nullable=False),  # canonical JSON array of principals: who may not review it
    Column("against", BigInteger, nullable=False),  # the version in force when it was submitted; 0 = none
    Column("reviewed_by", String(256), nullable=False),
    Column("changed_by", String(256), nullable=False),
    _ms("created_ms"),
    _ms("changed_ms"),
    _ms("activated_ms", nullable=True),  # the last time
    CheckConstraint("kind in ('policy', 'contract', 'role', 'price', 'configuration')", name="kind"),
    CheckConstraint("status in ('DRAFT', 'PENDING_APPROVAL', 'ACTIVE', 'RETIRED')", name="status"),
    Index(
        "uq_artefacts_active",
        "tenant",
        "kind",
        "name",
        unique=True,
        sqlite_where=text("status = 'ACTIVE'"),
        postgresql_where=text("status = 'ACTIVE'"),
    ),
    info={"since": "0002", "changes": ("artefact", "kind")},
)

# ── how often: written by each host for itself, added up by all ──────────────────────────────────────────────

counters = Table(
    "counters",
    METADATA,
    _tenant(),
    Column("day", BigInteger, primary_key=True, autoincrement=False),  # of UTC, since 1970
    Column("host", String(64), primary_key=True),
    Column("principal", String(256), primary_key=True),  # "" = the tenant as a whole
    Column("calls", BigInteger, nullable=False),
    Column("covers", BigInteger, nullable=False),  # entries of the host's log before this one are counted
    _ms("changed_ms"),
    info={"since": "0002"},
)

# ── calls that were approved: at one host, for all that share this store ────────────────────────────────────

approvals = Table(
    "approvals",
    METADATA,
    _tenant(),
    Column("id", String(64), primary_key=True),  # a digest of the handle, which is not here
    Column("principal", NAME, nullable=False),  # who asked: what is shared goes with that account
    Column("host", String(64), nullable=False),  # where it was asked for, and approved
    Column("body", LargeBinary, nullable=False),  # sealed under a key that hosts share and the database has not
    Column("claimed_by", String(64), nullable=False),  # the host that uses it; "" = none
    Column("claim", String(128), nullable=False),  # the invocation that uses it
    Column("place", BigInteger, nullable=False),  # no intent of that invocation is before this entry of that host's log
    _ms("expires_ms"),  # afterwards the row is not needed
    _of_tenant("principals", "principal"),
    Index(None, "tenant", "expires_ms"),
    info={"since": "0003"},
)

# ── what changed: written by triggers alone ──────────────────────────────────────────────────────────────

tenant_versions = Table(
    "tenant_versions",
    METADATA,
    Column("tenant", NAME, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
"""How many changes a tenant has seen; a row outlives its tenant, so that every host hears of the end too."""

changes = Table(
    "changes",
    METADATA,
    Column("tenant", NAME, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("what", String(32), nullable=False),
    Column("key", String(512), nullable=False),
)
"""The newest changes of a tenant, so that a host reads again only what changed."""
