"""Signing in: what somebody shows to a provider goes in, a pair of tokens of this host comes out.

This is the slow way in, used seldom; the data plane takes only what comes out of here.
Each success and each failure is told to ``note``, for the audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.aesp.identity.login import Credential, Provider, not_accepted

if TYPE_CHECKING:
    from altar.aesp.identity.provisioning import Provisioning
    from altar.aesp.identity.refresh import RefreshTokens
    from altar.aesp.identity.tokens import TokenPair, Tokens
    from altar.aesp.principal import Principal

__all__ = ["Note", "SignIn"]

Note: TypeAlias = Callable[[str, Mapping[str, str]], None]
"""Is told ``auth.succeeded``, ``auth.failed``, ``auth.refreshed`` or ``auth.revoked``, with facts; no secret is one."""

_LONGEST = 128
_LONGEST_SECRET = 256 * 1024


class SignIn:
    """The authentication service, whatever carries it."""

    def __init__(
        self,
        providers: Iterable[Provider],
        provisioning: Provisioning,
        tokens: Tokens,
        refreshing: RefreshTokens,
        *,
        note: Note | None = None,
    ) -> None:
        listed = list(providers)
        self._providers = {provider.name: provider for provider in listed}
        if len(self._providers) != len(listed):
            raise ConfigurationError("INVALID_CONFIG", "Two identity providers have one name", hint="rename one")
        self._provisioning = provisioning
        self._tokens = tokens
        self._refreshing = refreshing
        self._note = note or _nobody

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the providers, sorted."""
        return tuple(sorted(self._providers))

    async def authenticate(self, provider: str, credential: Credential) -> TokenPair:
        """Check a credential with a provider, admit who it proves, and issue tokens.

        Raises INVALID_CREDENTIALS for an unknown provider too; what `Provider` and `Provisioning.admit` raise.
        """
        facts = {"provider": provider, "tenant": credential.tenant, "name": credential.name}
        facts = {name: text[:_LONGEST] for name, text in facts.items()}
        try:
            pair = await self._authenticate(provider, credential)
        except AltarError as refused:
            self._note("auth.failed", facts | {"code": refused.code, "why": refused.detail or refused.message})
            raise
        self._note("auth.succeeded", facts | {"principal": pair.principal.id, "tenant": pair.principal.tenant})
        return pair

    async def refresh(self, token: str) -> TokenPair:
        """A new pair for a refresh token; INVALID_CREDENTIALS when it is not good any more."""
        try:
            pair = await self._tokens.refresh(token)
        except AltarError as refused:
            facts = {"tenant": self._refreshing.tenant_of(token), "code": refused.code}
            self._note("auth.failed", facts | {"why": refused.detail or refused.message})
            raise
        self._note("auth.refreshed", {"principal": pair.principal.id, "tenant": pair.principal.tenant})
        return pair

    async def revoke(self, token: str) -> None:
        """End what a token belongs to; a token that is none, or over, is no error."""
        tenant = await self._tokens.revoke(token)
        if tenant:
            self._note("auth.revoked", {"tenant": tenant})

    async def validate(self, token: str) -> Principal:
        """Whose access token this is; INVALID_CREDENTIALS when it is nobody's any more."""
        return self._tokens.verify(token)

    async def _authenticate(self, name: str, credential: Credential) -> TokenPair:
        provider = self._providers.get(name)
        if provider is None:
            raise not_accepted("there is no provider of that name")
        if max(len(credential.name), len(credential.tenant), len(credential.nonce), len(name)) > _LONGEST or (
            max(len(credential.secret), len(credential.new_secret)) > _LONGEST_SECRET
        ):
            raise ValidationError("MALFORMED_REQUEST", "The credential is too long", ran="no")
        login = await provider.authenticate(credential)
        if login.provider != name or credential.tenant not in ("", login.tenant):
            raise not_accepted("the provider speaks for another tenant")
        if login.once:
            await self._refreshing.use_once(login.tenant, f"{name}:{login.once}", expires=login.expires)
        principal = await self._provisioning.admit(login)
        return await self._tokens.issue(principal)


def _nobody(_event: str, _facts: Mapping[str, str]) -> None:
    """Nobody asked to be told."""
