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
)
;

CREATE UNIQUE INDEX uq_artefacts_active ON artefacts (tenant, kind, name) WHERE status = 'ACTIVE'
;

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
)
;

CREATE TABLE sign_in_tries (
	tenant VARCHAR(128) NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	failures BIGINT NOT NULL,
	failed_ms BIGINT NOT NULL,
	succeeded_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_sign_in_tries PRIMARY KEY (tenant, "key"),
	CONSTRAINT fk_sign_in_tries_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_sign_in_tries_tenant_expires_ms ON sign_in_tries (tenant, expires_ms)
;

CREATE TRIGGER artefacts_insert AFTER INSERT ON artefacts BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'artefact', NEW.kind);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END
;

CREATE TRIGGER artefacts_update AFTER UPDATE ON artefacts BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (NEW.tenant, (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant), 'artefact', NEW.kind);
  DELETE FROM changes WHERE tenant = NEW.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = NEW.tenant) % 1024 = 0;
END
;

CREATE TRIGGER artefacts_delete AFTER DELETE ON artefacts BEGIN
  INSERT INTO tenant_versions (tenant, version) VALUES (OLD.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET version = version + 1;
  INSERT INTO changes (tenant, version, what, key) VALUES (OLD.tenant, (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant), 'artefact', OLD.kind);
  DELETE FROM changes WHERE tenant = OLD.tenant AND version <= (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) - 1024 AND (SELECT version FROM tenant_versions WHERE tenant = OLD.tenant) % 1024 = 0;
END
