"""Who asks, as the grid sees it: names in certificates, and sessions that do not outlive a credential."""

from __future__ import annotations

from datetime import timedelta

import pytest

from altar.adm.errors import AltarError
from altar.grid.host.callers import MAX_CREDENTIAL_BYTES, CertificateCallers, bearer_of
from altar.grid.host.sessions import Sessions, tenant_of
from altar.grid.trust.certificates import Identity
from tests.unit.grid.contracts import MANIFEST

PHONE = Identity("altar.local", "client", "phone")


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_plain_host_knows_the_name_in_the_certificate_and_no_credential() -> None:
    callers = CertificateCallers()

    caller = callers.of(b"", PHONE)
    with pytest.raises(AltarError) as refused:
        callers.of(b"a token", PHONE)

    assert ("phone", "default", None) == (caller.id, caller.tenant, caller.who)
    assert "FEATURE_UNAVAILABLE" == refused.value.code


def test_a_plain_host_refuses_the_certificate_of_a_tenant_whose_names_are_not_its_own() -> None:
    with pytest.raises(AltarError) as refused:
        CertificateCallers().of(b"", Identity("altar.local", "client", "phone", tenant="acme"))

    assert "INVALID_CREDENTIALS" == refused.value.code


@pytest.mark.parametrize("text", ["Bearer abc", "bearer abc", b"BEARER abc"])
def test_a_bearer_credential_is_read_whatever_the_case_of_its_scheme(text: str | bytes) -> None:
    assert b"abc" == bearer_of([("user-agent", "x"), ("authorization", text)])


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "Basic abc")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer  ")],
        [("authorization", "Bearer a"), ("authorization", "Bearer b")],
        [("authorization", "Bearer " + "a" * (MAX_CREDENTIAL_BYTES + 1))],
    ],
)
def test_what_is_not_one_bearer_credential_is_refused_and_not_taken_for_none(metadata: list[tuple[str, str]]) -> None:
    with pytest.raises(AltarError) as refused:
        bearer_of(metadata)

    assert "INVALID_CREDENTIALS" == refused.value.code


def test_without_a_credential_there_is_none() -> None:
    assert b"" == bearer_of(None) == bearer_of([("user-agent", "x")])


def test_a_session_ends_no_later_than_its_credential_however_it_is_used_or_extended() -> None:
    clock = Clock()
    sessions = Sessions(default_ttl=timedelta(seconds=60), max_ttl=timedelta(hours=1), clock=clock)
    session = sessions.create("acme/ann", [], ttl=0, manifest=MANIFEST, tenant="acme", until=clock.now + 90)

    clock.now += 50
    used = sessions.get(session.session_id, "acme/ann").expires
    extended = sessions.extend(session.session_id, "acme/ann", ttl=3000).expires
    clock.now += 40
    with pytest.raises(AltarError) as ended:
        sessions.get(session.session_id, "acme/ann")

    assert (1090.0, 1090.0) == (used, extended)
    assert "SESSION_EXPIRED" == ended.value.code


def test_the_tenant_stands_in_the_id_of_a_principal() -> None:
    assert ("acme", "default") == (tenant_of("acme/ann"), tenant_of("client-1"))
