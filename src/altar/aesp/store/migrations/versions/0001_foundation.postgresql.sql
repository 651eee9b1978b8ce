GRANT USAGE ON SCHEMA altar TO altar_app, altar_operator
;

CREATE FUNCTION altar_note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = altar, pg_temp AS $$
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
END $$
;

CREATE TABLE changes (
	tenant VARCHAR(128) NOT NULL,
	version BIGINT NOT NULL,
	what VARCHAR(32) NOT NULL,
	key VARCHAR(512) NOT NULL,
	CONSTRAINT pk_changes PRIMARY KEY (tenant, version)
)
;

CREATE TABLE organizations (
	name VARCHAR(128) NOT NULL,
	display VARCHAR(256) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_organizations PRIMARY KEY (name)
)
;

CREATE TABLE tenant_versions (
	tenant VARCHAR(128) NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT pk_tenant_versions PRIMARY KEY (tenant)
)
;

CREATE TABLE business_units (
	organization VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	display VARCHAR(256) NOT NULL,
	cost_center VARCHAR(128) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_business_units PRIMARY KEY (organization, name),
	CONSTRAINT fk_business_units_organization FOREIGN KEY(organization) REFERENCES organizations (name) ON DELETE CASCADE
)
;

CREATE TABLE tenants (
	tenant VARCHAR(128) NOT NULL,
	display VARCHAR(256) NOT NULL,
	organization VARCHAR(128),
	business_unit VARCHAR(128),
	status VARCHAR(16) NOT NULL,
	quotas TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_tenants PRIMARY KEY (tenant),
	CONSTRAINT fk_tenants_organization FOREIGN KEY(organization) REFERENCES organizations (name),
	CONSTRAINT fk_tenants_organization_business_unit FOREIGN KEY(organization, business_unit) REFERENCES business_units (organization, name),
	CONSTRAINT ck_tenants_status CHECK (status in ('ACTIVE', 'SUSPENDED', 'DELETED'))
)
;

CREATE TABLE browser_sign_ins (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(128) NOT NULL,
	provider VARCHAR(128) NOT NULL,
	data TEXT NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_browser_sign_ins PRIMARY KEY (tenant, id),
	CONSTRAINT fk_browser_sign_ins_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_browser_sign_ins_tenant_expires_ms ON browser_sign_ins (tenant, expires_ms)
;

CREATE TABLE group_mappings (
	tenant VARCHAR(128) NOT NULL,
	provider VARCHAR(128) NOT NULL,
	pattern VARCHAR(512) NOT NULL,
	role VARCHAR(128) NOT NULL,
	scope VARCHAR(256) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_group_mappings PRIMARY KEY (tenant, provider, pattern, role, scope),
	CONSTRAINT fk_group_mappings_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE groups (
	tenant VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	display VARCHAR(256) NOT NULL,
	source VARCHAR(128) NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_groups PRIMARY KEY (tenant, name),
	CONSTRAINT fk_groups_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE identity_providers (
	tenant VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	kind VARCHAR(32) NOT NULL,
	active BOOLEAN NOT NULL,
	configuration TEXT NOT NULL,
	state TEXT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_identity_providers PRIMARY KEY (tenant, name),
	CONSTRAINT fk_identity_providers_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE principals (
	tenant VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	kind VARCHAR(32) NOT NULL,
	display VARCHAR(256) NOT NULL,
	email VARCHAR(320) NOT NULL,
	active BOOLEAN NOT NULL,
	clearance VARCHAR(64) NOT NULL,
	attributes TEXT NOT NULL,
	source VARCHAR(128) NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	not_before_ms BIGINT NOT NULL,
	CONSTRAINT pk_principals PRIMARY KEY (tenant, name),
	CONSTRAINT ck_principals_kind CHECK (kind in ('user', 'service_account', 'system_account')),
	CONSTRAINT fk_principals_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE revoked_tokens (
	tenant VARCHAR(128) NOT NULL,
	jti VARCHAR(128) NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_revoked_tokens PRIMARY KEY (tenant, jti),
	CONSTRAINT fk_revoked_tokens_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE roles (
	tenant VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	description VARCHAR(1024) NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_roles PRIMARY KEY (tenant, name),
	CONSTRAINT fk_roles_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE scim_resources (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	name VARCHAR(128) NOT NULL,
	called VARCHAR(512) NOT NULL,
	external_id VARCHAR(512),
	data TEXT NOT NULL,
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_scim_resources PRIMARY KEY (tenant, id),
	CONSTRAINT fk_scim_resources_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_scim_resources_external ON scim_resources (tenant, kind, external_id)
;

CREATE UNIQUE INDEX uq_scim_resources_called ON scim_resources (tenant, kind, called)
;

CREATE UNIQUE INDEX uq_scim_resources_name ON scim_resources (tenant, kind, name)
;

CREATE TABLE api_keys (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	description VARCHAR(256) NOT NULL,
	salt BYTEA NOT NULL,
	digest BYTEA NOT NULL,
	scopes TEXT,
	successor VARCHAR(64),
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT,
	revoked_ms BIGINT,
	CONSTRAINT pk_api_keys PRIMARY KEY (tenant, id),
	CONSTRAINT fk_api_keys_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_api_keys_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE UNIQUE INDEX uq_api_keys_id ON api_keys (id)
;

CREATE TABLE bindings (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	role VARCHAR(128) NOT NULL,
	principal VARCHAR(128),
	group_name VARCHAR(128),
	scope VARCHAR(256) NOT NULL,
	expires_ms BIGINT,
	source VARCHAR(128) NOT NULL,
	created_by VARCHAR(256) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_bindings PRIMARY KEY (tenant, id),
	CONSTRAINT fk_bindings_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_bindings_tenant_group_name FOREIGN KEY(tenant, group_name) REFERENCES groups (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT ck_bindings_subject CHECK ((principal is null) <> (group_name is null)),
	CONSTRAINT fk_bindings_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_bindings_tenant_group_name ON bindings (tenant, group_name)
;

CREATE INDEX ix_bindings_tenant_principal ON bindings (tenant, principal)
;

CREATE TABLE credentials (
	tenant VARCHAR(128) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	kind VARCHAR(32) NOT NULL,
	secret TEXT NOT NULL,
	data TEXT NOT NULL,
	changed_ms BIGINT NOT NULL,
	expires_ms BIGINT,
	CONSTRAINT pk_credentials PRIMARY KEY (tenant, principal, kind),
	CONSTRAINT fk_credentials_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_credentials_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE external_ids (
	tenant VARCHAR(128) NOT NULL,
	provider VARCHAR(128) NOT NULL,
	subject VARCHAR(512) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_external_ids PRIMARY KEY (tenant, provider, subject),
	CONSTRAINT fk_external_ids_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_external_ids_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_external_ids_tenant_principal ON external_ids (tenant, principal)
;

CREATE TABLE group_nestings (
	tenant VARCHAR(128) NOT NULL,
	parent VARCHAR(128) NOT NULL,
	child VARCHAR(128) NOT NULL,
	source VARCHAR(128) NOT NULL,
	CONSTRAINT pk_group_nestings PRIMARY KEY (tenant, parent, child, source),
	CONSTRAINT fk_group_nestings_tenant_parent FOREIGN KEY(tenant, parent) REFERENCES groups (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_group_nestings_tenant_child FOREIGN KEY(tenant, child) REFERENCES groups (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_group_nestings_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_group_nestings_tenant_child ON group_nestings (tenant, child)
;

CREATE TABLE memberships (
	tenant VARCHAR(128) NOT NULL,
	group_name VARCHAR(128) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	source VARCHAR(128) NOT NULL,
	CONSTRAINT pk_memberships PRIMARY KEY (tenant, group_name, principal, source),
	CONSTRAINT fk_memberships_tenant_group_name FOREIGN KEY(tenant, group_name) REFERENCES groups (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_memberships_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_memberships_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_memberships_tenant_principal ON memberships (tenant, principal)
;

CREATE TABLE refresh_tokens (
	tenant VARCHAR(128) NOT NULL,
	digest BYTEA NOT NULL,
	family VARCHAR(64) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	data TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	used_ms BIGINT,
	revoked_ms BIGINT,
	CONSTRAINT pk_refresh_tokens PRIMARY KEY (tenant, digest),
	CONSTRAINT fk_refresh_tokens_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_refresh_tokens_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_refresh_tokens_tenant_family ON refresh_tokens (tenant, family)
;

CREATE TABLE role_inherits (
	tenant VARCHAR(128) NOT NULL,
	role VARCHAR(128) NOT NULL,
	inherits VARCHAR(128) NOT NULL,
	CONSTRAINT pk_role_inherits PRIMARY KEY (tenant, role, inherits),
	CONSTRAINT fk_role_inherits_tenant_role FOREIGN KEY(tenant, role) REFERENCES roles (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_role_inherits_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE role_permissions (
	tenant VARCHAR(128) NOT NULL,
	role VARCHAR(128) NOT NULL,
	permission VARCHAR(256) NOT NULL,
	CONSTRAINT pk_role_permissions PRIMARY KEY (tenant, role, permission),
	CONSTRAINT fk_role_permissions_tenant_role FOREIGN KEY(tenant, role) REFERENCES roles (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_role_permissions_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE TABLE api_key_uses (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	used_ms BIGINT NOT NULL,
	CONSTRAINT pk_api_key_uses PRIMARY KEY (tenant, id),
	CONSTRAINT fk_api_key_uses_tenant_id FOREIGN KEY(tenant, id) REFERENCES api_keys (tenant, id) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_api_key_uses_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

ALTER TABLE changes ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON changes TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON changes TO altar_operator USING (true) WITH CHECK (true)
;

GRANT SELECT ON changes TO altar_app, altar_operator
;

GRANT SELECT, INSERT, UPDATE, DELETE ON organizations TO altar_operator
;

ALTER TABLE tenant_versions ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON tenant_versions TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON tenant_versions TO altar_operator USING (true) WITH CHECK (true)
;

GRANT SELECT ON tenant_versions TO altar_app, altar_operator
;

GRANT SELECT, INSERT, UPDATE, DELETE ON business_units TO altar_operator
;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON tenants TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON tenants TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE tenants FORCE ROW LEVEL SECURITY
;

GRANT SELECT ON tenants TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON tenants TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION altar_note_change('tenant', 'tenant')
;

ALTER TABLE browser_sign_ins ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON browser_sign_ins TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON browser_sign_ins TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE browser_sign_ins FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON browser_sign_ins TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON browser_sign_ins TO altar_operator
;

ALTER TABLE group_mappings ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON group_mappings TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON group_mappings TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE group_mappings FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON group_mappings TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON group_mappings TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON group_mappings FOR EACH ROW EXECUTE FUNCTION altar_note_change('mapping', 'provider')
;

ALTER TABLE groups ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON groups TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON groups TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE groups FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON groups TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON groups TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON groups FOR EACH ROW EXECUTE FUNCTION altar_note_change('group', 'name')
;

ALTER TABLE identity_providers ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON identity_providers TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON identity_providers TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE identity_providers FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON identity_providers TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON identity_providers TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON identity_providers FOR EACH ROW EXECUTE FUNCTION altar_note_change('provider', 'name')
;

ALTER TABLE principals ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON principals TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON principals TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE principals FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON principals TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON principals TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON principals FOR EACH ROW EXECUTE FUNCTION altar_note_change('principal', 'name')
;

ALTER TABLE revoked_tokens ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON revoked_tokens TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON revoked_tokens TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE revoked_tokens FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON revoked_tokens TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON revoked_tokens TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON revoked_tokens FOR EACH ROW EXECUTE FUNCTION altar_note_change('token', 'jti')
;

ALTER TABLE roles ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON roles TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON roles TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE roles FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON roles TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON roles TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON roles FOR EACH ROW EXECUTE FUNCTION altar_note_change('role', 'name')
;

ALTER TABLE scim_resources ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON scim_resources TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON scim_resources TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE scim_resources FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON scim_resources TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON scim_resources TO altar_operator
;

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON api_keys TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON api_keys TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE api_keys FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION altar_note_change('key', 'id')
;

ALTER TABLE bindings ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON bindings TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON bindings TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE bindings FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON bindings TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON bindings TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON bindings FOR EACH ROW EXECUTE FUNCTION altar_note_change('binding', 'id')
;

ALTER TABLE credentials ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON credentials TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON credentials TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE credentials FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON credentials TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON credentials TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON credentials FOR EACH ROW EXECUTE FUNCTION altar_note_change('credential', 'principal')
;

ALTER TABLE external_ids ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON external_ids TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON external_ids TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE external_ids FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON external_ids TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON external_ids TO altar_operator
;

ALTER TABLE group_nestings ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON group_nestings TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON group_nestings TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE group_nestings FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON group_nestings TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON group_nestings TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON group_nestings FOR EACH ROW EXECUTE FUNCTION altar_note_change('nesting', 'child')
;

ALTER TABLE memberships ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON memberships TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON memberships TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE memberships FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON memberships TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON memberships TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON memberships FOR EACH ROW EXECUTE FUNCTION altar_note_change('member', 'principal')
;

ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON refresh_tokens TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON refresh_tokens TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens TO altar_operator
;

ALTER TABLE role_inherits ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON role_inherits TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON role_inherits TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE role_inherits FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON role_inherits TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON role_inherits TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON role_inherits FOR EACH ROW EXECUTE FUNCTION altar_note_change('role', 'role')
;

ALTER TABLE role_permissions ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON role_permissions TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON role_permissions TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE role_permissions FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON role_permissions TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON role_permissions TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON role_permissions FOR EACH ROW EXECUTE FUNCTION altar_note_change('role', 'role')
;

ALTER TABLE api_key_uses ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON api_key_uses TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON api_key_uses TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE api_key_uses FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON api_key_uses TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON api_key_uses TO altar_operator
