"""The text of facts that the log holds: canonical whichever way it is written, and of who asks now."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from altar.adm.canonical import canonical
from altar.aesp.directory import Directory
from altar.aesp.policy.facts import Circumstances, Desk, Plan
from altar.aesp.policy.recorded_facts import MAX_FACTS_BYTES, Recording, plain_text
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.roles import Roles
from altar.aesp.store import people
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants
from altar.later.invocation import Invocation

NAMES = ("args.a", "args.b.c", "request.environment", "request.principal.roles", "resource.metadata.risk")
TEXTS = st.text(max_size=8) | st.sampled_from(["", 'a"b', "a\\b", "é", "\x7f", "\n", "𝄞", "a" * 400])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1e21, 1e-7, 1e15, 0.1, 5e-324])
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)
VALUES = st.one_of(
    st.booleans(), WHOLE, NUMBERS, TEXTS, st.lists(TEXTS, max_size=3), st.lists(NUMBERS | WHOLE, max_size=2)
)


@given(VALUES)
def test_what_is_written_quickly_is_canonical(value: Any) -> None:
    text = plain_text(value)

    if text is not None:
        assert canonical(value).decode() == text


def test_what_facts_mostly_are_is_written_quickly() -> None:
    plain: list[Any] = [True, 0, 250.5, 250.0, "production", ["a", "b"], [], -3]
    other: list[Any] = [None, math.inf, 1e300, "é", [1.5], {"a": 1}, b"a", 2**60]

    assert None not in map(plain_text, plain)
    assert {None} == set(map(plain_text, other))


@given(values=st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)), would=st.booleans())
def test_a_record_is_the_canonical_text_of_what_is_kept_whoever_keeps_parts_of_it(
    values: dict[str, Any], would: bool
) -> None:
    static = {name: values[name] for name in NAMES[4:] if name in values}
    recording = Recording(
        NAMES, static=static, record=("args",), of_caller=[name for name in NAMES[3:4] if name in values]
    )
    fired = {"p": "DENY"} if would else {}

    text = recording.text(values, fired)

    assert text == recording.text(values, fired, lambda name: plain_text(values[name]))
    assert len(orjson.dumps(text)) <= MAX_FACTS_BYTES
    expected: dict[str, Any] = dict(values)
    absent = [name for name in NAMES[:2] if name not in values]
    expected |= ({"absent": absent} if absent else {}) | ({"would": fired} if would else {})
    whole = canonical(expected).decode() if expected else ""
    if len(orjson.dumps(whole)) <= MAX_FACTS_BYTES:
        assert whole == text


async def test_facts_of_who_asks_are_kept_until_the_directory_says_something_else(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/s.db")
    try:
        directory = Directory(store, clock=time.time)
        roles = Roles(store, clock=time.time, new_id=iter(["b1", "b2"]).__next__)

        def work(connection: Connection) -> None:
            people.create_principal(connection, tenant="acme", name="ann", now_ms=1)

        await Tenants(store, clock=time.time).create("acme")
        await store.run(work, tenant="acme")
        await roles.bind("viewer", tenant="acme", principal="ann")
        desk = Desk(directory=directory, now=time.time)
        plan = Plan(["principal.roles", "principal.mfa"], types={}, static={}, record=())

        def told(who: Principal) -> str:
            around = Circumstances(desk, Invocation("t", b"{}", principal=who.id, tenant="acme", who=who))
            return plan.record(plan.facts(around), {}, caller=around.caller)

        ann = Principal("acme/ann", "acme", PrincipalKind.USER, "password")
        sure = Principal("acme/ann", "acme", PrincipalKind.USER, "password", mfa=True)
        before = '{"request.principal.mfa":false,"request.principal.roles":["viewer"]}'
        assert before == told(ann) == told(ann)
        assert desk.caller(ann) is desk.caller(ann)
        assert before.replace("false", "true") == told(sure)

        await roles.bind("developer", tenant="acme", principal="ann")

        assert '{"request.principal.mfa":false,"request.principal.roles":["developer","viewer"]}' == told(ann)
    finally:
        store.close()
