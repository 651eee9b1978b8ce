"""Administration of tenants, people, roles and bindings, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.directory import Directory
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.rbac import Rbac
from altar.aesp.roles import Roles, replace_bindings
from altar.aesp.store import people, tables
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    yield opened
    opened.close()


@pytest.fixture
def tenants(store: Store) -> Tenants:
    made = Tenants(store, clock=time.time)
    for name in ("acme", "umbrella"):
        store.run_now(made.creation(name), tenant=None)
    return made


@pytest.fixture
def roles(store: Store, tenants: Tenants) -> Roles:
    count = itertools.count(1)
    return Roles(store, clock=time.time, new_id=lambda: f"b-{next(count):03}")


async def refusal(awaited: Any) -> str:
    """Give the code with which something is refused."""
    with pytest.raises(AltarError) as caught:
        await awaited
    return caught.value.code


async def people_of(store: Store, tenant: str, *names: str, groups: tuple[str, ...] = ()) -> None:
    def work(connection: Connection) -> None:
        for name in names:
            people.create_principal(connection, tenant=tenant, name=name, now_ms=1)
        for name in groups:
            people.create_group(connection, tenant=tenant, name=name, now_ms=1)

    await store.run(work, tenant=tenant)


# ── tenants ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_tenant_is_suspended_resumed_deleted_and_purged(store: Store, tenants: Tenants, roles: Roles) -> None:
    await people_of(store, "acme", "alice", groups=("g",))
    await people_of(store, "umbrella", "alice")
    await roles.bind("developer", tenant="acme", principal="alice")
    directory = Directory(store, clock=time.time)
    rbac = Rbac(directory)

    def code() -> str:
        alice = Principal("acme/alice", "acme", PrincipalKind.USER, "password")
        try:
            rbac.require(alice, resource="tools/x", action="execute")
        except AuthorizationError as refused:
            return refused.code
        return "allowed"

    seen = [code()]
    for step in (tenants.suspend, tenants.resume, tenants.delete):
        await step("acme")
        seen.append(code())
    early = await refusal(tenants.purge("acme", confirmation="Acme"))
    await tenants.purge("acme", confirmation="acme")
    seen.append(code())

    def rows(connection: Connection) -> int:
        return sum(
            len(connection.execute(select(table).where(table.c.tenant == "acme")).all())
            for table in tables.METADATA.sorted_tables
            if "tenant" in table.c and table not in {tables.changes, tables.tenant_versions}
        )

    assert ["allowed", "TENANT_SUSPENDED", "allowed", "TENANT_SUSPENDED", "INVALID_CREDENTIALS"] == seen
    assert early == "MALFORMED_REQUEST"
    assert await store.run(rows, tenant=None, reads=True) == 0
    assert directory.principal("umbrella/alice") is not None


async def test_only_what_was_marked_is_purged(tenants: Tenants) -> None:
    assert await refusal(tenants.purge("acme", confirmation="acme")) == "RESOURCE_CONFLICT"
    assert await refusal(tenants.purge("nowhere", confirmation="nowhere")) == "UNKNOWN_RESOURCE"


async def test_a_deleted_tenant_is_not_suspended(tenants: Tenants) -> None:
    await tenants.delete("acme")

    assert await refusal(tenants.suspend("acme")) == "RESOURCE_CONFLICT"


@pytest.mark.parametrize("name", ["", "Acme", "a/b", "-a", "a" * 64, "acme\n", "a.b", "ä"])
async def test_what_is_no_name_of_a_tenant_is_refused(tenants: Tenants, name: str) -> None:
    assert await refusal(_created(tenants, name)) == "MALFORMED_REQUEST"


async def _created(tenants: Tenants, name: str) -> None:
    await tenants.create(name)


async def test_a_tenant_knows_its_organization_and_unit(store: Store, tenants: Tenants) -> None:
    await tenants.create_organization("initech", display="Initech")
    await tenants.create_business_unit("research", organization="initech", cost_center="c-7")
    made = await tenants.create("lab", organization="initech", business_unit="research", quotas={"sessions": 3})
    await people_of(store, "lab", "bob")

    person = Directory(store, clock=time.time).principal("lab/bob")

    assert person is not None
    assert ("initech", "research", {"sessions": 3}) == (person.organization, person.business_unit, dict(made.quotas))
    assert await refusal(tenants.create("lab2", organization="nobody")) == "UNKNOWN_RESOURCE"
    assert await refusal(tenants.create("lab")) == "RESOURCE_CONFLICT"
    assert await refusal(tenants.create_organization("initech")) == "RESOURCE_CONFLICT"


async def test_a_business_unit_of_another_organization_is_refused(tenants: Tenants) -> None:
    await tenants.create_organization("initech")
    await tenants.create_organization("globex")
    await tenants.create_business_unit("research", organization="globex")

    assert await refusal(tenants.create("lab", organization="initech", business_unit="research")) == "UNKNOWN_RESOURCE"


async def test_quotas_are_changed_one_by_one_and_taken_away(store: Store, tenants: Tenants) -> None:
    await tenants.set_quotas("acme", {"groups": 1, "sessions": 5})
    await people_of(store, "acme", groups=("one",))

    refused = await refusal(people_of(store, "acme", groups=("two",)))
    after = await tenants.set_quotas("acme", {"groups": None})
    await people_of(store, "acme", groups=("two",))

    assert ("RESOURCE_EXHAUSTED", {"sessions": 5}) == (refused, dict(after.quotas))


@pytest.mark.parametrize("quotas", [{"moons": 1}, {"groups": -1}, {"groups": True}, {"groups": 2**60}, {"moons": None}])
async def test_what_is_no_quota_is_refused(tenants: Tenants, quotas: dict[str, Any]) -> None:
    assert await refusal(tenants.set_quotas("acme", quotas)) == "MALFORMED_REQUEST"


async def test_an_export_holds_the_tenant_and_no_secret(store: Store, tenants: Tenants, roles: Roles) -> None:
    await people_of(store, "acme", "alice", groups=("g",))
    await people_of(store, "umbrella", "mallory")
    await roles.create("caller", tenant="acme", permissions=["tools:execute"])
    secret = {"tenant": "acme", "principal": "alice", "kind": "password", "secret": "$argon2id$x", "data": "{}"}
    await store.run(lambda c: c.execute(tables.credentials.insert().values(**secret, changed_ms=1)), tenant="acme")

    lines = await tenants.export("acme")

    found = [json.loads(line) for line in lines]
    assert {"altar": "tenant export", "format": 1, "tenant": "acme"} == found[0]
    assert {"tenants", "principals", "groups", "roles", "role_permissions", "credentials"} == {
        each["table"] for each in found[1:]
    }
    assert "argon2id" not in "".join(lines)
    assert "mallory" not in "".join(lines)


async def test_the_log_of_a_tenant_follows_its_rows(store: Store) -> None:
    async def log_of(tenant: str) -> list[str]:
        return [f"first of {tenant}", "second"]

    tenants = Tenants(store, clock=time.time, export_log=log_of)
    await tenants.create("acme")

    lines = await tenants.export("acme")

    assert ('{"altar":"log","tenant":"acme"}', "first of acme", "second") == lines[-3:]


async def test_tenants_are_listed_page_by_page_and_described(store: Store, tenants: Tenants) -> None:
    await people_of(store, "acme", "alice", "bob")

    first = await tenants.list(limit=1)
    second = await tenants.list(after=first[-1].name, limit=5)
    described = await tenants.describe("acme")

    assert (["acme"], ["umbrella"]) == ([each.name for each in first], [each.name for each in second])
    assert (2, 0) == (described.counts["principals"], described.counts["groups"])
    assert await refusal(tenants.describe("nowhere")) == "UNKNOWN_RESOURCE"


# ── people and groups ────────────────────────────────────────────────────────────────────────────────────


async def test_groups_that_would_lie_in_each_other_are_refused(store: Store, tenants: Tenants) -> None:
    await people_of(store, "acme", groups=("a", "b", "c"))

    def nest(parent: str, child: str) -> Callable[[Connection], None]:
        return lambda connection: people.nest_group(connection, tenant="acme", parent=parent, child=child)

    await store.run(nest("a", "b"), tenant="acme")
    await store.run(nest("b", "c"), tenant="acme")
    await store.run(nest("a", "c"), tenant="acme")

    assert await refusal(store.run(nest("c", "a"), tenant="acme")) == "RESOURCE_CONFLICT"
    assert await refusal(store.run(nest("a", "a"), tenant="acme")) == "RESOURCE_CONFLICT"
    assert await refusal(store.run(nest("a", "nobody"), tenant="acme")) == "UNKNOWN_RESOURCE"


async def test_a_source_changes_only_what_it_said_itself(store: Store, tenants: Tenants) -> None:
    await people_of(store, "acme", "alice", groups=("a", "b", "c"))

    def said(source: str, *groups: str) -> Callable[[Connection], None]:
        return lambda c: people.set_groups_of(c, tenant="acme", principal="alice", groups=groups, source=source)

    await store.run(said("local", "a", "b"), tenant="acme")
    await store.run(said("provider:corp", "b", "c"), tenant="acme")
    await store.run(said("provider:corp"), tenant="acme")

    person = Directory(store, clock=time.time).principal("acme/alice")
    assert person is not None
    assert person.groups == ("a", "b")


async def test_a_subject_of_a_provider_is_one_principal(store: Store, tenants: Tenants) -> None:
    await people_of(store, "acme", "alice", "bob")

    def link(principal: str) -> Callable[[Connection], None]:
        return lambda c: people.link_external(
            c, tenant="acme", provider="corp", subject="s-1", principal=principal, now_ms=1
        )

    await store.run(link("alice"), tenant="acme")

    assert await refusal(store.run(link("bob"), tenant="acme")) == "RESOURCE_CONFLICT"
    found = await store.run(
        lambda c: people.principal_of_external(c, tenant="acme", provider="corp", subject="s-1"), tenant="acme"
    )
    assert found == "alice"


@pytest.mark.parametrize(
    "change",
    [
        {"display": "x" * 257},
        {"email": "x" * 321},
        {"clearance": "x" * 65},
        {"display": "a\0b"},
        {"attributes": {"k": "x" * 9000}},
    ],
)
async def test_what_is_said_of_a_principal_is_bounded(store: Store, tenants: Tenants, change: dict[str, Any]) -> None:
    await people_of(store, "acme", "alice")

    def work(connection: Connection) -> None:
        people.update_principal(connection, tenant="acme", name="alice", now_ms=2, **change)

    assert await refusal(store.run(work, tenant="acme")) == "MALFORMED_REQUEST"


async def test_a_principal_of_another_tenant_is_as_absent(store: Store, tenants: Tenants, roles: Roles) -> None:
    await people_of(store, "umbrella", "mallory")

    async def answer(name: str) -> tuple[object, int]:
        seen: list[str] = []

        def note(_c: object, _u: object, statement: str, _p: object, _x: object, _m: object) -> None:
            seen.append(statement)

        event.listen(store.engine, "before_cursor_execute", note)
        try:
            with pytest.raises(AltarError) as caught:
                await roles.bind("viewer", tenant="acme", principal=name)
        finally:
            event.remove(store.engine, "before_cursor_execute", note)
        error = caught.value
        return (error.code, error.message.replace(name, "…"), error.hint, error.detail), len(seen)

    assert await answer("nobodyx") == await answer("mallory")


# ── roles and bindings ───────────────────────────────────────────────────────────────────────────────────


async def test_roles_that_would_inherit_each_other_are_refused(roles: Roles) -> None:
    await roles.create("a", tenant="acme", inherits=["viewer"])
    await roles.create("b", tenant="acme", inherits=["a"])
    await roles.create("c", tenant="acme", inherits=["b"])

    assert await refusal(roles.change("a", tenant="acme", inherits=["c"])) == "RESOURCE_CONFLICT"
    assert await refusal(roles.change("a", tenant="acme", inherits=["a"])) == "RESOURCE_CONFLICT"
    assert await refusal(roles.create("d", tenant="acme", inherits=["nobody"])) == "UNKNOWN_RESOURCE"
    assert (await roles.show("a", tenant="acme")).inherits == ("viewer",)


@pytest.mark.parametrize("name", ["admin", "developer", "operator", "viewer"])
async def test_a_built_in_role_cannot_be_changed(roles: Roles, name: str) -> None:
    assert await refusal(roles.create(name, tenant="acme")) == "RESOURCE_CONFLICT"
    assert await refusal(roles.change(name, tenant="acme", permissions=["*"])) == "RESOURCE_CONFLICT"
    assert await refusal(roles.delete(name, tenant="acme")) == "RESOURCE_CONFLICT"
    assert (await roles.show(name, tenant="acme")).built_in


async def test_a_role_in_use_is_not_removed(store: Store, roles: Roles) -> None:
    await people_of(store, "acme", "alice")
    await roles.create("a", tenant="acme")
    await roles.create("b", tenant="acme", inherits=["a"])
    binding = await roles.bind("b", tenant="acme", principal="alice")

    refused = [await refusal(roles.delete(name, tenant="acme")) for name in ("a", "b")]
    await roles.unbind(binding.id, tenant="acme")
    await roles.delete("b", tenant="acme")
    await roles.delete("a", tenant="acme")

    assert ["RESOURCE_CONFLICT", "RESOURCE_CONFLICT"] == refused
    assert await refusal(roles.show("a", tenant="acme")) == "UNKNOWN_RESOURCE"


async def test_a_change_of_a_role_leaves_what_is_not_named(roles: Roles) -> None:
    await roles.create("a", tenant="acme", permissions=["tools:read"], inherits=["viewer"], description="d")

    changed = await roles.change("a", tenant="acme", permissions=["tools:execute"])

    shown = await roles.show("a", tenant="acme")
    assert changed == shown
    assert (["tools:execute"], ("viewer",), "d") == (
        [p.text for p in shown.permissions],
        shown.inherits,
        shown.description,
    )


async def test_a_role_that_is_no_role_is_refused(roles: Roles) -> None:
    assert await refusal(roles.create("a b", tenant="acme")) == "MALFORMED_REQUEST"
    assert await refusal(roles.create("a", tenant="acme", permissions=["tools"])) == "MALFORMED_REQUEST"
    many = [f"tools/t{number}:read" for number in range(501)]
    assert await refusal(roles.create("a", tenant="acme", permissions=many)) == "MALFORMED_REQUEST"
    assert await refusal(roles.create("a", tenant="nowhere")) == "UNKNOWN_RESOURCE"


async def test_a_binding_that_is_none_is_refused(store: Store, roles: Roles) -> None:
    await people_of(store, "acme", "alice", groups=("g",))
    bind = roles.bind

    assert await refusal(bind("viewer", tenant="acme")) == "MALFORMED_REQUEST"
    assert await refusal(bind("viewer", tenant="acme", principal="alice", group="g")) == "MALFORMED_REQUEST"
    assert await refusal(bind("viewer", tenant="acme", principal="alice", expires_ms=1)) == "MALFORMED_REQUEST"
    assert await refusal(bind("viewer", tenant="acme", principal="alice", scope="a b")) == "MALFORMED_REQUEST"
    assert await refusal(bind("nothing", tenant="acme", principal="alice")) == "UNKNOWN_RESOURCE"
    assert await refusal(bind("viewer", tenant="acme", group="nobody")) == "UNKNOWN_RESOURCE"
    assert await refusal(roles.unbind("b-404", tenant="acme")) == "UNKNOWN_RESOURCE"


async def test_a_binding_of_another_tenant_cannot_be_taken_away(store: Store, roles: Roles) -> None:
    await people_of(store, "umbrella", "mallory")
    binding = await roles.bind("viewer", tenant="umbrella", principal="mallory")

    assert await refusal(roles.unbind(binding.id, tenant="acme")) == "UNKNOWN_RESOURCE"
    assert [binding] == list(await roles.bindings(tenant="umbrella"))


async def test_bindings_and_roles_are_listed_page_by_page(store: Store, roles: Roles) -> None:
    await people_of(store, "acme", "alice", groups=("g",))
    made = [await roles.bind(role, tenant="acme", principal="alice") for role in ("viewer", "developer", "operator")]
    of_group = await roles.bind("viewer", tenant="acme", group="g")
    await roles.create("caller", tenant="acme")

    page = await roles.bindings(tenant="acme", limit=2)
    rest = await roles.bindings(tenant="acme", after=page[-1].id)
    names = [role.name for role in await roles.list(tenant="acme", after="admin", limit=3)]

    assert ([*made, of_group], ["caller", "developer", "operator"]) == ([*page, *rest], names)
    assert [made[0], of_group] == list(await roles.bindings(tenant="acme", role="viewer"))
    assert [of_group] == list(await roles.bindings(tenant="acme", group="g"))


async def test_rules_replace_exactly_their_own_bindings(store: Store, roles: Roles) -> None:
    await people_of(store, "acme", "alice")
    mine = await roles.bind("viewer", tenant="acme", principal="alice")
    ids = (f"m-{number}" for number in range(10))

    def give(*given: tuple[str, str]) -> Callable[[Connection], None]:
        return lambda c: replace_bindings(
            c, tenant="acme", principal="alice", roles=given, source="mapping:corp", new_id=ids.__next__, now_ms=1
        )

    await store.run(give(("developer", "*"), ("operator", "tools/a")), tenant="acme")
    await store.run(give(("developer", "*")), tenant="acme")
    kept = {(each.role, each.source) for each in await roles.bindings(tenant="acme")}
    await store.run(give(), tenant="acme")

    assert {("viewer", "local"), ("developer", "mapping:corp")} == kept
    assert [mine] == list(await roles.bindings(tenant="acme"))


async def test_a_role_written_past_the_program_grants_what_can_be_read(store: Store, roles: Roles) -> None:
    await people_of(store, "acme", "alice")
    await roles.create("odd", tenant="acme", permissions=["tools:read"])
    await roles.bind("odd", tenant="acme", principal="alice")
    await store.run(
        lambda c: c.execute(text("INSERT INTO role_permissions VALUES ('acme', 'odd', 'no permission')")), tenant="acme"
    )

    person = Directory(store, clock=time.time).principal("acme/alice")

    assert person is not None
    assert person.grants.permissions == ("tools:read",)
