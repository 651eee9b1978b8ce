"""A client of MCP for the conformance kit: adopts what a server offers and calls it, with OAuth where that is wanted.

The kit starts a program for each of its scenarios; here that is a few lines which ask this process to be the client, so
that the frameworks are loaded once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

import altar
from altar.adapters.mcp import HttpServer, from_mcp, offered

__all__ = ["answering"]

CALLBACK = AnyUrl("http://localhost:3000/callback")
CIMD = "https://conformance-test.local/client-metadata.json"
NUMBERS = itertools.count()
"""Scenarios run at once, and tools of one process need names of their own."""

ARGUMENTS: dict[str, dict[str, Any]] = {"add_numbers": {"a": 5, "b": 3}}

PROGRAM = """
import json, os, socket, sys
known = {name: os.environ.get("MCP_CONFORMANCE_" + name, "") for name in ("SCENARIO", "CONTEXT")}
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(sys.argv[1])
    asked.sendall(json.dumps([known, sys.argv[-1]]).encode() + b"\\n")
    told = asked.makefile().readline()
print(told)
sys.exit("failed" in told)
"""


@asynccontextmanager
async def answering(folder: Path) -> AsyncIterator[str]:
    """The command that the kit is to start, for as long as the block lasts."""
    program, at = folder / "client.py", folder / "client.sock"
    program.write_text(PROGRAM)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        known, url = json.loads(await reader.readline())
        try:
            told = await be_client(url, known["SCENARIO"], json.loads(known["CONTEXT"] or "{}"))
        except Exception as failed:  # whatever it is, the kit judges it
            told = f"failed: {failed}"
        writer.write(told.replace("\n", " ").encode() + b"\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(answer, at):
        yield f"{sys.executable} -IS {program} {at}"


async def be_client(url: str, scenario: str, known: dict[str, Any]) -> str:
    """Adopt every tool and call each; gives how each call ended."""
    auth = signing_in(url, scenario, known)
    found = await offered(HttpServer(url), name="kit", auth=auth)
    ended, mine = [], f"kit{next(NUMBERS)}_"
    with from_mcp(found, prefix=mine, auth=auth) as tools:
        async with altar.session([tool.name for tool in tools], source="later:") as session:
            for tool in tools:
                result = await session.call(tool.name, ARGUMENTS.get(tool.name.removeprefix(mine), {}))
                ended.append(f"{tool.name} {result.status}")
    return ", ".join(ended)


def signing_in(url: str, scenario: str, known: dict[str, Any]) -> OAuthClientProvider:
    """What signs in to the server at ``url``, as a scenario wants it."""
    memory = Memory()
    if scenario == "auth/client-credentials-basic":
        return ClientCredentialsOAuthProvider(
            url, memory, client_id=known["client_id"], client_secret=known["client_secret"]
        )
    if scenario == "auth/client-credentials-jwt":
        signer = SignedJWTParameters(
            issuer=known["client_id"],
            subject=known["client_id"],
            signing_algorithm=known["signing_algorithm"],
            signing_key=known["private_key_pem"],
        )
        return PrivateKeyJWTOAuthProvider(
            url, memory, client_id=known["client_id"], assertion_provider=signer.create_assertion_provider()
        )
    if "client_id" in known:
        memory.client = OAuthClientInformationFull(
            client_id=known["client_id"],
            client_secret=known["client_secret"],
            redirect_uris=[CALLBACK],
            token_endpoint_auth_method="client_secret_basic",
        )
    wanted, person = OAuthClientMetadata(client_name="altar", redirect_uris=[CALLBACK]), Person()
    return OAuthClientProvider(url, wanted, memory, person.go, person.come_back, client_metadata_url=CIMD)


class Memory:
    """The tokens of one client, and how an authorization server knows it."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Person:
    """Somebody with a browser who agrees at once."""

    def __init__(self) -> None:
        self.answer: dict[str, list[str]] = {}

    async def go(self, address: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as browser:
            response = await browser.get(address)
        self.answer = parse_qs(urlsplit(response.headers["location"]).query)

    async def come_back(self) -> AuthorizationCodeResult:
        given = {name: values[0] for name, values in self.answer.items()}
        return AuthorizationCodeResult(code=given["code"], state=given.get("state"), iss=given.get("iss"))
