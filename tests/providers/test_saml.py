"""Sign-in by SAML against a real SimpleSAMLphp, and the attacks on signatures in XML that are known by name."""

from __future__ import annotations

import base64
import copy
import gc
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import httpx
import pytest

from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, ValidationError
from altar.aesp.identity.login import Credential
from altar.aesp.identity.saml import SamlConfiguration, SamlProvider
from altar.aesp.identity.saml_document import response_of
from altar.aesp.web.saml import SamlPages
from tests.integration.web_scene import WebScene, web_scene
from tests.providers.simplesamlphp import SimpleSamlPhp, simplesamlphp

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # pysaml2 leaves closing its own files to the collector
]

BASE = "http://127.0.0.1:9998"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
REDIRECT = "http://127.0.0.1:5555/done"
NS = {
    "p": "urn:oasis:names:tc:SAML:2.0:protocol",
    "a": "urn:oasis:names:tc:SAML:2.0:assertion",
    "d": "http://www.w3.org/2000/09/xmldsig#",
}
for prefix, address in {"samlp": NS["p"], "saml": NS["a"], "ds": NS["d"]}.items():
    ET.register_namespace(prefix, address)


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleSamlPhp]:
    with simplesamlphp(tmp_path_factory.mktemp("idp") / "ssp") as running:
        yield running


@pytest.fixture(autouse=True)
def files_of_pysaml2_are_closed_here() -> Iterator[None]:
    yield
    gc.collect()


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now or time.time()


@dataclass
class Captured:
    """A good answer, and what is needed to have it judged again."""

    provider: SamlProvider
    clock: Clock
    answer: str
    data: dict[str, str]

    async def judge(self, answer: str) -> str:
        """Have an answer judged as if the sign-in were under way."""
        await self.provider._under_way.keep("relay", self.data, seconds=600)
        return await self.provider.accept(answer, "relay")

    @property
    def root(self) -> ET.Element:
        return ET.fromstring(base64.b64decode(self.answer))


def provider_of(
    scene: WebScene, idp: SimpleSamlPhp, *, base: str = BASE, name: str = "corp", clock: Any = time.time
) -> SamlProvider:
    configuration = SamlConfiguration(name=name, tenant="acme", metadata=idp.metadata(), base=base)
    idp.know(entity_id=configuration.entity_id, acs=configuration.acs)
    return SamlProvider(configuration, scene.store, now=clock)


async def captured(scene: WebScene, idp: SimpleSamlPhp) -> Captured:
    clock = Clock()
    provider = provider_of(scene, idp, clock=clock)
    begun = await provider.begin(redirect=REDIRECT, challenge=CHALLENGE, state="st")
    form = idp.sign_in(begun.location)
    data = await provider._under_way.take(begun.relay)
    assert data is not None
    return Captured(provider, clock, form["SAMLResponse"], data)


async def test_a_person_signs_in_through_the_browser_and_the_code_is_good_once(
    idp: SimpleSamlPhp, store_url: str
) -> None:
    pages: list[SamlProvider] = []
    notes: list[str] = []

    def parts(scene: WebScene) -> Any:
        yield SamlPages(pages, note=lambda event, _facts: notes.append(event)).part()

    async with web_scene(store_url) as outer:
        provider = provider_of(outer, idp)
        begun = await provider.begin(redirect=REDIRECT, challenge=CHALLENGE, state="st")
        form = idp.sign_in(begun.location)

        location = await provider.accept(form["SAMLResponse"], form["RelayState"])
        told = parse_qs(urlsplit(location).query)
        login = await provider.authenticate(Credential(secret=told["code"][0], nonce=VERIFIER, tenant="acme"))

        assert location.startswith(REDIRECT + "?")
        assert ["st"] == told["state"]
        assert ("alice", "alice", "Alice L", "alice@x.test") == (login.subject, login.name, login.display, login.email)
        assert ("admins", "eng") == login.groups
        assert login.once.startswith("assertion _")
        for _ in range(2):
            with pytest.raises(AuthorizationError):
                await provider.authenticate(Credential(secret=told["code"][0], nonce=VERIFIER))
        with pytest.raises(AuthorizationError):  # the same answer once more: a replay
            await provider.accept(form["SAMLResponse"], form["RelayState"])


async def test_the_routes_carry_a_sign_in_from_end_to_end(idp: SimpleSamlPhp, tmp_path: Path) -> None:
    pages: list[SamlProvider] = []
    notes: list[str] = []

    def parts(scene: WebScene) -> Any:
        made = SamlPages([], note=lambda event, _facts: notes.append(event))
        made._providers = {"corp": None}  # type: ignore[dict-item]  # filled in below, when the address is known
        pages.append(made)  # type: ignore[arg-type]
        yield made.part()

    async with web_scene(f"sqlite:///{tmp_path}/store.db", parts=parts) as scene:
        provider = provider_of(scene, idp, base=scene.address)
        pages[0]._providers["corp"] = provider  # type: ignore[attr-defined]
        async with httpx.AsyncClient(base_url=scene.address, trust_env=False, timeout=30) as browser:
            metadata = await browser.get("/saml/corp/metadata")
            begun = await browser.get(
                "/saml/corp/login", params={"redirect": REDIRECT, "challenge": CHALLENGE, "state": "s"}
            )
            form = idp.sign_in(begun.headers["location"])
            done = await browser.post("/saml/corp/acs", data=form)
            again = await browser.post("/saml/corp/acs", data=form)
            elsewhere = await browser.get(
                "/saml/corp/login", params={"redirect": "http://evil.test:1/x", "challenge": CHALLENGE}
            )
            none = await browser.get("/saml/none/login")

        assert provider.configuration.acs in metadata.text
        assert (302, 303, 401, 400, 404) == (
            begun.status_code,
            done.status_code,
            again.status_code,
            elsewhere.status_code,
            none.status_code,
        )
        assert done.headers["location"].startswith(REDIRECT)
        assert ["auth.failed"] == notes


# ── attacks ──────────────────────────────────────────────────────────────────────────────────────────────────


def evil(element: ET.Element) -> ET.Element:
    """Say root wherever alice is said."""
    for each in element.iter():
        if each.text in {"alice", "admins", "eng"}:
            each.text = "root"
    return element


def unsigned(element: ET.Element) -> ET.Element:
    """Take the signatures out of it."""
    for parent in list(element.iter()):
        for signature in parent.findall("d:Signature", NS):
            parent.remove(signature)
    return element


def assertion_of(root: ET.Element) -> ET.Element:
    found = root.find("a:Assertion", NS)
    assert found is not None
    return found


def signature_of(element: ET.Element) -> ET.Element:
    found = element.find("d:Signature", NS)
    assert found is not None
    return found


def forged(root: ET.Element) -> ET.Element:
    """A copy of the assertion that says root, without a signature and with an ID of its own."""
    made = unsigned(evil(copy.deepcopy(assertion_of(root))))
    made.set("ID", "_forged")
    return made


def tampered(root: ET.Element) -> ET.Element:
    return evil(root)


def stripped(root: ET.Element) -> ET.Element:
    return unsigned(evil(root))


def response_unsigned(root: ET.Element) -> ET.Element:
    root.remove(signature_of(root))
    return root


def assertion_unsigned(root: ET.Element) -> ET.Element:
    assertion_of(root).remove(signature_of(assertion_of(root)))
    return root


def xsw1(root: ET.Element) -> ET.Element:
    outer, signature = unsigned(evil(copy.deepcopy(root))), copy.deepcopy(signature_of(root))
    outer.set("ID", "_forged")
    signature.append(root)
    outer.insert(1, signature)
    return outer


def xsw2(root: ET.Element) -> ET.Element:
    outer, signature = unsigned(evil(copy.deepcopy(root))), copy.deepcopy(signature_of(root))
    outer.set("ID", "_forged")
    outer.insert(1, root)
    outer.insert(2, signature)
    return outer


def xsw3(root: ET.Element) -> ET.Element:
    root.insert(list(root).index(assertion_of(root)), forged(root))
    return root


def xsw4(root: ET.Element) -> ET.Element:
    made, original = forged(root), assertion_of(root)
    root.remove(original)
    made.append(original)
    root.append(made)
    return root


def xsw5(root: ET.Element) -> ET.Element:
    original = assertion_of(root)
    made = evil(copy.deepcopy(original))
    made.set("ID", "_forged")
    original.remove(signature_of(original))
    root.remove(original)
    root.append(made)
    root.append(original)
    return root


def xsw6(root: ET.Element) -> ET.Element:
    original = assertion_of(root)
    made = evil(copy.deepcopy(original))
    made.set("ID", "_forged")
    original.remove(signature_of(original))
    root.remove(original)
    signature_of(made).append(original)
    root.append(made)
    return root


def xsw7(root: ET.Element) -> ET.Element:
    extensions = ET.Element(f"{{{NS['p']}}}Extensions")
    extensions.append(forged(root))
    root.insert(1, extensions)
    return root


def xsw8(root: ET.Element) -> ET.Element:
    original = assertion_of(root)
    made = evil(copy.deepcopy(original))
    made.set("ID", "_forged")
    original.remove(signature_of(original))
    root.remove(original)
    ET.SubElement(signature_of(made), f"{{{NS['d']}}}Object").append(original)
    root.append(made)
    return root


def same_id(root: ET.Element) -> ET.Element:
    made = evil(copy.deepcopy(assertion_of(root)))
    root.insert(0, made)
    return root


def reference_to_nothing(root: ET.Element) -> ET.Element:
    for reference in root.iter(f"{{{NS['d']}}}Reference"):
        reference.set("URI", "")
    return root


def sha1(root: ET.Element) -> ET.Element:
    for method in root.iter(f"{{{NS['d']}}}SignatureMethod"):
        method.set("Algorithm", "http://www.w3.org/2000/09/xmldsig#rsa-sha1")
    return root


def split_name(root: ET.Element) -> ET.Element:
    for name in root.iter(f"{{{NS['a']}}}NameID"):
        name.text = "ro"
        ET.SubElement(name, "x").tail = "ot"
    return root


def later(root: ET.Element) -> ET.Element:
    for each in root.iter():
        if "NotOnOrAfter" in each.attrib:
            each.set("NotOnOrAfter", "2099-01-01T00:00:00Z")
    return root


ATTACKS: list[Callable[[ET.Element], ET.Element]] = [
    tampered,
    stripped,
    response_unsigned,
    assertion_unsigned,
    xsw1,
    xsw2,
    xsw3,
    xsw4,
    xsw5,
    xsw6,
    xsw7,
    xsw8,
    same_id,
    reference_to_nothing,
    sha1,
    split_name,
    later,
]


def text_attacks(xml: str) -> Iterator[tuple[str, str]]:
    """Attacks that are no trees."""
    entity = '<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    yield "XXE", entity + xml.replace(">alice<", ">&e;<", 1)
    bomb = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    yield "entities", bomb + xml.replace(">alice<", ">&b;<", 1)
    yield "comment", xml.replace(">alice<", ">al<!-- x -->ice<")
    yield "CDATA", xml.replace(">alice<", "><![CDATA[root]]><")
    yield "instruction", xml.replace(">alice<", "><?x y?>alice<")
    yield "two roots", xml + xml
    yield "not XML", "<x"
    yield "large", xml.replace(">alice<", ">" + "a" * 300_000 + "<", 1)
    yield "empty", ""


async def test_no_answer_that_was_changed_is_believed(idp: SimpleSamlPhp, tmp_path: Path) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        good = await captured(scene, idp)
        await good.judge(good.answer)
        changed = [(attack.__name__, ET.tostring(attack(good.root), encoding="unicode")) for attack in ATTACKS]
        changed += text_attacks(base64.b64decode(good.answer).decode())

        for name, xml in changed:
            answer = base64.b64encode(xml.encode()).decode()
            with pytest.raises(AuthorizationError) as refused:
                await good.judge(answer)
            assert "The credentials were not accepted" == refused.value.message, name


async def test_what_is_not_of_the_one_shape_is_refused_before_a_signature_is_looked_at(
    idp: SimpleSamlPhp, tmp_path: Path
) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        good = await captured(scene, idp)
        response_of(good.answer)
        shapes = [attack for attack in ATTACKS if attack not in {tampered, later}]
        changed = [(attack.__name__, ET.tostring(attack(good.root), encoding="unicode")) for attack in shapes]
        changed += text_attacks(base64.b64decode(good.answer).decode())

        believed = [name for name, xml in changed if is_of_the_shape(xml)]

        assert [] == believed


def is_of_the_shape(xml: str) -> bool:
    try:
        response_of(base64.b64encode(xml.encode()).decode())
    except ValueError:
        return False
    return True


async def test_signatures_are_what_refuses_where_the_shape_is_right(idp: SimpleSamlPhp, tmp_path: Path) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        good = await captured(scene, idp)
        answer = base64.b64encode(ET.tostring(tampered(good.root))).decode()

        _, told = response_of(answer)
        with pytest.raises(AuthorizationError) as refused:
            await good.judge(answer)

        assert "root" == told.subject
        assert "Signature" in str(refused.value.detail)


@pytest.mark.parametrize("member", ["request", "audience", "recipient", "issuer"])
async def test_an_answer_for_somebody_else_is_refused(idp: SimpleSamlPhp, tmp_path: Path, member: str) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        good = await captured(scene, idp)
        if member == "request":  # the answer of another sign-in: unsolicited here
            good.data["request"] = "id-of-another"
        elif member == "issuer":
            good.provider._issuer = "http://another/idp"
        else:
            name = "other" if member == "audience" else "corp"
            base = BASE if member == "audience" else "http://127.0.0.1:9997"
            good.provider = provider_of(scene, idp, base=base, name=name, clock=good.clock)

        with pytest.raises(AuthorizationError) as refused:
            await good.judge(good.answer)

        assert member in str(refused.value.detail)


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
async def test_an_answer_of_another_time_is_refused(idp: SimpleSamlPhp, tmp_path: Path, seconds: float) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        good = await captured(scene, idp)
        good.clock.now = time.time() + seconds

        with pytest.raises(AuthorizationError) as refused:
            await good.judge(good.answer)

        assert "time" in str(refused.value.detail)


async def test_a_sign_in_that_never_began_or_is_over_is_refused(idp: SimpleSamlPhp, tmp_path: Path) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        good = await captured(scene, idp)

        with pytest.raises(AuthorizationError):
            await good.provider.accept(good.answer, "never")
        await good.provider._under_way.keep("relay", good.data, seconds=600)
        good.clock.now = time.time() + 601
        with pytest.raises(AuthorizationError):
            await good.provider.accept(good.answer, "relay")


async def test_a_code_is_worth_nothing_without_the_verifier_or_in_another_tenant(
    idp: SimpleSamlPhp, tmp_path: Path
) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        good = await captured(scene, idp)
        for credential in ({"nonce": "w" * 50}, {"nonce": VERIFIER, "tenant": "globex"}):
            code = parse_qs(urlsplit(await good.judge(good.answer)).query)["code"][0]
            with pytest.raises(AuthorizationError):
                await good.provider.authenticate(Credential(secret=code, **credential))


@pytest.mark.parametrize(
    "redirect",
    [
        "https://127.0.0.1:1/x",
        "http://evil.test:1/",
        "http://127.0.0.1/",
        "http://127.0.0.1:1/?a=b",
        "http://u@127.0.0.1:1/",
        "http://127.0.0.1.evil.test:1/",
        "javascript:alert(1)",
        "http://10.0.0.1:1/",
        "http://localhost:1/",
        "",
    ],
)
async def test_a_code_goes_to_loopback_and_nowhere_else(idp: SimpleSamlPhp, tmp_path: Path, redirect: str) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        provider = provider_of(scene, idp)

        with pytest.raises(ValidationError):
            await provider.begin(redirect=redirect, challenge=CHALLENGE, state="")


async def test_metadata_that_name_no_provider_do_not_start(tmp_path: Path) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        for text in ("", "<x/>", "no xml", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'):
            with pytest.raises(AltarError) as refused:
                SamlProvider(
                    SamlConfiguration(name="corp", tenant="acme", metadata=text, base=BASE), scene.store, now=time.time
                )
            assert isinstance(refused.value, ConfigurationError)
