"""Mutual TLS 1.3 between client, host and runtime: certificates in, gRPC credentials and identities out.

Who needs what:
  `altar up`, tests, demo     `Authority` makes a local certificate authority and issues certificates.
  every grid process          `check_files` before it starts,
                              then `server_credentials` or `channel_credentials`.
  the host, per connection    `identity_of` reads who is calling from the certificate that gRPC has verified.
  when a connection fails     `explain_handshake_failure` says why, in one sentence.

gRPC for Python cannot set a minimum TLS version; `require_tls13` says how it is reached all the same.
Nothing here imports grpc before `require_tls13` has set its stage: grpc reads its settings only once.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from altar.adm.errors import AuthorizationError, ConfigurationError
from altar.grid.trust.authority import Authority
from altar.grid.trust.certificates import (
    CertificateFiles,
    Identity,
    Role,
    check_files,
    parse_identity,
    read_matching,
)
from altar.grid.trust.handshake import explain_handshake_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

__all__ = [
    "Authority",
    "CertificateFiles",
    "Identity",
    "Role",
    "channel_credentials",
    "check_files",
    "explain_handshake_failure",
    "identity_of",
    "require_tls13",
    "server_credentials",
]

# Offered for TLS 1.2 and below: a suite that needs a key shared beforehand, which no ALTAR process has.
# The suites of TLS 1.3 are fixed in BoringSSL, whatever is asked for here.
_UNUSABLE_SUITE = "ECDHE-PSK-CHACHA20-POLY1305"
_READ_ONCE = ("GRPC_SSL_CIPHER_SUITES", "GRPC_VERBOSITY", "GRPC_EXPERIMENTS")
_TLS13_SUITES = frozenset({0x1301, 0x1302, 0x1303})  # RFC 8446 §B.4; the only ones BoringSSL has
# The two parts of gRPC's newer socket layer that it can do without: with them each frame crosses two threads more
# before Python hears of it, which is a third of all context switches of a grid, and a fifth of its CPU.
_LEANER_SOCKETS = "-event_engine_client,-event_engine_listener"
_LAST_KNOWN_GRPC = (1, 85)  # a later one may have lost that choice, and would say so on stderr
_PATIENCE_S = 30.0  # a loaded machine takes its time; an idle one needs a thirtieth of a second


def identity_of(auth_context: Mapping[str, Iterable[bytes]], *, trust_domain: str | None = None) -> Identity:
    """Read who is calling, from what gRPC's `context.auth_context()` says about the certificate it verified.

    Exactly one URI must stand in the certificate, and it must be a SPIFFE id of the form ALTAR issues.
    `trust_domain`, when given, is the only one accepted; otherwise the authority's own certificate limits it.
    Raises AuthorizationError INVALID_CREDENTIALS for none, more than one, or a foreign id.
    """
    uris = [uri.decode("utf-8", "replace") for uri in auth_context.get("peer_spiffe_id", ())]
    every = [uri.decode("utf-8", "replace") for uri in auth_context.get("peer_uri", ())]
    hint = "use a certificate that ALTAR's authority issued to this client or runtime"
    if not uris and not every:
        message = "the caller's certificate names nobody: it has no SPIFFE id"
        raise AuthorizationError("INVALID_CREDENTIALS", message, hint=hint)
    if len(uris) != 1 or every != uris:
        message = "the caller's certificate does not name one holder by one SPIFFE id"
        raise AuthorizationError("INVALID_CREDENTIALS", message, hint=hint, detail=f"spiffe {uris!r}, uri {every!r}")
    identity = parse_identity(uris[0])
    if identity is None or (trust_domain is not None and identity.trust_domain != trust_domain):
        message = f"the caller's SPIFFE id {uris[0]!r} is foreign to this grid"
        raise AuthorizationError("INVALID_CREDENTIALS", message, hint=hint, detail=f"expected {trust_domain!r}")
    return identity


def server_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Return gRPC credentials for a host: TLS 1.3 only, and a certificate is demanded of every caller.

    The files are looked at again on each new connection: a renewed certificate is used without a restart.
    A renewal that cannot be used yet (half written, key of another certificate) is left aside until it can.
    Call `check_files` first.
    Raises ConfigurationError CERTIFICATE_ERROR, or ENVIRONMENT_ERROR (see `require_tls13`).
    """
    require_tls13()
    import grpc

    renewal = _Renewal(files)
    return grpc.dynamic_ssl_server_credentials(
        renewal.load(),
        renewal,  # type: ignore[arg-type]  # None means "unchanged", which the stub leaves out
        require_client_authentication=True,
    )


def channel_credentials(files: CertificateFiles) -> grpc.ChannelCredentials:
    """Return gRPC credentials for whoever dials a host: TLS 1.3 only, and the own certificate is sent.

    A channel keeps the files as they are now; make a new channel after a renewal.
    Raises ConfigurationError CERTIFICATE_ERROR, or ENVIRONMENT_ERROR (see `require_tls13`).
    """
    require_tls13()
    import grpc

    key, certificate, authority = read_matching(files)
    return grpc.ssl_channel_credentials(authority, key, certificate)


@cache
def require_tls13() -> None:
    """Make every gRPC connection of this process TLS 1.3, or raise; must run before anything imports grpc.

    gRPC for Python has no setting for the minimum version.
    It reads GRPC_SSL_CIPHER_SUITES once, when it is imported.
    That variable names the suites for TLS 1.2; with one that nobody can use, only those of TLS 1.3 remain.
    The variable is put back afterwards, so that child processes are not touched.
    So is GRPC_VERBOSITY, which silences gRPC's own lines on stderr unless somebody has set it, and GRPC_EXPERIMENTS,
    which chooses the socket layer that costs less, unless somebody has chosen.
    It holds for every use of gRPC in this process, ours or not, in both directions and for any kind of key.
    Then it is proved: gRPC dials this process itself, and its first message must offer nothing else.
    The proof takes some hundredths of a second, once a process, and blocks.
    Raises ConfigurationError ENVIRONMENT_ERROR when grpc was imported first, in a process started without it.
    """
    too_late = "grpc._cython.cygrpc" in sys.modules
    before = dict(os.environ)
    wanted = {"GRPC_VERBOSITY": "NONE", "GRPC_EXPERIMENTS": _leaner_sockets(), **before}
    wanted["GRPC_SSL_CIPHER_SUITES"] = _UNUSABLE_SUITE
    try:
        os.environ.update({name: wanted[name] for name in _READ_ONCE})
        offered = _offered_suites()
    except OSError as error:
        message = "cannot prove that gRPC speaks only TLS 1.3: it did not reach this process over loopback"
        raise ConfigurationError("ENVIRONMENT_ERROR", message, detail=repr(error)) from error
    finally:
        for name in _READ_ONCE:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
    if not offered or not offered <= _TLS13_SUITES:
        reason = "grpc was imported before ALTAR could limit it" if too_late else "it ignores the limit"
        message = f"gRPC in this process would accept TLS 1.2: {reason}"
        hint = f"start the process with GRPC_SSL_CIPHER_SUITES={_UNUSABLE_SUITE} in its environment"
        detail = f"offered {sorted(hex(suite) for suite in offered)}"
        raise ConfigurationError("ENVIRONMENT_ERROR", message, hint=hint, detail=detail)


class _Renewal:
    """Called by gRPC on each new connection: the configuration of renewed files, or None to keep the last."""

    __slots__ = ("_files", "_seen")

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._seen: tuple[int, ...] = ()

    def load(self) -> grpc.ServerCertificateConfiguration:
        """Read the files now; raises ConfigurationError when they cannot be used."""
        import grpc

        seen = self._stamps()
        key, certificate, authority = read_matching(self._files)
        self._seen = seen
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        """Answer gRPC, which must not meet an exception here: an unusable renewal changes nothing."""
        try:
            return self.load() if self._stamps() != self._seen else None
        except ConfigurationError:
            return None

    def _stamps(self) -> tuple[int, ...]:
        """A value that changes when one of the files is replaced or written; empty when one is missing."""
        try:
            stats = [path.stat() for path in (self._files.certificate, self._files.key, self._files.authority)]
        except OSError:
            return ()
        return tuple(number for stat in stats for number in (stat.st_ino, stat.st_mtime_ns, stat.st_size))


def _leaner_sockets() -> str:
    """What gRPC is to leave out; nothing where nobody has looked at its release yet."""
    release = tuple(int(part) for part in version("grpcio").split(".")[:2] if part.isdecimal())
    return _LEANER_SOCKETS if release <= _LAST_KNOWN_GRPC else ""


def _offered_suites() -> set[int]:
    """The cipher suites in the first message of a gRPC connection, read off a socket of this process."""
    import grpc

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_PATIENCE_S)
        address = "{}:{}".format(*listener.getsockname())
        # A proxy in the environment would otherwise be asked for loopback.
        options = [("grpc.enable_http_proxy", 0)]
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(), options=options)
        try:
            channel.subscribe(_ignore, try_to_connect=True)
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                connection.settimeout(_PATIENCE_S)
                header = stream.read(5)
                hello = stream.read(int.from_bytes(header[3:5], "big"))
        finally:
            channel.close()
    if len(hello) < 39:
        return set()
    # RFC 8446 §4.1.2: type 1 byte, length 3, version 2, random 32, then a session id and the suites.
    start = 38 + 1 + hello[38]
    length = int.from_bytes(hello[start : start + 2], "big")
    suites = hello[start + 2 : start + 2 + length]
    return {int.from_bytes(suites[at : at + 2], "big") for at in range(0, length, 2)}


def _ignore(_: object) -> None:
    """Nobody waits for the state of a channel that is only made to say hello."""
