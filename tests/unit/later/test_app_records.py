"""What an application may record, and what is withheld of it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from altar.adm.errors import AltarError
from altar.later.app_records import REDACTED, RecordEvent, record_event, require_event


def made(data: dict[str, Any], *, redact: tuple[str, ...] = ()) -> Any:
    return json.loads(record_event("order.paid", data, id="1", redact=redact).data)


def test_data_becomes_canonical_json() -> None:
    event = record_event("order.paid", {"b": 1, "a": "é"}, id="1", correlation="c-1")

    assert RecordEvent("order.paid", '{"a":"é","b":1}'.encode(), "1", "c-1") == event


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_password",
        "PassWord",
        "api_key",
        "apiKey",
        "X-API-Key",
        "access_token",
        "Authorization",
        "cookie",
    ],
)
def test_a_value_under_a_key_that_looks_like_a_secret_is_withheld(key: str) -> None:
    assert {key: REDACTED} == made({key: "hunter2"})


def test_what_only_sounds_like_one_is_kept() -> None:
    kept = {"tokens_used": 512, "author": "alice", "passed": True, "keyboard": "us", "password": None}

    assert kept == made(kept)


def test_a_number_can_be_a_secret_too() -> None:
    assert {"passphrase": REDACTED} == made({"passphrase": 1234})


def test_further_words_can_be_named() -> None:
    assert {"customer_iban": REDACTED, "iban": REDACTED, "order": "1"} == made(
        {"customer_iban": "DE1", "iban": "DE2", "order": "1"}, redact=("IBAN",)
    )


@pytest.mark.parametrize(
    "name", ["", "Order", "order paid", ".order", "order.", "order..paid", "o1", "a" * 61, "app/x"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(AltarError, match="no name of an event"):
        record_event(name, None, id="1")


@pytest.mark.parametrize(
    "data",
    [{"a": {}}, {"a": [1]}, {"a": math.nan}, {"a": math.inf}, {"a": 2**53}, {"a": b"x"}, {"": 1}, {"a b": 1}, {1: 1}],
    ids=str,
)
def test_data_that_is_not_flat_and_plain_is_refused(data: dict[Any, Any]) -> None:
    with pytest.raises(AltarError) as refused:
        made(data)

    assert "MALFORMED_REQUEST" == refused.value.code


def test_too_much_is_refused_and_the_limit_is_said() -> None:
    assert {"a": "x" * 1016} == made({"a": "x" * 1016})
    with pytest.raises(AltarError, match="1025 bytes where 1024 are the limit"):
        made({"a": "x" * 1017})


def test_a_host_redacts_again_with_its_own_words() -> None:
    asked = RecordEvent("order.paid", b'{"iban":"DE1","password":"x"}', "1")

    assert {"iban": REDACTED, "password": REDACTED} == json.loads(require_event(asked, redact=("iban",)).data)
