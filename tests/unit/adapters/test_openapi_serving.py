"""Tools as documents of OpenAPI, and the tools of a session behind HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import altar
from altar.adapters.openapi import from_openapi, serve_openapi, to_openapi
from tests.unit.adapters.openapi_scene import DOCUMENT, SECRET


@altar.tool(read_only=True)
def oa_add(left: int, right: int = 1) -> int:
    """Add two whole numbers."""
    return left + right


def test_a_document_of_tools_reads_back_as_the_same_contracts() -> None:
    document = to_openapi([oa_add], title="Numbers", servers=["https://numbers.example"])

    (tool,) = from_openapi(document, allowed=["https://numbers.example"])

    assert "3.1.1" == document["openapi"]
    own, read = oa_add.declaration.to_adm(), tool.declaration.to_adm()
    assert {"framework": "openapi", "operation": "post /tools/oa_add"} == read.pop("metadata")
    assert own == read


def test_an_imported_operation_is_written_as_the_operation_that_it_was() -> None:
    tools = from_openapi(DOCUMENT, server="https://api.example", credentials={"key": SECRET})

    document = to_openapi(tools, title="Pets again")

    assert DOCUMENT["paths"].keys() == document["paths"].keys()
    assert SECRET not in json.dumps(document)
    parameters = document["paths"]["/pets/{pet}"]["get"]["parameters"]
    assert {("pet", "path"), ("tag", "query"), ("X-Trace", "header")} == {
        (one["name"], one["in"]) for one in parameters
    }


@pytest.fixture
def numbers() -> Iterator[Any]:
    with altar.session(tools=["oa_add"], source="later:") as session:
        yield session


def client(app: Any, *, address: str = "127.0.0.1", base: str = "http://127.0.0.1:80") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=(address, 5000)), base_url=base)


async def test_tools_are_called_over_http(numbers: Any) -> None:
    async with client(serve_openapi(numbers)) as http:
        document = (await http.get("/openapi.json")).json()
        good = await http.post("/tools/oa_add", json={"left": 2})
        wrong = await http.post("/tools/oa_add", json={"left": "two"})
        nothing = await http.post("/tools/oa_sub", json={})
        form = await http.post("/tools/oa_add", data={"left": "2"})
        got = await http.get("/tools/oa_add")

    assert ["/tools/oa_add"] == list(document["paths"])
    assert (200, 3) == (good.status_code, good.json())
    assert (400, "INVALID_TOOL_ARGS") == (wrong.status_code, wrong.json()["error"]["type"])
    assert (404, "UNSUPPORTED_TOOL") == (nothing.status_code, nothing.json()["error"]["type"])
    assert (400, 405) == (form.status_code, got.status_code)


async def test_a_body_beyond_the_bound_is_refused(numbers: Any) -> None:
    async with client(serve_openapi(numbers, max_bytes=100)) as http:
        answer = await http.post("/tools/oa_add", content=b" " * 101, headers={"content-type": "application/json"})

    assert "MESSAGE_TOO_LARGE" == answer.json()["error"]["type"]


@pytest.mark.parametrize(
    ("address", "base", "status"),
    [
        ("127.0.0.1", "http://localhost:8000", 200),
        ("::1", "http://[::1]:8000", 200),
        ("192.0.2.7", "http://127.0.0.1:8000", 403),
        ("127.0.0.1", "http://rebound.example:8000", 403),
    ],
)
async def test_without_a_token_only_this_machine_is_answered(
    numbers: Any, address: str, base: str, status: int
) -> None:
    async with client(serve_openapi(numbers), address=address, base=base) as http:
        assert status == (await http.get("/openapi.json")).status_code


@pytest.mark.parametrize(
    ("shown", "status"),
    [("Bearer right", 200), ("bearer right", 200), ("Bearer wrong", 401), ("Basic right", 401), ("", 401)],
)
async def test_with_a_token_only_who_shows_it_is_answered(numbers: Any, shown: str, status: int) -> None:
    async with client(
        serve_openapi(numbers, token=lambda: "right"), address="192.0.2.7", base="http://any.example"
    ) as http:
        assert status == (await http.get("/openapi.json", headers={"authorization": shown})).status_code
