"""Certificates that their authority has revoked, at a real host over mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError
from altar.grid.trust.certificates import CertificateFiles, read_certificates, read_key
from altar.grid.trust.revocation import Revocations
from altar.grid.trust.tls import Authority
from altar.later.front import SyncSession
from altar.testing import LocalGrid
from altar.testing.waiting import until

NOW = datetime.now(UTC)


def write_list(
    at: Path,
    authority: Authority,
    *revoked: CertificateFiles,
    ends: datetime | None = None,
    pem: bool = True,
    part: x509.ExtensionType | None = None,
) -> None:
    """Write the authority's list of these certificates, in one step as an authority would."""
    issuer = read_certificates(authority.directory / "authority.pem")[0]
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(NOW - timedelta(days=2))
    builder = builder.next_update(ends or NOW + timedelta(days=1))
    if part is not None:
        builder = builder.add_extension(part, critical=True)
    for files in revoked:
        serial = read_certificates(files.certificate)[0].serial_number
        made = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - timedelta(hours=1)).build()
        builder = builder.add_revoked_certificate(made)
    key = read_key(authority.directory / "authority.key")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    new = at.with_suffix(".new")
    new.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM if pem else Encoding.DER))
    new.replace(at)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    folder = tmp_path_factory.mktemp("revoking")
    listed = folder / "revoked.crl"
    made = LocalGrid(
        ["tests/integration/tools.py"], runtimes=1, directory=folder, settings={"host.revocation_list": listed}
    )
    made.prepare()
    write_list(listed, made.authority)
    made.prepare = lambda: None  # type: ignore[method-assign]  # it has been done
    with made:
        yield made


def options_of(files: CertificateFiles) -> dict[str, object]:
    return {"certificate": files.certificate, "key": files.key, "authority": files.authority}


def test_who_is_revoked_is_let_in_no_more_and_a_stream_of_theirs_ends(grid: LocalGrid) -> None:
    bad, good = grid.certificate("client", "mallory"), grid.certificate("client", "alice")
    listed = grid.directory / "revoked.crl"

    with grid.session(options=options_of(bad)) as open_before, grid.session(options=options_of(good)) as other:
        assert 3 == open_before.call("add", a=1, b=2).unwrap()
        write_list(listed, grid.authority, bad)
        until(lambda: _code_of(open_before) != "", what="the stream of the revoked one to end")
        with pytest.raises(AltarError) as refused, grid.session(options=options_of(bad)):
            pass
        assert "" == _code_of(other)

    assert "INVALID_CREDENTIALS" == refused.value.code
    assert "revoked" in refused.value.message


def _code_of(session: SyncSession) -> str:
    """The code with which a call of a session fails; empty when it succeeds."""
    try:
        error = session.call("add", a=1).error
    except AltarError as failed:
        return failed.code
    return "" if error is None else str(error.type)


# --------------------------------------------------------------------------------------------- the list by itself


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> CertificateFiles:
    return authority.issue("client", "mallory", tmp_path / "client")


def revocations(authority: Authority, at: Path) -> Revocations:
    return Revocations(at, authority=authority.directory / "authority.pem")


@pytest.mark.parametrize("pem", [True, False])
def test_a_list_is_read_again_when_it_has_changed(
    authority: Authority, files: CertificateFiles, tmp_path: Path, pem: bool
) -> None:
    at = tmp_path / "list.crl"
    write_list(at, authority, pem=pem)
    known = revocations(authority, at)
    known.require(files.certificate.read_bytes(), now=NOW)

    write_list(at, authority, files, pem=pem)

    with pytest.raises(AuthorizationError) as refused:
        known.require(files.certificate.read_bytes(), now=NOW)
    assert 2 == known.version
    assert "revoked" in refused.value.message


def test_a_list_that_is_gone_or_over_or_not_of_the_authority_lets_nobody_in(
    authority: Authority, files: CertificateFiles, tmp_path: Path
) -> None:
    at, certificate = tmp_path / "list.crl", files.certificate.read_bytes()
    write_list(at, authority)
    known = revocations(authority, at)
    foreign = Authority.create(tmp_path / "foreign")

    refusals = []
    for spoil in (
        lambda: write_list(at, authority, ends=NOW - timedelta(days=1)),
        lambda: write_list(at, foreign),
        lambda: at.write_bytes(b"-----BEGIN X509 CRL-----\nnone\n-----END X509 CRL-----\n"),
        at.unlink,
    ):
        spoil()
        with pytest.raises(AuthorizationError) as refused:
            known.require(certificate, now=NOW)
        refusals.append(refused.value.message)
    write_list(at, authority)
    known.require(certificate, now=NOW)

    assert ["nobody can be let in at present"] * 4 == refusals


def test_several_lists_in_one_file_count_all_and_who_is_in_none_of_their_issuers_is_not_let_in(
    authority: Authority, files: CertificateFiles, tmp_path: Path
) -> None:
    at, first, certificate = tmp_path / "list.crl", tmp_path / "first.crl", files.certificate.read_bytes()
    other = Authority.create(tmp_path / "other")
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(b"".join((each.directory / "authority.pem").read_bytes() for each in (other, authority)))
    write_list(first, other)
    write_list(at, authority, files)
    both = first.read_bytes() + at.read_bytes()

    at.write_bytes(first.read_bytes())
    known = Revocations(at, authority=authorities)
    with pytest.raises(AuthorizationError, match="nobody can be let in"):
        known.require(certificate, now=NOW)
    at.write_bytes(both)
    with pytest.raises(AuthorizationError, match="was revoked"):
        known.require(certificate, now=NOW)
    at.write_bytes(first.read_bytes() + b"-----BEGIN X509 CRL-----\nnone\n-----END X509 CRL-----\n")
    with pytest.raises(AuthorizationError, match="nobody can be let in"):
        known.require(certificate, now=NOW)


@pytest.mark.parametrize(
    "part", [x509.DeltaCRLIndicator(1), x509.IssuingDistributionPoint(None, None, False, True, None, False, False)]
)
def test_a_list_of_a_part_is_not_taken_for_the_whole(
    authority: Authority, tmp_path: Path, part: x509.ExtensionType
) -> None:
    at = tmp_path / "list.crl"
    write_list(at, authority, part=part)

    with pytest.raises(ConfigurationError, match="is not of all certificates"):
        revocations(authority, at)


def test_a_host_does_not_start_with_a_list_that_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as absent:
        revocations(authority, tmp_path / "none.crl")

    assert "CERTIFICATE_ERROR" == absent.value.code
