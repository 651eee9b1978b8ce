"""The command line against an issuer that is not what it says: mix-up, no PKCE, another nonce; and its own port."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.identity.loopback import redirected
from altar.aesp.identity.oidc_login import OidcClient, Prompt, by_browser, by_device
from altar.aesp.identity.outbound import Outbound
from tests.unit.aesp.identity.serving import Said, Site, site
from tests.unit.aesp.identity.test_jwks import signed
from tests.unit.aesp.identity.world import START, Clock

KEY = ECKey.generate_key("P-256", {"kid": "ec"})


@pytest.fixture
def issuer() -> Iterator[Site]:
    with site() as started:
        publish(started)
        yield started


def publish(issuer: Site, **changed: Any) -> None:
    at = issuer.origin
    told = {
        "issuer": at,
        "jwks_uri": f"{at}/jwks",
        "authorization_endpoint": f"{at}/auth",
        "token_endpoint": f"{at}/token",
        "device_authorization_endpoint": f"{at}/device",
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    } | changed
    issuer.pages["/.well-known/openid-configuration"] = said({k: v for k, v in told.items() if v is not None})
    issuer.pages["/jwks"] = said({"keys": [KEY.as_dict(private=False)]})


def said(document: object, status: int = 200) -> Said:
    return Said(json.dumps(document).encode(), status)


def id_token(issuer: Site, **changed: Any) -> str:
    claims = {"iss": issuer.origin, "aud": "altar", "sub": "s", "iat": int(START), "exp": int(START) + 60} | changed
    return signed({"alg": "ES256", "kid": "ec"}, json.dumps(claims).encode(), KEY)


def client(issuer: Site, clock: Callable[[], float] | None = None) -> OidcClient:
    return OidcClient(issuer.origin, "altar", ("openid",), now=Clock(), clock=clock or Clock())


def out(issuer: Site) -> Outbound:
    return Outbound({"oidc": [issuer.origin]})


async def browse(issuer: Site, *, token: Callable[[dict[str, str]], Said], **answer: str) -> Any:
    """Sign in with a browser that comes back at once with this answer, beside code, state and iss."""

    def open_page(address: str) -> None:
        asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        issuer.pages["/token"] = lambda: token(asked)
        query = {"code": "c", "state": asked["state"], "iss": issuer.origin} | answer
        query = {key: value for key, value in query.items() if value}
        threading.Thread(target=httpx.get, args=(asked["redirect_uri"],), kwargs={"params": query}).start()

    return await by_browser(client(issuer), out(issuer), open_page=open_page, seconds=20)


async def test_a_sign_in_ends_with_the_token_for_this_request(issuer: Site) -> None:
    obtained = await browse(issuer, token=lambda asked: said({"id_token": id_token(issuer, nonce=asked["nonce"])}))

    assert obtained.id_token
    assert obtained.nonce
    assert obtained.id_token not in repr(obtained)


@pytest.mark.parametrize("iss", ["https://evil.example", ""])
async def test_an_answer_by_another_issuer_is_refused_before_the_code_is_sent_anywhere(issuer: Site, iss: str) -> None:
    """Mix-up (RFC 9207): who says it puts `iss` into its answers must do so, and it must be the one that was asked."""
    with pytest.raises(AuthorizationError) as caught:
        await browse(issuer, token=lambda asked: said({"id_token": id_token(issuer, nonce=asked["nonce"])}), iss=iss)

    assert "another issuer" in (caught.value.detail or "")
    assert "/token" not in issuer.asked


async def test_a_token_with_another_nonce_is_refused(issuer: Site) -> None:
    with pytest.raises(AuthorizationError) as caught:
        await browse(issuer, token=lambda asked: said({"id_token": id_token(issuer, nonce="replayed")}))

    assert "nonce" in (caught.value.detail or "")


async def test_a_denial_is_told(issuer: Site) -> None:
    with pytest.raises(AuthorizationError, match="denied"):
        await browse(issuer, token=lambda asked: said({}), code="", error="access_denied")


@pytest.mark.parametrize("answer", [said({}), said({"error": "invalid_grant"}, 400), Said(b"<html>"), Said(status=500)])
async def test_an_issuer_that_gives_no_token_is_refused(issuer: Site, answer: Said) -> None:
    with pytest.raises(AltarError):
        await browse(issuer, token=lambda asked: answer)


@pytest.mark.parametrize("methods", [None, [], ["plain"], "S256"])
async def test_an_issuer_without_pkce_is_not_asked(issuer: Site, methods: object) -> None:
    publish(issuer, code_challenge_methods_supported=methods)
    opened: list[str] = []

    with pytest.raises(AltarError, match="PKCE"):
        await by_browser(client(issuer), out(issuer), open_page=opened.append, seconds=1)

    assert [] == opened


async def test_endpoints_elsewhere_are_not_asked(issuer: Site) -> None:
    with site() as inside:
        publish(issuer, token_endpoint=f"{inside.origin}/token")
        with pytest.raises(AltarError, match="may not be reached"):
            await browse(issuer, token=lambda asked: said({}))
        assert [] == inside.asked


async def test_a_device_polls_as_slowly_as_it_is_told(issuer: Site) -> None:
    answers = [
        said({"error": "authorization_pending"}, 400),
        said({"error": "slow_down"}, 400),
        said({"error": "authorization_pending"}, 400),
        said({"id_token": id_token(issuer)}),
    ]
    issuer.pages["/device"] = said(
        {"device_code": "d", "user_code": "A-B", "verification_uri": "https://x.test", "interval": 3, "expires_in": 60}
    )
    issuer.pages["/token"] = lambda: answers.pop(0)
    waited: list[float] = []
    prompts: list[Prompt] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    obtained = await by_device(client(issuer), out(issuer), show=prompts.append, sleep=sleep)

    assert ([3, 3, 8, 8], "A-B") == (waited, prompts[0].code)
    assert obtained.id_token


@pytest.mark.parametrize("begun", [{}, {"error": "unauthorized_client"}, {"device_code": 1, "user_code": "a"}])
async def test_a_device_flow_that_does_not_begin_is_refused(issuer: Site, begun: dict[str, Any]) -> None:
    issuer.pages["/device"] = said(begun)

    with pytest.raises(AltarError):
        await by_device(client(issuer), out(issuer), show=lambda prompt: None)


async def raw(callback: str, request: bytes) -> bytes:
    place = urlsplit(callback)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(request)
    try:
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()


async def test_whatever_else_comes_to_the_port_is_answered_and_ignored() -> None:
    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(
        redirected(begun.set_result, wanted=lambda query: query.get("state") == "s", seconds=20)
    )
    callback = await begun
    host = urlsplit(callback).netloc.encode()
    good = b"GET /callback?state=s&code=c HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"

    for request in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
        good.replace(host, b"evil.example"),  # DNS rebinding: a name that was pointed at loopback
        good.replace(b"\r\nHost", b"\r\nHost: evil.example\r\nHost"),
        good.replace(b"state=s", b"state=s&state=s"),
        good.replace(b"state=s", b"state=other"),
        good.replace(b"GET", b"POST"),
        good.replace(b"code=c", b"&".join(b"a%d=1" % number for number in range(20))),
    ):
        assert b"200 OK" not in await raw(callback, request), request
        assert not waiting.done()
    await raw(callback, b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n")
    assert not waiting.done()

    assert b"200 OK" in await raw(callback, good)
    answer = await waiting
    assert (callback, {"state": "s", "code": "c"}) == (answer.callback, dict(answer.query))


async def test_an_answer_that_never_comes_ends_the_wait() -> None:
    with pytest.raises(AuthorizationError, match="within the time"):
        await redirected(lambda address: None, wanted=lambda query: True, seconds=0.05)
