"""Where a server of MCP is, and what it needs: a command to start, or an address on the web.

Neither holds a secret: they name the variables or headers that one is needed for, and who connects gives them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from altar.adm.errors import ConfigurationError

__all__ = ["HttpServer", "McpServer", "Secret", "StdioServer", "is_loopback", "secrets_for", "server_of"]

Secret = str | Callable[[], str]
"""A secret, or a function that gives it anew for each connection."""

_IS_SECRET: Final = re.compile("key|token|secret|passw|auth|signature", re.IGNORECASE)
MAX_WORDS: Final = 256
"""The words of a command, and the names of variables or headers, are at most so many."""


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A program that speaks MCP on its stdin and stdout.

    ``command`` is the program and its arguments; no shell reads it.
    ``environment`` names variables that it needs; besides them it gets HOME, PATH and a few others like these, and
    nothing else of this process.
    ``directory`` is where it starts, here when empty.
    """

    command: tuple[str, ...]
    environment: tuple[str, ...] = ()
    directory: str = ""

    def __post_init__(self) -> None:
        """Refuse a command that is none."""
        if not self.command or not self.command[0] or len(self.command) > MAX_WORDS:
            raise _wrong("A server on stdio needs a command", hint='StdioServer(("npx", "-y", "a-server@1.2.3"))')

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the secrets that a connection needs."""
        return self.environment

    @property
    def shown(self) -> str:
        """The command in one line."""
        return " ".join(self.command)

    def to_json(self) -> dict[str, Any]:
        """What stands in a file of adoption."""
        document: dict[str, Any] = {"command": list(self.command)}
        if self.environment:
            document["environment"] = list(self.environment)
        return document | ({"directory": self.directory} if self.directory else {})


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server behind an address: streamable HTTP.

    ``headers`` names headers that it needs, such as ``Authorization``.
    Raises ConfigurationError INVALID_CONFIG for an address that is no ``https:``, or ``http:`` beyond this machine, and
    for one with a password in it.
    """

    url: str
    headers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an address that would be spoken to in the clear."""
        try:
            parts = urlsplit(self.url)
            host = parts.hostname or ""
        except ValueError as wrong:
            raise _wrong(f"{self.url[:200]!r} is no address", hint="https://host/mcp") from wrong
        if parts.username or parts.password:
            raise _wrong("The address of a server holds a user name", hint="give a header: headers=('Authorization',)")
        if any(_IS_SECRET.search(name) for name, _ in parse_qsl(parts.query)):
            raise _wrong("The address of a server holds a secret", hint="give a header: headers=('Authorization',)")
        if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
            raise _wrong(
                f"{self.url[:200]!r} is no address of a server that can be trusted",
                hint="write https://host/mcp; http:// goes to this machine only",
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the secrets that a connection needs."""
        return self.headers

    @property
    def shown(self) -> str:
        """The address."""
        return self.url

    def to_json(self) -> dict[str, Any]:
        """What stands in a file of adoption."""
        return {"url": self.url} | ({"headers": list(self.headers)} if self.headers else {})


McpServer = StdioServer | HttpServer
"""Where a server is."""


def server_of(document: object) -> McpServer:
    """The server that a file of adoption names; raises INVALID_CONFIG for what names none."""
    held = document if isinstance(document, Mapping) else {}
    url, command = held.get("url"), held.get("command")
    if isinstance(url, str) and command is None and held.keys() <= {"url", "headers"}:
        return HttpServer(url, _words(held.get("headers", []), "headers"))
    directory = held.get("directory", "")
    if url is None and held.keys() <= {"command", "environment", "directory"} and isinstance(directory, str):
        return StdioServer(_words(command, "command"), _words(held.get("environment", []), "environment"), directory)
    raise _wrong("A server is an object with `command` or with `url`", hint='{"command": ["npx", "a-server@1.2.3"]}')


def secrets_for(server: McpServer, given: Mapping[str, Secret]) -> dict[str, str]:
    """The secrets that a server needs, by name; functions are called.

    Raises ConfigurationError INVALID_CONFIG, without any value, for a name that is missing or was not asked for.
    """
    missing = [name for name in server.needs if name not in given]
    unasked = [name for name in given if name not in server.needs]
    if missing or unasked:
        kind = "variable" if isinstance(server, StdioServer) else "header"
        what = f"{missing[0]!r} is not given" if missing else f"{unasked[0]!r} is given, and was not adopted"
        raise _wrong(
            f"The server needs the {kind}s {', '.join(server.needs) or 'none'}: {what}",
            hint='secrets={"NAME": value}; in a file of adoption stand names only',
        )
    read = {name: secret if isinstance(secret, str) else secret() for name, secret in given.items()}
    return {name: _plain(secret, name, header=isinstance(server, HttpServer)) for name, secret in read.items()}


def is_loopback(host: str) -> bool:
    """Whether a name or number of a host is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _plain(secret: str, name: str, *, header: bool) -> str:
    """A secret that can be sent as it is: whoever refused it later would tell it in an error."""
    value = secret.strip() if header else secret
    if "\0" in value or (header and not (value.isascii() and value.isprintable())):
        raise _wrong(f"The secret for {name!r} is no plain line of text", hint="ASCII without control characters")
    return value


def _words(held: object, member: str) -> tuple[str, ...]:
    if not isinstance(held, list) or len(held) > MAX_WORDS or not all(isinstance(word, str) for word in held):
        raise _wrong(f"`{member}` of a server is no list of texts", hint=f'"{member}": ["…"]')
    return tuple(held)


def _wrong(message: str, *, hint: str) -> ConfigurationError:
    return ConfigurationError("INVALID_CONFIG", message, ran="no", hint=hint)
