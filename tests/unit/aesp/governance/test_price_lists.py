"""Price lists and roles as documents: what is read, what is refused, and what is written out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.adm.declaration import FunctionDeclaration
from altar.adm.enterprise import Governance
from altar.adm.errors import AltarError
from altar.aesp.governance.price_lists import Price, PriceList, price_changes, prices_of, read_prices, written_prices
from altar.aesp.governance.role_versions import body_of_role, read_role, role_of, written_role
from altar.aesp.policy.facts import static_facts
from altar.aesp.policy.policy import read_bundle
from altar.aesp.policy.programs import compile_bundle
from altar.grid.manifests.manifest import HostContract
from tests.unit.grid.contracts import declaration

LIST = """
currency = "EUR"

[[prices]]
tools = ["maps.find"]
call = "0.5"

[[prices]]
tools = ["maps.*", "routes"]
call = "0.25"
input_token = "0.0000015"
estimate = "0.40"

[[prices]]
tools = ["idle"]
second = "1"
"""


def test_the_first_table_that_names_a_tool_is_the_one_that_counts() -> None:
    prices = read_prices(LIST)

    assert ["0.5", "0.40", "0.40", None, None] == [
        prices.estimate(tool) for tool in ("maps.find", "maps.draw", "routes", "idle", "nosuch")
    ]


def test_what_is_written_out_says_the_same() -> None:
    prices = read_prices(LIST)

    assert prices.body == read_prices(written_prices(prices)).body == prices_of(prices.body).body


amounts = st.from_regex(r"\A(0|[1-9][0-9]{0,11})(\.[0-9]{1,12})?\Z")
patterns = st.lists(st.from_regex(r"\A[a-zA-Z_.*\"'\\-]{1,20}\Z"), min_size=1, max_size=3)


@given(patterns, amounts, amounts)
def test_any_list_is_written_out_and_read_again(tools: list[str], call: str, estimate: str) -> None:
    prices = PriceList("EUR", (Price(tuple(tools), {"call": call}, estimate),))

    assert prices.body == read_prices(written_prices(prices)).body


def test_what_differs_is_said_by_tool() -> None:
    cheaper = LIST.replace('call = "0.5"', 'call = "0.1"').replace("EUR", "USD")

    told = list(price_changes(read_prices(LIST), read_prices(cheaper), ["idle", "maps.find", "nosuch"]))

    assert ["currency: EUR → USD", "maps.find: 0.5 a call → 0.1 a call"] == told


REFUSED = {
    "": "'' is no currency",
    'currency = "euro"': "'euro' is no currency",
    "currency = 3": "'currency' must be a text",
    "currency": "The document is no TOML",
    'currency = "EUR"\nprices = 3': "'prices' must be written as tables",
    'currency = "EUR"\nother = 3': "There is no member 'other'",
    LIST.replace('call = "0.5"', "call = 0.5"): "price 1: 'call' must be a text",
    LIST.replace('call = "0.5"', 'call = "-1"'): "price 1: 'call' must be a decimal number",
    LIST.replace('call = "0.5"', 'call = "1e3"'): "price 1: 'call' must be a decimal number",
    LIST.replace('call = "0.5"', 'call = "NaN"'): "price 1: 'call' must be a decimal number",
    LIST.replace('call = "0.5"', 'call = "٣"'): "price 1: 'call' must be a decimal number",
    LIST.replace('call = "0.5"', 'calls = "1"'): "price 1: There is no member 'calls'",
    LIST.replace('call = "0.5"\n', ""): "price 1: It says no price",
    LIST.replace('["maps.find"]', "[]"): "price 1: It names no tools",
    LIST.replace('"maps.find"', '"a b"'): "'tools/a b' is no scope",
    'currency = "EUR"\n' + '[[prices]]\ntools = ["a"]\ncall = "1"\n' * 1001: "There are 1001 prices",
    "#" * 300_000: "The document has more than 262144 bytes",
    "a = " + "[" * 5_000: "The document is n",
    "a = 1" + "0" * 5_000: "The document is n",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_price_list_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(AltarError) as refused:
        read_prices(text)

    assert "MALFORMED_REQUEST" == refused.value.code
    assert refused.value.message.startswith(REFUSED[text])


def contract(cost: str) -> HostContract:
    made: FunctionDeclaration = declaration("maps")
    return HostContract(made, governance=Governance(estimated_cost=cost))


def test_what_the_list_says_comes_before_what_the_contract_says() -> None:
    prices = read_prices(LIST.replace('"routes"', '"maps"'))
    silent = read_prices('currency = "EUR"')

    costs = [
        static_facts(contract("7"), constants={}, environment={}, costs=one.estimate)[
            "resource.metadata.estimated_cost"
        ]
        for one in (prices, silent)
    ]

    assert [0.4, 7.0] == costs


def test_a_compiled_bundle_decides_by_the_list() -> None:
    bundle = read_bundle(
        'name = "b"\n[[policies]]\nname = "p"\ncondition = "resource.metadata.estimated_cost > 1"\neffect = "DENY"'
    )
    dear = read_prices('currency = "EUR"\n[[prices]]\ntools = ["*"]\ncall = "2"')

    effects = [
        compile_bundle(bundle, costs=costs).for_tool(contract("0")).verdicts({"resource.metadata.estimated_cost": cost})
        for costs, cost in ((None, 0.0), (dear.estimate, 2.0))
    ]

    assert ["ALLOW", "DENY"] == [str(one.effect) for one in effects]


ROLES = {
    "permissions = ['nothing']": "'nothing' is no permission",
    "permissions = 'tools:read'": "'permissions' must be a list",
    "permissions = [1]": "'permissions' must be a list",
    "inherit = ['viewer']": "There is no member 'inherit'",
    "description = ''\npermissions = [" + "'tools:read'," * 501 + "]": "'permissions' must be a list",
}


@pytest.mark.parametrize("text", ROLES)
def test_what_is_no_role_is_refused(text: str) -> None:
    with pytest.raises(AltarError) as refused:
        read_role("keeper", text)

    assert "MALFORMED_REQUEST" == refused.value.code
    assert refused.value.message.startswith(ROLES[text])


def test_a_role_is_written_out_as_it_was_read() -> None:
    role = read_role(
        "keeper", "permissions = ['tools:read', 'audit:read']\ninherits = ['viewer']\ndescription = '''a'b'''"
    )

    assert role == role_of("keeper", body_of_role(role)) == read_role("keeper", written_role(role))
