"""The browser's way through a sign-in by SAML: begin, come back, go on to the program that began it.

Nobody is known here: what is proved is proved at the exchange of the code, by the authentication service.
Only refused answers are told on, to ``note``, without a name: an answer that was not believed names nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse, Response

from altar.adm.errors import AltarError, ValidationError
from altar.aesp.web.app import Part, refuse_plainly

if TYPE_CHECKING:
    from altar.aesp.identity.saml import SamlProvider
    from altar.aesp.web.gate import Asked

__all__ = ["PREFIX", "SamlPages"]

PREFIX = "/saml"

Note = Callable[[str, Mapping[str, str]], None]
"""Is told ``auth.failed`` and the facts; no secret is one."""


class SamlPages:
    """The three routes of each provider."""

    def __init__(self, providers: Iterable[SamlProvider], *, note: Note) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._note = note

    def part(self) -> Part:
        """Give the routes below `PREFIX`."""
        handlers = {
            f"GET {PREFIX}/{{provider}}/metadata": self._metadata,
            f"GET {PREFIX}/{{provider}}/login": self._login,
            f"POST {PREFIX}/{{provider}}/acs": self._answer,
        }
        return Part(PREFIX, handlers, refuse_plainly)

    async def _metadata(self, asked: Asked) -> Response:
        return Response(self._provider(asked).metadata(), media_type="application/samlmetadata+xml")

    async def _login(self, asked: Asked) -> Response:
        told = asked.request.query_params
        begun = await self._provider(asked).begin(
            redirect=told.get("redirect", ""),
            challenge=told.get("challenge", ""),
            state=told.get("state", ""),
            address=client.host if (client := asked.request.client) is not None else "",
        )
        return RedirectResponse(begun.location, status_code=302)

    async def _answer(self, asked: Asked) -> Response:
        provider = self._provider(asked)
        try:
            form = parse_qs(asked.body.decode("ascii"), max_num_fields=8, strict_parsing=True)
        except ValueError as error:
            raise ValidationError("MALFORMED_REQUEST", "The form cannot be read", ran="no") from error
        answers, relays = form.get("SAMLResponse", []), form.get("RelayState", [])
        if len(answers) != 1 or len(relays) != 1 or len(relays[0]) > 80:
            raise ValidationError("MALFORMED_REQUEST", "The form is no answer of an identity provider", ran="no")
        try:
            location = await provider.accept(answers[0], relays[0])
        except AltarError as error:
            facts = {"provider": provider.name, "tenant": provider.configuration.tenant, "code": error.code}
            self._note("auth.failed", facts | {"why": error.detail or error.message})
            raise
        return RedirectResponse(location, status_code=303)

    def _provider(self, asked: Asked) -> SamlProvider:
        found = self._providers.get(str(asked.request.path_params["provider"]))
        if found is None:
            raise ValidationError("UNKNOWN_RESOURCE", "There is no such provider", ran="no")
        return found
