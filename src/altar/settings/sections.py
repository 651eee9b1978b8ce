"""The groups of settings: what each may be, and what it is without being set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = ["Count", "Host", "HostPort", "Runtime", "Seconds", "Section", "Source", "Telemetry", "TlsFiles"]


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")  # noqa: TRY004 (pydantic turns it into a refusal)
    return value


_SOURCE = r"^(later:|[a-z][a-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[1-9][0-9]{0,4}(/session-[0-9a-f]{32})?)$"
_HOST_PORT = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(0|[1-9][0-9]{0,4})$"


def _source(address: str) -> str:
    if re.fullmatch(_SOURCE, address) is None:
        raise ValueError("a source is 'later:' or an address such as 'grid://host:port'")
    return address


def _host_port(address: str) -> str:
    if re.fullmatch(_HOST_PORT, address) is None:
        raise ValueError("an address is a host and a port, such as '127.0.0.1:7443'")
    return address


def _in_range(address: str) -> str:
    port = address.rpartition(":")[2].partition("/")[0]
    if port and int(port) > 65535:
        raise ValueError("a port is at most 65535")
    return address


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_truth)]
"""A time in seconds, above zero."""

Count = Annotated[int, Field(gt=0), BeforeValidator(_no_truth)]
"""A whole number above zero."""

HostPort = Annotated[
    str,
    Field(max_length=300, json_schema_extra={"pattern": _HOST_PORT}),
    AfterValidator(_host_port),
    AfterValidator(_in_range),
]
"""An address such as `127.0.0.1:7443`, `[::1]:7443` or `host.example:7443`; port 0 lets the system choose."""

Source = Annotated[
    str, Field(json_schema_extra={"pattern": _SOURCE}), AfterValidator(_source), AfterValidator(_in_range)
]
"""Where tools run: `later:`, or an address such as `grid://host:port`."""


class Section(BaseModel):
    """A group of settings: frozen, and closed against names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsFiles(Section):
    """The three PEM files by which one party proves who it is and knows whom to trust."""

    certificate: Path | None = Field(default=None, description="Certificate of this party, PEM.")
    key: Path | None = Field(default=None, description="Private key of that certificate, PEM.")
    authority: Path | None = Field(default=None, description="Certificate of the authority that is trusted, PEM.")


class Host(Section):
    """What a host needs to start: its address, its files, its limits."""

    listen: HostPort = Field(default="127.0.0.1:7443", description="Address the host listens on.")
    name: str = Field(default="host-1", min_length=1, description="Name of this host in its log and its certificate.")
    data: Path = Field(
        default=Path(".altar/host"), description="Directory of the ledger and of all else the host keeps."
    )
    manifest: Path = Field(
        default=Path("manifest.json"), description="The manifest of contracts that this host offers, signed."
    )
    revocation_list: Path | None = Field(
        default=None,
        description="List of revoked certificates of the authority (CRL, PEM or DER); who is in it is refused, and"
        " everybody is when the list cannot be read, is over its time, or is not of who issued the certificate.",
    )
    manifest_keys: tuple[Path, ...] = Field(
        default=(Path(".altar/keys/manifest.vkey"),),
        description="Files of the verifier keys whose signatures on a manifest are trusted.",
    )
    mode: Literal["strict", "development"] = Field(
        default="strict",
        description="`strict` takes signed manifests only; `development`, on loopback and where `environment` is"
        " `development`, takes any, and tools that runtimes register.",
    )
    signing_key: Path = Field(
        default=Path(".altar/keys/ledger.pem"),
        description="Private key that signs the log, kept outside `host.data`.",
    )
    heartbeat: Seconds = Field(default=10, description="Seconds between two heartbeats that a runtime owes the host.")
    stream_idle: Seconds = Field(
        default=60, description="Seconds after which a stream that nobody reads, or that brings no value, is ended."
    )
    max_message_bytes: Count = Field(
        default=4 * 1024 * 1024, description="Largest message, in bytes; a larger one is refused."
    )
    session_ttl: Seconds = Field(default=3600, description="Seconds that an unused session lives.")
    max_session_ttl: Seconds = Field(default=86400, description="Most seconds that a session may ask for.")
    sessions_per_principal: Count = Field(
        default=1024, description="Sessions that one principal may have open; further ones are refused."
    )
    queue: Count = Field(default=1024, description="Calls that may wait for a runtime; further ones are refused.")
    idempotency_kept: Seconds = Field(
        default=600, description="Seconds that the result of a call with an idempotency key is kept."
    )
    idempotency_keys: Count = Field(
        default=10_000, description="Idempotency keys that are kept for one principal; further ones are refused."
    )
    strict_intents: bool = Field(
        default=False, description="Record a call before it runs even where its contract is `read_only`."
    )
    local_dispatch: tuple[str, ...] = Field(
        default=(),
        description="Clients that may run tools in their own process under permits of the host; `*` for all of them.",
    )
    permit_ttl: Seconds = Field(default=300, description="Seconds after which a permit is not begun any more.")
    permit_close: Seconds = Field(
        default=600, description="Seconds after which a permit that nobody reported on is closed, with an alarm."
    )
    operations: HostPort | None = Field(
        default=None,
        description="Address for probes, metrics and `altar top`, over plain HTTP; off without it.",
    )
    operations_public: bool = Field(
        default=False, description="Let `host.operations` be an address that is not of loopback."
    )
    tls: TlsFiles = Field(default=TlsFiles(), description="Certificate files of the host.")

    @model_validator(mode="after")
    def _check_lifetimes(self) -> Self:
        if self.session_ttl > self.max_session_ttl:
            raise ValueError("session_ttl is longer than max_session_ttl")
        return self


class Telemetry(Section):
    """Where traces go, and how many of them."""

    otlp_endpoint: str | None = Field(
        default=None,
        pattern="^https?://[^/]+(:[0-9]+)?/?$",
        description="Collector of traces, OTLP over gRPC, such as `http://127.0.0.1:4317`; none are made without it.",
    )
    sample: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_no_truth)] = Field(
        default=1.0, description="Share, 0 to 1, of the traces beginning here that are recorded; others follow theirs."
    )


class Runtime(Section):
    """What a runtime needs to start: its host, its name, its tools."""

    runtime_id: str = Field(
        default="py-1", min_length=1, description="Name of this runtime; a second one fences the first."
    )
    connect: HostPort = Field(default="127.0.0.1:7443", description="Address of the host that the runtime dials.")
    tools: tuple[str, ...] = Field(
        default=(), description="Modules that declare the tools; split by commas in the environment."
    )
    concurrency: Count = Field(default=64, description="Calls that run at the same time, in each worker.")
    labels: tuple[str, ...] = Field(
        default=(),
        description="Where the runtime stands and what it has, such as `zone=a`; split by commas in the environment.",
    )
    workers: Annotated[Count, Field(le=64)] = Field(
        default=1, description="Processes that run the tools; each is a runtime of its own to the host."
    )
    drain: Seconds = Field(
        default=30, description="Most seconds that a runtime which leaves waits for the calls that it runs."
    )
    register_tools: bool = Field(
        default=False,
        description="Bring contracts that the host does not have; only a host in `development` takes them.",
    )
    session: str = Field(default="", max_length=64, description="Id of the one session that is served; empty for all.")
    tls: TlsFiles = Field(default=TlsFiles(), description="Certificate files of the runtime.")
