SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA altar;
ALTER SCHEMA altar OWNER TO altar_owner;
CREATE FUNCTION altar.altar_note_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'altar', 'pg_temp'
    AS $$
DECLARE
  changed jsonb := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
  whose text := changed ->> 'tenant';
  now_at bigint;
BEGIN
  INSERT INTO tenant_versions AS v (tenant, version) VALUES (whose, 1)
    ON CONFLICT (tenant) DO UPDATE SET version = v.version + 1 RETURNING version INTO now_at;
  INSERT INTO changes (tenant, version, what, key) VALUES (whose, now_at, TG_ARGV[0], changed ->> TG_ARGV[1]);
  IF mod(now_at, 1024) = 0 THEN
    DELETE FROM changes WHERE tenant = whose AND version <= now_at - 1024;
  END IF;
  PERFORM pg_notify('altar_changed', whose);
  RETURN NULL;
END $$;
ALTER FUNCTION altar.altar_note_change() OWNER TO altar_owner;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE altar.alembic_version (
    version_num character varying(32) NOT NULL
);
ALTER TABLE altar.alembic_version OWNER TO altar_owner;
CREATE TABLE altar.api_key_uses (
    tenant character varying(128) NOT NULL,
    id character varying(64) NOT NULL,
    used_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.api_key_uses FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.api_key_uses OWNER TO altar_owner;
CREATE TABLE altar.api_keys (
    tenant character varying(128) NOT NULL,
    id character varying(64) NOT NULL,
    principal character varying(128) NOT NULL,
    description character varying(256) NOT NULL,
    salt bytea NOT NULL,
    digest bytea NOT NULL,
    scopes text,
    successor character varying(64),
    created_ms bigint NOT NULL,
    expires_ms bigint,
    revoked_ms bigint
);
ALTER TABLE ONLY altar.api_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.api_keys OWNER TO altar_owner;
CREATE TABLE altar.approvals (
    tenant character varying(128) NOT NULL,
    id character varying(64) NOT NULL,
    principal character varying(128) NOT NULL,
    host character varying(64) NOT NULL,
    body bytea NOT NULL,
    claimed_by character varying(64) NOT NULL,
    claim character varying(128) NOT NULL,
    place bigint NOT NULL,
    expires_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.approvals FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.approvals OWNER TO altar_owner;
CREATE TABLE altar.artefacts (
    tenant character varying(128) NOT NULL,
    kind character varying(16) NOT NULL,
    name character varying(256) NOT NULL,
    version bigint NOT NULL,
    status character varying(16) NOT NULL,
    body text NOT NULL,
    digest character varying(71) NOT NULL,
    note character varying(1024) NOT NULL,
    authors text NOT NULL,
    against bigint NOT NULL,
    reviewed_by character varying(256) NOT NULL,
    changed_by character varying(256) NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL,
    activated_ms bigint,
    CONSTRAINT ck_artefacts_kind CHECK (((kind)::text = ANY ((ARRAY['policy'::character varying, 'contract'::character varying, 'role'::character varying, 'price'::character varying, 'configuration'::character varying])::text[]))),
    CONSTRAINT ck_artefacts_status CHECK (((status)::text = ANY ((ARRAY['DRAFT'::character varying, 'PENDING_APPROVAL'::character varying, 'ACTIVE'::character varying, 'RETIRED'::character varying])::text[])))
);
ALTER TABLE ONLY altar.artefacts FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.artefacts OWNER TO altar_owner;
CREATE TABLE altar.bindings (
    tenant character varying(128) NOT NULL,
    id character varying(64) NOT NULL,
    role character varying(128) NOT NULL,
    principal character varying(128),
    group_name character varying(128),
    scope character varying(256) NOT NULL,
    expires_ms bigint,
    source character varying(128) NOT NULL,
    created_by character varying(256) NOT NULL,
    created_ms bigint NOT NULL,
    CONSTRAINT ck_bindings_subject CHECK (((principal IS NULL) <> (group_name IS NULL)))
);
ALTER TABLE ONLY altar.bindings FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.bindings OWNER TO altar_owner;
CREATE TABLE altar.browser_sign_ins (
    tenant character varying(128) NOT NULL,
    id character varying(128) NOT NULL,
    provider character varying(128) NOT NULL,
    data text NOT NULL,
    expires_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.browser_sign_ins FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.browser_sign_ins OWNER TO altar_owner;
CREATE TABLE altar.business_units (
    organization character varying(128) NOT NULL,
    name character varying(128) NOT NULL,
    display character varying(256) NOT NULL,
    cost_center character varying(128) NOT NULL,
    created_ms bigint NOT NULL
);
ALTER TABLE altar.business_units OWNER TO altar_owner;
CREATE TABLE altar.changes (
    tenant character varying(128) NOT NULL,
    version bigint NOT NULL,
    what character varying(32) NOT NULL,
    key character varying(512) NOT NULL
);
ALTER TABLE altar.changes OWNER TO altar_owner;
CREATE TABLE altar.counters (
    tenant character varying(128) NOT NULL,
    day bigint NOT NULL,
    host character varying(64) NOT NULL,
    principal character varying(256) NOT NULL,
    calls bigint NOT NULL,
    covers bigint NOT NULL,
    changed_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.counters FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.counters OWNER TO altar_owner;
CREATE TABLE altar.credentials (
    tenant character varying(128) NOT NULL,
    principal character varying(128) NOT NULL,
    kind character varying(32) NOT NULL,
    secret text NOT NULL,
    data text NOT NULL,
    changed_ms bigint NOT NULL,
    expires_ms bigint
);
ALTER TABLE ONLY altar.credentials FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.credentials OWNER TO altar_owner;
CREATE TABLE altar.external_ids (
    tenant character varying(128) NOT NULL,
    provider character varying(128) NOT NULL,
    subject character varying(512) NOT NULL,
    principal character varying(128) NOT NULL,
    created_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.external_ids FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.external_ids OWNER TO altar_owner;
CREATE TABLE altar.group_mappings (
    tenant character varying(128) NOT NULL,
    provider character varying(128) NOT NULL,
    pattern character varying(512) NOT NULL,
    role character varying(128) NOT NULL,
    scope character varying(256) NOT NULL,
    created_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.group_mappings FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.group_mappings OWNER TO altar_owner;
CREATE TABLE altar.group_nestings (
    tenant character varying(128) NOT NULL,
    parent character varying(128) NOT NULL,
    child character varying(128) NOT NULL,
    source character varying(128) NOT NULL
);
ALTER TABLE ONLY altar.group_nestings FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.group_nestings OWNER TO altar_owner;
CREATE TABLE altar.groups (
    tenant character varying(128) NOT NULL,
    name character varying(128) NOT NULL,
    display character varying(256) NOT NULL,
    source character varying(128) NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.groups FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.groups OWNER TO altar_owner;
CREATE TABLE altar.identity_providers (
    tenant character varying(128) NOT NULL,
    name character varying(128) NOT NULL,
    kind character varying(32) NOT NULL,
    active boolean NOT NULL,
    configuration text NOT NULL,
    state text NOT NULL,
    changed_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.identity_providers FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.identity_providers OWNER TO altar_owner;
CREATE TABLE altar.memberships (
    tenant character varying(128) NOT NULL,
    group_name character varying(128) NOT NULL,
    principal character varying(128) NOT NULL,
    source character varying(128) NOT NULL
);
ALTER TABLE ONLY altar.memberships FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.memberships OWNER TO altar_owner;
CREATE TABLE altar.organizations (
    name character varying(128) NOT NULL,
    display character varying(256) NOT NULL,
    created_ms bigint NOT NULL
);
ALTER TABLE altar.organizations OWNER TO altar_owner;
CREATE TABLE altar.principals (
    tenant character varying(128) NOT NULL,
    name character varying(128) NOT NULL,
    kind character varying(32) NOT NULL,
    display character varying(256) NOT NULL,
    email character varying(320) NOT NULL,
    active boolean NOT NULL,
    clearance character varying(64) NOT NULL,
    attributes text NOT NULL,
    source character varying(128) NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL,
    not_before_ms bigint NOT NULL,
    CONSTRAINT ck_principals_kind CHECK (((kind)::text = ANY ((ARRAY['user'::character varying, 'service_account'::character varying, 'system_account'::character varying])::text[])))
);
ALTER TABLE ONLY altar.principals FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.principals OWNER TO altar_owner;
CREATE TABLE altar.refresh_tokens (
    tenant character varying(128) NOT NULL,
    digest bytea NOT NULL,
    family character varying(64) NOT NULL,
    principal character varying(128) NOT NULL,
    data text NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    used_ms bigint,
    revoked_ms bigint
);
ALTER TABLE ONLY altar.refresh_tokens FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.refresh_tokens OWNER TO altar_owner;
CREATE TABLE altar.revoked_tokens (
    tenant character varying(128) NOT NULL,
    jti character varying(128) NOT NULL,
    expires_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.revoked_tokens FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.revoked_tokens OWNER TO altar_owner;
CREATE TABLE altar.role_inherits (
    tenant character varying(128) NOT NULL,
    role character varying(128) NOT NULL,
    inherits character varying(128) NOT NULL
);
ALTER TABLE ONLY altar.role_inherits FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.role_inherits OWNER TO altar_owner;
CREATE TABLE altar.role_permissions (
    tenant character varying(128) NOT NULL,
    role character varying(128) NOT NULL,
    permission character varying(256) NOT NULL
);
ALTER TABLE ONLY altar.role_permissions FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.role_permissions OWNER TO altar_owner;
CREATE TABLE altar.roles (
    tenant character varying(128) NOT NULL,
    name character varying(128) NOT NULL,
    description character varying(1024) NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.roles FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.roles OWNER TO altar_owner;
CREATE TABLE altar.scim_resources (
    tenant character varying(128) NOT NULL,
    id character varying(64) NOT NULL,
    kind character varying(16) NOT NULL,
    name character varying(128) NOT NULL,
    called character varying(512) NOT NULL,
    external_id character varying(512),
    data text NOT NULL,
    version bigint NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.scim_resources FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.scim_resources OWNER TO altar_owner;
CREATE TABLE altar.sign_in_tries (
    tenant character varying(128) NOT NULL,
    key character varying(64) NOT NULL,
    failures bigint NOT NULL,
    failed_ms bigint NOT NULL,
    succeeded_ms bigint NOT NULL,
    expires_ms bigint NOT NULL
);
ALTER TABLE ONLY altar.sign_in_tries FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.sign_in_tries OWNER TO altar_owner;
CREATE TABLE altar.tenant_versions (
    tenant character varying(128) NOT NULL,
    version bigint NOT NULL
);
ALTER TABLE altar.tenant_versions OWNER TO altar_owner;
CREATE TABLE altar.tenants (
    tenant character varying(128) NOT NULL,
    display character varying(256) NOT NULL,
    organization character varying(128),
    business_unit character varying(128),
    status character varying(16) NOT NULL,
    quotas text NOT NULL,
    created_ms bigint NOT NULL,
    changed_ms bigint NOT NULL,
    CONSTRAINT ck_tenants_status CHECK (((status)::text = ANY ((ARRAY['ACTIVE'::character varying, 'SUSPENDED'::character varying, 'DELETED'::character varying])::text[])))
);
ALTER TABLE ONLY altar.tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE altar.tenants OWNER TO altar_owner;
INSERT INTO altar.alembic_version VALUES ('0003');
INSERT INTO altar.bindings VALUES ('acme', 'b-1', 'caller', NULL, 'team', '*', NULL, 'local', '', 1000);
INSERT INTO altar.changes VALUES ('acme', 1, 'tenant', 'acme');
INSERT INTO altar.changes VALUES ('acme', 2, 'role', 'caller');
INSERT INTO altar.changes VALUES ('acme', 3, 'role', 'caller');
INSERT INTO altar.changes VALUES ('acme', 4, 'role', 'caller');
INSERT INTO altar.changes VALUES ('acme', 5, 'principal', 'alice');
INSERT INTO altar.changes VALUES ('acme', 6, 'group', 'team');
INSERT INTO altar.changes VALUES ('acme', 7, 'member', 'alice');
INSERT INTO altar.changes VALUES ('acme', 8, 'binding', 'b-1');
INSERT INTO altar.groups VALUES ('acme', 'team', '', 'local', 1, 1);
INSERT INTO altar.memberships VALUES ('acme', 'team', 'alice', 'local');
INSERT INTO altar.organizations VALUES ('initech', '', 1000);
INSERT INTO altar.principals VALUES ('acme', 'alice', 'user', '', '', true, '', '{}', 'local', 1, 1, 1);
INSERT INTO altar.role_inherits VALUES ('acme', 'caller', 'viewer');
INSERT INTO altar.role_permissions VALUES ('acme', 'caller', 'tools:execute');
INSERT INTO altar.roles VALUES ('acme', 'caller', '', 1000, 1000);
INSERT INTO altar.tenant_versions VALUES ('acme', 8);
INSERT INTO altar.tenants VALUES ('acme', '', 'initech', NULL, 'ACTIVE', '{"roles":9}', 1000, 1000);
ALTER TABLE ONLY altar.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY altar.api_key_uses
    ADD CONSTRAINT pk_api_key_uses PRIMARY KEY (tenant, id);
ALTER TABLE ONLY altar.api_keys
    ADD CONSTRAINT pk_api_keys PRIMARY KEY (tenant, id);
ALTER TABLE ONLY altar.approvals
    ADD CONSTRAINT pk_approvals PRIMARY KEY (tenant, id);
ALTER TABLE ONLY altar.artefacts
    ADD CONSTRAINT pk_artefacts PRIMARY KEY (tenant, kind, name, version);
ALTER TABLE ONLY altar.bindings
    ADD CONSTRAINT pk_bindings PRIMARY KEY (tenant, id);
ALTER TABLE ONLY altar.browser_sign_ins
    ADD CONSTRAINT pk_browser_sign_ins PRIMARY KEY (tenant, id);
ALTER TABLE ONLY altar.business_units
    ADD CONSTRAINT pk_business_units PRIMARY KEY (organization, name);
ALTER TABLE ONLY altar.changes
    ADD CONSTRAINT pk_changes PRIMARY KEY (tenant, version);
ALTER TABLE ONLY altar.counters
    ADD CONSTRAINT pk_counters PRIMARY KEY (tenant, day, host, principal);
ALTER TABLE ONLY altar.credentials
    ADD CONSTRAINT pk_credentials PRIMARY KEY (tenant, principal, kind);
ALTER TABLE ONLY altar.external_ids
    ADD CONSTRAINT pk_external_ids PRIMARY KEY (tenant, provider, subject);
ALTER TABLE ONLY altar.group_mappings
    ADD CONSTRAINT pk_group_mappings PRIMARY KEY (tenant, provider, pattern, role, scope);
ALTER TABLE ONLY altar.group_nestings
    ADD CONSTRAINT pk_group_nestings PRIMARY KEY (tenant, parent, child, source);
ALTER TABLE ONLY altar.groups
    ADD CONSTRAINT pk_groups PRIMARY KEY (tenant, name);
ALTER TABLE ONLY altar.identity_providers
    ADD CONSTRAINT pk_identity_providers PRIMARY KEY (tenant, name);
ALTER TABLE ONLY altar.memberships
    ADD CONSTRAINT pk_memberships PRIMARY KEY (tenant, group_name, principal, source);
ALTER TABLE ONLY altar.organizations
    ADD CONSTRAINT pk_organizations PRIMARY KEY (name);
ALTER TABLE ONLY altar.principals
    ADD CONSTRAINT pk_principals PRIMARY KEY (tenant, name);
ALTER TABLE ONLY altar.refresh_tokens
    ADD CONSTRAINT pk_refresh_tokens PRIMARY KEY (tenant, digest);
ALTER TABLE ONLY altar.revoked_tokens
    ADD CONSTRAINT pk_revoked_tokens PRIMARY KEY (tenant, jti);
ALTER TABLE ONLY altar.role_inherits
    ADD CONSTRAINT pk_role_inherits PRIMARY KEY (tenant, role, inherits);
ALTER TABLE ONLY altar.role_permissions
    ADD CONSTRAINT pk_role_permissions PRIMARY KEY (tenant, role, permission);
ALTER TABLE ONLY altar.roles
    ADD CONSTRAINT pk_roles PRIMARY KEY (tenant, name);
ALTER TABLE ONLY altar.scim_resources
    ADD CONSTRAINT pk_scim_resources PRIMARY KEY (tenant, id);
ALTER TABLE ONLY altar.sign_in_tries
    ADD CONSTRAINT pk_sign_in_tries PRIMARY KEY (tenant, key);
ALTER TABLE ONLY altar.tenant_versions
    ADD CONSTRAINT pk_tenant_versions PRIMARY KEY (tenant);
ALTER TABLE ONLY altar.tenants
    ADD CONSTRAINT pk_tenants PRIMARY KEY (tenant);
CREATE INDEX ix_approvals_tenant_expires_ms ON altar.approvals USING btree (tenant, expires_ms);
CREATE INDEX ix_bindings_tenant_group_name ON altar.bindings USING btree (tenant, group_name);
CREATE INDEX ix_bindings_tenant_principal ON altar.bindings USING btree (tenant, principal);
CREATE INDEX ix_browser_sign_ins_tenant_expires_ms ON altar.browser_sign_ins USING btree (tenant, expires_ms);
CREATE INDEX ix_external_ids_tenant_principal ON altar.external_ids USING btree (tenant, principal);
CREATE INDEX ix_group_nestings_tenant_child ON altar.group_nestings USING btree (tenant, child);
CREATE INDEX ix_memberships_tenant_principal ON altar.memberships USING btree (tenant, principal);
CREATE INDEX ix_refresh_tokens_tenant_family ON altar.refresh_tokens USING btree (tenant, family);
CREATE INDEX ix_scim_resources_external ON altar.scim_resources USING btree (tenant, kind, external_id);
CREATE INDEX ix_sign_in_tries_tenant_expires_ms ON altar.sign_in_tries USING btree (tenant, expires_ms);
CREATE UNIQUE INDEX uq_api_keys_id ON altar.api_keys USING btree (id);
CREATE UNIQUE INDEX uq_artefacts_active ON altar.artefacts USING btree (tenant, kind, name) WHERE ((status)::text = 'ACTIVE'::text);
CREATE UNIQUE INDEX uq_scim_resources_called ON altar.scim_resources USING btree (tenant, kind, called);
CREATE UNIQUE INDEX uq_scim_resources_name ON altar.scim_resources USING btree (tenant, kind, name);
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.api_keys FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('key', 'id');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.artefacts FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('artefact', 'kind');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.bindings FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('binding', 'id');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.credentials FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('credential', 'principal');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.group_mappings FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('mapping', 'provider');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.group_nestings FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('nesting', 'child');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.groups FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('group', 'name');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.identity_providers FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('provider', 'name');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.memberships FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('member', 'principal');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.principals FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('principal', 'name');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.revoked_tokens FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('token', 'jti');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.role_inherits FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('role', 'role');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.role_permissions FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('role', 'role');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.roles FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('role', 'name');
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON altar.tenants FOR EACH ROW EXECUTE FUNCTION altar.altar_note_change('tenant', 'tenant');
ALTER TABLE ONLY altar.api_key_uses
    ADD CONSTRAINT fk_api_key_uses_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.api_key_uses
    ADD CONSTRAINT fk_api_key_uses_tenant_id FOREIGN KEY (tenant, id) REFERENCES altar.api_keys(tenant, id) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.api_keys
    ADD CONSTRAINT fk_api_keys_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.api_keys
    ADD CONSTRAINT fk_api_keys_tenant_principal FOREIGN KEY (tenant, principal) REFERENCES altar.principals(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.approvals
    ADD CONSTRAINT fk_approvals_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.approvals
    ADD CONSTRAINT fk_approvals_tenant_principal FOREIGN KEY (tenant, principal) REFERENCES altar.principals(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.artefacts
    ADD CONSTRAINT fk_artefacts_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.bindings
    ADD CONSTRAINT fk_bindings_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.bindings
    ADD CONSTRAINT fk_bindings_tenant_group_name FOREIGN KEY (tenant, group_name) REFERENCES altar.groups(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.bindings
    ADD CONSTRAINT fk_bindings_tenant_principal FOREIGN KEY (tenant, principal) REFERENCES altar.principals(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.browser_sign_ins
    ADD CONSTRAINT fk_browser_sign_ins_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.business_units
    ADD CONSTRAINT fk_business_units_organization FOREIGN KEY (organization) REFERENCES altar.organizations(name) ON DELETE CASCADE;
ALTER TABLE ONLY altar.counters
    ADD CONSTRAINT fk_counters_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.credentials
    ADD CONSTRAINT fk_credentials_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.credentials
    ADD CONSTRAINT fk_credentials_tenant_principal FOREIGN KEY (tenant, principal) REFERENCES altar.principals(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.external_ids
    ADD CONSTRAINT fk_external_ids_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.external_ids
    ADD CONSTRAINT fk_external_ids_tenant_principal FOREIGN KEY (tenant, principal) REFERENCES altar.principals(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.group_mappings
    ADD CONSTRAINT fk_group_mappings_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.group_nestings
    ADD CONSTRAINT fk_group_nestings_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.group_nestings
    ADD CONSTRAINT fk_group_nestings_tenant_child FOREIGN KEY (tenant, child) REFERENCES altar.groups(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.group_nestings
    ADD CONSTRAINT fk_group_nestings_tenant_parent FOREIGN KEY (tenant, parent) REFERENCES altar.groups(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.groups
    ADD CONSTRAINT fk_groups_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.identity_providers
    ADD CONSTRAINT fk_identity_providers_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.memberships
    ADD CONSTRAINT fk_memberships_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.memberships
    ADD CONSTRAINT fk_memberships_tenant_group_name FOREIGN KEY (tenant, group_name) REFERENCES altar.groups(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.memberships
    ADD CONSTRAINT fk_memberships_tenant_principal FOREIGN KEY (tenant, principal) REFERENCES altar.principals(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.principals
    ADD CONSTRAINT fk_principals_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.refresh_tokens
    ADD CONSTRAINT fk_refresh_tokens_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.refresh_tokens
    ADD CONSTRAINT fk_refresh_tokens_tenant_principal FOREIGN KEY (tenant, principal) REFERENCES altar.principals(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.revoked_tokens
    ADD CONSTRAINT fk_revoked_tokens_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.role_inherits
    ADD CONSTRAINT fk_role_inherits_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.role_inherits
    ADD CONSTRAINT fk_role_inherits_tenant_role FOREIGN KEY (tenant, role) REFERENCES altar.roles(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.role_permissions
    ADD CONSTRAINT fk_role_permissions_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.role_permissions
    ADD CONSTRAINT fk_role_permissions_tenant_role FOREIGN KEY (tenant, role) REFERENCES altar.roles(tenant, name) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE ONLY altar.roles
    ADD CONSTRAINT fk_roles_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.scim_resources
    ADD CONSTRAINT fk_scim_resources_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.sign_in_tries
    ADD CONSTRAINT fk_sign_in_tries_tenant FOREIGN KEY (tenant) REFERENCES altar.tenants(tenant) ON DELETE CASCADE;
ALTER TABLE ONLY altar.tenants
    ADD CONSTRAINT fk_tenants_organization FOREIGN KEY (organization) REFERENCES altar.organizations(name);
ALTER TABLE ONLY altar.tenants
    ADD CONSTRAINT fk_tenants_organization_business_unit FOREIGN KEY (organization, business_unit) REFERENCES altar.business_units(organization, name);
ALTER TABLE altar.api_key_uses ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.artefacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.bindings ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.browser_sign_ins ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.counters ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.external_ids ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.group_mappings ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.group_nestings ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.identity_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.memberships ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_operator ON altar.api_key_uses TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.api_keys TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.approvals TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.artefacts TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.bindings TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.browser_sign_ins TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.changes TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.counters TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.credentials TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.external_ids TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.group_mappings TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.group_nestings TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.groups TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.identity_providers TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.memberships TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.principals TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.refresh_tokens TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.revoked_tokens TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.role_inherits TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.role_permissions TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.roles TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.scim_resources TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.sign_in_tries TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.tenant_versions TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_operator ON altar.tenants TO altar_operator USING (true) WITH CHECK (true);
CREATE POLICY of_tenant ON altar.api_key_uses TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.api_keys TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.approvals TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.artefacts TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.bindings TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.browser_sign_ins TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.changes TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.counters TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.credentials TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.external_ids TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.group_mappings TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.group_nestings TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.groups TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.identity_providers TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.memberships TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.principals TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.refresh_tokens TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.revoked_tokens TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.role_inherits TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.role_permissions TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.roles TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.scim_resources TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.sign_in_tries TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.tenant_versions TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
CREATE POLICY of_tenant ON altar.tenants TO altar_app USING (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text))) WITH CHECK (((tenant)::text = NULLIF(current_setting('altar.tenant'::text, true), ''::text)));
ALTER TABLE altar.principals ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.revoked_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.role_inherits ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.role_permissions ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.scim_resources ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.sign_in_tries ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.tenant_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE altar.tenants ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA altar TO altar_app;
GRANT USAGE ON SCHEMA altar TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.api_key_uses TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.api_key_uses TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.api_keys TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.api_keys TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.approvals TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.approvals TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.artefacts TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.artefacts TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.bindings TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.bindings TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.browser_sign_ins TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.browser_sign_ins TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.business_units TO altar_operator;
GRANT SELECT ON TABLE altar.changes TO altar_app;
GRANT SELECT ON TABLE altar.changes TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.counters TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.counters TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.credentials TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.credentials TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.external_ids TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.external_ids TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.group_mappings TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.group_mappings TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.group_nestings TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.group_nestings TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.groups TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.groups TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.identity_providers TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.identity_providers TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.memberships TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.memberships TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.organizations TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.principals TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.principals TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.refresh_tokens TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.refresh_tokens TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.revoked_tokens TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.revoked_tokens TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.role_inherits TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.role_inherits TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.role_permissions TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.role_permissions TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.roles TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.roles TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.scim_resources TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.scim_resources TO altar_operator;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.sign_in_tries TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.sign_in_tries TO altar_operator;
GRANT SELECT ON TABLE altar.tenant_versions TO altar_app;
GRANT SELECT ON TABLE altar.tenant_versions TO altar_operator;
GRANT SELECT ON TABLE altar.tenants TO altar_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE altar.tenants TO altar_operator;
