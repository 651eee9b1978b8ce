"""Signed tokens, read strictly: a JWT in compact form goes in, its claims or one refusal come out.

Nothing in a token chooses how it is checked.
The algorithms are those the caller pinned, the key is one the caller found, and ``jku``, ``x5u``, ``x5c`` and ``jwk``
in a header are not looked at (RFC 8725 §3.1, §3.10).
The mathematics of JOSE are joserfc's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from altar.adm.canonical import canonical, parse
from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.identity.login import not_accepted

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    Key: TypeAlias = RSAKey | ECKey | OKPKey

__all__ = [
    "ALGORITHMS",
    "MAX_TOKEN_BYTES",
    "SKEW",
    "UnreadToken",
    "check_audience",
    "check_times",
    "claims_of",
    "key_from_jwk",
    "seconds_in",
    "signed_token",
    "text_in",
    "unread",
]

ALGORITHMS: Final = frozenset({"RS256", "PS256", "ES256", "ES384", "EdDSA"})
"""The algorithms that may be pinned; all are asymmetric, so that a public key is never a secret."""

MAX_TOKEN_BYTES: Final = 16 * 1024
"""The longest token that is looked at."""

SKEW: Final = 60.0
"""Seconds by which two clocks may differ."""

_PART = re.compile(r"[A-Za-z0-9_-]*")
_MAX_HEADER = 4096
_MAX_KID = 256
_SMALLEST_RSA = 2048
_LATEST = 253_402_300_799


@dataclass(frozen=True, slots=True)
class UnreadToken:
    """A token whose form is sound and whose signature nobody has checked; so its claims are not here.

    ``typ`` is in lower case and without ``application/``; empty when the header has none.
    """

    algorithm: str
    kid: str
    typ: str
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    payload: bytes = field(repr=False)


def unread(token: str, *, algorithms: Collection[str], max_bytes: int = MAX_TOKEN_BYTES) -> UnreadToken:
    """Take a token apart, without believing anything in it.

    Raises INVALID_CREDENTIALS for one that is too long, is not three parts of base64url, has duplicate members, names
    an algorithm that was not pinned, or asks for extensions (``crit``).
    """
    if len(token) > max_bytes:
        raise not_accepted(f"the token has more than {max_bytes} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise not_accepted("the token has not three parts")
    head, payload, signature = (_decoded(part) for part in parts)
    if len(head) > _MAX_HEADER:
        raise not_accepted("the header of the token is too long")
    header = _object(head, what="header")
    algorithm, kid, typ = header.get("alg"), header.get("kid", ""), header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise not_accepted(f"the algorithm {str(algorithm)[:40]!r} is not one that was pinned")
    if not isinstance(kid, str) or len(kid) > _MAX_KID or not isinstance(typ, str) or "crit" in header:
        raise not_accepted("the header of the token has a kid, typ or crit that is not taken")
    signed = token[: token.rindex(".")].encode()
    return UnreadToken(algorithm, kid, typ.lower().removeprefix("application/"), signed, signature, payload)


def claims_of(token: UnreadToken, key: Key) -> dict[str, Any]:
    """The claims of a token, once its signature is known to be by this key.

    Raises INVALID_CREDENTIALS when it is not, when the key is of another kind than the algorithm asks for, or when
    the claims are no JSON object without duplicates.
    """
    from joserfc.errors import JoseError
    from joserfc.jws import JWSRegistry

    model = JWSRegistry.algorithms[token.algorithm]
    try:
        model.check_key(key)
        sound = model.verify(token.signed, token.signature, key)
    except (JoseError, ValueError, TypeError) as failed:
        raise not_accepted(f"the key does not fit the token: {type(failed).__name__}") from failed
    if not sound:
        raise not_accepted("the signature of the token is not by the key that it names")
    return _object(token.payload, what="claims")


def check_times(claims: Mapping[str, Any], *, now: float, skew: float = SKEW) -> float:
    """Check ``exp``, ``nbf`` and ``iat``, and give the end, in seconds since 1970.

    ``exp`` must be there; a token from the future is refused (RFC 7519 §4.1.4 to §4.1.6).
    """
    expires = seconds_in(claims, "exp")
    if expires is None:
        raise not_accepted("the token has no end")
    if now >= expires + skew:
        raise not_accepted("the token has expired")
    for name in ("nbf", "iat"):
        begins = seconds_in(claims, name)
        if begins is not None and begins > now + skew:
            raise not_accepted(f"the token is from the future: {name}")
    return expires


def check_audience(claims: Mapping[str, Any], audience: str, *, only: bool = True) -> None:
    """Check that the token is meant for ``audience``, and for nobody else unless ``only`` is false."""
    said = claims.get("aud")
    named = [said] if isinstance(said, str) else said
    if not isinstance(named, list) or audience not in named or (only and len(named) != 1):
        raise not_accepted("the token is for another audience")


def seconds_in(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate among the claims; None when it is absent, INVALID_CREDENTIALS when it is no time."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise not_accepted(f"the claim {name!r} is no time")
    return float(value)


def text_in(claims: Mapping[str, Any], name: str, *, longest: int = 512) -> str:
    """A text among the claims; empty when it is absent, INVALID_CREDENTIALS when it is no text or too long."""
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise not_accepted(f"the claim {name!r} is no text, or too long")
    return value


def key_from_jwk(document: Mapping[str, Any]) -> Key | None:
    """A public key that may check signatures; None for any that may not.

    Not taken are keys for encryption, secrets (``oct``), RSA below 2,048 bits, curves beyond P-256, P-384 and
    Ed25519, and keys that hold a private part.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    kind, curve = document.get("kty"), document.get("crv")
    taken: dict[str, Any] = {name: value for name, value in document.items() if name not in _IGNORED}
    if document.get("use", "sig") != "sig" or "d" in document:
        return None
    try:
        if kind == "RSA":
            modulus = int.from_bytes(_decoded(str(taken.get("n"))))
            return RSAKey.import_key(taken) if modulus.bit_length() >= _SMALLEST_RSA else None
        if kind == "EC" and curve in ("P-256", "P-384"):
            return ECKey.import_key(taken)
        if kind == "OKP" and curve == "Ed25519":
            return OKPKey.import_key(taken)
    except (JoseError, AuthorizationError, ValueError, TypeError):
        return None
    return None


def signed_token(key: OKPKey, claims: Mapping[str, Any], *, kid: str, typ: str) -> str:
    """A token over ``claims``, signed with Ed25519 (``alg`` EdDSA, RFC 8037)."""
    from joserfc.jws import JWSRegistry

    header = canonical({"alg": "EdDSA", "kid": kid, "typ": typ})
    signed = f"{_encoded(header)}.{_encoded(canonical(dict(claims)))}"
    signature = JWSRegistry.algorithms["EdDSA"].sign(signed.encode(), key)
    return f"{signed}.{_encoded(signature)}"


_IGNORED = frozenset({"x5c", "x5u", "x5t", "x5t#S256", "key_ops"})


def _object(text: bytes, *, what: str) -> dict[str, Any]:
    try:
        value = parse(text, max_depth=8)
    except AltarError as refused:
        raise not_accepted(f"the {what} of the token: {refused.message}") from refused
    if not isinstance(value, dict):
        raise not_accepted(f"the {what} of the token is no object")
    return value


def _decoded(part: str) -> bytes:
    if _PART.fullmatch(part) is None:
        raise not_accepted("a part of the token is not base64url")
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as wrong:
        raise not_accepted("a part of the token is not base64url") from wrong
    if _encoded(data) != part:  # one token has one text, so that it can be a key of a cache
        raise not_accepted("a part of the token is not canonical base64url")
    return data


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
