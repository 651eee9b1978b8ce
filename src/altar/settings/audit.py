"""Settings of what becomes of the log: where it is sent on to, who witnesses it, what is redacted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from altar.settings.sections import Count, Seconds, Section

__all__ = ["Audit", "AuditSink"]

_NEEDED = {
    "s3": ("bucket", "token_file", "secret_file"),
    "datadog": ("token_file",),
    "splunk": ("token_file",),
    "webhook": ("token_file",),
}


class AuditSink(Section):
    """One receiver of the log, a table `[[audit.sinks]]` of its own."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="Name of the sink; its cursor has it.")
    kind: Literal["file", "syslog", "datadog", "splunk", "otlp", "s3", "webhook"] = Field(
        description="What the receiver is."
    )
    address: str = Field(
        min_length=1,
        max_length=2048,
        description="A path for `file`, `host:port` for `syslog`, else the address of an HTTP service.",
    )
    format: Literal["ndjson", "csv", "cef", "ocsf"] = Field(
        default="ndjson", description="Form of a record in `file`, `syslog` and `s3`."
    )
    tenants: tuple[str, ...] = Field(default=(), description="Tenants whose records are sent; empty for all.")
    events: tuple[str, ...] = Field(default=(), description="Events that are sent, such as `admin.*`; empty for all.")
    begin: Literal["beginning", "now"] = Field(
        default="beginning", description="Whether a new sink gets what is in the log already."
    )
    batch: int = Field(default=500, ge=1, le=1000, description="Most records that are sent at once.")
    linger: float = Field(default=0, ge=0, le=3600, description="Seconds that records may wait for more.")
    timeout: Seconds = Field(default=10, description="Seconds that the receiver may take.")
    transport: Literal["tls", "tcp", "udp"] = Field(default="tls", description="How syslog is sent.")
    authority: Path | None = Field(default=None, description="Certificates that are trusted, PEM; else the system's.")
    certificate: Path | None = Field(default=None, description="Certificate of this party, PEM, if the receiver asks.")
    key: Path | None = Field(default=None, description="Private key of that certificate, PEM.")
    token_file: Path | None = Field(
        default=None,
        description="File of the API key (Datadog), token (Splunk, OTLP), access key (S3) or signing secret (webhook).",
    )
    secret_file: Path | None = Field(default=None, description="File of the secret of the access key (S3).")
    acknowledge: bool = Field(default=False, description="Wait until Splunk has indexed what it was sent.")
    index: str = Field(default="", description="Index of Splunk.")
    service: str = Field(default="altar", description="Name of the service in Datadog and OTLP.")
    region: str = Field(default="us-east-1", description="Region of the bucket (S3).")
    bucket: str = Field(default="", description="Name of the bucket (S3).")
    prefix: str = Field(default="", description="What names of objects begin with (S3).")
    networks: tuple[str, ...] = Field(
        default=(), description="Networks beyond the public internet that a webhook may lie in, such as `10.1.0.0/16`."
    )
    rotate_bytes: Count = Field(default=64 * 1024 * 1024, description="Bytes after which a file is put aside.")
    keep: int = Field(default=10, ge=0, le=1000, description="How many files that were put aside stay.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in _NEEDED.get(self.kind, ()):
            if not getattr(self, name):
                raise ValueError(f"a sink of kind {self.kind!r} needs {name!r}")
        return self


class Audit(Section):
    """Where the log is, and what becomes of it beside being written."""

    log: Literal["auto", "file", "database"] = Field(
        default="auto",
        description="Where the log is: a file in `host.data`, or the PostgreSQL of `database_url`; `auto` takes the"
        " database for a governed host that has no log in a file yet.",
    )
    sinks: tuple[AuditSink, ...] = Field(
        default=(), max_length=32, description="Receivers that the log is sent on to, each a table `[[audit.sinks]]`."
    )
    redact: tuple[str, ...] = Field(
        default=(), description="Further words; what an application records under a key with one of them is withheld."
    )
    retain_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Days for which entries are kept; older ones are sealed into archives and removed.",
    )
    retain_tenants: dict[str, int] = Field(
        default={}, description="Days by the name of a tenant, where they are others; 0 keeps its log for ever."
    )
    archives: Path | None = Field(
        default=None, description="Directory of the archives; else `ledger.db.archives` beside the log."
    )
    witnesses: tuple[Path, ...] = Field(
        default=(), description="Files of witnesses that cosign checkpoints: two lines each, address and verifier key."
    )
    anchor: Path | None = Field(
        default=None, description="Directory that checkpoints are written to, on another disk or machine."
    )
    anchor_interval: Seconds = Field(
        default=60, description="Seconds between two checkpoints that are written there or sent to witnesses."
    )
