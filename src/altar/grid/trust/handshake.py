"""Why a connection failed: the handshake once more, watched step by step, and one sentence about what broke.

gRPC answers every failed connection with UNAVAILABLE and a text that seldom names the reason.
"""

from __future__ import annotations

import re
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from altar.adm.errors import ConfigurationError, TransportError
from altar.grid.trust.certificates import RENEW, certificate_error, examine

if TYPE_CHECKING:
    from altar.adm.errors import AltarError
    from altar.grid.trust.certificates import CertificateFiles

__all__ = ["explain_handshake_failure"]

_PATIENCE = timedelta(seconds=3)

# OpenSSL's reasons when the first bytes that come back are no TLS at all.
_PLAIN = frozenset({"HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "WRONG_VERSION_NUMBER"})


def explain_handshake_failure(
    target: str,
    files: CertificateFiles,
    grpc_details: str,
    *,
    now: datetime | None = None,
    patience: timedelta = _PATIENCE,
) -> AltarError:
    """Return (not raise) why a connection to `target` failed, where gRPC says only "failed to connect".

    It looks at the own files first, then dials `target` (``host:port``) itself and watches the handshake.
    It blocks for up to `patience` a step: call it in a thread from asynchronous code.
    ConfigurationError CERTIFICATE_ERROR: a certificate is wrong or expired, ours or the host's.
    TransportError CONNECTION_FAILED: nothing answers there.
    TransportError TLS_HANDSHAKE_FAILED: something answers, but not a host that speaks TLS 1.3.
    `grpc_details` is kept in `detail`, for the log.  `ran` is "no" in each: no call has left.
    """
    moment = now or datetime.now(UTC)  # noqa: TID251 - the default where the caller gives no time
    try:
        examine(files, role=None, now=moment)
    except ConfigurationError as error:
        return certificate_error(error.message, hint=error.hint, detail=grpc_details)
    seconds = patience.total_seconds()
    try:
        host, port = _address(target)
        with socket.create_connection((host, port), seconds) as connection:
            return _watch_handshake(connection, host, target=target, files=files, detail=grpc_details)
    except ValueError:
        message, hint = f"{target!r} is not an address", "write it as 'host.example.com:7443'"
    except socket.gaierror:
        message, hint = f"the name in {target!r} is not known", "check its spelling and your name service"
    except TimeoutError:
        message, hint = f"no answer from {target!r} in {seconds:g} s", "check the address and the firewall"
    except OSError as error:
        message, hint = (
            f"nothing listens at {target!r}: {error.strerror}",
            "start the host, or check the address",
        )
    return TransportError("CONNECTION_FAILED", message, hint=hint, detail=grpc_details, ran="no")


def _address(target: str) -> tuple[str, int]:
    """Host and port of a gRPC target or a grid address; ValueError when there is no port."""
    authority = re.sub(r"^(?:dns://[^/]*/|grid://|https://|dns:|ipv4:|ipv6:)", "", target)
    host, _, port = authority.rstrip("/").rpartition(":")
    if not host or not 0 < int(port) < 65536:
        raise ValueError(target)
    return host.strip("[]"), int(port)


def _watch_handshake(
    connection: socket.socket, host: str, *, target: str, files: CertificateFiles, detail: str
) -> AltarError:
    """Shake hands as gRPC would, and name the step that fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(files.authority)
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    hint = "check that the address is that of an ALTAR host"
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            if secured.version() != "TLSv1.3":
                message = f"{target!r} offers {secured.version()} at best, ALTAR needs TLSv1.3"
            elif secured.selected_alpn_protocol() != "h2":
                message = f"{target!r} speaks TLS, but not gRPC"
            else:
                return _watch_first_bytes(secured, target=target, files=files, detail=detail)
    except ssl.SSLCertVerificationError as error:
        return _wrong_host(error, target=target, files=files, detail=detail)
    except TimeoutError:
        message = f"{target!r} accepts connections but does not answer in TLS"
    except ssl.SSLError as error:
        answer = "answers, but not in TLS" if error.reason in _PLAIN else "broke off the TLS handshake"
        message, detail = f"{target!r} {answer}", f"{detail}; {error!r}"
    except OSError as error:
        message, detail = f"{target!r} broke off the TLS handshake", f"{detail}; {error!r}"
    return TransportError("TLS_HANDSHAKE_FAILED", message, hint=hint, detail=detail, ran="no")


def _watch_first_bytes(secured: ssl.SSLSocket, *, target: str, files: CertificateFiles, detail: str) -> AltarError:
    """Wait for the verdict on our certificate: in TLS 1.3 a client is done before its server has judged."""
    try:
        accepted = bool(secured.recv(1))
    except TimeoutError:
        accepted = True
    except OSError as error:
        accepted, detail = False, f"{detail}; {error!r}"
    if accepted:
        message = f"the handshake with {target!r} works now, it did not a moment ago"
        return TransportError("TLS_HANDSHAKE_FAILED", message, hint="try again", detail=detail, ran="no")
    return certificate_error(
        f"{target!r} does not accept certificate {str(files.certificate)!r}",
        hint="it trusts another authority, or its clock differs: compare the authority files of both sides",
        detail=detail,
    )


def _wrong_host(
    error: ssl.SSLCertVerificationError, *, target: str, files: CertificateFiles, detail: str
) -> ConfigurationError:
    """Put OpenSSL's reason for refusing the host's certificate into a sentence (numbers: X509_V_ERR_*)."""
    host_hint = "issue it with this name or address among its hosts, or dial it by a name it has"
    answers = {
        9: (f"the certificate of {target!r} is not valid yet", "compare the clocks of both machines"),
        10: (f"the certificate of {target!r} has expired", RENEW),
        26: (f"the certificate of {target!r} is not that of a host", "dial a host, not a runtime or client"),
        62: (f"the certificate of {target!r} is for another host name", host_hint),
        64: (f"the certificate of {target!r} is for another address", host_hint),
    }
    unknown = f"the certificate of {target!r} was not issued by authority {str(files.authority)!r}"
    foreign = (unknown, "dial the host of this grid, or take over its authority file")
    message, hint = answers.get(error.verify_code, foreign)
    return certificate_error(message, hint=hint, detail=f"{detail}; {error.verify_message}")
