"""What policies do with calls, by the directory and the counters of a real store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from altar.adm.blobs import Blob
from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.enterprise import Governance
from altar.adm.errors import AltarError
from altar.adm.schema import Schema
from altar.aesp.control_plane import ControlPlane, advanced
from altar.aesp.directory import Directory
from altar.aesp.policy.check import counting, policy_check
from altar.aesp.policy.counters import Counters
from altar.aesp.policy.facts import Desk
from altar.aesp.policy.policy import read_bundle
from altar.aesp.policy.programs import CompiledBundle, compile_bundle
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.roles import Roles
from altar.aesp.store import people
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants
from altar.grid.host.session_gate import intent_of
from altar.grid.manifests.manifest import HostContract
from altar.later.gate import OpenGate
from altar.later.invocation import Invocation

ANN = Principal("acme/ann", "acme", PrincipalKind.USER, authenticated_by="test")
ROBOT = Principal("acme/robot", "acme", PrincipalKind.SERVICE_ACCOUNT, authenticated_by="api_key")


def tool(name: str = "refund", *, governance: Governance | None = None, **properties: str) -> HostContract:
    """A contract with these arguments, none of them required."""
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}
    return HostContract(
        FunctionDeclaration(
            name, "A tool.", Schema.from_json_schema(schema), annotations=Annotations(destructive=True)
        ),
        governance=governance,
    )


REFUND = tool(amount="number", count="integer", to="string", lines="array", customer="object")


def bundle(*policies: str, head: str = "", contracts: tuple[HostContract, ...] = (REFUND,)) -> CompiledBundle:
    """A bundle of policies, each given as "EFFECT condition"."""
    text = f'name = "b"\nrecord = ["args.amount"]\n{head}\n'
    for number, policy in enumerate(policies):
        effect, _, condition = policy.partition(" ")
        effect, _, more = effect.partition("+")
        text += f"[[policies]]\nname = 'p{number}'\neffect = '{effect}'\ncondition = '''{condition}'''\n"
        text += "approvers = ['finance']\n" if effect == "REQUIRE_APPROVAL" else ""
        text += f"{more} = true\n" if more else ""
    return compile_bundle(read_bundle(text), contracts)


class One:
    """The same bundle for every tenant."""

    def __init__(self, compiled: CompiledBundle | None) -> None:
        self.compiled = compiled

    def of(self, _tenant: str) -> CompiledBundle | None:
        return self.compiled


@dataclass
class Made:
    """A store with a tenant and somebody in it, and what is known of them."""

    store: Store
    directory: Directory


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('store')}/s.db")
    try:
        directory = Directory(store, clock=time.time)

        def work(connection: Any) -> None:
            people.create_principal(connection, tenant="acme", name="ann", now_ms=1)

        async def fill() -> None:
            await Tenants(store, clock=time.time).create("acme")
            await store.run(work, tenant="acme")
            await Roles(store, clock=time.time, new_id=lambda: "b1").bind("developer", tenant="acme", principal="ann")

        asyncio.run(fill())
        yield Made(store, directory)
    finally:
        store.close()


Decide = Callable[..., Invocation]


@pytest.fixture
def decide(made: Made) -> Decide:
    """Decides on a call by a bundle, in an environment; gives the call with its verdict."""
    desk = Desk(directory=made.directory, now=time.time, clock=time.monotonic, environment="production")

    def decided(
        compiled: CompiledBundle,
        contract: HostContract = REFUND,
        who: Principal = ANN,
        glass: bool = False,
        **args: Any,
    ) -> Invocation:
        invocation = Invocation(contract.name, json.dumps(args).encode(), principal=who.id, tenant="acme", who=who)
        invocation.contract = contract
        policy_check(One(compiled), desk, glass=lambda _: glass)(invocation)
        return invocation

    return decided


def code_of(decide: Decide, compiled: CompiledBundle, **call: Any) -> str:
    """What becomes of a call: the code of its refusal, or the word of its verdict."""
    try:
        verdict = decide(compiled, **call).verdict
    except AltarError as refused:
        return refused.code if refused.ran == "no" else f"{refused.code}, ran: {refused.ran}"
    return "approval" if verdict.wants else str(verdict.verdict)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (("DENY true", "ALLOW true", "REQUIRE_APPROVAL true"), "POLICY_VIOLATION"),
        (("ALLOW true", "REQUIRE_APPROVAL true", "DENY true"), "POLICY_VIOLATION"),
        (("REQUIRE_APPROVAL true", "AUDIT true", "ALLOW true"), "approval"),
        (("AUDIT true", "ALLOW true"), "audit"),
        (("DENY false", "REQUIRE_APPROVAL false", "AUDIT false"), "allow"),
        (("ALLOW 1/0 == 1",), "POLICY_ERROR"),
        (("AUDIT 1/0 == 1", "DENY true"), "POLICY_VIOLATION"),
        (("DENY+dry_run true", "DENY+dry_run 1/0 == 1"), "allow"),
        ((), "allow"),
    ],
)
async def test_deny_wins_whatever_the_order_and_an_error_denies(
    decide: Decide, policies: tuple[str, ...], expected: str
) -> None:
    assert code_of(decide, bundle(*policies)) == expected


async def test_where_the_default_is_deny_only_what_is_allowed_passes(decide: Decide) -> None:
    compiled = bundle("ALLOW args.amount < 10", head='default = "DENY"')

    assert code_of(decide, compiled, amount=5) == "allow"
    assert code_of(decide, compiled, amount=50) == "POLICY_VIOLATION"
    assert code_of(decide, compiled, contract=tool("other", amount="number"), amount=5) == "allow"
    assert code_of(decide, bundle(head='default = "DENY"')) == "POLICY_VIOLATION"


async def test_the_three_policies_of_the_specification_hold_as_they_are_written(made: Made) -> None:
    compiled = bundle(
        'DENY resource.metadata.contains_pii == true && request.environment == "development"',
        "REQUIRE_APPROVAL resource.metadata.estimated_cost > 100 && !request.has_approval",
        "DENY request.principal.daily_invocations > 1000",
    )
    counters = Counters(made.store, host="h1", now=time.time)
    pii, dear = tool(governance=Governance(contains_pii=True)), tool(governance=Governance(estimated_cost="100.5"))

    def said(contract: HostContract, environment: str, *, approved: bool = False) -> str:
        desk = Desk(
            directory=made.directory,
            now=time.time,
            environment=environment,
            counters=counters,
            has_approval=lambda _: approved,
            clock=time.monotonic,
        )

        def decided(compiled: CompiledBundle) -> Invocation:
            call = Invocation(contract.name, b"{}", principal=ANN.id, tenant="acme", who=ANN, contract=contract)
            policy_check(One(compiled), desk)(call)
            return call

        return code_of(decided, compiled)

    assert said(pii, "development") == "POLICY_VIOLATION"
    assert said(pii, "production") == "allow"
    assert said(dear, "production") == "approval"
    assert said(dear, "production", approved=True) == "allow"
    for _ in range(999):
        counters.passed("acme", ANN.id)
    assert said(pii, "production") == "allow"  # the 1000th
    counters.passed("acme", ANN.id)
    assert said(pii, "production") == "POLICY_VIOLATION"  # the 1001st
    await counters.flush()
    for host in ("h1", "h2"):
        later = Counters(made.store, host=host, now=time.time)
        later.load(lambda _start: (), tenant="acme")
        assert later.of("acme", ANN.id) == (1000, 1000)


async def test_a_denial_names_policy_and_message_and_an_error_says_why(decide: Decide) -> None:
    compiled = bundle("DENY args.amount > 100", head="")
    with pytest.raises(AltarError, match=r"^The policy 'p0' denies this call\n"):
        decide(compiled, amount=101)
    with pytest.raises(AltarError, match=r"^The policy 'p0' could not be evaluated, .* 'args\.amount' has no value"):
        decide(compiled)


async def test_an_approval_is_asked_of_all_policies_that_want_one(decide: Decide) -> None:
    verdict = decide(
        bundle("REQUIRE_APPROVAL true", "AUDIT true", "REQUIRE_APPROVAL args.amount > 1"), amount=2
    ).verdict

    assert [policy.name for policy in verdict.wants] == ["p0", "p2"]


async def test_break_glass_passes_over_a_denial_only_where_its_policy_says_so(decide: Decide) -> None:
    assert code_of(decide, bundle("DENY+break_glass true"), glass=True) == "break_glass"
    assert code_of(decide, bundle("DENY+break_glass true"), glass=False) == "POLICY_VIOLATION"
    assert code_of(decide, bundle("DENY+break_glass true", "DENY true"), glass=True) == "POLICY_VIOLATION"
    assert code_of(decide, bundle("DENY+break_glass 1/0 == 1"), glass=True) == "POLICY_ERROR"


async def test_break_glass_passes_over_nothing_but_the_denials_that_say_so(decide: Decide) -> None:
    by_default = bundle("DENY+break_glass true", "ALLOW args.amount < 10", head='default = "DENY"')

    assert code_of(decide, bundle("DENY+break_glass true", "DENY 1/0 == 1"), glass=True) == "POLICY_VIOLATION"
    assert code_of(decide, by_default, glass=True, amount=50) == "POLICY_VIOLATION"
    assert code_of(decide, by_default, glass=True, amount=5) == "break_glass"


async def test_a_break_glass_is_not_used_by_a_call_that_is_denied_all_the_same(made: Made) -> None:
    desk, asked = Desk(directory=made.directory, now=time.time), list[Invocation]()
    call = Invocation("refund", b"{}", principal=ANN.id, tenant="acme", who=ANN, contract=REFUND)
    one = One(bundle("DENY+break_glass true", "DENY 1/0 == 1"))

    def glass(given: Invocation) -> bool:
        asked.append(given)
        return True

    with pytest.raises(AltarError, match="p0"):
        policy_check(one, desk, glass=glass)(call)

    assert not asked


async def test_bytes_that_come_beside_the_arguments_are_judged_as_the_text_that_they_are(made: Made) -> None:
    contract = HostContract(
        FunctionDeclaration("keep", "A tool.", Schema.from_json_schema({"type": "object", "properties": {"it": {}}}))
    )
    desk = Desk(directory=made.directory, now=time.time)

    def said(condition: str, data: bytes) -> str:
        def decided(compiled: CompiledBundle) -> Invocation:
            blob = Blob("/it", data)
            text = json.dumps({"it": blob.reference}).encode()
            call = Invocation("keep", text, principal=ANN.id, tenant="acme", who=ANN, contract=contract)
            call.blobs = (blob,)
            policy_check(One(compiled), desk)(call)
            return call

        return code_of(decided, bundle(f"DENY {condition}", contracts=(contract,)))

    assert said("size(args.it) > 100", b"x" * 90) == "POLICY_VIOLATION"
    assert said("size(args['it']) > 100", b"x" * 90) == "POLICY_VIOLATION"
    assert said("args.it.startsWith('TVqQ')", b"MZ\x90\x00") == "POLICY_VIOLATION"
    assert said("args.it.startsWith('TVqQ')", b"x" * 90) == "allow"
    assert said("size(args.it) > 100", b"x" * 70_000) == "POLICY_ERROR"
    assert said("tool.name == 'other'", b"x" * 70_000) == "allow"


async def test_lists_that_are_gone_through_for_each_of_their_members_are_bounded(decide: Decide) -> None:
    many = {"lines": list(range(9_000)), "customer": {str(each): each for each in range(1_000)}}
    few = {"lines": list(range(400)), "customer": {str(each): each for each in range(400)}}
    compiled = bundle("DENY args.lines.exists(x, string(x) in args.customer && x in args.lines && x < 0)")

    assert code_of(decide, compiled, **few) == "allow"
    with pytest.raises(AltarError, match="more than 1000 members"):
        decide(compiled, **many)
    assert code_of(decide, bundle("DENY size(args.lines) > 10000"), **many) == "allow"


async def test_the_intent_holds_what_was_decided_and_only_those_arguments_that_may_be_recorded(decide: Decide) -> None:
    compiled = bundle(
        "AUDIT args.amount > 100 && args.to != principal.id && principal.name != args.to",
        "DENY+dry_run principal.roles.exists(r, r == 'developer')",
    )
    call = decide(compiled, amount=250, to="mallory")
    recorded = json.loads(intent_of(call).encode(1))

    assert (recorded["policy"], recorded["verdict"]) == (compiled.digest, "audit")
    assert json.loads(recorded["facts"]) == {
        "args.amount": 250,
        "request.principal.roles": ["developer", "viewer"],
        "would": {"p1": "DENY"},
    }
    assert "mallory" not in json.dumps(recorded)


async def test_an_argument_that_may_be_recorded_and_was_not_given_is_recorded_as_absent(decide: Decide) -> None:
    verdict = decide(bundle("DENY has(args.amount) && args.amount > 1")).verdict

    assert json.loads(verdict.facts) == {"absent": ["args.amount"]}


async def test_facts_that_do_not_fit_are_left_out_and_the_call_is_recorded_all_the_same(decide: Decide) -> None:
    compiled = bundle("AUDIT args.to != 'x' && args.amount > 1", head="").bundle
    wide = compile_bundle(replace(compiled, record=("args.to", "args.amount")), (REFUND,))
    recorded = json.loads(intent_of(decide(wide, to='"ü' * 2_000, amount=1e21)).encode(1))

    assert json.loads(recorded["facts"]) == {"args.amount": 1e21}


async def test_a_fact_that_is_nested_too_deep_for_the_record_is_left_out(decide: Decide) -> None:
    wide = compile_bundle(
        replace(bundle("AUDIT size(args.customer) == 1").bundle, record=("args.customer",)), (REFUND,)
    )
    nested: Any = {"a": 1}
    for _ in range(63):
        nested = {"a": nested}

    assert decide(wide, customer=nested).verdict.facts == ""


ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "a missing key": ("DENY args.customer.country == 'x'", {"customer": {}}),
    "an integer beyond 64 bits": ("DENY args.count == 1", {"count": 2**63}),
    "an overflow": ("DENY args.lines[0] + args.lines[1] == 1", {"lines": [2**63 - 1, 2**63 - 1]}),
    "another type than is compared with": ("DENY args.lines[0] > 3", {"lines": ["x"]}),
    "a text cut by a NUL": ("DENY !args.to.startsWith('/srv/')", {"to": "/srv/a\x00/../../etc"}),
    "a NUL deep inside": ("DENY args.customer.k[0].z == 'a'", {"customer": {"k": [{"z": "a\x00b"}]}}),
    "a loop over a long list": (
        "DENY args.lines.all(a, args.lines.all(b, a == b || true)) && false",
        {"lines": [1] * 200},
    ),
    "a text too long to be read": ("DENY args.to.contains('x')", {"to": "y" * 70_000}),
    "arguments too long to be read": ("DENY args.amount > 1", {"amount": 1, "to": "y" * 1_100_000}),
    "no yes or no": ("DENY args.customer.yes", {"customer": {"yes": "please"}}),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_cannot_be_judged_is_denied_in_one_clear_sentence(decide: Decide, attack: str) -> None:
    policy, args = ATTACKS[attack]
    compiled = bundle(policy, "ALLOW true", "AUDIT 1 == 1")
    assert compiled.problems == ()

    with pytest.raises(AltarError) as refused:
        decide(compiled, **args)

    assert refused.value.code == "POLICY_ERROR"
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 250


async def test_policies_asked_one_by_one_end_in_time(decide: Decide) -> None:
    loop = "DENY args.lines.all(a, args.lines.all(b, a == b || true)) && false"
    compiled = bundle(*[loop] * 50)
    began = time.process_time()

    assert code_of(decide, compiled, lines=[1] * 30_000) == "POLICY_ERROR"
    assert time.process_time() - began < 2


async def test_a_policy_that_reads_what_a_tool_does_not_take_is_a_problem_and_denies_that_tool(decide: Decide) -> None:
    other = tool("other", total="number")
    compiled = bundle("DENY args.amount > 100", contracts=(REFUND, other))

    assert [(problem.tool, problem.line) for problem in compiled.problems] == [("other@1.0.0", 7)]
    assert (
        "column 1: policy 'p0' for the tool 'other@1.0.0': There is no argument 'amount'"
        in compiled.problems[0].message
    )
    assert code_of(decide, compiled, contract=other, total=1) == "POLICY_ERROR"
    assert code_of(decide, compiled, amount=1) == "allow"


async def test_a_policy_for_many_tools_may_ask_whether_there_is_an_argument(decide: Decide) -> None:
    other = tool("other", total="number")
    for condition in ("has(args.amount) && args.amount > 100", '"amount" in args && args["amount"] > 100.0'):
        compiled = bundle(f"DENY {condition}", contracts=(REFUND, other))

        assert compiled.problems == ()
        assert code_of(decide, compiled, contract=other, total=1000) == "allow"
        assert code_of(decide, compiled, amount=1000) == "POLICY_VIOLATION"


async def test_the_types_of_arguments_are_those_of_the_contract() -> None:
    compiled = bundle("DENY args.amount > 'x'", "DENY args.to > 3")

    assert ["'>' does not take" in problem.message for problem in compiled.problems] == [True, True]


async def test_a_joined_program_and_each_policy_by_itself_say_the_same(decide: Decide) -> None:
    conditions = ["args.amount > 3", "has(args.to)", "// c\n!has(args.to)", "args.amount == 4.5 || true", "false"]
    compiled = bundle(*[f"AUDIT {each}" for each in conditions])
    policies = compiled.for_tool(REFUND)
    facts = {"args.amount": 4.5, "has_args.to": False}

    joined = policies.verdicts(facts)
    assert [policy.name for policy in joined.decided] == ["p0", "p2", "p3"]
    for place, fires in enumerate([True, False, True, True, False]):
        true = list[int]()
        assert policies._one_by_one([place], facts, true) == []
        assert ([place] if fires else []) == true


async def test_a_service_account_can_be_told_from_a_person(decide: Decide) -> None:
    compiled = bundle("DENY principal.kind == 'service_account' && resource.metadata.destructive")

    assert code_of(decide, compiled, who=ROBOT) == "POLICY_VIOLATION"
    assert code_of(decide, compiled, who=ANN) == "allow"


async def test_what_policies_refuse_is_recorded_with_its_policy_and_its_facts(made: Made) -> None:
    compiled = bundle("DENY args.amount > 100")
    desk = Desk(directory=made.directory, now=time.time, clock=time.monotonic)
    told: list[dict[str, Any]] = []

    class Refusals:
        def denied(self, **said: Any) -> None:
            told.append(said)

    checks = advanced(
        (),
        policy=policy_check(One(compiled), desk),
        approval=lambda _: None,
        counted=counting(Counters(made.store, host="h", now=time.time)),
    )
    call = Invocation(
        "refund", b'{"amount":250}', principal=ANN.id, tenant="acme", who=ANN, contract=REFUND, call_id="c1"
    )
    with pytest.raises(AltarError):
        ControlPlane(OpenGate(), checks, refusals=Refusals()).authorize(call)

    assert told[0]["data"] == {
        "approval": "",
        "policy": compiled.digest,
        "rule": "p0",
        "facts": '{"args.amount":250}',
        "version": "1.0.0",
        "call": "c1",
    }


async def test_counters_add_up_over_hosts_and_end_with_the_day(tmp_path: Path) -> None:
    now = [86_400.0 * 20_000 + 10]
    store = Store.open(f"sqlite:///{tmp_path}/s.db")
    try:
        await Tenants(store, clock=lambda: now[0]).create("acme")
        one, other = (Counters(store, host=name, now=lambda: now[0]) for name in ("one", "other"))
        for _ in range(3):
            one.passed("acme", "acme/ann")
        other.passed("acme", "acme/bob")
        await one.flush()
        await other.flush()
        one.passed("acme", "acme/bob")
        await one.flush()

        assert one.of("acme", "acme/bob") == (2, 5)
        assert other.of("acme", "acme/ann") == (3, 4)  # of before the last call, until it writes itself again
        other.passed("acme", "acme/bob")
        await other.flush()
        assert other.of("acme", "acme/bob") == (3, 6)
        now[0] += 86_400
        assert one.of("acme", "acme/bob") == (0, 0)
    finally:
        store.close()


async def test_whose_calls_nobody_can_count_any_more_has_those_of_the_tenant(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("altar.aesp.policy.counters.MAX_NAMES", 2)
    counters = Counters(made.store, host="h", now=time.time)

    for name in ("ann", "bob", "bob", "carl", "carl"):
        counters.passed("acme", f"acme/{name}")

    assert counters.of("acme", "acme/ann") == (1, 5)
    assert counters.of("acme", "acme/carl") == (5, 5)


async def test_what_was_counted_after_the_last_writing_is_found_again_in_the_log(tmp_path: Path) -> None:
    now = 86_400.0 * 20_000 + 10
    store = Store.open(f"sqlite:///{tmp_path}/s.db")
    log = [("acme", "acme/ann", int(now * 1000))] * 5 + [("acme", "acme/ann", int(now * 1000) - 86_400_000)]
    size = [0]

    def counters() -> Counters:
        made = Counters(store, host="h", now=lambda: now, size=lambda: size[0])
        made.load(lambda start: log[start : size[0]], tenant="acme")
        return made

    try:
        await Tenants(store, clock=lambda: now).create("acme")
        first = counters()
        first.passed("acme", "acme/ann")
        size[0] = 1
        assert counters().of("acme", "acme/ann") == (1, 1)  # killed before it wrote anything
        await first.flush()
        size[0] = 6  # five more, one of them of yesterday
        assert counters().of("acme", "acme/ann") == (5, 5)
    finally:
        store.close()
