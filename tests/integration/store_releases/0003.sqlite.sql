PRAGMA application_id = 1095521363;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE api_key_uses (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	used_ms BIGINT NOT NULL,
	CONSTRAINT pk_api_key_uses PRIMARY KEY (tenant, id),
	CONSTRAINT fk_api_key_uses_tenant_id FOREIGN KEY(tenant, id) REFERENCES api_keys (tenant, id) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_api_key_uses_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE api_keys (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	description VARCHAR(256) NOT NULL,
	salt BLOB NOT NULL,
	digest BLOB NOT NULL,
	scopes TEXT,
	successor VARCHAR(64),
	created_ms BIGINT NOT NULL,
	expires_ms BIGINT,
	revoked_ms BIGINT,
	CONSTRAINT pk_api_keys PRIMARY KEY (tenant, id),
	CONSTRAINT fk_api_keys_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_api_keys_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE approvals (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	host VARCHAR(64) NOT NULL,
	body BLOB NOT NULL,
	claimed_by VARCHAR(64) NOT NULL,
	claim VARCHAR(128) NOT NULL,
	place BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_approvals PRIMARY KEY (tenant, id),
	CONSTRAINT fk_approvals_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_approvals_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE artefacts (
	tenant VARCHAR(128) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	name VARCHAR(256) NOT NULL,
	version BIGINT NOT NULL,
	status VARCHAR(16) NOT NULL,
	body TEXT NOT NULL,
	digest VARCHAR(71) NOT NULL,
	note VARCHAR(1024) NOT NULL,
	authors TEXT NOT NULL,
	against BIGINT NOT NULL,
	reviewed_by VARCHAR(256) NOT NULL,
	changed_by VARCHAR(256) NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	activated_ms BIGINT,
	CONSTRAINT pk_artefacts PRIMARY KEY (tenant, kind, name, version),
	CONSTRAINT ck_artefacts_kind CHECK (kind in ('policy', 'contract', 'role', 'price', 'configuration')),
	CONSTRAINT ck_artefacts_status CHECK (status in ('DRAFT', 'PENDING_APPROVAL', 'ACTIVE', 'RETIRED')),
	CONSTRAINT fk_artefacts_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
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
);
INSERT INTO "bindings" VALUES('acme','b-1','caller',NULL,'team','*',NULL,'local','',1000);
CREATE TABLE browser_sign_ins (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(128) NOT NULL,
	provider VARCHAR(128) NOT NULL,
	data TEXT NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_browser_sign_ins PRIMARY KEY (tenant, id),
	CONSTRAINT fk_browser_sign_ins_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE business_units (
	organization VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	display VARCHAR(256) NOT NULL,
	cost_center VARCHAR(128) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_business_units PRIMARY KEY (organization, name),
	CONSTRAINT fk_business_units_organization FOREIGN KEY(organization) REFERENCES organizations (name) ON DELETE CASCADE
);
CREATE TABLE changes (
	tenant VARCHAR(128) NOT NULL,
	version BIGINT NOT NULL,
	what VARCHAR(32) NOT NULL,
	"key" VARCHAR(512) NOT NULL,
	CONSTRAINT pk_changes PRIMARY KEY (tenant, version)
);
INSERT INTO "changes" VALUES('acme',1,'tenant','acme');
INSERT INTO "changes" VALUES('acme',2,'role','caller');
INSERT INTO "changes" VALUES('acme',3,'role','caller');
INSERT INTO "changes" VALUES('acme',4,'role','caller');
INSERT INTO "changes" VALUES('acme',5,'principal','alice');
INSERT INTO "changes" VALUES('acme',6,'group','team');
INSERT INTO "changes" VALUES('acme',7,'member','alice');
INSERT INTO "changes" VALUES('acme',8,'binding','b-1');
CREATE TABLE counters (
	tenant VARCHAR(128) NOT NULL,
	day BIGINT NOT NULL,
	host VARCHAR(64) NOT NULL,
	principal VARCHAR(256) NOT NULL,
	calls BIGINT NOT NULL,
	covers BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_counters PRIMARY KEY (tenant, day, host, principal),
	CONSTRAINT fk_counters_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
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
);
CREATE TABLE external_ids (
	tenant VARCHAR(128) NOT NULL,
	provider VARCHAR(128) NOT NULL,
	subject VARCHAR(512) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_external_ids PRIMARY KEY (tenant, provider, subject),
	CONSTRAINT fk_external_ids_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_external_ids_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE group_mappings (
	tenant VARCHAR(128) NOT NULL,
	provider VARCHAR(128) NOT NULL,
	pattern VARCHAR(512) NOT NULL,
	role VARCHAR(128) NOT NULL,
	scope VARCHAR(256) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_group_mappings PRIMARY KEY (tenant, provider, pattern, role, scope),
	CONSTRAINT fk_group_mappings_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE group_nestings (
	tenant VARCHAR(128) NOT NULL,
	parent VARCHAR(128) NOT NULL,
	child VARCHAR(128) NOT NULL,
	source VARCHAR(128) NOT NULL,
	CONSTRAINT pk_group_nestings PRIMARY KEY (tenant, parent, child, source),
	CONSTRAINT fk_group_nestings_tenant_parent FOREIGN KEY(tenant, parent) REFERENCES groups (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_group_nestings_tenant_child FOREIGN KEY(tenant, child) REFERENCES groups (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_group_nestings_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE groups (
	tenant VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	display VARCHAR(256) NOT NULL,
	source VARCHAR(128) NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_groups PRIMARY KEY (tenant, name),
	CONSTRAINT fk_groups_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
INSERT INTO "groups" VALUES('acme','team','','local',1,1);
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
);
CREATE TABLE memberships (
	tenant VARCHAR(128) NOT NULL,
	group_name VARCHAR(128) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	source VARCHAR(128) NOT NULL,
	CONSTRAINT pk_memberships PRIMARY KEY (tenant, group_name, principal, source),
	CONSTRAINT fk_memberships_tenant_group_name FOREIGN KEY(tenant, group_name) REFERENCES groups (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_memberships_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_memberships_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
INSERT INTO "memberships" VALUES('acme','team','alice','local');
CREATE TABLE organizations (
	name VARCHAR(128) NOT NULL,
	display VARCHAR(256) NOT NULL,
	created_ms BIGINT NOT NULL,
	CONSTRAINT pk_organizations PRIMARY KEY (name)
);
INSERT INTO "organizations" VALUES('initech','',1000);
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
);
INSERT INTO "principals" VALUES('acme','alice','user','','',1,'','{}','local',1,1,1);
CREATE TABLE refresh_tokens (
	tenant VARCHAR(128) NOT NULL,
	digest BLOB NOT NULL,
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
);
CREATE TABLE revoked_tokens (
	tenant VARCHAR(128) NOT NULL,
	jti VARCHAR(128) NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_revoked_tokens PRIMARY KEY (tenant, jti),
	CONSTRAINT fk_revoked_tokens_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE role_inherits (
	tenant VARCHAR(128) NOT NULL,
	role VARCHAR(128) NOT NULL,
	inherits VARCHAR(128) NOT NULL,
	CONSTRAINT pk_role_inherits PRIMARY KEY (tenant, role, inherits),
	CONSTRAINT fk_role_inherits_tenant_role FOREIGN KEY(tenant, role) REFERENCES roles (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_role_inherits_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
INSERT INTO "role_inherits" VALUES('acme','caller','viewer');
CREATE TABLE role_permissions (
	tenant VARCHAR(128) NOT NULL,
	role VARCHAR(128) NOT NULL,
	permission VARCHAR(256) NOT NULL,
	CONSTRAINT pk_role_permissions PRIMARY KEY (tenant, role, permission),
	CONSTRAINT fk_role_permissions_tenant_role FOREIGN KEY(tenant, role) REFERENCES roles (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_role_permissions_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
INSERT INTO "role_permissions" VALUES('acme','caller','tools:execute');
CREATE TABLE roles (
	tenant VARCHAR(128) NOT NULL,
	name VARCHAR(128) NOT NULL,
	description VARCHAR(1024) NOT NULL,
	created_ms BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	CONSTRAINT pk_roles PRIMARY KEY (tenant, name),
	CONSTRAINT fk_roles_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
INSERT INTO "roles" VALUES('acme','caller','',1000,1000);
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
);
CREATE TABLE sign_in_tries (
	tenant VARCHAR(128) NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	failures BIGINT NOT NULL,
	failed_ms BIGINT NOT NULL,
	succeeded_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_sign_in_tries PRIMARY KEY (tenant, "key"),
	CONSTRAINT fk_sign_in_tries_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
);
CREATE TABLE tenant_versions (
	tenant VARCHAR(128) NOT NULL,
	version BIGINT NOT NULL,
	CONSTRAINT pk_tenant_versions PRIMARY KEY (tenant)
);
INSERT INTO "tenant_versions" VALUES('acme',8);
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
);
INSERT INTO "tenants" VALUES('acme','','initech',NULL,'ACTIVE','{"roles":9}',1000,1000);
CREATE INDEX ix_browser_sign_ins_tenant_expires_ms ON browser_sign_ins (tenant, expires_ms);
CREATE INDEX ix_scim_resources_external ON scim_resources (tenant, kind, external_id);
CREATE UNIQUE INDEX uq_scim_resources_called ON scim_resources (tenant, kind, called);
CREATE UNIQUE INDEX uq_scim_resources_name ON scim_resources (tenant, kind, name);
CREATE UNIQUE INDEX uq_api_keys_id ON api_keys (id);
CREATE INDEX ix_bindings_tenant_group_name ON bindings (tenant, group_name);
CREATE INDEX ix_bindings_tenant_principal ON bindings (tenant, principal);
CREATE INDEX ix_external_ids_tenant_principal ON external_ids (tenant, principal);
CREATE INDEX ix_group_nestings_tenant_child ON group_nestings (tenant, child);
CREATE INDEX ix_memberships_tenant_principal ON memberships (tenant, principal);
CREATE INDEX ix_refresh_tokens_tenant_family ON refresh_tokens (tenant, family);
CREATE TRIGGER tenants_insert AFTER INSERT ON tenants BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'tenant', NEW.tenant);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER tenants_update AFTER UPDATE ON tenants BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'tenant', NEW.tenant);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER tenants_delete AFTER DELETE ON tenants BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'tenant', OLD.tenant);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER group_mappings_insert AFTER INSERT ON group_mappings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'mapping', NEW.provider);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER group_mappings_update AFTER UPDATE ON group_mappings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'mapping', NEW.provider);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER group_mappings_delete AFTER DELETE ON group_mappings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'mapping', OLD.provider);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER groups_insert AFTER INSERT ON groups BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'group', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER groups_update AFTER UPDATE ON groups BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'group', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER groups_delete AFTER DELETE ON groups BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'group', OLD.name);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER identity_providers_insert AFTER INSERT ON identity_providers BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'provider', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER identity_providers_update AFTER UPDATE ON identity_providers BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'provider', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER identity_providers_delete AFTER DELETE ON identity_providers BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'provider', OLD.name);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER principals_insert AFTER INSERT ON principals BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'principal', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER principals_update AFTER UPDATE ON principals BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'principal', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER principals_delete AFTER DELETE ON principals BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'principal', OLD.name);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER revoked_tokens_insert AFTER INSERT ON revoked_tokens BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'token', NEW.jti);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER revoked_tokens_update AFTER UPDATE ON revoked_tokens BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'token', NEW.jti);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER revoked_tokens_delete AFTER DELETE ON revoked_tokens BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'token', OLD.jti);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER roles_insert AFTER INSERT ON roles BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'role', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER roles_update AFTER UPDATE ON roles BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'role', NEW.name);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER roles_delete AFTER DELETE ON roles BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'role', OLD.name);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER api_keys_insert AFTER INSERT ON api_keys BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'key', NEW.id);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER api_keys_update AFTER UPDATE ON api_keys BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'key', NEW.id);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER api_keys_delete AFTER DELETE ON api_keys BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'key', OLD.id);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER bindings_insert AFTER INSERT ON bindings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'binding', NEW.id);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER bindings_update AFTER UPDATE ON bindings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'binding', NEW.id);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER bindings_delete AFTER DELETE ON bindings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'binding', OLD.id);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER credentials_insert AFTER INSERT ON credentials BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'credential', NEW.principal);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER credentials_update AFTER UPDATE ON credentials BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'credential', NEW.principal);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER credentials_delete AFTER DELETE ON credentials BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'credential', OLD.principal);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER group_nestings_insert AFTER INSERT ON group_nestings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'nesting', NEW.child);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER group_nestings_update AFTER UPDATE ON group_nestings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'nesting', NEW.child);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER group_nestings_delete AFTER DELETE ON group_nestings BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'nesting', OLD.child);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER memberships_insert AFTER INSERT ON memberships BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'member', NEW.principal);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER memberships_update AFTER UPDATE ON memberships BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'member', NEW.principal);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER memberships_delete AFTER DELETE ON memberships BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'member', OLD.principal);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER role_inherits_insert AFTER INSERT ON role_inherits BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'role', NEW.role);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER role_inherits_update AFTER UPDATE ON role_inherits BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'role', NEW.role);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER role_inherits_delete AFTER DELETE ON role_inherits BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'role', OLD.role);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE TRIGGER role_permissions_insert AFTER INSERT ON role_permissions BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'role', NEW.role);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER role_permissions_update AFTER UPDATE ON role_permissions BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'role', NEW.role);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER role_permissions_delete AFTER DELETE ON role_permissions BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'role', OLD.role);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE UNIQUE INDEX uq_artefacts_active ON artefacts (tenant, kind, name) WHERE status = 'ACTIVE';
CREATE INDEX ix_sign_in_tries_tenant_expires_ms ON sign_in_tries (tenant, expires_ms);
CREATE TRIGGER artefacts_insert AFTER INSERT ON artefacts BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'artefact', NEW.kind);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER artefacts_update AFTER UPDATE ON artefacts BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'artefact', NEW.kind);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END;
CREATE TRIGGER artefacts_delete AFTER DELETE ON artefacts BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'artefact', OLD.kind);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END;
CREATE INDEX ix_approvals_tenant_expires_ms ON approvals (tenant, expires_ms);
COMMIT;
