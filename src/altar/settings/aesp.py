"""Settings of governance: the tier of a host, its operator, and how long credentials last."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from altar.settings.providers import IdentityProvider
from altar.settings.sections import HostPort, Seconds, Section

__all__ = ["Aesp"]


class Aesp(Section):
    """What a host governs: nothing, or identities, tenants and roles."""

    tier: Literal["none", "foundation", "advanced"] = Field(
        default="none",
        description="`none` knows certificates only; `foundation` has identities, tenants, roles and a log per tenant;"
        " `advanced` has policies and approvals too.",
    )
    operator_tenant: str = Field(
        default="operator",
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="Tenant of those who run the host; certificates that name no tenant belong to it.",
    )
    token_keys: Path = Field(
        default=Path(".altar/keys/tokens"), description="Directory of the keys that sign tokens of the host."
    )
    token_lifetime: Seconds = Field(default=900, description="Seconds that an access token lasts.")
    refresh_idle: Seconds = Field(default=12 * 3600, description="Seconds that a refresh token can wait for its use.")
    refresh_lifetime: Seconds = Field(
        default=30 * 86_400, description="Seconds after which somebody signs in again, whatever was refreshed."
    )
    providers: tuple[IdentityProvider, ...] = Field(
        default=(), description="Where people sign in and are pulled from: one table `[[aesp.providers]]` each."
    )
    web: HostPort | None = Field(
        default=None, description="Address of SCIM, SAML and directories, over HTTPS; off without it."
    )
    web_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#@\s]+/?)?$",
        description="Address at which browsers and provisioners reach `web`, such as `https://altar.example`.",
    )
    web_certificate: Path | None = Field(
        default=None, description="Certificate of `web` in PEM; without it `web` is on loopback only."
    )
    web_key: Path | None = Field(default=None, description="Key of that certificate.")
    environment: str = Field(
        default="production",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="Where the host runs, such as `development`: what policies read as `request.environment`.",
    )
    constants: dict[str, str] = Field(
        default={},
        max_length=64,
        description="Facts about where the host runs, such as `region`: what policies read as `environment.region`.",
    )
    require_review: bool = Field(
        default=True,
        description="Policies are put in force by another person than who wrote them; off where there is only one.",
    )
    scim_links: str = Field(
        default="",
        description="Provider at which those may sign in whom SCIM provisions, with `externalId` as their subject.",
    )
