"""A local certificate authority, for `altar up`, tests and the demo.

A directory comes in; certificate files for hosts, runtimes and clients go out, each with one SPIFFE id.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from altar.adm.errors import ConfigurationError
from altar.grid.trust.certificates import (
    DOMAIN,
    NAME,
    CertificateFiles,
    Identity,
    Role,
    read_certificates,
    read_key,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["Authority"]

_AUTHORITY = "authority"
_SKEW = timedelta(minutes=5)
_LONG = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Authority:
    """A local certificate authority, for `altar up`, tests and the demo.

    It lives in a directory with two files, `authority.pem` and `authority.key` (readable by its owner only).
    A host never holds the key: issue the certificates, then keep the directory elsewhere.
    """

    directory: Path
    trust_domain: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, directory: Path, *, trust_domain: str = "altar.local") -> Authority:
        """Make a new authority in `directory`, which is created when it is missing.

        The authority can issue for `trust_domain` only: its certificate carries that as a name constraint.
        Raises ConfigurationError CERTIFICATE_ERROR for an authority that exists, or a domain that is no name.
        """
        from cryptography.hazmat.primitives.asymmetric import ec

        if not DOMAIN.fullmatch(trust_domain):
            message = f"{trust_domain!r} is not a trust domain"
            raise ConfigurationError("CERTIFICATE_ERROR", message, hint="use a domain name such as 'altar.local'")
        if (directory / f"{_AUTHORITY}.key").exists():
            message = f"there is a certificate authority in {str(directory)!r} already"
            raise ConfigurationError("CERTIFICATE_ERROR", message, hint="open it, or choose an empty directory")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _authority_certificate(trust_domain, key=key)
        _write(directory / f"{_AUTHORITY}.key", _key_pem(key), mode=0o600)
        _write(directory / f"{_AUTHORITY}.pem", _certificate_pem(certificate), mode=0o644)
        return cls(directory=directory, trust_domain=trust_domain, certificate=certificate, key=key)

    @classmethod
    def open(cls, directory: Path) -> Authority:
        """Open the authority that `create` made in `directory`.

        Raises ConfigurationError CERTIFICATE_ERROR when a file is missing, damaged or not an authority's.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        path = directory / f"{_AUTHORITY}.pem"
        certificate = read_certificates(path)[0]
        key = read_key(directory / f"{_AUTHORITY}.key")
        try:
            names = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
        except x509.ExtensionNotFound:
            names = None
        domains = [name.value for name in names or () if isinstance(name, x509.UniformResourceIdentifier)]
        matches = isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == certificate.public_key()
        if len(domains) != 1 or not isinstance(key, ec.EllipticCurvePrivateKey) or not matches:
            message = f"{str(path)!r} and the key beside it are not a certificate authority made by ALTAR"
            raise ConfigurationError("CERTIFICATE_ERROR", message, hint="make one with 'altar up'")
        return cls(directory=directory, trust_domain=domains[0], certificate=certificate, key=key)

    def issue(
        self,
        role: Role,
        name: str,
        directory: Path,
        *,
        hosts: Sequence[str] = ("localhost", "127.0.0.1"),
        lifetime: timedelta = timedelta(days=90),
        not_before: datetime | None = None,
        tenant: str = "",
    ) -> CertificateFiles:
        """Issue a certificate with a fresh ECDSA P-256 key: `<role>-<name>.pem` and `.key` in `directory`.

        With a `tenant` it belongs to that tenant, and the files are called `<tenant>-<role>-<name>`.
        `hosts` are the names and addresses a host can be reached at; runtimes and clients get none of them.
        `lifetime` counts from `not_before`: five minutes ago unless given, for clocks that differ a little.
        No certificate outlives its authority.
        Files of the same names are replaced, each in one step: a running host picks up its renewal.
        Raises ConfigurationError CERTIFICATE_ERROR when `name` cannot stand in a SPIFFE id.
        """
        from cryptography.hazmat.primitives.asymmetric import ec

        if role not in get_args(Role) or not NAME.fullmatch(name) or (tenant and not NAME.fullmatch(tenant)):
            message = f"{name!r} is not a name for a certificate of role {role!r}"
            hint = "use up to 64 letters, digits, '.', '-' and '_', beginning with a letter or digit"
            raise ConfigurationError("CERTIFICATE_ERROR", message, hint=hint)
        start = not_before or _now() - _SKEW
        identity = Identity(trust_domain=self.trust_domain, role=role, name=name, tenant=tenant)
        key = ec.generate_private_key(ec.SECP256R1())
        stem = f"{tenant}-{role}-{name}" if tenant else f"{role}-{name}"
        certificate = _leaf_certificate(self, identity, key=key, hosts=hosts, start=start, end=start + lifetime)
        files = CertificateFiles(
            certificate=directory / f"{stem}.pem",
            key=directory / f"{stem}.key",
            authority=directory / f"{_AUTHORITY}.pem",
        )
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(files.key, _key_pem(key), mode=0o600)
        _write(files.certificate, _certificate_pem(certificate), mode=0o644)
        _write(files.authority, _certificate_pem(self.certificate), mode=0o644)
        return files


def _now() -> datetime:
    """The wall clock, which is what the dates of a certificate are compared with everywhere else too."""
    return datetime.now(UTC)  # noqa: TID251 - the default where the caller gives no time


def _authority_certificate(trust_domain: str, *, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The authority's own certificate: signs leaves only, and only for its trust domain."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    start = _now() - _SKEW
    # No IP addresses among the constraints: BoringSSL then refuses every certificate of this authority.
    constraint = x509.NameConstraints([x509.UniformResourceIdentifier(trust_domain)], None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"ALTAR {trust_domain}"[:64])])
    return (
        x509.CertificateBuilder(subject_name=name, issuer_name=name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LONG)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(constraint, critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf_certificate(
    authority: Authority,
    identity: Identity,
    *,
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    start: datetime,
    end: datetime,
) -> x509.Certificate:
    """A certificate for one holder; only a host's may serve, and only under its `hosts`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    serves = identity.role == "host"
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    names += [_general_name(host) for host in hosts] if serves else []
    # A host is a client too, where it dials the host of another region.
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * serves
    issuer_key = authority.key.public_key()
    return (
        x509.CertificateBuilder(issuer_name=authority.certificate.subject)
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, identity.name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(min(end, authority.certificate.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Signing certificates and their revocation for an authority, signing a handshake for all others."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    """An IP address as an address, anything else as a DNS name."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Replace `path` in one step; the file never exists with wider rights than `mode`."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    Path(temporary).replace(path)
