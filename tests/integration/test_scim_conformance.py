"""The compliance tester of scim2-tester, in full, against our server over HTTP, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from scim2_client import BaseSyncSCIMClient
from scim2_tester import Status, check_server

from tests.integration.web_scene import web_scene


class OverHttp(BaseSyncSCIMClient):
    """The tester's client over httpx, which is what is installed here."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__()
        self.client = client

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return str(self.client.build_request("GET", endpoint).url).startswith(str(self.client.base_url))

    def _parse_json(self, response: Any) -> Any:
        return response.json()

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        return self.client.request(method, url, **kwargs)


@pytest.mark.timeout(240)
async def test_the_compliance_tester_finds_nothing_to_say(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        key = await scene.client()
        headers = {"authorization": key.headers["authorization"]}

        def judge() -> list[Any]:
            with httpx.Client(base_url=key.base_url, headers=headers, trust_env=False, timeout=30) as client:
                return check_server(OverHttp(client))

        results = await asyncio.to_thread(judge)

    wrong = [f"{each.title}: {each.status} {each.reason}" for each in results if each.status is not Status.SUCCESS]
    assert [] == wrong  # nothing fails, and nothing is left out
    assert len(results) >= 135
