"""From what is configured to providers that can be asked: plain members in, `Provider` objects out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from altar.aesp.identity.ldap import LdapProvider
    from altar.aesp.identity.login import Provider
    from altar.aesp.identity.saml import SamlProvider
    from altar.aesp.identity.sync import Source
    from altar.aesp.store.database import Store

__all__ = ["ldap_of", "providers_of", "saml_of", "source_of"]

_ELSEWHERE = frozenset({"saml", "scim", "okta"})
"""Kinds that are no way to sign in by themselves, or need more than their members: `saml_of`, `source_of`."""

Clock: TypeAlias = Callable[[], float]


def providers_of(configured: Iterable[Mapping[str, Any]], *, now: Clock, clock: Clock) -> list[Provider]:
    """The providers of a configuration, in its order; each mapping has the members of the setting of that kind.

    ``now`` is in seconds since 1970, ``clock`` monotonic.
    Those of kind saml, scim and okta are made by `saml_of` and `source_of`.
    Raises INVALID_CONFIG for a kind that there is not, and for members that cannot be used.
    """
    return [_provider(each, now=now, clock=clock) for each in configured if each.get("kind") not in _ELSEWHERE]


def _provider(members: Mapping[str, Any], *, now: Clock, clock: Clock) -> Provider:
    make = _KINDS.get(str(members.get("kind")))
    if make is None:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The identity provider {members.get('name')!r} has a kind that there is not",
            hint=f"there is {', '.join(sorted(_KINDS))}",
        )
    return make(members, now, clock)


def _oidc(members: Mapping[str, Any], now: Clock, clock: Clock) -> Provider:
    from altar.aesp.identity.oidc import OidcConfiguration, OidcProvider
    from altar.aesp.identity.outbound import Outbound

    configuration = OidcConfiguration(
        name=members["name"],
        issuer=members["issuer"],
        audience=members["audience"],
        tenant=members["tenant"],
        algorithms=tuple(members["algorithms"]),
        kind=members["token"],
        name_claim=members["name_claim"],
        groups_claim=members["groups_claim"],
        tenant_claim=members["tenant_claim"],
        tenants=dict(members["tenants"]),
    )
    outbound = Outbound(
        {"oidc": [members["issuer"], *members["origins"]]},
        networks=tuple(members["networks"]),
        authority=members["authority"],
    )
    return OidcProvider(configuration, outbound, now=now, clock=clock)


def ldap_of(members: Mapping[str, Any], now: Clock) -> LdapProvider:
    """The directory of a configuration, of kind ``ldap`` or ``active_directory``."""
    from altar.aesp.identity.ldap import LdapConfiguration, LdapKind, LdapProvider, Nesting
    from altar.aesp.identity.ldap_connection import LdapAddress

    configuration = LdapConfiguration(
        name=members["name"],
        tenant=members["tenant"],
        address=LdapAddress(members["url"], members["authority"]),
        bind_dn=members["bind_dn"],
        bind_password=members["secret"].get_secret_value(),
        base=members["base"],
        group_base=members["group_base"] or members["base"],
        kind=LdapKind(members["kind"]),
        nesting=Nesting(members["nesting"]),
        person_filter=members["person_filter"],
        login_attributes=tuple(members["login_attributes"]),
    )
    return LdapProvider(configuration, clock=now)


def saml_of(members: Mapping[str, Any], *, base: str, store: Store, now: Clock) -> SamlProvider:
    """The SAML provider of a configuration; ``base`` is the address of this host's web server for browsers."""
    from altar.aesp.identity.saml import SamlConfiguration, SamlProvider

    path = members["metadata"]
    try:
        metadata = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The metadata file {str(path)!r} of the provider {members['name']!r} cannot be read",
            hint="save the identity provider's metadata there",
            detail=str(error),
        ) from error
    configuration = SamlConfiguration(
        name=members["name"],
        tenant=members["tenant"],
        metadata=metadata,
        base=base,
        subject_attribute=members["subject_attribute"],
        name_attribute=members["name_attribute"],
        display_attribute=members["display_attribute"],
        email_attribute=members["email_attribute"],
        groups_attribute=members["groups_attribute"],
        mfa_contexts=frozenset(members["mfa_contexts"]),
    )
    return SamlProvider(configuration, store, now=now)


def source_of(members: Mapping[str, Any], *, now: Clock) -> Source | None:
    """Where the people of a provider can be pulled from; None for a kind that only signs people in."""
    kind = members["kind"]
    if kind in {"ldap", "active_directory"}:
        from altar.aesp.identity.ldap_source import LdapSource

        return LdapSource(ldap_of(members, now), now=now)
    if kind not in {"scim", "okta"}:
        return None
    from altar.aesp.identity.http_sources import HttpConfiguration, OktaSource, ScimSource
    from altar.aesp.identity.outbound import Outbound

    base = members["url"].rstrip("/")
    outbound = Outbound(
        {"sync": [base]}, networks=tuple(members["networks"]), authority=members["authority"], max_bytes=16 * 1024**2
    )
    configuration = HttpConfiguration(members["name"], members["tenant"], base, members["secret"].get_secret_value())
    return (OktaSource if kind == "okta" else ScimSource)(configuration, outbound, now=now)


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Clock, Clock], Provider]] = {
    "oidc": _oidc,
    "ldap": lambda members, now, _clock: ldap_of(members, now),
    "active_directory": lambda members, now, _clock: ldap_of(members, now),
}
