"""Certificates that were revoked before their end: the list of an authority (RFC 5280 §5), seen at each connection.

The list is a file that the authority renews; it is read again when it has changed.
One that cannot be read, is not of this grid's authority, or is over its time lets nobody in: what it does not say any
more might be what matters.
A file in PEM may hold one list for each of several authorities; a certificate of an issuer without one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from altar.adm.errors import AuthorizationError, ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Revocations"]

_LONGEST = 64 * 1024 * 1024
_HINT = "let the authority of this grid write the list anew, in PEM or DER"


class Revocations:
    """The lists in one file, each signed by an authority whose certificates are in another.

    ``version`` grows each time the file was read.
    """

    def __init__(self, path: Path, *, authority: Path) -> None:
        """Read the list; raises ConfigurationError CERTIFICATE_ERROR when it cannot be used."""
        self._path = path
        self._authority = authority
        self.version = 0
        self._stamp: tuple[int, ...] = ()
        self._lists: list[_List] = []
        self.refresh()

    def refresh(self) -> None:
        """Read the list again if its file has changed.

        Raises ConfigurationError CERTIFICATE_ERROR, each time, as long as it cannot be used.
        """
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        self._lists = self._read()
        self._stamp = stamp
        self.version += 1

    def require(self, certificate: bytes, *, now: datetime) -> None:
        """Return when a certificate (PEM) is not in the list, as it is now.

        Raises AuthorizationError INVALID_CREDENTIALS for a revoked one, or while the list cannot be used.
        """
        try:
            self.refresh()
        except ConfigurationError as unusable:
            raise _refused("nobody can be let in at present", unusable.message) from unusable
        serial, of_issuer = _of_issuer(certificate, self._lists)
        if not of_issuer:
            raise _refused("nobody can be let in at present", f"{str(self._path)!r} has no list of the issuer")
        for each in of_issuer:
            if each.ends is not None and now > each.ends:
                raise _refused("nobody can be let in at present", f"the list {str(self._path)!r} ended on {each.ends}")
            if serial in each.serials:
                raise _refused("the certificate of this connection was revoked", f"serial number {serial:x}")

    def _stamp_now(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError as failed:
            raise self._unusable(f"cannot be read: {failed.strerror}") from failed
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def _read(self) -> list[_List]:
        from cryptography import x509

        from altar.grid.trust.certificates import read_certificates

        try:
            with self._path.open("rb") as file:
                data = file.read(_LONGEST + 1)
        except OSError as failed:
            raise self._unusable(f"cannot be read: {failed.strerror}") from failed
        try:
            if data.lstrip().startswith(b"-----"):
                begin = b"-----BEGIN X509 CRL-----"
                listed = [x509.load_pem_x509_crl(begin + part) for part in data.split(begin)[1:]]
            else:
                listed = [x509.load_der_x509_crl(data)]
        except ValueError as wrong:
            raise self._unusable("is no list of revoked certificates") from wrong
        if not listed:
            raise self._unusable("is no list of revoked certificates")
        issuers = read_certificates(self._authority)
        return [self._checked(each, issuers) for each in listed]

    def _checked(self, listed: x509.CertificateRevocationList, issuers: Sequence[x509.Certificate]) -> _List:
        if any(each.critical for each in listed.extensions):  # RFC 5280 §5.2: such a list is of a part, or of changes
            raise self._unusable("is not of all certificates of its authority")
        for issuer in issuers:
            if issuer.subject == listed.issuer and listed.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # of a kind that signs
                serials = frozenset(revoked.serial_number for revoked in listed)
                return _List(issuer, serials, listed.next_update_utc)
        raise self._unusable("is not signed by the authority of this grid")

    def _unusable(self, why: str) -> ConfigurationError:
        return ConfigurationError("CERTIFICATE_ERROR", f"The revocation list {str(self._path)!r} {why}", hint=_HINT)


class _List(NamedTuple):
    """Which serial numbers an issuer has revoked, and when that ends to be known; None for never."""

    issuer: x509.Certificate
    serials: frozenset[int]
    ends: datetime | None


def _of_issuer(certificate: bytes, lists: Sequence[_List]) -> tuple[int, list[_List]]:
    """The serial number of a certificate (PEM), and the lists of who signed it; authorities may share a name."""
    from cryptography import x509

    read = x509.load_pem_x509_certificate(certificate)
    return read.serial_number, [each for each in lists if _has_signed(each.issuer, read)]


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _refused(message: str, detail: str) -> AuthorizationError:
    return AuthorizationError(
        "INVALID_CREDENTIALS", message, ran="no", hint="ask the operator of the grid for a certificate", detail=detail
    )
