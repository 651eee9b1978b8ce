"""Credentials of operations, by the security schemes that a document names.

What a document asks of an operation comes in, with the secrets that an operator gave by the names of the schemes; what
goes out adds them to a request.
Secrets are asked for anew for each request, and stand in no contract, message, log or representation.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from altar.adm.errors import ConfigurationError

__all__ = ["Credentials"]

Secret = str | Callable[[], str]


class Credentials:
    """The secrets for the operations of one document."""

    def __init__(self, document: Mapping[str, Any], secrets: Mapping[str, Secret]) -> None:
        components = document.get("components")
        schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
        named = schemes if isinstance(schemes, Mapping) else {}
        self._schemes = {name: scheme for name, scheme in named.items() if isinstance(scheme, Mapping)}
        self._always = document.get("security", [])
        self._secrets = dict(secrets)
        for name in self._secrets:
            if name not in self._schemes:
                raise ConfigurationError(
                    "INVALID_CONFIG",
                    f"The document has no security scheme {name!r}",
                    hint=f"it has: {', '.join(map(repr, self._schemes)) or 'none'}",
                )

    @property
    def places(self) -> set[tuple[str, str]]:
        """Where these secrets go, as `in` and the name in lower case, for keys that have a name of their own."""
        schemes = [self._schemes[name] for name in self._secrets]
        return {(str(one.get("in")), str(one.get("name")).lower()) for one in schemes if one.get("type") == "apiKey"}

    def __repr__(self) -> str:
        """Name the schemes; never a secret."""
        return f"<credentials for {sorted(self._secrets)}>"

    def of(self, operation: Mapping[str, Any]) -> Callable[[str, dict[str, str]], str]:
        """What adds the credentials of an operation to the headers of a request, and gives its URL.

        The first of the alternatives is taken for which all secrets are there.
        Raises INVALID_CONFIG when there are not enough for any.
        """
        asked = operation.get("security", self._always)
        alternatives = [one for one in asked if isinstance(one, Mapping)] if isinstance(asked, list) else []
        chosen = next((one for one in alternatives if one and one.keys() <= self._secrets.keys()), None)
        if chosen is None and alternatives and {} not in alternatives:
            names = " or ".join(" and ".join(map(repr, one)) for one in alternatives)
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"This operation needs credentials for {names}",
                ran="no",
                hint="give them by name: credentials={'…': read_the_secret}",
            )
        parts = [_Part(self._schemes[name], name, self._secrets[name]) for name in chosen or ()]

        def add(url: str, headers: dict[str, str]) -> str:
            for part in parts:
                url = part.add(url, headers)
            return url

        return add


class _Part:
    """One secret, and where it goes."""

    __slots__ = ("_in", "_kind", "_name", "_secret", "_title")

    def __init__(self, scheme: Mapping[str, Any], title: str, secret: Secret) -> None:
        kind = str(scheme.get("type"))
        if kind == "http":
            kind = str(scheme.get("scheme")).lower()
        elif kind in {"oauth2", "openIdConnect"}:
            kind = "bearer"
        self._kind, self._title, self._secret = kind, title, secret
        self._name, self._in = str(scheme.get("name", "")), str(scheme.get("in", ""))
        if kind not in {"apiKey", "basic", "bearer"} or (kind == "apiKey" and self._in not in _PLACES):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The security scheme {title!r} is of a kind that is not served: {kind[:40]!r}",
                hint="served are apiKey, http basic and bearer, oauth2 and openIdConnect with a token",
            )

    def add(self, url: str, headers: dict[str, str]) -> str:
        secret = self._secret if isinstance(self._secret, str) else self._secret()
        secret = secret.strip()
        if not secret or not (secret.isprintable() and secret.isascii()):
            raise ConfigurationError(
                "INVALID_CONFIG", f"The secret for {self._title!r} is empty, or no plain line of ASCII", ran="no"
            )
        if self._kind == "bearer":
            headers["authorization"] = f"Bearer {secret}"
        elif self._kind == "basic":
            headers["authorization"] = "Basic " + base64.b64encode(secret.encode("utf-8")).decode("ascii")
        elif self._in == "header":
            headers[self._name] = secret
        elif self._in == "cookie":
            before = headers.get("cookie")
            headers["cookie"] = (f"{before}; " if before else "") + f"{self._name}={quote(secret, safe='')}"
        else:
            url += ("&" if "?" in url else "?") + f"{quote(self._name, safe='')}={quote(secret, safe='')}"
        return url


_PLACES = frozenset({"header", "query", "cookie"})
