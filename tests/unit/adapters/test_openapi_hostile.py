"""What a model, a document or a server of HTTP may not be able to do by way of an operation that is a tool."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import altar
from altar.adapters.openapi import from_openapi, serve_openapi
from altar.adapters.openapi.answers import value_of
from altar.adapters.openapi.reach import Answer, Reach
from altar.adapters.openapi.sending import Parameter, Sending
from altar.later.registry import Registry
from tests.unit.adapters.openapi_scene import DOCUMENT, SECRET, Asked


@pytest.fixture(scope="module")
def served() -> Iterator[Asked]:
    made = Asked()
    yield made
    made.close()


def with_parameter(scheme: dict[str, str], *, name: str) -> dict[str, Any]:
    """The document with a scheme of credentials, and a parameter that goes to the same place."""
    document = copy.deepcopy(DOCUMENT)
    document["components"]["securitySchemes"]["key"] = {"type": "apiKey", **scheme}
    parameter = {"name": name, "in": scheme["in"], "schema": {"type": "string"}}
    document["paths"]["/pets/{pet}"]["delete"]["parameters"] = [parameter]
    return document


@pytest.mark.parametrize("value", ["../admin", "a/../b", "a/%2e%2e/b", "%2E%2e", "..\\b", "..;x/b", "a/."])
def test_no_step_hides_in_a_part_of_the_path(value: str) -> None:
    sending = Sending("get", "/x/{id}", (Parameter("id", "id", "path", "simple", explode=False),), None)

    with pytest.raises(altar.ValidationError, match="another place"):
        sending.request({"id": value})


@pytest.mark.parametrize("value", ["a/b", "...", "a..b", "v1.2", "50%"])
def test_what_only_looks_like_a_step_is_sent(value: str) -> None:
    sending = Sending("get", "/x/{id}", (Parameter("id", "id", "path", "simple", explode=False),), None)

    assert sending.request({"id": value}).target.startswith("/x/")


@pytest.mark.parametrize(
    ("scheme", "name"),
    [({"in": "query", "name": "api_key"}, "api_key"), ({"in": "header", "name": "X-Key"}, "x-key")],
)
def test_a_caller_gives_no_credential_in_the_place_of_the_operators(scheme: dict[str, str], name: str) -> None:
    document = with_parameter(scheme, name=name)
    options: dict[str, Any] = {"server": "https://pets.example", "only": ["delete_pet"]}

    (tool,) = from_openapi(document, credentials={"key": SECRET}, **options)

    assert ["pet"] == list(tool.declaration.parameters.json_schema["properties"])


def test_one_operation_that_wants_what_is_not_a_callers_does_not_take_the_others_with_it() -> None:
    document = with_parameter({"in": "header", "name": "X-Key"}, name="Cookie")
    told: list[str] = []

    made = from_openapi(
        document,
        server="https://pets.example",
        credentials={"key": SECRET},
        refused=lambda name, error: told.append(f"{name}: {error.code}"),
    )

    assert (["delete_pet: INVALID_DECLARATION"], 3) == (told, len(made))


@pytest.mark.parametrize("content", [None, [1], "x"])
def test_a_document_that_is_none_is_refused_in_words(content: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["paths"]["/form"]["post"]["responses"]["200"]["content"] = content
    told: list[altar.AltarError] = []

    made = from_openapi(
        document,
        server="https://pets.example",
        credentials={"key": SECRET},
        refused=lambda _, error: told.append(error),
    )

    assert 4 == len(made) + len(told)


async def test_a_header_may_have_every_letter_of_latin_1(served: Asked) -> None:
    await Reach([served.url]).send("GET", f"{served.url}/x", headers={"x-name": "Zoë"})

    assert "Zoë" == served.requests[-1][2]["x-name"]


@pytest.mark.parametrize("secret", ["s3crét", "s3\ncret", " "])
async def test_a_secret_that_no_header_holds_is_refused_without_being_told(
    secret: str, altar_registry: Registry
) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["components"]["securitySchemes"]["key"] = {"type": "http", "scheme": "bearer"}
    (tool,) = from_openapi(document, server="https://127.0.0.1:9", credentials={"key": secret}, only=["delete_pet"])

    altar_registry.register(tool)
    async with altar.session(source="later:") as session:
        error = (await session.call("delete_pet", pet="mia")).error

    assert error is not None
    assert ("INVALID_CONFIG", False) == (error.type, "s3" in f"{error!r}")


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "unicode_escape"])
def test_a_server_does_not_choose_a_charset_that_takes_for_ever_or_means_something_else(charset: str) -> None:
    body = b"a-\\u0062+AGE-" + b"b9" * 50

    told = value_of(Answer(200, {"content-type": f"text/plain; charset={charset}"}, body), operation="GET /x")

    assert body.decode() == told


def test_the_words_of_a_server_move_no_cursor() -> None:
    answer = Answer(500, {"content-type": "text/plain"}, b"\x1b[2Jno\x07 more\xe2\x80\xae")

    with pytest.raises(altar.AltarError, match="no more") as failed:
        value_of(answer, operation="GET /x")

    assert failed.value.message.isprintable()


@pytest.mark.parametrize("address", ["fec0::1", "fd00::1", "fe80::1", "::1", "64:ff9b::a00:1"])
async def test_a_name_leads_to_no_place_that_only_a_site_knows(address: str) -> None:
    async def resolved(_host: str, _port: int) -> list[str]:
        return [address]

    with pytest.raises(altar.ConfigurationError, match="not public"):
        await Reach(["https://pets.example"], resolver=resolved, seconds=5).send("GET", "https://pets.example/x")


async def test_an_empty_token_lets_nobody_in() -> None:
    async with altar.session(source="later:") as session:
        with pytest.raises(altar.ConfigurationError, match="empty"):
            serve_openapi(session, token=" ")
        served: Any = serve_openapi(session, token=lambda: "")
        transport = httpx.ASGITransport(app=served)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/openapi.json", headers={"authorization": "Bearer "})

    assert 401 == answer.status_code
