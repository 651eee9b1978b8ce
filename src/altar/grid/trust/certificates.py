"""The certificate files of one process: what is in them, whose they are, and whether they can be used.

Three PEM files come in; an identity, a warning or one clear ConfigurationError CERTIFICATE_ERROR goes out.
A certificate names its holder by one SPIFFE id, ``spiffe://<trust domain>/<role>/<name>``; one of a tenant has
``/tenant/<tenant>`` before the role.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = [
    "DOMAIN",
    "NAME",
    "RENEW",
    "CertificateFiles",
    "Identity",
    "Role",
    "certificate_error",
    "check_files",
    "examine",
    "parse_identity",
    "read_certificates",
    "read_key",
    "read_matching",
]

Role = Literal["host", "runtime", "client"]
"""What the holder of a certificate may be: the host, a runtime that dials it, or a client that calls it."""

RENEW = "run 'altar up' to issue new local certificates, or ask your certificate authority for a new one"
"""The hint wherever a new certificate is the remedy."""

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
"""A trust domain: a lower-case domain name of at least two labels (SPIFFE-ID §2.1)."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The name of a holder: one segment of a SPIFFE path (SPIFFE-ID §2.2), short enough for a common name."""

_SPIFFE_ID = re.compile(
    rf"spiffe://(?P<domain>{DOMAIN.pattern})(/tenant/(?P<tenant>{NAME.pattern}))?/(?P<role>[a-z]+)/(?P<name>{NAME.pattern})"
)
_SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where one process finds its own certificate, its key and the authority it trusts; all PEM.

    `certificate` may hold intermediate certificates after its own.
    `authority` may hold several certificates, so that an old and a new authority can overlap.
    """

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class Identity:
    """Who holds a certificate, read from its SPIFFE id; ``tenant`` is empty for one of the operator."""

    trust_domain: str
    role: Role
    name: str
    tenant: str = ""

    @property
    def uri(self) -> str:
        """The SPIFFE id, as it stands in the certificate."""
        tenant = f"/tenant/{self.tenant}" if self.tenant else ""
        return f"spiffe://{self.trust_domain}{tenant}/{self.role}/{self.name}"


def check_files(files: CertificateFiles, *, role: Role, now: datetime) -> str | None:
    """Check before start that `files` can serve a process of this `role`; return a warning, or None.

    Refused with ConfigurationError CERTIFICATE_ERROR, in one sentence: a file missing, unreadable or no PEM;
    a key of another certificate; a certificate not yet valid, expired, or without one SPIFFE id;
    one of another role; one that the authority did not issue; a host's key that is not ECDSA.
    The warning says that less than seven days are left, or that others on this machine can read the key.
    """
    leaf = examine(files, role=role, now=now)
    warnings = []
    left = leaf.not_valid_after_utc - now
    if left < _SOON:
        warnings.append(
            f"certificate {str(files.certificate)!r} expires in {max(left.days, 0)} days,"
            f" on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: {RENEW}"
        )
    if files.key.stat().st_mode & 0o004:
        warnings.append(f"key {str(files.key)!r} can be read by everybody on this machine: chmod 600 it")
    return "; ".join(warnings) or None


def examine(files: CertificateFiles, *, role: Role | None, now: datetime) -> x509.Certificate:
    """Return the certificate, or raise the first reason why it cannot be used; role None means any."""
    from cryptography.hazmat.primitives.asymmetric import ec

    chain = read_certificates(files.certificate)
    roots = read_certificates(files.authority)
    leaf, path = chain[0], str(files.certificate)
    _check_match(leaf, read_key(files.key), files=files)
    identity = _identity_in(leaf, path=path)
    if role is not None and identity.role != role:
        raise certificate_error(
            f"certificate {path!r} belongs to {identity.role} {identity.name!r}, it cannot serve a {role}",
            hint=f"use the certificate issued to this {role}",
        )
    if identity.role == "host" and not isinstance(leaf.public_key(), ec.EllipticCurvePublicKey):
        raise certificate_error(f"certificate {path!r} of a host has a key that is not ECDSA", hint=RENEW)
    _check_dates(leaf, path=path, now=now)
    _check_issuer(chain, roots, files=files, now=now)
    return leaf


def identity_in(path: Path) -> Identity:
    """The one identity that a certificate file names; CERTIFICATE_ERROR when it names none."""
    return _identity_in(read_certificates(path)[0], path=str(path))


def parse_identity(uri: str) -> Identity | None:
    """Return the identity in a SPIFFE id of the form ALTAR issues, or None for any other text."""
    match = _SPIFFE_ID.fullmatch(uri)
    if match is None:
        return None
    for role in get_args(Role):
        if role == match["role"]:
            return Identity(match["domain"], role, match["name"], match["tenant"] or "")
    return None


def read_matching(files: CertificateFiles) -> tuple[bytes, bytes, bytes]:
    """Return key, certificate and authority as PEM, once it is sure that the first two belong together."""
    key = _read(files.key)
    certificate = _read(files.certificate)
    authority = _read(files.authority)
    _check_match(_parse_certificates(certificate, files.certificate)[0], _parse_key(key, files.key), files=files)
    _parse_certificates(authority, files.authority)
    return key, certificate, authority


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, in their order; there is at least one."""
    return _parse_certificates(_read(path), path)


def read_key(path: Path) -> PrivateKeyTypes:
    """Return the private key of a PEM file, which must not be encrypted."""
    return _parse_key(_read(path), path)


def certificate_error(message: str, *, hint: str | None, detail: str | None = None) -> ConfigurationError:
    """Return the one error this module raises; no call has left, so nothing ran."""
    return ConfigurationError("CERTIFICATE_ERROR", message, hint=hint, detail=detail, ran="no")


def _check_match(leaf: x509.Certificate, key: PrivateKeyTypes, *, files: CertificateFiles) -> None:
    if key.public_key() != leaf.public_key():
        raise certificate_error(
            f"key {str(files.key)!r} does not belong to certificate {str(files.certificate)!r}",
            hint="give the two files that were issued together",
        )


def _identity_in(leaf: x509.Certificate, *, path: str) -> Identity:
    """The one identity a certificate names."""
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    identity = parse_identity(uris[0]) if len(uris) == 1 else None
    if identity is None:
        raise certificate_error(
            f"certificate {path!r} does not name one holder as 'spiffe://<trust domain>/<role>/<name>'",
            hint=RENEW,
        )
    return identity


def _check_dates(certificate: x509.Certificate, *, path: str, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        when = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise certificate_error(f"certificate {path!r} expired on {when}", hint=RENEW)
    if now < certificate.not_valid_before_utc:
        when = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise certificate_error(
            f"certificate {path!r} is not valid before {when}", hint="check the clock of this machine"
        )


def _check_issuer(
    chain: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    *,
    files: CertificateFiles,
    now: datetime,
) -> None:
    """Each certificate is issued by the next one of its file, and the last by one of the authorities."""
    complete = all(_issued(lower, upper) for lower, upper in pairwise(chain))
    issuers = [root for root in roots if _issued(chain[-1], root)]
    if not complete or not issuers:
        raise certificate_error(
            f"certificate {str(files.certificate)!r} was not issued by authority {str(files.authority)!r}",
            hint="give the certificate and the authority of the same grid",
        )
    _check_dates(issuers[0], path=str(files.authority), now=now)


def _issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        lower.verify_directly_issued_by(upper)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise certificate_error(f"file {str(path)!r} is missing", hint="run 'altar up' to make it") from error
    except OSError as error:
        raise certificate_error(
            f"file {str(path)!r} cannot be read ({error.strerror})", hint="check its owner and its rights"
        ) from error


def _parse_certificates(data: bytes, path: Path) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise certificate_error(f"file {str(path)!r} holds no certificate in PEM form", hint=RENEW) from error


def _parse_key(data: bytes, path: Path) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise certificate_error(
            f"key {str(path)!r} is encrypted", hint="store it unencrypted, readable by the process only"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise certificate_error(f"file {str(path)!r} holds no private key in PEM form", hint=RENEW) from error
