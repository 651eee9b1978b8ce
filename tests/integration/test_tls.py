"""A real gRPC host behind ALTAR's credentials, in a process of its own, and everybody who knocks.

Run as a program, this file is that host (`serve`) or a gRPC caller (`call`), so that each has its own grpc.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import altar
from altar.adm.errors import ConfigurationError
from altar.grid.trust.tls import (
    Authority,
    CertificateFiles,
    Identity,
    Role,
    channel_credentials,
    check_files,
    explain_handshake_failure,
    identity_of,
    server_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(altar.__file__).parents[1]), "GRPC_VERBOSITY": "NONE"}
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def host(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running host."""
    with running_host(authority.issue("host", "h1", tmp_path_factory.mktemp("host"))) as port:
        yield port


@pytest.fixture
def client(authority: Authority, tmp_path: Path) -> CertificateFiles:
    return authority.issue("client", "alice", tmp_path / "client")


def test_the_host_accepts_tls_1_3(host: int, client: CertificateFiles) -> None:
    assert shake_hands(host, client, version=TLS13) == "accepted TLSv1.3"


def test_the_host_refuses_tls_1_2_whatever_suite_is_offered(host: int, client: CertificateFiles) -> None:
    assert shake_hands(host, client, version=TLS12) == "refused"


def test_without_our_credentials_grpc_would_accept_tls_1_2(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("host", "h1", tmp_path)

    with running_host(files, kind="serve-plain-grpc") as port:
        assert shake_hands(port, files, version=TLS12) == "accepted TLSv1.2"


def test_the_host_reads_the_identity_from_the_certificate(host: int, client: CertificateFiles) -> None:
    answer = call(f"localhost:{host}", client)

    expected = Identity(trust_domain="altar.local", role="client", name="alice")
    assert answer == {"uri": expected.uri, "role": "client", "name": "alice"}


def test_the_host_refuses_a_client_without_a_certificate(host: int, client: CertificateFiles) -> None:
    assert shake_hands(host, client, version=TLS13, send_certificate=False) == "refused"


def test_the_host_refuses_a_client_of_a_foreign_authority(
    host: int, client: CertificateFiles, foreign: Authority, tmp_path: Path
) -> None:
    stranger = foreign.issue("client", "alice", tmp_path / "foreign")

    assert shake_hands(host, replace(stranger, authority=client.authority), version=TLS13) == "refused"


@pytest.mark.parametrize("begins", [timedelta(days=-100), timedelta(days=1)], ids=["expired", "not yet valid"])
def test_the_host_refuses_a_client_certificate_outside_its_dates(
    host: int, authority: Authority, tmp_path: Path, begins: timedelta
) -> None:
    files = authority.issue("client", "alice", tmp_path, not_before=datetime.now(UTC) + begins)

    assert shake_hands(host, files, version=TLS13) == "refused"


def test_the_host_refuses_a_certificate_of_another_trust_domain_of_the_same_authority(
    host: int, authority: Authority, tmp_path: Path
) -> None:
    files = replace(authority, trust_domain="other.test").issue("client", "alice", tmp_path)

    assert shake_hands(host, files, version=TLS13) == "refused"


def test_the_host_does_not_talk_in_plain_text(host: int) -> None:
    with socket.create_connection(("127.0.0.1", host), 5) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")

        assert received(connection) == b""


def test_our_client_refuses_a_host_of_a_foreign_authority(
    host: int, client: CertificateFiles, foreign: Authority, tmp_path: Path
) -> None:
    other = foreign.issue("client", "alice", tmp_path / "foreign")

    answer = call(f"localhost:{host}", replace(client, authority=other.authority))

    assert answer["code"] == "UNAVAILABLE"
    assert "CERTIFICATE_VERIFY_FAILED" in answer["details"]


def test_our_client_refuses_a_host_under_a_name_it_does_not_have(
    authority: Authority, client: CertificateFiles, tmp_path: Path
) -> None:
    files = authority.issue("host", "h1", tmp_path / "host", hosts=["host.example.com"])

    with running_host(files) as port:
        assert call(f"localhost:{port}", client)["code"] == "UNAVAILABLE"


def test_our_client_refuses_a_runtime_that_plays_host(
    authority: Authority, client: CertificateFiles, tmp_path: Path
) -> None:
    files = authority.issue("runtime", "py-1", tmp_path / "runtime")

    with running_host(files) as port:
        assert call(f"localhost:{port}", client)["code"] == "UNAVAILABLE"


@pytest.mark.parametrize("key", ["ecdsa", "rsa"])
def test_our_client_refuses_a_server_that_only_speaks_tls_1_2(
    authority: Authority, client: CertificateFiles, tmp_path: Path, key: str
) -> None:
    issued = authority.issue("host", "old", tmp_path / "host")
    files = with_rsa_key(issued, authority=authority) if key == "rsa" else issued

    with listening(files, version=TLS12) as (port, seen):
        assert call(f"localhost:{port}", client)["code"] == "UNAVAILABLE"

    assert "NO_SHARED_CIPHER" in seen[0]


def test_a_host_with_an_rsa_key_is_refused_before_it_starts_and_would_not_speak_tls_1_2_either(
    authority: Authority, client: CertificateFiles, tmp_path: Path
) -> None:
    files = with_rsa_key(authority.issue("host", "h1", tmp_path / "host"), authority=authority)

    with pytest.raises(ConfigurationError, match="has a key that is not ECDSA"):
        check_files(files, role="host", now=datetime.now(UTC))
    with running_host(files) as port:
        assert shake_hands(port, client, version=TLS12) == "refused"
        assert shake_hands(port, client, version=TLS13) == "accepted TLSv1.3"


def test_a_running_host_picks_up_a_renewed_certificate_and_skips_a_half_written_one(
    authority: Authority, client: CertificateFiles, tmp_path: Path
) -> None:
    files = authority.issue("host", "h1", tmp_path / "host")
    with running_host(files) as port:
        first = certificate_of(port, client)

        files.key.write_bytes(client.key.read_bytes())
        during = certificate_of(port, client)
        authority.issue("host", "h1", tmp_path / "host")
        second = certificate_of(port, client)

    assert first == during
    assert first != second


@pytest.mark.parametrize("address", ["localhost:{}", "127.0.0.1:{}", "dns:///localhost:{}", "grid://localhost:{}"])
def test_an_explanation_says_so_when_the_handshake_works_after_all(
    host: int, client: CertificateFiles, address: str
) -> None:
    error = explain_handshake_failure(address.format(host), client, "UNAVAILABLE")

    assert (error.code, error.ran) == ("TLS_HANDSHAKE_FAILED", "no")
    assert "works now" in error.message


def test_an_explanation_names_a_client_certificate_that_the_host_does_not_accept(
    host: int, client: CertificateFiles, authority: Authority, foreign: Authority, tmp_path: Path
) -> None:
    stranger = foreign.issue("client", "alice", tmp_path / "foreign")
    both = tmp_path / "both.pem"
    both.write_bytes(stranger.authority.read_bytes() + client.authority.read_bytes())

    error = explain_handshake_failure(f"localhost:{host}", replace(stranger, authority=both), "UNAVAILABLE")

    assert error.code == "CERTIFICATE_ERROR"
    assert f"does not accept certificate {str(stranger.certificate)!r}" in error.message
    assert "UNAVAILABLE" in str(error.detail)


def test_an_explanation_names_a_host_of_a_foreign_authority(host: int, foreign: Authority, tmp_path: Path) -> None:
    error = explain_handshake_failure(f"localhost:{host}", foreign.issue("client", "alice", tmp_path), "UNAVAILABLE")

    assert error.code == "CERTIFICATE_ERROR"
    assert "was not issued by authority" in error.message


def test_an_explanation_names_a_host_that_speaks_only_tls_1_2(
    authority: Authority, client: CertificateFiles, tmp_path: Path
) -> None:
    files = authority.issue("host", "old", tmp_path / "host")

    with listening(files, version=TLS12) as (port, _):
        error = explain_handshake_failure(f"localhost:{port}", client, "UNAVAILABLE")

    assert error.code == "TLS_HANDSHAKE_FAILED"
    assert "offers TLSv1.2 at best" in error.message


@pytest.mark.parametrize(
    ("role", "name", "begins", "words"),
    [
        ("host", "localhost", timedelta(days=-100), "has expired"),
        ("host", "localhost", timedelta(days=1), "is not valid yet"),
        ("host", "host.example.com", timedelta(), "is for another host name"),
        ("runtime", "localhost", timedelta(), "is not that of a host"),
    ],
)
def test_an_explanation_names_what_is_wrong_with_the_host_certificate(
    client: CertificateFiles, authority: Authority, role: Role, name: str, begins: timedelta, words: str
) -> None:
    start = datetime.now(UTC) + begins
    files = authority.issue(role, "h1", client.key.parent, hosts=[name], not_before=start)

    with listening(files, version=TLS13) as (port, _):
        error = explain_handshake_failure(f"localhost:{port}", client, "UNAVAILABLE")

    assert error.code == "CERTIFICATE_ERROR"
    assert words in error.message


def test_an_explanation_names_a_port_that_does_not_speak_tls(client: CertificateFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        greeting = threading.Thread(target=greet_one, args=(listener,))
        greeting.start()
        error = explain_handshake_failure(f"127.0.0.1:{listener.getsockname()[1]}", client, "UNAVAILABLE")
        greeting.join()

    assert error.code == "TLS_HANDSHAKE_FAILED"
    assert "answers, but not in TLS" in error.message


def test_an_explanation_names_a_port_that_stays_silent(client: CertificateFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        error = explain_handshake_failure(target, client, "", patience=timedelta(milliseconds=50))

    assert error.code == "TLS_HANDSHAKE_FAILED"
    assert "does not answer in TLS" in error.message


def test_an_explanation_names_an_address_where_nothing_listens(client: CertificateFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"

    error = explain_handshake_failure(target, client, "UNAVAILABLE")

    assert (error.code, error.ran) == ("CONNECTION_FAILED", "no")
    assert "nothing listens at" in error.message


# --- the parties -----------------------------------------------------------------------------------------


@contextmanager
def running_host(files: CertificateFiles, *, kind: str = "serve") -> Iterator[int]:
    """Start this file as a host; it ends when its input does."""
    with subprocess.Popen(
        [sys.executable, __file__, kind, *paths(files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()
    assert process.returncode == 0


def call(target: str, files: CertificateFiles) -> dict[str, Any]:
    """Call a host from a process of its own; the answer, or gRPC's code and details."""
    command = [sys.executable, __file__, "call", *paths(files), target]
    finished = subprocess.run(command, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True, timeout=30)
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def shake_hands(port: int, files: CertificateFiles, *, version: ssl.TLSVersion, send_certificate: bool = True) -> str:
    """Shake hands in one version with all its suites, as any program might, and wait for the first byte."""
    context = context_of(ssl.PROTOCOL_TLS_CLIENT, files, version=version, load=send_certificate)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            return f"accepted {secured.version()}" if secured.recv(1) else "refused"
    except (ssl.SSLError, ConnectionError):
        return "refused"


def certificate_of(port: int, files: CertificateFiles) -> bytes | None:
    """The certificate that the host shows on a new connection."""
    context = context_of(ssl.PROTOCOL_TLS_CLIENT, files, version=TLS13)
    with (
        socket.create_connection(("127.0.0.1", port), 5) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        return secured.getpeercert(binary_form=True)


@contextmanager
def listening(files: CertificateFiles, *, version: ssl.TLSVersion) -> Iterator[tuple[int, list[str]]]:
    """A server of the standard library that speaks one version, takes one caller, and notes what it saw."""
    context = context_of(ssl.PROTOCOL_TLS_SERVER, files, version=version)
    seen: list[str] = []

    def take_one() -> None:
        try:
            with (
                listener.accept()[0] as connection,
                context.wrap_socket(connection, server_side=True) as secured,
            ):
                secured.recv(1)
                seen.append("accepted")
        except OSError as error:
            seen.append(repr(error))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        thread = threading.Thread(target=take_one)
        thread.start()
        yield listener.getsockname()[1], seen
        thread.join()


def greet_one(listener: socket.socket) -> None:
    """Greet one caller as a mail server would, in plain text, and wait until it leaves."""
    with listener.accept()[0] as connection:
        connection.sendall(b"220 mail.example.com ready\r\n")
        received(connection)


def with_rsa_key(files: CertificateFiles, *, authority: Authority) -> CertificateFiles:
    """The same certificate of the same authority, but for an RSA key."""
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    builder = x509.CertificateBuilder(leaf.issuer, leaf.subject, key.public_key(), leaf.serial_number)
    builder = builder.not_valid_before(leaf.not_valid_before_utc).not_valid_after(leaf.not_valid_after_utc)
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    certificate = builder.sign(authority.key, hashes.SHA256())
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return files


def context_of(protocol: int, files: CertificateFiles, *, version: ssl.TLSVersion, load: bool = True) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.load_verify_locations(files.authority)
    if load:
        context.load_cert_chain(files.certificate, files.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    return context


def received(connection: socket.socket) -> bytes:
    """All that the other side sends until it closes."""
    data = b""
    try:
        while chunk := connection.recv(4096):
            data += chunk
    except ConnectionError:
        pass
    return data


def paths(files: CertificateFiles) -> list[str]:
    return [str(files.certificate), str(files.key), str(files.authority)]


# --- as a program ----------------------------------------------------------------------------------------


async def serve(files: CertificateFiles, *, ours: bool) -> None:
    """Answer every method with the identity of its caller, until standard input ends."""
    credentials = server_credentials(files) if ours else plain_grpc_credentials(files)
    import grpc

    class WhoCalls(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
            return grpc.unary_unary_rpc_method_handler(answer)

    async def answer(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        identity = identity_of(context.auth_context(), trust_domain="altar.local")
        return json.dumps({"uri": identity.uri, "role": identity.role, "name": identity.name}).encode()

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((WhoCalls(),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


def plain_grpc_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """What gRPC does by itself, to show what ours add."""
    import grpc

    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], files.authority.read_bytes(), require_client_auth=True)


async def call_once(files: CertificateFiles, target: str) -> None:
    """Call any method and print the answer, or what gRPC says."""
    credentials = channel_credentials(files)
    import grpc

    async with grpc.aio.secure_channel(target, credentials) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/any/method")
        try:
            answer = await method(b"", timeout=10)
        except grpc.aio.AioRpcError as error:
            answer = json.dumps({"code": error.code().name, "details": error.details()}).encode()
    sys.stdout.write(answer.decode())


def main(kind: str, certificate: str, key: str, authority: str, *rest: str) -> None:
    files = CertificateFiles(certificate=Path(certificate), key=Path(key), authority=Path(authority))
    asyncio.run(call_once(files, *rest) if kind == "call" else serve(files, ours=kind == "serve"))


if __name__ == "__main__":
    main(*sys.argv[1:])
