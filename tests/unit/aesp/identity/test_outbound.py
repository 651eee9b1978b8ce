"""The one way out, attacked: names that lead inside, redirects, floods; against a real server on loopback."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from altar.adm.errors import AltarError
from altar.aesp.identity.outbound import Origin, Outbound, Resolve
from tests.unit.aesp.identity.serving import Said, Site, site


@pytest.fixture
def target() -> Iterator[Site]:
    with site() as started:
        started.pages["/"] = Said(b"secret")
        yield started


def resolving(*addresses: str) -> Resolve:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolver


async def refused(outbound: Outbound, url: str, *, purpose: str = "keys") -> str:
    with pytest.raises(AltarError) as caught:
        await outbound.get(purpose, url)
    assert "INVALID_CONFIG" == caught.value.code
    return caught.value.detail or ""


async def test_a_listed_address_of_loopback_is_fetched(target: Site) -> None:
    answer = await Outbound({"keys": [target.origin]}).get("keys", f"{target.origin}/")

    assert (200, b"secret") == (answer.status, answer.body)
    assert [f"127.0.0.1:{target.port}"] == target.hosts


async def test_what_is_listed_for_one_purpose_is_not_for_another(target: Site) -> None:
    assert "not listed for 'sinks'" in await refused(
        Outbound({"keys": [target.origin]}), f"{target.origin}/", purpose="sinks"
    )
    assert [] == target.asked


async def test_another_port_or_scheme_of_a_listed_host_is_not_listed(target: Site) -> None:
    outbound = Outbound({"keys": ["http://127.0.0.1:1", f"https://127.0.0.1:{target.port}"]})

    assert "not listed" in await refused(outbound, f"{target.origin}/")
    assert [] == target.asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.7",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fec0::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:db8::1",
        "64:ff9b:1::7f00:1",
        "3fff::1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:10.0.0.1",
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
    ],
)
async def test_a_listed_name_that_leads_inside_is_refused(target: Site, address: str) -> None:
    outbound = Outbound({"keys": ["https://keys.example"]}, resolver=resolving(address))

    assert "not public" in await refused(outbound, "https://keys.example/jwks")


def test_a_public_address_behind_a_gateway_of_ipv6_is_public() -> None:
    """NAT64 writes 93.184.215.14 as 64:ff9b::5db8:d70e; nothing is connected to here."""
    outbound = Outbound({"keys": ["https://keys.example"]})
    origin = Origin.parse("https://keys.example")

    for address in ("93.184.215.14", "64:ff9b::5db8:d70e", "2606:2800:21f:cb07::1"):
        assert outbound._way.may_reach(ipaddress.ip_address(address), origin), address


async def test_a_name_beyond_ascii_is_resolved_as_it_is_asked_for() -> None:
    """By the rules of 2003, which Python's resolver keeps to, it would be the name of somebody else: fass.example."""
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["10.0.0.7"]

    outbound = Outbound({"keys": ["https://faß.example", "https://xn--fa-hia.example:8443"]}, resolver=resolver)
    for url in ("https://faß.example/", "https://xn--fa-hia.example/", "https://faß.example:8443/"):
        assert "not public" in await refused(outbound, url)

    assert ["xn--fa-hia.example"] * 3 == asked


async def test_one_bad_address_among_good_ones_is_enough(target: Site) -> None:
    resolver = resolving("93.184.215.14", "127.0.0.1")
    outbound = Outbound({"keys": ["https://keys.example"]}, resolver=resolver)

    assert "127.0.0.1" in await refused(outbound, "https://keys.example/")


async def test_a_name_that_changes_its_mind_is_fetched_from_the_address_that_was_checked(tmp_path: Path) -> None:
    """DNS rebinding: the resolver is asked once, and the certificate is still judged by the name."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("keys.example").configure_cert(context)
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with tls_site(context) as port:
        outbound = Outbound(
            {"keys": [f"https://keys.example:{port}", f"https://other.example:{port}"]},
            networks=("127.0.0.0/8",),
            authority=tmp_path / "ca.pem",
            resolver=resolver,
        )
        answer = await outbound.get("keys", f"https://keys.example:{port}/")
        assert b"over tls" == answer.body
        assert ["keys.example"] == asked
        asked.clear()
        with pytest.raises(AltarError, match="cannot be used now") as caught:
            await outbound.get("keys", f"https://other.example:{port}/")
        assert "certificate" in (caught.value.detail or "").lower()


async def test_a_private_network_is_reached_only_where_it_is_listed(target: Site) -> None:
    name = {"keys": ["https://keys.example"]}
    resolver = resolving("10.1.2.3")
    outside = Outbound(name, networks=("10.2.0.0/16",), resolver=resolver, seconds=0.2)
    inside = Outbound(name, networks=("10.1.0.0/16",), resolver=resolver, seconds=0.2)

    await refused(outside, "https://keys.example/")
    with pytest.raises(AltarError) as caught:
        await inside.get("keys", "https://keys.example/")
    assert "DEPENDENCY_UNAVAILABLE" == caught.value.code


async def test_a_redirect_to_another_origin_is_not_followed(target: Site) -> None:
    with site() as inside:
        inside.pages["/admin"] = Said(b"secret")
        target.pages["/jwks"] = Said(status=302, headers={"Location": f"{inside.origin}/admin"})
        outbound = Outbound({"keys": [target.origin, inside.origin]})

        assert "another origin" in await refused(outbound, f"{target.origin}/jwks")
        assert [] == inside.asked


async def test_a_redirect_within_the_origin_is_followed_and_not_for_ever(target: Site) -> None:
    target.pages["/old"] = Said(status=301, headers={"Location": "/"})
    target.pages["/loop"] = Said(status=301, headers={"Location": "/loop"})
    outbound = Outbound({"keys": [target.origin]})

    assert b"secret" == (await outbound.get("keys", f"{target.origin}/old")).body
    with pytest.raises(AltarError):
        await outbound.get("keys", f"{target.origin}/loop")
    assert 4 == target.asked.count("/loop")


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(target: Site) -> None:
    target.pages["/big"] = Said(b"x" * 5_000_000)

    with pytest.raises(AltarError) as caught:
        await Outbound({"keys": [target.origin]}, max_bytes=1000).get("keys", f"{target.origin}/big")

    assert "more than 1000 bytes" in (caught.value.detail or "")


async def test_a_compressed_answer_is_refused(target: Site) -> None:
    target.pages["/zip"] = Said(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    with pytest.raises(AltarError) as caught:
        await Outbound({"keys": [target.origin]}).get("keys", f"{target.origin}/zip")

    assert "compressed" in (caught.value.detail or "")


async def test_an_answer_that_never_comes_is_given_up(target: Site) -> None:
    hold = threading.Event()

    def late() -> Said:
        hold.wait(10)
        return Said()

    target.pages["/slow"] = late
    try:
        with pytest.raises(AltarError) as caught:
            await Outbound({"keys": [target.origin]}, seconds=0.2).get("keys", f"{target.origin}/slow")
        assert "DEPENDENCY_UNAVAILABLE" == caught.value.code
    finally:
        hold.set()


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https://user:pw@keys.example/",
        "https://keys.example/#x",
        "https:///x",
        "http://127.0.0.1.evil.example/",
        "//keys.example/",
        "",
    ],
)
def test_what_is_no_plain_https_address_cannot_be_listed(url: str) -> None:
    with pytest.raises(AltarError):
        Origin.parse(url)


async def test_a_query_is_not_shown_in_a_refusal(target: Site) -> None:
    with pytest.raises(AltarError) as caught:
        await Outbound({}).get("keys", f"{target.origin}/?token=s3cret")

    assert "s3cret" not in caught.value.message + str(caught.value.detail)


def tls_site(context: ssl.SSLContext) -> AbstractContextManager[int]:
    """A server that speaks TLS, on the port that the context gives."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"over tls")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust the certificate hangs up."""

    @contextmanager
    def serving() -> Iterator[int]:
        server = Server(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    return serving()
