"""What `altar login` signs in with, where the command line does not say it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from altar.settings.sections import Section

__all__ = ["Login"]


class Login(Section):
    """How a person signs in to a host: the provider, and for OpenID Connect the client that asks it."""

    provider: str = Field(
        default="local", min_length=1, max_length=128, description="Name of the identity provider, as the host has it."
    )
    tenant: str = Field(default="", max_length=128, description="Tenant to sign in to; the provider's own without it.")
    issuer: str = Field(
        default="", pattern="^$|^https?://", description="Issuer of OpenID Connect, exactly as it writes itself."
    )
    client_id: str = Field(default="", max_length=512, description="Client id of the command line at the issuer.")
    scopes: tuple[str, ...] = Field(
        default=("openid", "profile", "email", "groups"), description="Scopes that are asked for; `openid` is needed."
    )
    origins: tuple[str, ...] = Field(
        default=(), description="Further origins of the issuer's endpoints, where they are not its own."
    )
    authority: Path | None = Field(
        default=None, description="Certificates to trust for the issuer, PEM; those of the system without it."
    )
