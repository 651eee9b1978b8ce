"""LDAP in bytes: the examples of RFC 4515 and RFC 4514, and whatever somebody types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.aesp.identity.ldap_names import below, group_name, same_dn, split_dn
from altar.aesp.identity.ldap_wire import (
    And,
    AtLeast,
    Equal,
    Filter,
    Matches,
    Not,
    Or,
    Present,
    Starts,
    bind_request,
    length_of_message,
    message_of,
    parse_filter,
    search_request,
)


def search(filter_: Filter) -> bytes:
    return search_request(
        1, base="", scope=2, filter=filter_, attributes=("cn",), size=0, seconds=1, page=1, cookie=b""
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [  # RFC 4515 §4, but for the forms that are not read: substrings in the middle, approximate and DN matches
        ("(cn=Babs Jensen)", Equal("cn", b"Babs Jensen")),
        ("(!(cn=Tim Howes))", Not(Equal("cn", b"Tim Howes"))),
        (
            "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
            And((Equal("objectClass", b"Person"), Or((Equal("sn", b"Jensen"), Starts("cn", "Babs J"))))),
        ),
        ("(seeAlso=)", Equal("seeAlso", b"")),
        ("(cn:1.2.3.4.5:=Fred Flintstone)", Matches("cn", "1.2.3.4.5", b"Fred Flintstone")),
        (
            r"(o=Parens R Us \28for all your parenthetical needs\29)",
            Equal("o", b"Parens R Us (for all your parenthetical needs)"),
        ),
        (r"(filename=C:\5cMyFile)", Equal("filename", b"C:\\MyFile")),
        (r"(bin=\00\00\00\04)", Equal("bin", b"\x00\x00\x00\x04")),
        (r"(sn=Lu\c4\8di\c4\87)", Equal("sn", "Lučić".encode())),
        ("(uid=*)", Present("uid")),
        ("(modifyTimestamp>=20260101000000Z)", AtLeast("modifyTimestamp", b"20260101000000Z")),
    ],
)
def test_a_filter_of_the_rfc_is_read(text: str, value: object) -> None:
    assert value == parse_filter(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cn=x",
        "(cn=x",
        "(cn=x))",
        "(&)",
        "(!(a=b)(c=d))",
        "(cn=a*b)",
        r"(cn=\4)",
        "(=x)",
        "(" * 40 + "a=b" + ")" * 40,
    ],
)
def test_a_filter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"filter|\*|hexadecimal"):
        parse_filter(text)


@given(st.text())
def test_what_somebody_types_is_one_octet_string_and_never_syntax(typed: str) -> None:
    message = message_of(search(Equal("uid", typed)))

    assert typed.encode() in message.content
    assert len(search(Equal("uid", ""))) + len(typed.encode()) <= len(search(Equal("uid", typed)))
    assert 0x63 == message.tag


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_raise_nothing_but_value_error(data: bytes) -> None:
    try:
        length_of_message(data)
        message_of(data)
    except ValueError:
        pass


def test_a_message_says_how_long_it_is_before_it_is_there() -> None:
    message = bind_request(7, name="cn=x", password="p" * 300)

    assert len(message) == length_of_message(message[:4])
    assert length_of_message(message[:2]) is None


@pytest.mark.parametrize(
    ("dn", "parts"),
    [  # RFC 4514 §4
        ("UID=jsmith,DC=example,DC=net", (("uid", "jsmith"), ("dc", "example"), ("dc", "net"))),
        (r"CN=James \"Jim\" Smith\, III,DC=x", (("cn", 'James "Jim" Smith, III'), ("dc", "x"))),
        (r"CN=Before\0dAfter,DC=x", (("cn", "Before\rAfter"), ("dc", "x"))),
        (r"CN=Lu\C4\8Di\C4\87", (("cn", "Lučić"),)),
        ("", ()),
    ],
)
def test_a_name_of_the_rfc_is_read(dn: str, parts: tuple[tuple[str, str], ...]) -> None:
    assert parts == split_dn(dn)


def test_a_group_is_named_by_its_path_below_the_base_and_never_like_another_one() -> None:
    base = "ou=Groups,dc=x"

    assert group_name("CN=Admins,OU=groups, DC=X", base) == "admins"
    assert group_name("cn=admins,ou=london,ou=groups,dc=x", base) == "london/admins"
    assert group_name("cn=admins,ou=elsewhere,dc=x", base) is None
    assert group_name(r"cn=london/admins,ou=groups,dc=x", base) is None
    assert group_name(r"cn=admins\,ou=groups\,dc=x,ou=people,dc=x", base) is None
    assert group_name("ou=groups,dc=x", base) is None


def test_names_are_compared_without_case_and_an_escaped_comma_ends_nothing() -> None:
    assert same_dn("CN=a, DC=x", "cn=A,dc=X")
    assert not below(r"cn=a\,dc=x", "dc=x")
    assert below("cn=a,dc=x", "DC=x")
