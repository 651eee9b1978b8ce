"""The edge over HTTP: what every answer tells a browser, and where plain HTTP is spoken at all."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
import trustme
from starlette.applications import Starlette

from altar.adm.errors import ConfigurationError
from altar.aesp.web.serving import WebServer
from tests.integration.web_scene import web_scene

WANTED = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


async def test_every_answer_tells_a_browser_to_run_frame_guess_and_keep_nothing(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        made = await client.post("/Users", json={"schemas": [], "userName": "\x00"})
        listed = await client.get("/Users")
        absent = await client.get("/Users/none")
        unknown = await client.get("/nothing/of/that/name")
        wrong_method = await client.put("/Schemas", json={})
        async with httpx.AsyncClient(base_url=scene.address, trust_env=False, timeout=30) as stranger:
            refused = await stranger.get("/scim/v2/Users")

    answers = {
        "made": made,
        "listed": listed,
        "absent": absent,
        "unknown": unknown,
        "wrong": wrong_method,
        "no": refused,
    }
    assert {"made": 400, "listed": 200, "absent": 404, "unknown": 404, "wrong": 405, "no": 401} == {
        name: answer.status_code for name, answer in answers.items()
    }
    told = {name: {key: answer.headers.get(key) for key in WANTED} for name, answer in answers.items()}
    assert dict.fromkeys(answers, WANTED) == told
    assert [] == [name for name, answer in answers.items() if "set-cookie" in answer.headers]


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.7:443", "grid.example:443"])
def test_plain_http_is_spoken_on_loopback_only(address: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        WebServer(Starlette(), address)

    assert "INCOMPATIBLE_MODE" == refused.value.code


async def test_https_is_tls_1_3_and_nothing_older(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = tmp_path / "web.pem", tmp_path / "web.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)

    async def version(most: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.maximum_version = most
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        spoken = writer.get_extra_info("ssl_object").version()
        writer.close()
        await writer.wait_closed()
        return str(spoken)

    async with WebServer(Starlette(), "127.0.0.1:0", certificate=certificate, private_key=key) as server:
        port = int(server.address.rpartition(":")[2])
        newest = await version(ssl.TLSVersion.MAXIMUM_SUPPORTED)
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await version(ssl.TLSVersion.TLSv1_2)

    assert newest == "TLSv1.3"
