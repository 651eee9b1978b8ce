"""What policies cost a decision: 50, of which 10 apply to the tool, then all; in the tenant of `bench.authorize`.

Timed is all that the gate does before a call is recorded: the token that was seen before, roles, facts, the policies,
and the text of the facts for the record.
The engine compiles a regular expression each time, so that ten policies with one in each tenth are a case by itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from altar.adm.declaration import FunctionDeclaration
from altar.adm.schema import Schema
from altar.aesp.directory import Directory
from altar.aesp.identity.tokens import Tokens
from altar.aesp.policy.check import policy_check
from altar.aesp.policy.facts import Desk
from altar.aesp.policy.policy import read_bundle
from altar.aesp.policy.programs import CompiledBundle, compile_bundle
from altar.aesp.rbac import Rbac
from altar.grid.manifests.manifest import HostContract
from altar.later.invocation import Invocation

__all__ = ["decisions"]

POLICIES = 50
CALLS = 5_000
CONDITIONS = (
    "args.amount > 1000000 && !request.has_approval",
    'resource.metadata.contains_pii && request.environment == "development"',
    "request.principal.daily_invocations > 1000000",
    'args.to.startsWith("/etc") || args.to.contains("..")',
    "time.getHours() > 24",
    'principal.kind == "service_account" && resource.metadata.destructive',
    '!("r1" in principal.roles) && args.amount > 5000000',
    'has(args.note) && args.note.contains("drop table")',
    "resource.metadata.estimated_cost > 1000000",
    "tenant.daily_invocations > 10000000",
)
REGULAR = 'has(args.note) && args.note.matches("(?i)drop table")'
ARGUMENTS = b'{"amount":250.5,"note":"for the summer","to":"/srv/a"}'


class _One:
    def __init__(self, compiled: CompiledBundle) -> None:
        self._compiled = compiled

    def of(self, _tenant: str) -> CompiledBundle:
        return self._compiled


def decisions(directory: Directory, tokens: Tokens, issued: list[str]) -> Iterator[tuple[str, list[float]]]:
    """Yield the name of a case and the microseconds of each of its decisions."""
    contract = _contract()
    desk = Desk(directory=directory, environment="production", now=time.time, clock=time.monotonic)
    for applying, regular in ((10, False), (10, True), (POLICIES, False)):
        bundle = read_bundle(_bundle(applying, REGULAR if regular else CONDITIONS[7]))
        check = policy_check(_One(compile_bundle(bundle, [contract])), desk)
        rbac, rng = Rbac(directory), random.Random(applying)

        def decide(token: str, rbac: Rbac = rbac, check: Callable[[Invocation], None] = check) -> None:
            who = tokens.verify(token)
            rbac.decide(who, resource="tools/t1", action="execute")
            call = Invocation("t1", ARGUMENTS, principal=who.id, tenant="acme", who=who, contract=contract)
            check(call)

        for token in issued:
            decide(token)
        taken = []
        for _ in range(CALLS):
            token = rng.choice(issued)
            began = time.perf_counter_ns()
            decide(token)
            taken.append((time.perf_counter_ns() - began) / 1000)
        one = ", one a regular expression" if regular else ""
        yield f"authorize, {applying} of {POLICIES} policies apply{one}", taken


def _bundle(applying: int, eighth: str) -> str:
    text = 'name = "bench"\nrecord = ["args.amount"]\n'
    for number in range(POLICIES):
        tool = "t1" if number < applying else "other"
        condition = (*CONDITIONS[:7], eighth, *CONDITIONS[8:])[number % len(CONDITIONS)]
        text += (
            f"[[policies]]\nname = 'p{number}'\ntools = ['{tool}']\neffect = 'DENY'\ncondition = '''{condition}'''\n"
        )
    return text


def _contract() -> HostContract:
    properties = {"amount": {"type": "number"}, "to": {"type": "string"}, "note": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["amount", "to"]}
    return HostContract(FunctionDeclaration("t1", "A tool.", Schema.from_json_schema(schema)))
