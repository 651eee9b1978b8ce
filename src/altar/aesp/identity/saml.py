"""Sign-in by SAML 2.0, begun by us: a browser is sent to the identity provider and comes back with a signed assertion.

`begin` makes the request, `accept` judges the answer and keeps a one-time code for it, `authenticate` takes the code:
so the browser carries the assertion, and only who began the sign-in gets tokens for it (a challenge as of RFC 7636).
Signatures are checked by pysaml2 with xmlsec1, in a thread, after `saml_document` has judged the shape; what they must
say about us is judged here once more.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.aesp.identity.browser_sign_ins import BrowserSignIns
from altar.aesp.identity.login import MAX_GROUPS, Credential, Login, not_accepted
from altar.aesp.identity.saml_document import Response, response_of

if TYPE_CHECKING:
    from altar.aesp.store.database import Store

__all__ = ["Begun", "SamlConfiguration", "SamlProvider"]

_TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_STATE = re.compile(r"[A-Za-z0-9_.~-]{0,128}")
_REQUEST_SECONDS = 600
_CODE_SECONDS = 60
_AT_ONCE = 4
_SECONDS = 20


@dataclass(frozen=True, slots=True)
class SamlConfiguration:
    """One identity provider, and what its assertions are read for.

    ``metadata`` is the provider's own metadata document, from a file the operator chose; nothing is fetched.
    ``base`` is the address of this host's web server that browsers reach.
    ``subject_attribute`` names the attribute that never changes, where the NameID is another one each time.
    ``mfa_contexts`` are the AuthnContextClassRef that count as more than one factor.
    """

    name: str
    tenant: str
    metadata: str
    base: str
    subject_attribute: str = ""
    name_attribute: str = "uid"
    display_attribute: str = "displayName"
    email_attribute: str = "mail"
    groups_attribute: str = "groups"
    mfa_contexts: frozenset[str] = frozenset()
    skew: float = 60.0
    xmlsec: Path = Path("/usr/bin/xmlsec1")

    @property
    def entity_id(self) -> str:
        """Our name at the provider, which is where our metadata are."""
        return f"{self.base}/saml/{self.name}/metadata"

    @property
    def acs(self) -> str:
        """Where answers come in."""
        return f"{self.base}/saml/{self.name}/acs"


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and the opaque word that it brings back."""

    location: str
    relay: str


class SamlProvider:
    """A `Provider` whose secret is a one-time code; `accept` gives such codes to browsers.

    ``now`` is in seconds since 1970.
    """

    def __init__(self, configuration: SamlConfiguration, store: Store, *, now: Callable[[], float]) -> None:
        """Read the metadata; ConfigurationError INVALID_CONFIG when they name no provider, or not exactly one."""
        self.configuration = configuration
        self._now = now
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._client, self._issuer = _client_of(configuration)
        self._under_way = BrowserSignIns(store, tenant=configuration.tenant, provider=configuration.name, now=now)

    @property
    def name(self) -> str:
        """Name of the provider in the configuration."""
        return self.configuration.name

    def metadata(self) -> str:
        """Our metadata, for the provider's side."""
        from saml2.metadata import entity_descriptor

        return str(entity_descriptor(self._client.config))

    async def begin(self, *, redirect: str, challenge: str, state: str, address: str = "") -> Begun:
        """Begin a sign-in for a program that listens on loopback at ``redirect``.

        ``challenge`` is the S256 of a verifier that only the program knows; ``state`` comes back to it.
        ``address`` is the network address of the browser; from one network 100 may be under way, then its oldest ends.
        Raises ValidationError MALFORMED_REQUEST for an address that is not loopback, or a challenge that is none.
        """
        _require_loopback(redirect)
        if _CHALLENGE.fullmatch(challenge) is None or _STATE.fullmatch(state) is None:
            raise ValidationError("MALFORMED_REQUEST", "The challenge or the state is none", ran="no")
        relay = self._under_way.word_of(address)
        request_id, info = self._client.prepare_for_authenticate(
            entityid=self._issuer, relay_state=relay, binding=_REDIRECT, response_binding=_POST
        )
        data = {"request": request_id, "redirect": redirect, "challenge": challenge, "state": state}
        await self._under_way.keep(relay, data, seconds=_REQUEST_SECONDS)
        return Begun(str(dict(info["headers"])["Location"]), relay)

    async def accept(self, answer: str, relay: str) -> str:
        """Judge what a browser brought; give where it goes next, with a one-time code.

        Raises AuthorizationError INVALID_CREDENTIALS, in the same words whatever was wrong.
        """
        data = await self._under_way.take(relay)
        if data is None:
            raise not_accepted("the answer belongs to no sign-in that is under way")
        try:
            xml, told = response_of(answer)
        except ValueError as error:
            raise not_accepted(str(error)) from error
        self._require(told, request=data["request"])
        async with self._room:
            await asyncio.wait_for(asyncio.to_thread(self._require_signed, answer, xml, data, told), _SECONDS)
        login = self._login(told)
        code = secrets.token_urlsafe(32)
        kept = {"challenge": data["challenge"], "login": _json_of(login)}
        await self._under_way.keep(code, kept, seconds=_CODE_SECONDS)
        query = urlencode({"code": code, "state": data["state"]})
        return f"{data['redirect']}?{query}"

    async def authenticate(self, credential: Credential) -> Login:
        """Say who a one-time code stands for.

        The verifier of the challenge it was begun with follows the code behind a dot, or is the ``nonce``.
        """
        if credential.tenant and credential.tenant != self.configuration.tenant:
            raise not_accepted(f"provider {self.name} serves another tenant")
        code, _, verifier = credential.secret.partition(".")
        data = await self._under_way.take(code)
        if data is None or "login" not in data:
            raise not_accepted("the code was used, is over or never was")
        digest = (
            urlsafe_b64encode(hashlib.sha256((credential.nonce or verifier).encode()).digest()).decode().rstrip("=")
        )
        if not hmac.compare_digest(digest, data["challenge"]):
            raise not_accepted("the verifier does not fit the challenge")
        return _login_of(data["login"])

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    def _require(self, told: Response, *, request: str) -> None:
        """Judge what an answer says of us, of the sign-in and of time."""
        now, skew = self._now(), self.configuration.skew
        wrong = [
            what
            for what, is_right in (
                ("issuer", told.issuers == {self._issuer}),
                ("audience", told.audiences == {self.configuration.entity_id}),
                ("recipient", told.recipient == self.configuration.acs),
                ("destination", told.destination == self.configuration.acs),
                ("request", {told.in_response_to, told.confirmed_in_response_to} == {request}),
                ("time", told.not_before - skew <= now < told.not_on_or_after + skew),
            )
            if not is_right
        ]
        if wrong:
            raise not_accepted(f"the answer has another {', '.join(wrong)}")

    def _require_signed(self, answer: str, xml: str, data: dict[str, str], told: Response) -> None:
        """Let pysaml2 check both signatures and what it knows of the protocol; runs in a thread."""
        from saml2 import SAMLError

        outstanding = {data["request"]: data["redirect"]}
        try:
            proved = self._client.parse_authn_request_response(answer, _POST, outstanding=outstanding)
            if proved is None:
                raise not_accepted("the answer was not taken")
            same = proved.assertion.id == told.assertion_id and proved.get_subject().text == told.subject
        except AltarError:
            raise
        except (SAMLError, AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise not_accepted(f"{type(error).__name__}: {str(error)[:200]}") from error
        except Exception as error:  # pysaml2 and what it calls raise of many kinds; whatever it was is no proof
            raise not_accepted(f"{type(error).__name__}") from error
        if not same:
            raise not_accepted(f"what is signed is not what was read, in {len(xml)} characters")

    def _login(self, told: Response) -> Login:
        configuration = self.configuration

        def first(name: str) -> str:
            values = told.attributes.get(name, ())
            return values[0] if values else ""

        subject = first(configuration.subject_attribute) if configuration.subject_attribute else told.subject
        if not subject or (not configuration.subject_attribute and told.subject_format == _TRANSIENT):
            raise not_accepted("the assertion names a subject that changes each time, or none")
        groups = told.attributes.get(configuration.groups_attribute, ())
        if len(groups) > MAX_GROUPS:
            raise not_accepted(f"the assertion has more than {MAX_GROUPS} groups")
        return Login(
            provider=configuration.name,
            subject=subject,
            tenant=configuration.tenant,
            name=first(configuration.name_attribute) or subject,
            display=first(configuration.display_attribute),
            email=first(configuration.email_attribute),
            groups=tuple(sorted({group for group in groups if group})),
            mfa=bool(told.contexts & configuration.mfa_contexts),
            expires=told.not_on_or_after + configuration.skew,
            once=f"assertion {told.assertion_id}",
        )


def _client_of(configuration: SamlConfiguration) -> tuple[Any, str]:
    """Make pysaml2's client, strict in all it can be, and give the one provider of the metadata."""
    from saml2.client import Saml2Client
    from saml2.config import Config

    logging.getLogger("saml2").setLevel(logging.CRITICAL + 1)  # it logs whole assertions
    loaded = Config()
    try:
        loaded.load(
            {
                "entityid": configuration.entity_id,
                "service": {
                    "sp": {
                        "endpoints": {"assertion_consumer_service": [(configuration.acs, _POST)]},
                        "want_response_signed": True,
                        "want_assertions_signed": True,
                        "allow_unsolicited": False,
                        "authn_requests_signed": False,
                    }
                },
                "metadata": {"inline": [configuration.metadata]},
                "xmlsec_binary": str(configuration.xmlsec),
                "accepted_time_diff": int(configuration.skew),
                "allow_unknown_attributes": True,
            }
        )
        client = Saml2Client(config=loaded)
        providers = list(loaded.metadata.identity_providers())
    except Exception as error:  # pysaml2 raises of many kinds; none of them lets the host start with this provider
        raise _unusable(configuration, f"{type(error).__name__}: {error}") from error
    if len(providers) != 1:
        raise _unusable(configuration, f"{len(providers)} identity providers")
    return client, str(providers[0])


def _unusable(configuration: SamlConfiguration, why: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG",
        f"The metadata of the provider {configuration.name!r} cannot be used",
        hint="give the metadata of one identity provider, and install xmlsec1",
        detail=why[:500],
    )


def _require_loopback(redirect: str) -> None:
    """Only a program on the browser's own machine gets a code (RFC 8252 §7.3)."""
    try:
        parts = urlsplit(redirect)
        is_loopback = ipaddress.ip_address(parts.hostname or "").is_loopback and parts.port is not None
    except ValueError:
        is_loopback = False
    if (
        not is_loopback
        or parts.scheme != "http"
        or parts.query
        or parts.fragment
        or parts.username
        or len(redirect) > 200
    ):
        raise ValidationError(
            "MALFORMED_REQUEST",
            "The address to come back to is not on loopback",
            ran="no",
            hint="use http://127.0.0.1:PORT/…",
        )


def _json_of(login: Login) -> dict[str, Any]:
    names = ("provider", "subject", "tenant", "name", "display", "email", "mfa", "expires", "once")
    return {name: getattr(login, name) for name in names} | {"groups": list(login.groups)}


def _login_of(data: dict[str, Any]) -> Login:
    return Login(**(data | {"groups": tuple(data["groups"])}))
