CREATE TABLE approvals (
	tenant VARCHAR(128) NOT NULL,
	id VARCHAR(64) NOT NULL,
	principal VARCHAR(128) NOT NULL,
	host VARCHAR(64) NOT NULL,
	body BYTEA NOT NULL,
	claimed_by VARCHAR(64) NOT NULL,
	claim VARCHAR(128) NOT NULL,
	place BIGINT NOT NULL,
	expires_ms BIGINT NOT NULL,
	CONSTRAINT pk_approvals PRIMARY KEY (tenant, id),
	CONSTRAINT fk_approvals_tenant_principal FOREIGN KEY(tenant, principal) REFERENCES principals (tenant, name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_approvals_tenant FOREIGN KEY(tenant) REFERENCES tenants (tenant) ON DELETE CASCADE
)
;

CREATE INDEX ix_approvals_tenant_expires_ms ON approvals (tenant, expires_ms)
;

ALTER TABLE approvals ENABLE ROW LEVEL SECURITY
;

CREATE POLICY of_tenant ON approvals TO altar_app USING (tenant = nullif(current_setting('altar.tenant', true), '')) WITH CHECK (tenant = nullif(current_setting('altar.tenant', true), ''))
;

CREATE POLICY of_operator ON approvals TO altar_operator USING (true) WITH CHECK (true)
;

ALTER TABLE approvals FORCE ROW LEVEL SECURITY
;

GRANT SELECT, INSERT, UPDATE, DELETE ON approvals TO altar_app
;

GRANT SELECT, INSERT, UPDATE, DELETE ON approvals TO altar_operator
