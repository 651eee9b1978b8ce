"""Who asks: one kind of value, whatever proved it, and what was decided about it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from altar.adm.errors import ValidationError

__all__ = ["Decision", "Principal", "PrincipalKind", "principal_id", "require_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,62}")
_NO_CLAIMS: Mapping[str, str] = MappingProxyType({})


class PrincipalKind(StrEnum):
    """Whether a person, a program of the tenant, or a part of the system asks (AESP PrincipalType)."""

    USER = "user"
    SERVICE_ACCOUNT = "service_account"
    SYSTEM_ACCOUNT = "system_account"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has proved who they are, for as long as that proof lasts.

    ``id`` is unique on the host: ``<tenant>/<name>``, see `principal_id`.
    ``authenticated_by`` names the proof, such as ``oidc:corp``, ``password``, ``api_key`` or ``certificate``.
    ``expires`` is in seconds since 1970; infinite when the proof does not end by itself.
    ``scopes`` are the permissions that a key or token was narrowed to; None when it was not.
    ``proof`` says which key or token it was, so that it counts no more when that is revoked; empty for a certificate.
    What the principal may do is not here: the directory is asked for that at each decision, so that a change counts at
    once.
    """

    id: str
    tenant: str
    kind: PrincipalKind
    authenticated_by: str
    expires: float = math.inf
    scopes: frozenset[str] | None = None
    mfa: bool = False
    proof: tuple[str, ...] = field(default=(), repr=False, compare=False)
    claims: Mapping[str, str] = field(default_factory=lambda: _NO_CLAIMS, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something may be done, and why, in words for a person.

    ``reasons`` name the facts that decided, such as ``role developer grants tools:execute``; for a refusal, what would
    have had to be there.
    """

    allowed: bool
    reasons: tuple[str, ...]


def principal_id(tenant: str, name: str) -> str:
    """The id of a principal: its tenant and its name in it, such as ``acme/alice``."""
    return f"{require_name(tenant, what='tenant')}/{require_name(name, what='principal')}"


def require_name(name: str, *, what: str) -> str:
    """Give the name back when it is one: 1 to 63 letters, digits and ``._@+:-``, the first a letter or a digit.

    Raises ValidationError MALFORMED_REQUEST.
    """
    if _NAME.fullmatch(name) is None:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{name[:80]!r} is no name of a {what}",
            ran="no",
            hint="use 1 to 63 letters, digits and . _ @ + : - and begin with a letter or a digit",
        )
    return name
