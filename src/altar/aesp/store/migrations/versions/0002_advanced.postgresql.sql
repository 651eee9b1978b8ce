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
	key VARCHAR(64) NOT NULL,
	failures BIGINT NOT NULL,
	failed_ms BIGINT NOT NULL,
	succeeded_ms BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_sign_in_tries PRIMARY KEY (tenant, key),
	CONSTRAINT fk_sign_in_tries_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_sign_in_tries_tenant_expires_ms ON sign_in_tries (tenant, expires_ms)
;

ALTER TABLE artefacts ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON artefacts TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON artefacts TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE artefacts FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON artefacts TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON artefacts TO altar_operator
;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON artefacts FOR EACH ROW EXECUTE FUNCTION altar_note_change('artefact', 'kind')
;

ALTER TABLE counters ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON counters TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON counters TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE counters FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON counters TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON counters TO altar_operator
;

ALTER TABLE sign_in_tries ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON sign_in_tries TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON sign_in_tries TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE sign_in_tries FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_tries TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_tries TO altar_operator
