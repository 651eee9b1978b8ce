"""The shape of a SAML response, judged before a word of it is believed: one response, one assertion, each signed.

Attacks on signatures in XML hide a second assertion, or point a signature elsewhere than at what is read.
So what is not of the one shape is refused by its shape, before a signature is looked at (XSW, XXE, comments, SHA-1).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element, ParseError

__all__ = ["Response", "response_of"]

LARGEST = 256 * 1024
"""Bytes of one response."""

_PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
_ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}"
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_ALGORITHMS = frozenset(
    f"http://www.w3.org/2001/04/xmldsig-more#{name}"
    for name in ("rsa-sha256", "rsa-sha384", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512")
)
_DIGESTS = frozenset(
    {
        "http://www.w3.org/2001/04/xmlenc#sha256",
        "http://www.w3.org/2001/04/xmldsig-more#sha384",
        "http://www.w3.org/2001/04/xmlenc#sha512",
    }
)
_TRANSFORMS = frozenset(
    {
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
    }
)


@dataclass(frozen=True, slots=True)
class Response:
    """What a response says, not yet proved: only its shape has been judged.

    Times are in seconds since 1970. ``contexts`` are the ways in which the person proved to be somebody.
    """

    assertion_id: str
    in_response_to: str
    destination: str
    issuers: frozenset[str]
    audiences: frozenset[str]
    recipient: str
    confirmed_in_response_to: str
    not_before: float
    not_on_or_after: float
    subject: str
    subject_format: str
    attributes: dict[str, tuple[str, ...]]
    contexts: frozenset[str]


def response_of(text: str) -> tuple[str, Response]:
    """Read the base64 of a form field; give the XML and what it says.

    Raises ValueError, saying why for the log, for whatever is not one response with one assertion, both signed with
    SHA-2 over themselves and nothing else.
    """
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    if len(text) > 2 * LARGEST:
        raise ValueError("the response is too long")
    try:
        xml = base64.b64decode("".join(text.split()), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("the response is no base64 of UTF-8") from error
    if len(xml) > LARGEST or "<!" in xml or "<?" in xml.removeprefix("<?xml").lstrip() or "\0" in xml:
        raise ValueError("the response has a comment, CDATA, an instruction or a DTD, or is too long")
    try:
        root = ElementTree.fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ValueError("the response is no XML that is read") from error
    assertion = _one_assertion(root)
    _require_signatures(root, assertion)
    return xml, _read(root, assertion)


def _one_assertion(root: Element) -> Element:
    if root.tag != f"{_PROTOCOL}Response":
        raise ValueError("the document is no response")
    everywhere = [each for each in root.iter() if each.tag.endswith("}Assertion") or each.tag == "Assertion"]
    direct = root.findall(f"{_ASSERTION}Assertion")
    if len(everywhere) != 1 or len(direct) != 1:
        raise ValueError(f"the response holds {len(everywhere)} assertions, {len(direct)} of them where one belongs")
    if any(each.tag in {f"{_ASSERTION}EncryptedAssertion", f"{_PROTOCOL}Extensions"} for each in root.iter()):
        raise ValueError("the response has an encrypted assertion or extensions")
    ids = [
        value for each in root.iter() for name, value in each.attrib.items() if name.lower() in {"id", "assertionid"}
    ]
    if len(ids) != len(set(ids)):
        raise ValueError("two elements have the same ID")
    return direct[0]


def _require_signatures(root: Element, assertion: Element) -> None:
    """Each of the two is signed by a signature of its own that refers to it and to nothing else."""
    everywhere = [each for each in root.iter() if each.tag.endswith("}Signature")]
    if len(everywhere) != 2:
        raise ValueError(f"the response has {len(everywhere)} signatures")
    for signed in (root, assertion):
        found = signed.findall(f"{_SIGNATURE}Signature")
        if len(found) != 1:
            raise ValueError("the response or its assertion is not signed by itself")
        references = list(found[0].iter(f"{_SIGNATURE}Reference"))
        if len(references) != 1 or references[0].get("URI") != f"#{signed.get('ID')}" or not signed.get("ID"):
            raise ValueError("a signature refers to something else than what holds it")
        if any(True for _ in found[0].iter(f"{_SIGNATURE}Object")):
            raise ValueError("a signature holds an object")
        methods = {each.get("Algorithm") for each in found[0].iter(f"{_SIGNATURE}SignatureMethod")}
        digests = {each.get("Algorithm") for each in found[0].iter(f"{_SIGNATURE}DigestMethod")}
        transforms = {each.get("Algorithm") for each in found[0].iter(f"{_SIGNATURE}Transform")}
        if not (methods <= _ALGORITHMS and digests <= _DIGESTS and transforms <= _TRANSFORMS):
            raise ValueError("a signature is made by an algorithm that is not taken")


def _read(root: Element, assertion: Element) -> Response:
    name = _only(assertion, f"{_ASSERTION}Subject/{_ASSERTION}NameID")
    conditions = _only(assertion, f"{_ASSERTION}Conditions")
    bearers = [
        each
        for each in assertion.findall(f"{_ASSERTION}Subject/{_ASSERTION}SubjectConfirmation")
        if each.get("Method") == _BEARER
    ]
    if len(bearers) != 1:
        raise ValueError("the assertion has not one confirmation by bearer")
    confirmed = _only(bearers[0], f"{_ASSERTION}SubjectConfirmationData")
    ends = [_time(each, "NotOnOrAfter") for each in (conditions, confirmed)]
    issuers = [*root.findall(f"{_ASSERTION}Issuer"), *assertion.findall(f"{_ASSERTION}Issuer")]
    return Response(
        assertion_id=assertion.get("ID", ""),
        in_response_to=root.get("InResponseTo", ""),
        destination=root.get("Destination", ""),
        issuers=frozenset(_text(each) for each in issuers),
        audiences=frozenset(_text(each) for each in conditions.iter(f"{_ASSERTION}Audience")),
        recipient=confirmed.get("Recipient", ""),
        confirmed_in_response_to=confirmed.get("InResponseTo", ""),
        not_before=_time(conditions, "NotBefore"),
        not_on_or_after=min(ends),
        subject=_text(name),
        subject_format=name.get("Format", ""),
        attributes=dict(_attributes(assertion)),
        contexts=frozenset(_text(each) for each in assertion.iter(f"{_ASSERTION}AuthnContextClassRef")),
    )


def _attributes(assertion: Element) -> Iterator[tuple[str, tuple[str, ...]]]:
    for each in assertion.iter(f"{_ASSERTION}Attribute"):
        yield each.get("Name", ""), tuple(_text(value) for value in each.findall(f"{_ASSERTION}AttributeValue"))


def _only(within: Element, path: str) -> Element:
    found = within.findall(path)
    if len(found) != 1:
        raise ValueError(f"{path.rpartition('}')[2]} is there {len(found)} times")
    return found[0]


def _text(element: Element) -> str:
    """Give the text of an element that has no elements in it: parts around a child are not joined to one name."""
    if len(element):
        raise ValueError("a text has elements in it")
    return (element.text or "").strip()


def _time(element: Element, name: str) -> float:
    text = element.get(name, "")
    if not text.endswith("Z"):
        raise ValueError(f"{name} is missing or not in UTC")
    return datetime.fromisoformat(text).timestamp()
