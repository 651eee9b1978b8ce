"""Signing in at an OpenID Connect issuer from a command line: an ID token comes out.

With a browser on this machine: authorization code with PKCE, answered to a port on loopback (RFC 8252, RFC 7636).
Without one: a code that is typed in on another device (RFC 8628).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, ExecutionError
from altar.aesp.identity.login import Credential, not_accepted
from altar.aesp.identity.loopback import Redirected, redirected
from altar.aesp.identity.oidc import Discovery, OidcConfiguration, OidcProvider, discover
from altar.aesp.identity.outbound import Outbound

__all__ = ["Obtained", "OidcClient", "Prompt", "by_browser", "by_device"]

PURPOSE = "oidc"
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_SLOWER = 5.0
_LONGEST_WAIT = 1800.0


@dataclass(frozen=True, slots=True)
class OidcClient:
    """The command line as the issuer knows it: a public client, without a secret.

    ``now`` is in seconds since 1970, ``clock`` monotonic.
    """

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    now: Callable[[], float]
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Obtained:
    """What the issuer gave, already checked here; ``nonce`` is what was given to it, empty where it takes none."""

    id_token: str = field(repr=False)
    nonce: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person has to do on another device. ``complete`` is the address with the code in it, or empty."""

    address: str
    code: str
    complete: str
    seconds: float


async def by_browser(
    client: OidcClient, outbound: Outbound, *, open_page: Callable[[str], object], seconds: float = 300.0
) -> Obtained:
    """Let a person sign in with a browser; ``open_page`` is given the address to go to.

    Raises INVALID_CREDENTIALS when it is denied, takes longer than ``seconds``, or the answer is not for this
    request; INVALID_CONFIG for an issuer that does not do PKCE with S256.
    """
    issuer = await discover(client.issuer, outbound, purpose=PURPOSE)
    if "S256" not in issuer.challenge_methods or not issuer.authorization_endpoint or not issuer.token_endpoint:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The issuer {client.issuer!r} does not do the authorization code flow with PKCE S256",
            ran="no",
            hint="use `altar login --device`, or turn PKCE on at the issuer",
        )
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))

    def page(callback: str) -> None:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": callback,
            "scope": " ".join(client.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in issuer.authorization_endpoint else "?"
        open_page(f"{issuer.authorization_endpoint}{joint}{urlencode(asked)}")

    answer = await redirected(page, wanted=lambda query: _is_ours(query, state=state), seconds=seconds)
    code = _code_in(answer, issuer)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": answer.callback,
        "client_id": client.client_id,
        "code_verifier": verifier,
    }
    said = await _token(outbound, issuer, form)
    return await _checked(client, outbound, said, nonce=nonce)


async def by_device(
    client: OidcClient,
    outbound: Outbound,
    *,
    show: Callable[[Prompt], object],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Obtained:
    """Let a person sign in on another device; ``show`` is given what to tell them.

    Raises INVALID_CREDENTIALS when it is denied or not done in time; INVALID_CONFIG for an issuer without this flow.
    """
    issuer = await discover(client.issuer, outbound, purpose=PURPOSE)
    if not issuer.device_authorization_endpoint or not issuer.token_endpoint:
        raise ConfigurationError(
            "INVALID_CONFIG", f"The issuer {client.issuer!r} has no device flow", ran="no", hint="leave --device out"
        )
    asked = {"client_id": client.client_id, "scope": " ".join(client.scopes)}
    begun = await _posted(outbound, issuer.device_authorization_endpoint, asked)
    device, wait, ends = _device_in(begun), _number(begun, "interval", 5.0), _number(begun, "expires_in", 600.0)
    show(Prompt(_text(begun, "verification_uri"), _text(begun, "user_code"), _complete(begun), ends))
    until = client.clock() + min(ends, _LONGEST_WAIT)
    form = {"grant_type": _DEVICE, "device_code": device, "client_id": client.client_id}
    while client.clock() < until:
        await sleep(wait)
        said = await _posted(outbound, issuer.token_endpoint, form)
        error = said.get("error")
        if error is None:
            return await _checked(client, outbound, said, nonce="")
        if error == "slow_down":
            wait += _SLOWER
        elif error != "authorization_pending":
            raise _denied(str(error))
    raise _denied("expired_token")


def _is_ours(query: Mapping[str, str], *, state: str) -> bool:
    """Whether an answer belongs to this request, and not to one that somebody else began (RFC 6749 §10.12)."""
    return hmac.compare_digest(query.get("state", "").encode(), state.encode())


def _code_in(answer: Redirected, issuer: Discovery) -> str:
    said = answer.query.get("iss")
    if (said is None and issuer.says_issuer) or (said is not None and said != issuer.issuer):
        raise not_accepted("the answer is by another issuer (RFC 9207)")
    if "error" in answer.query or not answer.query.get("code"):
        raise _denied(answer.query.get("error", "no code"))
    return answer.query["code"]


async def _token(outbound: Outbound, issuer: Discovery, form: Mapping[str, str]) -> dict[str, Any]:
    said = await _posted(outbound, issuer.token_endpoint, form)
    if "error" in said:
        raise _denied(str(said["error"]))
    return said


async def _checked(client: OidcClient, outbound: Outbound, said: Mapping[str, Any], *, nonce: str) -> Obtained:
    """The ID token, once it is known to be this issuer's, for this client and for this request."""
    token = said.get("id_token")
    if not isinstance(token, str):
        raise _denied("no ID token: is the scope 'openid' asked for?")
    pinned = OidcConfiguration(name="login", issuer=client.issuer, audience=client.client_id, tenant="any")
    provider = OidcProvider(pinned, outbound, now=client.now, clock=client.clock, purpose=PURPOSE)
    await provider.authenticate(Credential(secret=token, nonce=nonce))
    return Obtained(token, nonce)


async def _posted(outbound: Outbound, url: str, form: Mapping[str, str]) -> dict[str, Any]:
    answer = await outbound.post(PURPOSE, url, form=form, headers={"accept": "application/json"})
    try:
        said: Any = parse(answer.body, max_depth=16)
    except AltarError as broken:
        raise _broken(url, broken.message) from broken
    if not isinstance(said, dict) or (answer.status != 200 and "error" not in said):
        raise _broken(url, f"status {answer.status}")
    return said


def _device_in(said: Mapping[str, Any]) -> str:
    if "error" in said:
        raise _denied(str(said["error"]))
    return _text(said, "device_code")


def _complete(said: Mapping[str, Any]) -> str:
    return _text(said, "verification_uri_complete") if "verification_uri_complete" in said else ""


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value or len(value) > 2048 or not value.isprintable():
        raise _broken("the device flow", f"it says no {name}")
    return value


def _number(said: Mapping[str, Any], name: str, without: float) -> float:
    value = said.get(name, without)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 86_400
    return float(value) if fits else without


def _denied(error: str) -> AuthorizationError:
    return AuthorizationError(
        "INVALID_CREDENTIALS",
        "The sign-in was denied, or not finished in time",
        ran="no",
        hint="begin again",
        detail=f"the issuer says {error[:200]!r}",
    )


def _broken(where: str, why: str) -> ExecutionError:
    return ExecutionError("DEPENDENCY_UNAVAILABLE", f"{where!r} does not answer as an issuer", ran="no", detail=why)
