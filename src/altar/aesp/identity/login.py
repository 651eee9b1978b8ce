"""What a provider is asked, and what it answers: a credential goes in, a login or one refusal comes out.

Every provider refuses in the same words, whatever was wrong: unknown name, wrong password, bad signature.
The reason is for the log alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from altar.adm.errors import AuthorizationError, ValidationError

__all__ = ["LOCAL", "MAX_GROUPS", "Credential", "Login", "Provider", "name_in", "not_accepted", "require_login"]

LOCAL = "local"
"""Name of the provider of local users, whose identities are the principals themselves."""

MAX_GROUPS = 1000
"""Groups that one login may bring; a provider that tells of more is asked to send fewer."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_LONGEST = 512
_ATTRIBUTES = 64


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody shows to a provider.

    ``secret`` is the password, the ID token or the assertion; it is never logged.
    ``name`` is the name typed beside a password; empty for a token, which names its subject itself.
    ``tenant`` is the one that the asker means; a provider of one tenant refuses any other.
    ``address`` is the network address of the asker, for limits; empty when it is not known.
    ``nonce`` is what the asker gave the provider at the beginning, such as the ``nonce`` of OpenID Connect.
    ``new_secret`` is the password to have from now on; empty to keep the one there is.
    """

    secret: str = field(repr=False)
    name: str = ""
    tenant: str = ""
    address: str = ""
    nonce: str = field(default="", repr=False)
    new_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """Who a provider says somebody is.

    ``provider`` and ``subject`` together name a person for ever; ``name``, ``display`` and ``email`` may change.
    ``tenant`` comes from the configuration of the provider, and from a claim only where that says so.
    ``groups`` are the provider's own names of groups; they replace those of the login before.
    ``expires`` is the end of what was shown, in seconds since 1970; infinite when it has none.
    ``once`` names what was shown, where it may be shown one time only, such as an assertion; empty for a password.
    """

    provider: str
    subject: str
    tenant: str
    name: str
    display: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING, repr=False, hash=False)
    mfa: bool = False
    expires: float = math.inf
    once: str = ""


class Provider(Protocol):
    """Checks one kind of credential against one source of identity."""

    @property
    def name(self) -> str:
        """Name of the provider in the configuration, such as ``corp``; part of each identity."""

    async def authenticate(self, credential: Credential) -> Login:
        """Say who shows this credential.

        Raises AuthorizationError INVALID_CREDENTIALS, in the words of `not_accepted`, whatever was wrong.
        Raises DEPENDENCY_UNAVAILABLE when the source cannot be asked; that is no word on the credential.
        """
        ...


def not_accepted(detail: str) -> AuthorizationError:
    """The one refusal of all providers; ``detail`` says what was wrong, for the log only."""
    return AuthorizationError(
        "INVALID_CREDENTIALS",
        "The credentials were not accepted",
        ran="no",
        hint="check the name and the secret, or sign in again",
        detail=detail,
    )


def name_in(principal: str, tenant: str) -> str:
    """The name of a principal in its tenant: ``alice`` of ``acme/alice``; INVALID_CREDENTIALS when it is of another."""
    owner, _, name = principal.partition("/")
    if owner != tenant or not name:
        raise not_accepted("the principal is of another tenant")
    return name


def require_login(login: Login) -> Login:
    """Give the login back when nothing in it is beyond the bounds.

    Raises ValidationError MALFORMED_REQUEST for an empty subject, a text beyond 512 characters or with control
    characters, more than 1,000 groups or 64 attributes.
    """
    texts = {"provider": login.provider, "subject": login.subject, "tenant": login.tenant, "name": login.name}
    optional = {"display": login.display, "email": login.email}
    for what, text in (texts | optional).items():
        if (not text and what in texts) or not _is_plain(text):
            raise _unfit(f"its {what} is empty, too long or not printable")
    if len(login.groups) > MAX_GROUPS or not all(group and _is_plain(group) for group in login.groups):
        raise _unfit(f"it brings more than {MAX_GROUPS} groups, or one that is no name")
    pairs = login.attributes.items()
    if len(login.attributes) > _ATTRIBUTES or not all(_is_plain(name) and _is_plain(value) for name, value in pairs):
        raise _unfit(f"it brings more than {_ATTRIBUTES} attributes, or one that is no text")
    return login


def _is_plain(text: str) -> bool:
    return len(text) <= _LONGEST and text.isprintable()


def _unfit(why: str) -> ValidationError:
    return ValidationError(
        "MALFORMED_REQUEST",
        "The provider's word on this login cannot be used",
        ran="no",
        hint="ask the operator to look at the configuration of the provider",
        detail=why,
    )
