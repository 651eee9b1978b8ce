"""Signing in at a real OpenID provider: with a browser, with another device, and every way to go wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.identity.login import Credential, Login
from altar.aesp.identity.oidc import OidcConfiguration, OidcProvider, discover
from altar.aesp.identity.oidc_login import Obtained, OidcClient, Prompt, by_browser, by_device
from altar.aesp.identity.outbound import Outbound
from tests.providers.oidc import OidcServer, oidc_server, person

SCOPES = ("openid", "profile", "email", "groups")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcServer]:
    with oidc_server(tmp_path_factory.mktemp("oidc")) as started:
        yield started


def outbound(server: OidcServer) -> Outbound:
    return Outbound({"oidc": [server.issuer]})


def client(server: OidcServer, client_id: str = "altar") -> OidcClient:
    return OidcClient(server.issuer, client_id, SCOPES, now=time.time, clock=time.monotonic)


def provider(server: OidcServer, clock: Callable[[], float] = time.monotonic, **changed: Any) -> OidcProvider:
    configuration = OidcConfiguration(name="corp", issuer=server.issuer, audience="altar", tenant="acme")
    return OidcProvider(replace(configuration, **changed), outbound(server), now=time.time, clock=clock)


VERIFIER = "v" * 43


def asking(server: OidcServer, callback: str = "http://127.0.0.1:8/callback") -> str:
    """An authorization request of the command line, with a verifier that is known."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": "altar",
        "redirect_uri": callback,
        "scope": "openid",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{server.issuer}/auth?{urlencode(asked)}"


def query_of(address: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}


def visiting(name: str, seen: list[str] | None = None) -> Callable[[str], None]:
    """What `open_page` is: a person who goes there, in a thread of their own."""

    def open_page(address: str) -> None:
        if seen is not None:
            seen.append(address)
        threading.Thread(target=person, args=(name, address), daemon=True).start()

    return open_page


async def signed_in(server: OidcServer, name: str = "alice", client_id: str = "altar") -> Obtained:
    return await by_browser(client(server, client_id), outbound(server), open_page=visiting(name), seconds=30)


async def accepted(server: OidcServer, obtained: Obtained, **changed: Any) -> Login:
    return await provider(server, **changed).authenticate(Credential(obtained.id_token, nonce=obtained.nonce))


async def test_a_person_signs_in_with_a_browser_and_the_host_takes_the_token(server: OidcServer) -> None:
    login = await accepted(server, await signed_in(server))

    assert ("corp", "alice", "acme", "alice") == (login.provider, login.subject, login.tenant, login.name)
    assert ("engineering", "admin") == login.groups
    assert "alice@x.test" == login.email
    assert login.once


async def test_an_address_that_is_not_verified_is_not_kept(server: OidcServer) -> None:
    assert "" == (await accepted(server, await signed_in(server, "bob"))).email


async def test_a_person_signs_in_on_another_device(server: OidcServer) -> None:
    prompts: list[Prompt] = []
    waited: list[float] = []

    def show(prompt: Prompt) -> None:
        prompts.append(prompt)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            await asyncio.to_thread(person, "bob", prompts[0].complete)

    obtained = await by_device(client(server), outbound(server), show=show, sleep=sleep)

    assert "bob" == (await accepted(server, obtained)).subject
    assert prompts[0].code
    assert prompts[0].address.startswith(server.issuer)
    assert 2 == len(waited)


async def test_a_device_that_nobody_confirms_gives_up(server: OidcServer) -> None:
    at = [time.monotonic()]

    async def sleep(seconds: float) -> None:
        at[0] += 400

    impatient = replace(client(server), clock=lambda: at[0])

    with pytest.raises(AuthorizationError, match="not finished in time"):
        await by_device(impatient, outbound(server), show=lambda prompt: None, sleep=sleep)


async def test_a_token_for_another_client_is_refused(server: OidcServer) -> None:
    obtained = await signed_in(server, client_id="other")

    with pytest.raises(AuthorizationError) as caught:
        await accepted(server, obtained)

    assert "audience" in (caught.value.detail or "")


async def test_a_token_of_another_login_is_refused(server: OidcServer) -> None:
    obtained = await signed_in(server)

    with pytest.raises(AuthorizationError) as caught:
        await provider(server).authenticate(Credential(obtained.id_token, nonce="another"))

    assert "nonce" in (caught.value.detail or "")


async def test_an_id_token_is_no_access_token_and_the_other_way_round(server: OidcServer) -> None:
    obtained = await signed_in(server)
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{server.issuer}/token",
            data={"grant_type": "client_credentials", "scope": "tools:read", "resource": "urn:altar:grid"},
            auth=("robot", "a-secret-of-the-tests-only"),
        )
    access = answer.json()["access_token"]
    programs: dict[str, Any] = {"audience": "urn:altar:grid", "kind": "access_token"}

    robot = await provider(server, **programs).authenticate(Credential(access))

    assert ("robot", "", ()) == (robot.subject, robot.once, robot.groups)
    cases: list[tuple[str, dict[str, Any]]] = [(obtained.id_token, programs), (access, {"audience": "urn:altar:grid"})]
    for token, changed in cases:
        with pytest.raises(AuthorizationError) as caught:
            await provider(server, **changed).authenticate(Credential(token))
        assert "type" in (caught.value.detail or "")


async def test_keys_that_the_provider_rotated_are_found_after_the_cooldown(server: OidcServer) -> None:
    at = [0.0]
    checking = provider(server, clock=lambda: at[0])
    old = await signed_in(server)
    await checking.authenticate(Credential(old.id_token))
    server.stop()
    server.start()
    new = await signed_in(server)

    with pytest.raises(AuthorizationError):
        await checking.authenticate(Credential(new.id_token))
    at[0] += 5

    assert "alice" == (await checking.authenticate(Credential(new.id_token))).subject
    assert 2 == checking.keys.fetches
    with pytest.raises(AuthorizationError):
        await checking.authenticate(Credential(old.id_token))


async def test_keys_stay_good_while_the_provider_is_away(server: OidcServer) -> None:
    at = [0.0]
    checking = provider(server, clock=lambda: at[0])
    obtained = await signed_in(server)
    await checking.authenticate(Credential(obtained.id_token))
    server.stop()
    try:
        at[0] += 3600
        assert "alice" == (await checking.authenticate(Credential(obtained.id_token))).subject
        at[0] += 86_400
        with pytest.raises(AltarError) as caught:
            await checking.authenticate(Credential(obtained.id_token))
        assert "DEPENDENCY_UNAVAILABLE" == caught.value.code
    finally:
        server.start()


async def test_an_answer_that_another_login_began_is_ignored(server: OidcServer) -> None:
    """Login CSRF: the attacker's own code, with no state or a wrong one, does not end the wait."""
    statuses: list[int] = []

    def open_page(address: str) -> None:
        asked = query_of(address)

        def attack() -> None:
            statuses.extend(
                httpx.get(asked["redirect_uri"], params={"code": "evil", "state": state}).status_code
                for state in ("", "wrong", asked["state"][:-1])
            )
            person("alice", address)

        threading.Thread(target=attack, daemon=True).start()

    obtained = await by_browser(client(server), outbound(server), open_page=open_page, seconds=30)

    assert [400, 400, 400] == statuses
    assert "alice" == (await accepted(server, obtained)).subject


def test_the_challenge_cannot_be_left_out_or_weakened_on_the_way(server: OidcServer) -> None:
    """PKCE downgrade: what the command line asks for is answered; what somebody made of it on the way is not."""
    asked = asking(server)
    for change in (("code_challenge_method=S256", "code_challenge_method=plain"), ("&code_challenge=", "&ignored=")):
        answer = httpx.get(asked.replace(*change), follow_redirects=False)

        assert "invalid_request" == query_of(answer.headers["location"])["error"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({}, None),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:9/callback"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_grant"),
    ],
)
def test_a_stolen_code_is_worth_nothing(server: OidcServer, changed: dict[str, str | None], error: str | None) -> None:
    """Whoever overhears the redirect has the code, and neither the verifier nor the port that it was for."""
    callback = "http://127.0.0.1:8/callback"
    code = query_of(person("alice", asking(server, callback), deliver=False).headers["location"])["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback, "client_id": "altar"}

    fields = {key: value for key, value in (form | {"code_verifier": VERIFIER} | changed).items() if value is not None}
    answer = httpx.post(f"{server.issuer}/token", data=fields)

    assert error == answer.json().get("error")


def test_a_redirect_to_another_machine_is_refused_by_the_provider(server: OidcServer) -> None:
    answer = httpx.get(asking(server, "http://evil.example/callback"), follow_redirects=False)

    assert 400 == answer.status_code
    assert "location" not in answer.headers


async def test_an_issuer_that_calls_itself_otherwise_is_refused(server: OidcServer) -> None:
    other = server.issuer.replace("127.0.0.1", "localhost")

    with pytest.raises(AltarError, match="another name"):
        await discover(other, Outbound({"oidc": [other]}))


def changed_claims(token: str, **changed: Any) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    encoded = base64.urlsafe_b64encode(json.dumps(claims | changed).encode()).rstrip(b"=").decode()
    return f"{head}.{encoded}.{signature}"


async def test_a_token_of_the_real_provider_with_a_changed_claim_is_refused(server: OidcServer) -> None:
    obtained = await signed_in(server)

    with pytest.raises(AuthorizationError) as caught:
        await provider(server).authenticate(Credential(changed_claims(obtained.id_token, sub="admin")))

    assert "signature" in (caught.value.detail or "")
