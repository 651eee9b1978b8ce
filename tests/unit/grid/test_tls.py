"""Certificates, identities and the limit to TLS 1.3, without a network beyond this process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import altar
from altar.adm.errors import AuthorizationError, ConfigurationError
from altar.grid.trust import tls
from altar.grid.trust.tls import (
    Authority,
    CertificateFiles,
    Identity,
    check_files,
    explain_handshake_failure,
    identity_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2030, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"), trust_domain="grid.test")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> CertificateFiles:
    return authority.issue("host", "h1", tmp_path / "host", not_before=START)


def test_an_authority_is_opened_as_it_was_created(authority: Authority) -> None:
    opened = Authority.open(authority.directory)

    assert opened.trust_domain == "grid.test"
    assert opened.certificate == authority.certificate
    assert opened.key.private_numbers() == authority.key.private_numbers()


def test_an_authority_is_never_overwritten(authority: Authority) -> None:
    with pytest.raises(ConfigurationError, match="already") as caught:
        Authority.create(authority.directory)

    assert caught.value.code == "CERTIFICATE_ERROR"


@pytest.mark.parametrize("domain", ["", "localhost", "UPPER.test", "a b.test", "-a.test", "grid.test/host"])
def test_a_trust_domain_is_a_domain_name(tmp_path: Path, domain: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a trust domain"):
        Authority.create(tmp_path / "authority", trust_domain=domain)


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"authority\.pem' is missing"):
        Authority.open(tmp_path)


def test_the_certificate_of_a_host_is_no_authority(files: CertificateFiles, tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_bytes(files.certificate.read_bytes())
    (tmp_path / "authority.key").write_bytes(files.key.read_bytes())

    with pytest.raises(ConfigurationError, match="are not a certificate authority made by ALTAR"):
        Authority.open(tmp_path)


def test_a_host_certificate_names_its_holder_and_may_serve_at_its_hosts(authority: Authority, tmp_path: Path) -> None:
    hosts = ["host.example.com", "127.0.0.1", "::1"]
    leaf = certificate(authority.issue("host", "h1", tmp_path, hosts=hosts))

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://grid.test/host/h1"]
    assert names.get_values_for_type(x509.DNSName) == ["host.example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert {usage._name for usage in usages} == {"clientAuth", "serverAuth"}
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)


@pytest.mark.parametrize("role", ["runtime", "client"])
def test_a_runtime_and_a_client_may_not_serve(authority: Authority, tmp_path: Path, role: str) -> None:
    leaf = certificate(authority.issue("runtime" if role == "runtime" else "client", "x", tmp_path))

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [f"spiffe://grid.test/{role}/x"] == [name.value for name in names]
    assert list(usages) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]


def test_keys_are_readable_by_their_owner_only(authority: Authority, files: CertificateFiles) -> None:
    assert oct(files.key.stat().st_mode & 0o777) == "0o600"
    assert oct((authority.directory / "authority.key").stat().st_mode & 0o777) == "0o600"


def test_no_certificate_outlives_its_authority(authority: Authority, tmp_path: Path) -> None:
    leaf = certificate(authority.issue("client", "x", tmp_path, lifetime=timedelta(days=36500)))

    assert authority.certificate.not_valid_after_utc == leaf.not_valid_after_utc


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "é", "x" * 65, "a\n"])
def test_a_name_that_cannot_stand_in_a_spiffe_id_is_refused(authority: Authority, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a name for a certificate"):
        authority.issue("client", name, tmp_path)


def test_good_files_pass_without_a_warning(files: CertificateFiles) -> None:
    assert check_files(files, role="host", now=NOW) is None


def test_a_certificate_about_to_expire_is_announced(files: CertificateFiles) -> None:
    warning = check_files(files, role="host", now=START + timedelta(days=84))

    assert warning is not None
    assert "expires in 6 days, on 2030-04-01 00:00 UTC" in warning
    assert "altar up" in warning


def test_a_key_that_everybody_can_read_is_announced(files: CertificateFiles) -> None:
    files.key.chmod(0o644)

    warning = check_files(files, role="host", now=NOW)

    assert warning is not None
    assert "can be read by everybody" in warning


def remove_key(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    files.key.unlink()
    return files


def key_is_a_directory(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    return replace(files, key=files.key.parent)


def key_is_text(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    files.key.write_text("secret")
    return files


def key_is_encrypted(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    return files


def certificate_is_text(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    files.certificate.write_text("certificate")
    return files


def key_of_another(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    return replace(files, key=authority.issue("host", "h2", files.key.parent).key)


def authority_of_another(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    other = Authority.create(files.key.parent / "other", trust_domain="grid.test")
    return replace(files, authority=other.directory / "authority.pem")


def certificate_of_a_client(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    return authority.issue("client", "alice", files.key.parent, not_before=START)


def the_authority_itself(files: CertificateFiles, authority: Authority) -> CertificateFiles:
    directory = authority.directory
    return replace(files, certificate=directory / "authority.pem", key=directory / "authority.key")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove_key, r"file '.*host-h1\.key' is missing"),
        (key_is_a_directory, r"file '.*host' cannot be read \(Is a directory\)"),
        (key_is_text, r"file '.*host-h1\.key' holds no private key in PEM form"),
        (key_is_encrypted, r"key '.*host-h1\.key' is encrypted"),
        (certificate_is_text, r"file '.*host-h1\.pem' holds no certificate in PEM form"),
        (key_of_another, r"key '.*host-h2\.key' does not belong to certificate '.*host-h1\.pem'"),
        (authority_of_another, r"certificate '.*' was not issued by authority '.*other.*'"),
        (certificate_of_a_client, r"certificate '.*' belongs to client 'alice', it cannot serve a host"),
        (the_authority_itself, r"does not name one holder as 'spiffe://<trust domain>/<role>/<name>'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence_with_a_hint(
    authority: Authority,
    files: CertificateFiles,
    spoil: Callable[[CertificateFiles, Authority], CertificateFiles],
    words: str,
) -> None:
    spoiled = spoil(files, authority)

    with pytest.raises(ConfigurationError, match=words) as caught:
        check_files(spoiled, role="host", now=NOW)

    assert (caught.value.code, caught.value.ran) == ("CERTIFICATE_ERROR", "no")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (START + timedelta(days=90, seconds=1), "expired on 2030-04-01 00:00 UTC"),
        (START - timedelta(seconds=1), "is not valid before 2030-01-01 00:00 UTC"),
    ],
)
def test_a_certificate_outside_its_dates_is_refused(files: CertificateFiles, now: datetime, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_files(files, role="host", now=now)


def test_an_expired_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    end = authority.certificate.not_valid_after_utc
    files = authority.issue("host", "h1", tmp_path, not_before=end - timedelta(days=1))

    with pytest.raises(ConfigurationError, match="expired on"):
        check_files(files, role="host", now=end + timedelta(seconds=1))


def test_an_old_authority_and_a_new_one_can_overlap(files: CertificateFiles) -> None:
    other = Authority.create(files.key.parent / "other", trust_domain="grid.test")
    new = (other.directory / "authority.pem").read_bytes()
    files.authority.write_bytes(new + files.authority.read_bytes())

    assert check_files(files, role="host", now=NOW) is None


def test_an_identity_is_read_from_what_grpc_has_verified() -> None:
    identity = identity_of(context("spiffe://grid.test/runtime/py-1"), trust_domain="grid.test")

    assert identity == Identity(trust_domain="grid.test", role="runtime", name="py-1")
    assert identity.uri == "spiffe://grid.test/runtime/py-1"


@pytest.mark.parametrize(
    "auth_context",
    [
        {},
        {"transport_security_type": [b"ssl"], "x509_common_name": [b"alice"]},
        {"peer_uri": [b"spiffe://grid.test/client/alice"]},
        {"peer_uri": [b"https://alice.example.com"]},
        {
            "peer_spiffe_id": [b"spiffe://grid.test/client/alice"],
            "peer_uri": [b"spiffe://grid.test/client/alice", b"spiffe://grid.test/client/bob"],
        },
        {"peer_spiffe_id": [b"spiffe://grid.test/client/alice", b"spiffe://grid.test/client/bob"]},
    ],
)
def test_a_certificate_that_names_nobody_or_more_than_one_is_refused(
    auth_context: dict[str, list[bytes]],
) -> None:
    with pytest.raises(AuthorizationError) as caught:
        identity_of(auth_context)

    assert caught.value.code == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://other.test/client/alice",
        "spiffe://grid.test/admin/alice",
        "spiffe://grid.test/client",
        "spiffe://grid.test/client/alice/",
        "spiffe://grid.test/client/alice/extra",
        "spiffe://grid.test/client/..",
        "spiffe://grid.test/client/alice\n",
        "spiffe://grid.test:443/client/alice",
        "SPIFFE://grid.test/client/alice",
        "spiffe://grid.test/client/\xff",
    ],
)
def test_a_foreign_spiffe_id_is_refused(uri: str) -> None:
    with pytest.raises(AuthorizationError, match="is foreign to this grid") as caught:
        identity_of(context(uri), trust_domain="grid.test")

    assert caught.value.code == "INVALID_CREDENTIALS"


def test_an_explanation_begins_with_the_own_files(files: CertificateFiles) -> None:
    error = explain_handshake_failure("localhost:1", files, "details", now=START + timedelta(days=91))

    assert (error.code, error.detail) == ("CERTIFICATE_ERROR", "details")
    assert "expired on" in error.message


@pytest.mark.parametrize("target", ["localhost", "localhost:http", "localhost:99999", ""])
def test_an_explanation_names_a_target_that_is_no_address(files: CertificateFiles, target: str) -> None:
    error = explain_handshake_failure(target, files, "details", now=NOW)

    assert error.code == "CONNECTION_FAILED"
    assert "is not an address" in error.message


def test_importing_the_module_loads_neither_grpc_nor_cryptography() -> None:
    program = "import sys, altar.grid.trust.tls; print(sorted({'grpc', 'cryptography'} & set(sys.modules)))"

    assert run(program) == "[]"


def test_the_limit_to_tls_1_3_holds_and_leaves_the_environment_as_it_was() -> None:
    program = "import os; from altar.grid.trust.tls import require_tls13; require_tls13(); require_tls13(); print({})"

    assert run(program.format("os.environ.get('GRPC_SSL_CIPHER_SUITES')")) == "None"
    assert run(program.format("os.environ['GRPC_SSL_CIPHER_SUITES']"), suites="ECDHE+AESGCM") == "ECDHE+AESGCM"
    assert run(program.format("os.environ.get('GRPC_EXPERIMENTS')")) == "None"
    chosen = "import os; os.environ['GRPC_EXPERIMENTS'] = '-fuse_filters'; "
    assert run(chosen + program.format("os.environ['GRPC_EXPERIMENTS']")) == "-fuse_filters"


def test_grpc_still_knows_the_parts_of_its_socket_layer_that_are_left_out() -> None:
    said = leave_out("-nobody_knows_this")
    assert "Unknown experiment" in said

    assert "Unknown experiment" not in leave_out(tls._LEANER_SOCKETS)
    assert tls._leaner_sockets() == tls._LEANER_SOCKETS  # else see what the newer gRPC has, and what it costs


def leave_out(experiments: str) -> str:
    """What gRPC says on stderr when it is told to do without these."""
    program = "import grpc; grpc.insecure_channel('127.0.0.1:1').subscribe(print, try_to_connect=True)"
    environment = {**os.environ, "GRPC_EXPERIMENTS": experiments, "GRPC_VERBOSITY": "ERROR"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=30).stderr


TOO_LATE = """
import grpc
from altar.adm.errors import ConfigurationError
from altar.grid.trust.tls import require_tls13
try:
    require_tls13()
except ConfigurationError as error:
    print(error.code, error, error.hint)
else:
    print("TLS 1.3 only")
"""


def test_a_process_that_imported_grpc_before_is_told_so_and_what_to_do() -> None:
    answer = run(TOO_LATE)

    assert answer.startswith("ENVIRONMENT_ERROR gRPC in this process would accept TLS 1.2: grpc was imported before")
    assert "GRPC_SSL_CIPHER_SUITES=ECDHE-PSK-CHACHA20-POLY1305" in answer


def test_a_process_started_as_the_hint_says_may_import_grpc_before() -> None:
    assert run(TOO_LATE, suites="ECDHE-PSK-CHACHA20-POLY1305") == "TLS 1.3 only"


@pytest.mark.parametrize("credentials", ["server_credentials", "channel_credentials"])
def test_credentials_of_missing_files_are_refused_by_name(tmp_path: Path, credentials: str) -> None:
    program = f"""
from pathlib import Path
from altar.adm.errors import ConfigurationError
from altar.grid.trust.tls import CertificateFiles, {credentials}
files = CertificateFiles(certificate=Path("a.pem"), key=Path("a.key"), authority=Path("authority.pem"))
try:
    {credentials}(files)
except ConfigurationError as error:
    print(error.code, error)
"""

    assert run(program) == "CERTIFICATE_ERROR file 'a.key' is missing"


def certificate(files: CertificateFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.certificate.read_bytes())


def context(uri: str) -> dict[str, list[bytes]]:
    """What gRPC says about a certificate that holds this one URI."""
    return {"peer_spiffe_id": [uri.encode()], "peer_uri": [uri.encode()]}


def run(program: str, *, suites: str | None = None) -> str:
    """Run a program in a fresh interpreter; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(Path(altar.__file__).parents[1])}
    environment.pop("GRPC_SSL_CIPHER_SUITES", None)
    if suites is not None:
        environment["GRPC_SSL_CIPHER_SUITES"] = suites
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=30)
    assert finished.stderr == ""
    return finished.stdout.strip()
