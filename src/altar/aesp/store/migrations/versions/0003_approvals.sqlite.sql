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
)
;

CREATE INDEX ix_approvals_tenant_expires_ms ON approvals (tenant, expires_ms)
