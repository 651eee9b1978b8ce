"""LDAP version 3 in bytes: messages and filters are written, answers are read (RFC 4511, RFC 4515).

A filter is a value, not a text: what somebody typed is one octet string in it and can never become syntax.
Only what a client of a directory needs is here: simple bind, search with pages, StartTLS, unbind.
Reading is bounded by what it is given; it raises ValueError for whatever is no LDAP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = [
    "STARTTLS",
    "And",
    "AtLeast",
    "Equal",
    "Filter",
    "Matches",
    "Message",
    "Not",
    "Or",
    "Present",
    "Result",
    "Scope",
    "Starts",
    "bind_request",
    "entry_of",
    "extended_request",
    "length_of_message",
    "message_of",
    "next_page_of",
    "parse_filter",
    "result_of",
    "search_request",
    "unbind_request",
]

STARTTLS = "1.3.6.1.4.1.1466.20037"
"""The extended operation of RFC 4511 §4.14."""

_PAGED = b"1.2.840.113556.1.4.319"
_ATTRIBUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.;-]{0,127}")
_DEEPEST = 16


class Scope:
    """How far below its base a search looks (RFC 4511 §4.5.1.2)."""

    BASE = 0
    ONE = 1
    SUBTREE = 2


@dataclass(frozen=True, slots=True)
class Equal:
    """The attribute has this value, compared as its schema says."""

    attribute: str
    value: str | bytes


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The attribute has a value at or after this one, in the order of its schema."""

    attribute: str
    value: str | bytes


@dataclass(frozen=True, slots=True)
class Starts:
    """The attribute has a value that begins with this text."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Present:
    """The attribute is there."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Matches:
    """The attribute matches by a rule of its own, such as Active Directory's nested membership."""

    attribute: str
    rule: str
    value: str | bytes


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of the parts holds."""

    parts: tuple[Filter, ...]


Filter = Equal | AtLeast | Starts | Present | Matches | Not | And | Or
"""What a search asks of an entry."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as read: its number, the tag and content of its operation, and its controls by their names."""

    number: int
    tag: int
    content: bytes
    controls: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Result:
    """How an operation ended: 0 is success; the text is the server's own and for the log only."""

    code: int
    matched: str
    text: str


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────


def bind_request(number: int, *, name: str, password: str) -> bytes:
    """A simple bind (RFC 4511 §4.2): the password goes out as it is, so only over TLS."""
    content = _integer(3) + _octets(name.encode()) + _element(0x80, password.encode())
    return _message(number, _element(0x60, content))


def unbind_request(number: int) -> bytes:
    """The end of a connection (RFC 4511 §4.3); nothing answers it."""
    return _message(number, _element(0x42, b""))


def extended_request(number: int, name: str) -> bytes:
    """An extended operation without a value, such as `STARTTLS` (RFC 4511 §4.12)."""
    return _message(number, _element(0x77, _element(0x80, name.encode())))


def search_request(
    number: int,
    *,
    base: str,
    scope: int,
    filter: Filter,  # noqa: A002 (the word of RFC 4511)
    attributes: tuple[str, ...],
    size: int,
    seconds: int,
    page: int,
    cookie: bytes,
) -> bytes:
    """One page of a search (RFC 4511 §4.5.1, RFC 2696).

    ``size`` and ``seconds`` are limits that the server keeps, 0 for none of ours; ``page`` is the entries of one page.
    Aliases are followed, attributes come with their values.
    """
    content = (
        _octets(base.encode())
        + _element(0x0A, bytes([scope]))
        + _element(0x0A, b"\x03")
        + _integer(size)
        + _integer(seconds)
        + _element(0x01, b"\x00")
        + _filter(filter, _DEEPEST)
        + _element(0x30, b"".join(_octets(_attribute(name)) for name in attributes))
    )
    value = _element(0x30, _integer(page) + _octets(cookie))
    control = _element(0x30, _octets(_PAGED) + _element(0x01, b"\xff") + _octets(value))
    return _message(number, _element(0x63, content) + _element(0xA0, control))


def parse_filter(text: str) -> Filter:
    """Read a filter that an operator wrote into the configuration, in the form of RFC 4515.

    Raises ValueError for one that is not well-formed, nests deeper than 16, or has a ``*`` elsewhere than alone or at
    the end of a value.
    """
    found, end = _parse(text, 0, _DEEPEST)
    if end != len(text):
        raise ValueError(f"the filter has {text[end : end + 20]!r} after its end")
    return found


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────


def length_of_message(start: bytes) -> int | None:
    """How many bytes the message has that begins like this; None when more bytes are needed to say so."""
    if len(start) < 2:
        return None
    if start[0] != 0x30:
        raise ValueError("a message of LDAP begins with a sequence")
    if start[1] < 0x80:
        return 2 + start[1]
    count = start[1] & 0x7F
    if not 1 <= count <= 4:
        raise ValueError("the length of a message has no definite form")
    if len(start) < 2 + count:
        return None
    return 2 + count + int.from_bytes(start[2 : 2 + count])


def message_of(data: bytes) -> Message:
    """Read one whole message."""
    outer = list(_elements(data))
    if len(outer) != 1 or outer[0][0] != 0x30:
        raise ValueError("not one message")
    inner = list(_elements(outer[0][1]))
    if len(inner) not in {2, 3} or inner[0][0] != 0x02 or len(inner[0][1]) > 4:
        raise ValueError("a message has a number and an operation")
    controls: dict[bytes, bytes] = {}
    if len(inner) == 3:
        for tag, content in _elements(inner[2][1]):
            parts = list(_elements(content))
            if tag != 0x30 or not parts:
                raise ValueError("a control is no sequence")
            controls[parts[0][1]] = parts[-1][1] if parts[-1][0] == 0x04 else b""
    return Message(int.from_bytes(inner[0][1], signed=True), inner[1][0], inner[1][1], controls)


def result_of(message: Message) -> Result:
    """Read the result in the answer to a bind, a search or an extended operation."""
    parts = list(_elements(message.content))
    if len(parts) < 3 or parts[0][0] != 0x0A:
        raise ValueError("a result has a code, a name and a text")
    return Result(int.from_bytes(parts[0][1]), _text(parts[1][1]), _text(parts[2][1]))


def entry_of(message: Message) -> tuple[str, dict[str, tuple[bytes, ...]]]:
    """Read a search result entry: its distinguished name, and its attributes by their names in lower case."""
    parts = list(_elements(message.content))
    if len(parts) != 2:
        raise ValueError("an entry has a name and attributes")
    attributes: dict[str, tuple[bytes, ...]] = {}
    for _, content in _elements(parts[1][1]):
        pair = list(_elements(content))
        if len(pair) != 2:
            raise ValueError("an attribute has a type and values")
        attributes[_text(pair[0][1]).lower()] = tuple(value for _, value in _elements(pair[1][1]))
    return parts[0][1].decode(), attributes


def next_page_of(message: Message) -> bytes:
    """The cookie to ask the next page with; empty after the last one."""
    value = message.controls.get(_PAGED)
    if not value:
        return b""
    ((_, content),) = _elements(value)
    parts = list(_elements(content))
    if len(parts) != 2:
        raise ValueError("a page has a size and a cookie")
    return parts[1][1]


# ── BER, in the definite form that RFC 4511 §5.1 asks for ────────────────────────────────────────────────


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 2 > len(data) or data[at] & 0x1F == 0x1F:
            raise ValueError("an element is cut off, or its tag is none of LDAP")
        tag, length, start = data[at], data[at + 1], at + 2
        if length >= 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or start + count > len(data):
                raise ValueError("a length has no definite form")
            length = int.from_bytes(data[start : start + count])
            start += count
        if start + length > len(data):
            raise ValueError("an element is longer than what holds it")
        yield tag, data[start : start + length]
        at = start + length


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size) + content


def _message(number: int, rest: bytes) -> bytes:
    return _element(0x30, _integer(number) + rest)


def _integer(value: int) -> bytes:
    return _element(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def _octets(value: bytes) -> bytes:
    return _element(0x04, value)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _attribute(name: str) -> bytes:
    if name not in {"*", "+"} and _ATTRIBUTE.fullmatch(name) is None:
        raise ValueError(f"{name[:80]!r} is no name of an attribute")
    return name.encode()


def _filter(part: Filter, deeper: int) -> bytes:
    if deeper == 0:
        raise ValueError(f"a filter nests at most {_DEEPEST} deep")
    match part:
        case And(parts):
            return _element(0xA0, b"".join(_filter(each, deeper - 1) for each in parts))
        case Or(parts):
            return _element(0xA1, b"".join(_filter(each, deeper - 1) for each in parts))
        case Not(inner):
            return _element(0xA2, _filter(inner, deeper - 1))
        case Equal(attribute, value):
            return _element(0xA3, _octets(_attribute(attribute)) + _octets(_bytes(value)))
        case Starts(attribute, value):
            return _element(0xA4, _octets(_attribute(attribute)) + _element(0x30, _element(0x80, value.encode())))
        case AtLeast(attribute, value):
            return _element(0xA5, _octets(_attribute(attribute)) + _octets(_bytes(value)))
        case Present(attribute):
            return _element(0x87, _attribute(attribute))
        case Matches(attribute, rule, value):
            rest = _element(0x82, _attribute(attribute)) + _element(0x83, _bytes(value))
            return _element(0xA9, _element(0x81, rule.encode()) + rest)


_ITEM = re.compile(
    r"(?P<attribute>[A-Za-z0-9][A-Za-z0-9.;-]*)(:(?P<rule>[0-9.]+):)?(?P<operator>>=|=)(?P<value>[^()]*)\)"
)
_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2})|\\")


def _parse(text: str, at: int, deeper: int) -> tuple[Filter, int]:
    if deeper == 0 or text[at : at + 1] != "(":
        raise ValueError(f"a filter begins with a parenthesis and nests at most {_DEEPEST} deep")
    kind = text[at + 1 : at + 2]
    if kind not in {"&", "|", "!"}:
        return _parse_item(text, at + 1)
    parts: list[Filter] = []
    at += 2
    while text[at : at + 1] == "(":
        part, at = _parse(text, at, deeper - 1)
        parts.append(part)
    if text[at : at + 1] != ")" or not parts or (kind == "!" and len(parts) != 1):
        raise ValueError(f"the filter is not well-formed at {text[at : at + 20]!r}")
    made: Filter = And(tuple(parts)) if kind == "&" else Or(tuple(parts)) if kind == "|" else Not(parts[0])
    return made, at + 1


def _parse_item(text: str, at: int) -> tuple[Filter, int]:
    found = _ITEM.match(text, at)
    if found is None:
        raise ValueError(f"the filter is not well-formed at {text[at : at + 20]!r}")
    attribute, rule, operator, value = found.group("attribute", "rule", "operator", "value")
    if rule is not None:
        return Matches(attribute, rule, _unescaped(value)), found.end()
    if operator == ">=":
        return AtLeast(attribute, _unescaped(value)), found.end()
    if value == "*":
        return Present(attribute), found.end()
    if value.endswith("*"):
        return Starts(attribute, _unescaped(value[:-1]).decode()), found.end()
    return Equal(attribute, _unescaped(value)), found.end()


def _unescaped(value: str) -> bytes:
    if "*" in value:
        raise ValueError("a * stands alone or at the end of a value; write \\2a for the character itself")

    def one(found: re.Match[bytes]) -> bytes:
        if found.group(1) is None:
            raise ValueError("a \\ in a filter is followed by two hexadecimal digits")
        return bytes.fromhex(found.group(1).decode())

    return _ESCAPE.sub(one, value.encode())
