"""The identity providers that a host asks: one table `[[aesp.providers]]` each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from altar.settings.sections import Section

__all__ = ["IdentityProvider"]


class IdentityProvider(Section):
    """One identity provider; which of the settings count hangs on its `kind`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Name of the provider; part of each identity.")
    kind: Literal["oidc", "ldap", "active_directory", "saml", "scim", "okta"] = Field(
        description="What it speaks. People sign in by the first four; from all but oidc and saml they can be pulled."
    )
    tenant: str = Field(default="", description="Tenant of everybody who comes through it.")
    issuer: str = Field(default="", description="OpenID Connect: the issuer, exactly as it writes itself.")
    audience: str = Field(default="", description="OpenID Connect: the client id, or the audience of access tokens.")
    token: Literal["id_token", "access_token"] = Field(
        default="id_token", description="OpenID Connect: the kind of token that is exchanged."
    )
    algorithms: tuple[str, ...] = Field(
        default=("RS256", "ES256", "EdDSA"), description="OpenID Connect: the algorithms that are taken."
    )
    name_claim: str = Field(default="preferred_username", description="OpenID Connect: the claim that holds the name.")
    groups_claim: str = Field(default="groups", description="OpenID Connect: the claim that holds the groups.")
    tenant_claim: str = Field(
        default="", description="OpenID Connect: the claim that names the tenant, with `tenants`."
    )
    tenants: dict[str, str] = Field(
        default_factory=dict, description="OpenID Connect: value of `tenant_claim` to tenant; others are refused."
    )
    origins: tuple[str, ...] = Field(
        default=(), description="Further addresses that may be asked, such as `https://keys.example`."
    )
    networks: tuple[str, ...] = Field(
        default=(), description="Private networks in which the provider may lie, such as `10.1.0.0/16`."
    )
    authority: Path | None = Field(
        default=None, description="Certificates to trust for it, PEM; those of the system without it."
    )

    url: str = Field(
        default="",
        description="Directories: `ldaps://host:port`, or `ldap://host:port` for StartTLS. SCIM and Okta: the API.",
    )
    bind_dn: str = Field(default="", description="Directories: name of the account that searches.")
    secret: SecretStr = Field(
        default=SecretStr(""), description="Password of the account that searches, or token of the API."
    )
    base: str = Field(default="", description="Directories: the entry below which people stand.")
    group_base: str = Field(default="", description="Directories: the entry below which groups count.")
    nesting: Literal["member_of", "chain", "members"] = Field(
        default="members", description="Directories: how groups in groups are found; `chain` on Active Directory."
    )
    person_filter: str = Field(default="", description="Directories: filter for people, as RFC 4515 writes it.")
    login_attributes: tuple[str, ...] = Field(
        default=(), description="Directories: what a typed name is compared with; the first becomes the name here."
    )
    metadata: Path | None = Field(default=None, description="SAML: file of the identity provider's metadata.")
    subject_attribute: str = Field(
        default="", description="SAML: attribute that never changes, where the NameID is another one each time."
    )
    name_attribute: str = Field(default="uid", description="SAML: attribute that holds the name.")
    email_attribute: str = Field(default="mail", description="SAML: attribute that holds the e-mail address.")
    display_attribute: str = Field(default="displayName", description="SAML: attribute that holds the full name.")
    groups_attribute: str = Field(default="groups", description="SAML: attribute that holds the groups.")
    mfa_contexts: tuple[str, ...] = Field(
        default=(), description="SAML: authentication contexts that count as more than one factor."
    )
    sync_minutes: int = Field(
        default=0, ge=0, le=10_080, description="Minutes between pulls of what changed; 0 pulls on command only."
    )
    full_sync_hours: int = Field(default=24, ge=1, le=8_760, description="Hours between pulls of everybody.")

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        missing = [name for name in _NEEDED[self.kind] if not getattr(self, name)]
        if missing:
            raise ValueError(f"a provider of kind {self.kind} needs {', '.join(missing)}")
        return self


_NEEDED = {
    "oidc": ("issuer", "audience"),
    "ldap": ("tenant", "url", "bind_dn", "secret", "base", "authority"),
    "active_directory": ("tenant", "url", "bind_dn", "secret", "base", "authority"),
    "saml": ("tenant", "metadata"),
    "scim": ("tenant", "url", "secret"),
    "okta": ("tenant", "url", "secret"),
}
