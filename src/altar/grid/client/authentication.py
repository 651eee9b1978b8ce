"""The client of a host's authentication service: a credential goes out, a pair of tokens comes in. It blocks.

Requests go over the grid's own mutual TLS, so a password or a token meets no one but the host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from altar._proto.altar.aesp.v1 import authentication_pb2
from altar.adm.errors import ConfigurationError
from altar.grid import wire
from altar.grid.status import error_of_rpc
from altar.grid.trust.handshake import explain_handshake_failure
from altar.grid.trust.tls import channel_credentials

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles

__all__ = ["Authentication", "Issued", "Whoami", "no_identities"]

_SERVICE = "/altar.aesp.v1.EnterpriseAuthenticationService"
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Issued:
    """What a host gave for a credential; ``expires`` is the end of the access token, in seconds since 1970."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires: float
    principal: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Whoami:
    """Who a host says a token stands for. ``expires`` is in seconds since 1970, 0 for no end."""

    principal: str
    tenant: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    expires: float


class Authentication:
    """One connection to a host's authentication service, closed at the end of its ``with``.

    Every method raises what the host refuses with, and CONNECTION_FAILED, TLS_HANDSHAKE_FAILED or CERTIFICATE_ERROR
    when it cannot be asked; FEATURE_UNAVAILABLE of a host without identities.
    """

    def __init__(self, target: str, files: CertificateFiles) -> None:
        """Take the ``host:port`` of the host and the certificate files of the client."""
        credentials = channel_credentials(files)
        import grpc

        self._target, self._files = target, files
        self._channel = grpc.secure_channel(target, credentials, options=wire.message_options())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def password(self, *, tenant: str, name: str, password: str, new_password: str = "", provider: str) -> Issued:
        """Sign in with a name and a password; ``new_password`` replaces it."""
        request = authentication_pb2.AuthenticateUserRequest(provider=provider, tenant_id=tenant)
        request.username_password.username = name
        request.username_password.password = password
        request.username_password.new_password = new_password
        return self._authenticate(request)

    def oidc(self, *, tenant: str, provider: str, token: str, nonce: str) -> Issued:
        """Exchange an ID token of OpenID Connect; ``nonce`` is the one this client gave the provider."""
        request = authentication_pb2.AuthenticateUserRequest(provider=provider, tenant_id=tenant)
        request.oauth_token.token = token
        request.oauth_token.nonce = nonce
        return self._authenticate(request)

    def saml(self, *, tenant: str, provider: str, token: str) -> Issued:
        """Exchange the code of a sign-in by SAML, joined with its verifier."""
        request = authentication_pb2.AuthenticateUserRequest(provider=provider, tenant_id=tenant, saml_token=token)
        return self._authenticate(request)

    def refresh(self, token: str) -> Issued:
        """A new pair for a refresh token, which is spent by that."""
        request = authentication_pb2.RefreshTokenRequest(refresh_token=token)
        return _issued(self._ask("RefreshToken", request, authentication_pb2.RefreshTokenResponse).details)

    def revoke(self, token: str) -> None:
        """End what a token belongs to."""
        request = authentication_pb2.RevokeTokenRequest(token=token)
        self._ask("RevokeToken", request, authentication_pb2.RevokeTokenResponse)

    def providers(self) -> tuple[str, ...]:
        """The names of the providers that the host asks."""
        request = authentication_pb2.ListProvidersRequest()
        answer = self._ask("ListProviders", request, authentication_pb2.ListProvidersResponse)
        return tuple(answer.providers)

    def whoami(self, token: str) -> Whoami:
        """Who the host says holds this token, or, with an empty one, the certificate of this client."""
        request = authentication_pb2.ValidateTokenRequest()
        answer = self._ask("ValidateToken", request, authentication_pb2.ValidateTokenResponse, token=token)
        said = answer.security_context
        return Whoami(
            said.principal_id,
            said.tenant_id,
            tuple(said.roles),
            tuple(said.permissions),
            said.session_expires_at / 1000,
        )

    def _authenticate(self, request: authentication_pb2.AuthenticateUserRequest) -> Issued:
        return _issued(self._ask("AuthenticateUser", request, authentication_pb2.AuthenticateUserResponse).details)

    def _ask(self, method: str, request: Any, answer: type[Any], *, token: str = "") -> Any:
        import grpc

        call = self._channel.unary_unary(
            f"{_SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            return call(request, timeout=_SECONDS, metadata=metadata)
        except grpc.RpcError as failed:
            error = error_of_rpc(failed, ran="no")  # type: ignore[arg-type]  # says what one of aio says
            if error.code == "CONNECTION_FAILED":
                raise explain_handshake_failure(self._target, self._files, str(failed)) from failed
            if error.code == "VERSION_MISMATCH" and failed.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise no_identities() from failed
            raise error from failed


def no_identities() -> ConfigurationError:
    """Make the error for a host that has none of the services of governance."""
    return ConfigurationError(
        "FEATURE_UNAVAILABLE",
        "This host has no identities and no tenants",
        ran="no",
        hint="start it with aesp.tier = 'foundation'",
    )


def _issued(details: authentication_pb2.SuccessfulAuthDetails) -> Issued:
    return Issued(
        access_token=details.access_token,
        refresh_token=details.refresh_token,
        expires=details.expires_ms / 1000,
        principal=details.security_context.principal_id,
        tenant=details.security_context.tenant_id,
    )
