"""Decisions: deny by default, roles with inheritance, scopes, ends; against a slow and simple reference."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altar.adm.errors import AuthorizationError
from altar.aesp.built_in_roles import BUILT_IN_ROLES, make_role
from altar.aesp.directory import Directory
from altar.aesp.permissions import parse_permission, parse_scope, split_resource
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.rbac import Rbac
from altar.aesp.snapshot import Binding, PersonRow, Snapshot, Tenant, indexed
from altar.testing import FakeClock

ALICE = Principal("acme/alice", "acme", PrincipalKind.USER, "password")


class Still:
    """A store in which nothing is and nothing changes; the tests put the snapshot where they need it."""

    confirmed = math.inf

    def run_now(self, work: Callable[[Any], Any], *, tenant: str | None, reads: bool = False) -> Any:
        return []

    def changed(self, listener: Callable[[str], None]) -> None:
        pass


def binding(
    number: int, role: str, *, scope: str = "*", expires: float = math.inf, group: str | None = None
) -> Binding:
    principal = None if group else "alice"
    return Binding(f"b{number}", role, principal, group, parse_scope(scope), expires)


def snapshot_of(
    *bindings: Binding,
    roles: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] | None = None,
    groups_of: dict[str, tuple[str, ...]] | None = None,
    parents: dict[str, tuple[str, ...]] | None = None,
    active: bool = True,
    status: str = "ACTIVE",
) -> Snapshot:
    made = Snapshot(Tenant("acme", status, quotas=MappingProxyType({})), 1)
    made.people = {"alice": PersonRow("alice", PrincipalKind.USER, "", "", active, "", 0)}
    made.roles = {
        name: make_role(name, permissions, inherits=inherits) for name, (permissions, inherits) in (roles or {}).items()
    }
    made.groups_of, made.parents = groups_of or {}, parents or {}
    made.bindings = {each.id: each for each in bindings}
    made.of_principal = indexed((each.principal, each.id) for each in bindings if each.principal)
    made.of_group = indexed((each.group, each.id) for each in bindings if each.group)
    return made


def rbac_of(snapshot: Snapshot, clock: Callable[[], float] = lambda: 1000.0) -> Rbac:
    directory = Directory(Still(), clock=clock)
    directory._tenants["acme"] = snapshot
    return Rbac(directory)


def allowed(snapshot: Snapshot, resource: str = "tools/x", action: str = "execute", **required: Any) -> bool:
    return rbac_of(snapshot).decide(ALICE, resource=resource, action=action, **required).allowed


# ── deny by default ──────────────────────────────────────────────────────────────────────────────────────


def test_nobody_may_do_anything_without_a_grant() -> None:
    assert allowed(snapshot_of()) is False


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, "PERMISSION_DENIED"),
        ({"active": False}, "INVALID_CREDENTIALS"),
        ({"status": "SUSPENDED"}, "TENANT_SUSPENDED"),
        ({"status": "DELETED"}, "TENANT_SUSPENDED"),
    ],
)
def test_a_refusal_says_of_what_kind_it_is(what: dict[str, Any], expected: str) -> None:
    rbac = rbac_of(snapshot_of(binding(1, "viewer"), **what))

    with pytest.raises(AuthorizationError) as caught:
        rbac.require(ALICE, resource="tools/x", action="execute")

    assert expected == caught.value.code


@pytest.mark.parametrize("who", ["acme/nobody", "umbrella/alice", "alice", ""])
def test_who_is_not_there_may_do_nothing(who: str) -> None:
    rbac = rbac_of(snapshot_of(binding(1, "admin")))
    stranger = Principal(who, who.partition("/")[0], PrincipalKind.USER, "password")

    with pytest.raises(AuthorizationError) as caught:
        rbac.require(stranger, resource="tools/x", action="execute")

    assert caught.value.code == "INVALID_CREDENTIALS"


def test_a_proof_of_another_tenant_is_none() -> None:
    rbac = rbac_of(snapshot_of(binding(1, "admin")))
    mixed = Principal("acme/alice", "umbrella", PrincipalKind.USER, "password")

    assert rbac.decide(mixed, resource="tools/x", action="execute").allowed is False


def test_a_host_that_cannot_reach_its_store_refuses_everything() -> None:
    rbac = rbac_of(snapshot_of(binding(1, "admin")))
    store = rbac._directory._store
    before = rbac.decide(ALICE, resource="tools/x", action="execute").allowed
    assert isinstance(store, Still)

    store.confirmed = -math.inf

    with pytest.raises(AuthorizationError) as caught:
        rbac.require(ALICE, resource="tools/x", action="execute")
    assert (True, "NOT_ACTIVE") == (before, caught.value.code)


# ── the built-in roles ───────────────────────────────────────────────────────────────────────────────────

DONE = ["tools:read", "tools:execute", "sessions:create", "sessions:read", "sessions:manage", "runtimes:monitor"]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("admin", {*DONE, "tenants:delete"}),
        ("developer", {"tools:read", "tools:execute", "sessions:create", "sessions:read"}),
        ("operator", {"tools:read", "tools:execute", "sessions:read", "sessions:manage", "runtimes:monitor"}),
        ("viewer", {"tools:read", "sessions:read"}),
    ],
)
def test_the_built_in_roles_are_those_of_the_seed(role: str, expected: set[str]) -> None:
    snapshot = snapshot_of(binding(1, role))

    found = {each for each in [*DONE, "tenants:delete"] if allowed(snapshot, *each.split(":"))}

    assert expected == found


def test_a_role_of_the_tenant_cannot_stand_in_for_a_built_in_one() -> None:
    snapshot = snapshot_of(binding(1, "viewer"), roles={"viewer": (("*",), ())})

    assert allowed(snapshot) is False


# ── scopes, ends, narrowed keys, requirements ────────────────────────────────────────────────────────────


def test_a_binding_holds_for_its_scope_alone() -> None:
    snapshot = snapshot_of(binding(1, "developer", scope="tools/weather.*"))

    assert [True, False, False] == [
        allowed(snapshot, "tools/weather.today"),
        allowed(snapshot, "tools/stocks"),
        allowed(snapshot, "sessions", "create"),
    ]


def test_a_kept_decision_ends_with_its_binding() -> None:
    clock = FakeClock()
    start = clock()
    rbac = rbac_of(snapshot_of(binding(1, "developer", expires=start + 10)), clock)

    before = rbac.decide(ALICE, resource="tools/x", action="execute").allowed
    clock.advance(9.5)
    still = rbac.decide(ALICE, resource="tools/x", action="execute").allowed
    clock.advance(0.5)
    after = rbac.decide(ALICE, resource="tools/x", action="execute").allowed

    assert (True, True, False) == (before, still, after)


def test_a_narrowed_key_may_do_no_more_than_its_scopes() -> None:
    rbac = rbac_of(snapshot_of(binding(1, "admin")))
    key = dataclasses.replace(ALICE, scopes=frozenset({"tools/weather.*:execute"}))

    rbac.require(key, resource="tools/weather.today", action="execute")
    with pytest.raises(AuthorizationError) as caught:
        rbac.require(key, resource="tools/stocks", action="execute")

    assert caught.value.code == "INSUFFICIENT_SCOPE"


def test_the_scopes_of_a_key_grant_nothing_by_themselves() -> None:
    rbac = rbac_of(snapshot_of(binding(1, "viewer")))
    key = dataclasses.replace(ALICE, scopes=frozenset({"*"}))

    assert rbac.decide(key, resource="tools/x", action="execute").allowed is False


def test_every_required_role_must_be_held_for_this_resource() -> None:
    snapshot = snapshot_of(
        binding(1, "developer"), binding(2, "clinician", scope="tools/ward.*"), roles={"clinician": ((), ())}
    )

    assert [True, False, False] == [
        allowed(snapshot, "tools/ward.beds", required_roles=("clinician",)),
        allowed(snapshot, "tools/stocks", required_roles=("clinician",)),
        allowed(snapshot, "tools/ward.beds", required_roles=("clinician", "head")),
    ]


def test_a_required_role_may_be_held_by_inheritance() -> None:
    assert allowed(snapshot_of(binding(1, "developer")), required_roles=("viewer",))


def test_every_required_permission_must_be_granted() -> None:
    snapshot = snapshot_of(
        binding(1, "developer"), binding(2, "reader", scope="pii"), roles={"reader": (("pii:read",), ())}
    )

    assert [True, False] == [
        allowed(snapshot, required_permissions=("pii:read", "sessions:create")),
        allowed(snapshot, required_permissions=["pii:read", "pii:write"]),
    ]


def test_a_key_must_carry_required_permissions_too() -> None:
    rbac = rbac_of(snapshot_of(binding(1, "admin")))
    key = dataclasses.replace(ALICE, scopes=frozenset({"tools:execute"}))

    decision = rbac.decide(key, resource="tools/x", action="execute", required_permissions=("pii:read",))

    assert decision.allowed is False


# ── why ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_decision_names_the_role_the_groups_and_the_binding() -> None:
    snapshot = snapshot_of(
        binding(1, "developer", group="staff", scope="tools"),
        groups_of={"alice": ("team",)},
        parents={"team": ("staff",)},
    )

    decision = rbac_of(snapshot).decide(ALICE, resource="tools/x", action="read")

    assert decision.reasons == (
        "role developer grants tools:read, through group team in staff, for tools (binding b1)",
    )


def test_a_refusal_names_what_is_missing() -> None:
    decision = rbac_of(snapshot_of(binding(1, "viewer"))).decide(ALICE, resource="tools/x", action="execute")

    assert decision.reasons == ("no role grants tools/x:execute",)


def test_can_i_names_every_way() -> None:
    snapshot = snapshot_of(binding(1, "developer"), binding(2, "operator"))

    decision = rbac_of(snapshot).can_i(ALICE, resource="tools/x", action="read")

    assert len(decision.reasons) == 3
    assert "role viewer grants tools:read, inherited by operator (binding b2)" in decision.reasons


def test_who_can_names_those_who_can_now() -> None:
    snapshot = snapshot_of(binding(1, "developer", group="team"), groups_of={"alice": ("team",), "bob": ("team",)})
    snapshot.people["bob"] = PersonRow("bob", PrincipalKind.USER, "", "", False, "", 0)
    snapshot.people["carol"] = PersonRow("carol", PrincipalKind.USER, "", "", True, "", 0)

    found = rbac_of(snapshot).who_can(tenant="acme", resource="tools/x", action="execute")

    assert ["acme/alice"] == [each.principal for each in found]


def test_what_is_kept_is_bounded() -> None:
    rbac = rbac_of(snapshot_of(binding(1, "developer")))

    for number in range(70_000):
        rbac.decide(ALICE, resource=f"tools/t{number}", action="execute")

    assert len(rbac._kept) <= 65_536


# ── properties, against a reference that is slow and simple ──────────────────────────────────────────────

ROLES = ["r0", "r1", "r2", "r3", "viewer", "developer"]
GROUPS = ["g0", "g1", "g2", "g3"]
SCOPES = ["*", "tools", "tools/*", "tools/a*", "tools/ab", "sessions"]
PERMISSIONS = ["*", "tools:execute", "tools:read", "tools/a*:execute", "tools/ab:*", "*:read", "sessions:create"]
QUESTIONS = [
    ("tools/ab", "execute"),
    ("tools/b", "read"),
    ("tools", "execute"),
    ("sessions", "create"),
    ("x/ab", "read"),
]

role_parts = st.tuples(
    st.lists(st.sampled_from(PERMISSIONS), max_size=2).map(tuple),
    st.lists(st.sampled_from(ROLES), max_size=2).map(tuple),
)
worlds = st.fixed_dictionaries(
    {
        "roles": st.dictionaries(st.sampled_from(ROLES[:4]), role_parts, max_size=4),
        "groups_of": st.fixed_dictionaries({"alice": st.lists(st.sampled_from(GROUPS), max_size=2).map(tuple)}),
        "parents": st.dictionaries(st.sampled_from(GROUPS), st.lists(st.sampled_from(GROUPS), max_size=2).map(tuple)),
    }
)
bound = st.lists(
    st.tuples(
        st.sampled_from(ROLES),
        st.sampled_from([None, *GROUPS]),
        st.sampled_from(SCOPES),
        st.sampled_from([500.0, 2000.0, math.inf]),
    ),
    max_size=6,
)
questions = st.sampled_from(QUESTIONS)
Bound = list[tuple[str, str | None, str, float]]


def made(bindings: Bound) -> list[Binding]:
    return [
        binding(number, role, group=group, scope=scope, expires=expires)
        for number, (role, group, scope, expires) in enumerate(bindings)
    ]


def by_reference(world: dict[str, Any], bindings: Bound, resource: str, action: str) -> bool:
    """Say the same as the engine, by going through everything each time."""
    in_groups = set(world["groups_of"]["alice"])
    while more := {parent for group in in_groups for parent in world["parents"].get(group, ())} - in_groups:
        in_groups |= more
    for role, group, scope, expires in bindings:
        if (group is not None and group not in in_groups) or expires <= 1000.0:
            continue
        if not parse_scope(scope).covers(*split_resource(resource)):
            continue
        held = {role}
        while more := {other for each in held for other in inherits_of(world, each)} - held:
            held |= more
        for each in held:
            for permission in permissions_of(world, each):
                if parse_permission(permission).covers(*split_resource(resource), action):
                    return True
    return False


def inherits_of(world: dict[str, Any], role: str) -> tuple[str, ...]:
    if role in BUILT_IN_ROLES:
        return BUILT_IN_ROLES[role].inherits
    inherits: tuple[str, ...] = world["roles"].get(role, ((), ()))[1]
    return inherits


def permissions_of(world: dict[str, Any], role: str) -> tuple[str, ...]:
    if role in BUILT_IN_ROLES:
        return tuple(each.text for each in BUILT_IN_ROLES[role].permissions)
    permissions: tuple[str, ...] = world["roles"].get(role, ((), ()))[0]
    return permissions


@settings(max_examples=300)
@given(world=worlds, bindings=bound, question=questions)
def test_the_engine_says_what_the_reference_says(
    world: dict[str, Any], bindings: Bound, question: tuple[str, str]
) -> None:
    assert by_reference(world, bindings, *question) is allowed(snapshot_of(*made(bindings), **world), *question)


@given(world=worlds, bindings=bound, question=questions, data=st.data())
def test_the_order_of_bindings_never_matters(
    world: dict[str, Any], bindings: Bound, question: tuple[str, str], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(bindings))

    assert allowed(snapshot_of(*made(bindings), **world), *question) is allowed(
        snapshot_of(*made(list(other)), **world), *question
    )


@given(world=worlds, bindings=bound, question=questions, role=st.sampled_from(ROLES[:4]), more=st.sampled_from(ROLES))
def test_to_inherit_more_never_takes_anything_away(
    world: dict[str, Any], bindings: Bound, question: tuple[str, str], role: str, more: str
) -> None:
    before = allowed(snapshot_of(*made(bindings), **world), *question)
    permissions, inherits = world["roles"].get(role, ((), ()))
    wider = world | {"roles": world["roles"] | {role: (permissions, (*inherits, more))}}

    assert before <= allowed(snapshot_of(*made(bindings), **wider), *question)


@given(world=worlds, bindings=bound, question=questions, added=bound)
def test_another_binding_never_takes_anything_away(
    world: dict[str, Any], bindings: Bound, question: tuple[str, str], added: Bound
) -> None:
    before = allowed(snapshot_of(*made(bindings), **world), *question)

    assert before <= allowed(snapshot_of(*made(bindings + added), **world), *question)


NARROWER = {
    "*": ["tools", "sessions"],
    "tools": ["tools/*", "tools/ab"],
    "tools/*": ["tools/a*"],
    "tools/a*": ["tools/ab"],
}


@given(world=worlds, bindings=bound, question=questions, data=st.data())
def test_a_narrower_scope_never_grants_more(
    world: dict[str, Any], bindings: Bound, question: tuple[str, str], data: st.DataObject
) -> None:
    narrowed = [
        (role, group, data.draw(st.sampled_from([scope, *NARROWER.get(scope, [])])), expires)
        for role, group, scope, expires in bindings
    ]

    assert allowed(snapshot_of(*made(narrowed), **world), *question) <= allowed(
        snapshot_of(*made(bindings), **world), *question
    )


@given(world=worlds, bindings=bound, question=questions, scopes=st.frozensets(st.sampled_from(PERMISSIONS), max_size=3))
def test_narrowing_a_key_never_grants_more(
    world: dict[str, Any], bindings: Bound, question: tuple[str, str], scopes: frozenset[str]
) -> None:
    rbac = rbac_of(snapshot_of(*made(bindings), **world))
    resource, action = question
    narrow = rbac.decide(dataclasses.replace(ALICE, scopes=scopes), resource=resource, action=action).allowed

    assert narrow <= rbac.decide(ALICE, resource=resource, action=action).allowed
