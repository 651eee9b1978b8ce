"""EnterpriseAuthenticationService: who are you, and what does the host know of you?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar._proto.altar.aesp.v1 import authentication_pb2 as pb
from altar.adm.errors import ValidationError
from altar.aesp.context import security_context
from altar.aesp.identity.login import Credential
from altar.aesp.service import messages

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.directory import Directory
    from altar.aesp.identity.api_keys import ApiKeys
    from altar.aesp.identity.sign_in import SignIn
    from altar.aesp.identity.token_keys import TokenKeys
    from altar.aesp.identity.tokens import TokenPair
    from altar.aesp.service.administration import Asked

__all__ = ["Authentication"]


class Authentication:
    """Carries the sign-in over gRPC."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseAuthenticationService"]

    def __init__(self, sign_in: SignIn, keys: ApiKeys, directory: Directory, token_keys: TokenKeys) -> None:
        self._sign_in = sign_in
        self._keys = keys
        self._directory = directory
        self._token_keys = token_keys

    async def authenticate_user(self, asked: Asked, request: pb.AuthenticateUserRequest) -> pb.AuthenticateUserResponse:
        """Tokens for a password, an ID token or an assertion."""
        credential = _credential(request, address=asked.address)
        pair = await self._sign_in.authenticate(request.provider, credential)
        return pb.AuthenticateUserResponse(details=self._details(pair))

    async def authenticate_service_account(
        self, _asked: Asked, request: pb.AuthenticateServiceAccountRequest
    ) -> pb.AuthenticateServiceAccountResponse:
        """Whose key this is; the key itself is what calls are made with."""
        who = self._keys.verify(request.api_key)
        context = messages.context(security_context(who, self._directory))
        return pb.AuthenticateServiceAccountResponse(security_context=context)

    async def refresh_token(self, _asked: Asked, request: pb.RefreshTokenRequest) -> pb.RefreshTokenResponse:
        """New tokens for a refresh token, which is spent by that."""
        return pb.RefreshTokenResponse(details=self._details(await self._sign_in.refresh(request.refresh_token)))

    async def revoke_token(self, _asked: Asked, request: pb.RevokeTokenRequest) -> pb.RevokeTokenResponse:
        """End the family of a token."""
        await self._sign_in.revoke(request.token)
        return pb.RevokeTokenResponse()

    async def list_providers(self, _asked: Asked, _request: pb.ListProvidersRequest) -> pb.ListProvidersResponse:
        """The names of those who vouch for people here."""
        return pb.ListProvidersResponse(providers=self._sign_in.providers)

    async def validate_token(self, asked: Asked, _request: pb.ValidateTokenRequest) -> pb.ValidateTokenResponse:
        """Who the caller is to this host."""
        context = messages.context(security_context(asked.principal, self._directory))
        return pb.ValidateTokenResponse(security_context=context)

    async def get_user_roles(self, asked: Asked, _request: pb.GetUserRolesRequest) -> pb.GetUserRolesResponse:
        """The roles of the caller."""
        return pb.GetUserRolesResponse(roles=self._directory.granted(asked.principal.id).roles)

    async def get_user_permissions(
        self, asked: Asked, _request: pb.GetUserPermissionsRequest
    ) -> pb.GetUserPermissionsResponse:
        """What the roles of the caller grant, or what its token was narrowed to."""
        made = security_context(asked.principal, self._directory)
        return pb.GetUserPermissionsResponse(permissions=made.permissions)

    async def rotate_token_keys(self, _asked: Asked, _request: pb.RotateTokenKeysRequest) -> pb.RotateTokenKeysResponse:
        """A new key that signs tokens from now on; tokens of the one before stay good until they end."""
        kid = self._token_keys.rotate()  # in the loop, which signs with these keys meanwhile
        return pb.RotateTokenKeysResponse(key_id=kid, overlap_ends_ms=self._token_keys.overlap_ends_ms)

    def _details(self, pair: TokenPair) -> pb.SuccessfulAuthDetails:
        return pb.SuccessfulAuthDetails(
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            expires_ms=int(pair.expires * 1000),
            security_context=messages.context(security_context(pair.principal, self._directory)),
        )


def _credential(request: pb.AuthenticateUserRequest, *, address: str) -> Credential:
    """What was shown. Raises MALFORMED_REQUEST when nothing was."""
    shown = request.WhichOneof("credential")
    if shown == "username_password":
        given = request.username_password
        return Credential(
            given.password,
            name=given.username,
            tenant=request.tenant_id,
            address=address,
            new_secret=given.new_password,
        )
    if shown == "oauth_token":
        token = request.oauth_token
        return Credential(token.token, tenant=request.tenant_id, address=address, nonce=token.nonce)
    if shown == "saml_token":
        return Credential(request.saml_token, tenant=request.tenant_id, address=address)
    raise ValidationError("MALFORMED_REQUEST", "The request shows no credential", ran="no", path="/credential")
