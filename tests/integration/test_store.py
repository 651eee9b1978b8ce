"""The store of administration, on SQLite and on PostgreSQL: transactions, changes, row-level security, migrations."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, inspect, select, text

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, ValidationError
from altar.aesp.directory import Directory
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.rbac import Rbac
from altar.aesp.roles import Roles
from altar.aesp.store import people, tables
from altar.aesp.store.database import Store
from altar.aesp.store.migrating import head, revision_of, roles_sql
from altar.aesp.tenants import Tenants
from altar.testing import until
from altar.testing.postgres import LocalPostgres


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    yield opened
    opened.close()


@pytest.fixture
def postgres_store(postgres: LocalPostgres, prepared_postgres: str) -> Iterator[Store]:
    postgres.empty(prepared_postgres)
    opened = Store.open(prepared_postgres)
    yield opened
    opened.close()


def add_tenant(store: Store, *names: str, **quotas: int) -> None:
    tenants = Tenants(store, clock=time.time)
    for name in names:
        store.run_now(tenants.creation(name, quotas=quotas), tenant=None)


def add_principal(store: Store, tenant: str, *names: str) -> None:
    def work(connection: Connection) -> None:
        for name in names:
            people.create_principal(connection, tenant=tenant, name=name, now_ms=1)

    store.run_now(work, tenant=tenant)


def roles_of(store: Store) -> Roles:
    count = itertools.count(1)
    return Roles(store, clock=time.time, new_id=lambda: f"b-{next(count)}")


def user(principal_id: str, **members: Any) -> Principal:
    return Principal(principal_id, principal_id.partition("/")[0], PrincipalKind.USER, "password", **members)


# ── transactions ─────────────────────────────────────────────────────────────────────────────────────────


async def test_work_that_raises_changes_nothing(store: Store) -> None:
    add_tenant(store, "acme")

    def work(connection: Connection) -> None:
        people.create_principal(connection, tenant="acme", name="alice", now_ms=1)
        raise ValidationError("MALFORMED_REQUEST", "stop here")

    with pytest.raises(ValidationError, match="stop here"):
        await store.run(work, tenant="acme")

    assert await store.run(lambda c: people.list_principals(c, tenant="acme"), tenant="acme", reads=True) == []


async def test_transactions_that_meet_are_all_done(store: Store) -> None:
    add_tenant(store, "acme")

    def work(name: str) -> Callable[[Connection], None]:
        return lambda connection: people.create_principal(connection, tenant="acme", name=name, now_ms=1)

    names = [f"p{number:02}" for number in range(24)]
    await asyncio.gather(*(store.run(work(name), tenant="acme") for name in names))

    rows = await store.run(lambda c: people.list_principals(c, tenant="acme"), tenant="acme", reads=True)
    assert names == [row.name for row in rows]


async def test_a_quota_holds_also_for_transactions_that_meet(store: Store) -> None:
    add_tenant(store, "acme", principals=3)

    def work(name: str) -> Callable[[Connection], None]:
        return lambda connection: people.create_principal(connection, tenant="acme", name=name, now_ms=1)

    done = await asyncio.gather(
        *(store.run(work(f"p{number}"), tenant="acme") for number in range(8)), return_exceptions=True
    )

    refused = [each for each in done if isinstance(each, AltarError)]
    assert (5, {"RESOURCE_EXHAUSTED"}) == (len(refused), {each.code for each in refused})


def test_the_database_s_refusals_are_errors_of_altar(store: Store) -> None:
    add_tenant(store, "acme")
    row = {"tenant": "acme", "name": "g", "display": "", "source": "local", "created_ms": 1, "changed_ms": 1}
    store.run_now(lambda c: c.execute(insert(tables.groups).values(**row)), tenant="acme")
    member = {"tenant": "acme", "group_name": "g", "principal": "nobody", "source": "local"}

    with pytest.raises(ValidationError) as double:
        store.run_now(lambda c: c.execute(insert(tables.groups).values(**row)), tenant="acme")
    with pytest.raises(ValidationError) as absent:
        store.run_now(lambda c: c.execute(insert(tables.memberships).values(**member)), tenant="acme")
    with pytest.raises(ValidationError) as null:
        store.run_now(lambda c: c.execute(insert(tables.groups).values(tenant="acme", name="h")), tenant="acme")

    assert ["RESOURCE_CONFLICT", "UNKNOWN_RESOURCE", "MALFORMED_REQUEST"] == [
        each.value.code for each in (double, absent, null)
    ]


@pytest.mark.parametrize("value", ["x" * 300, "a\ud800", "\0"])
def test_a_text_that_cannot_be_kept_is_refused(store: Store, value: str) -> None:
    add_tenant(store, "acme")

    with pytest.raises(ValidationError) as caught:
        store.run_now(lambda c: people.create_group(c, tenant="acme", name="g", now_ms=1, display=value), tenant="acme")

    assert caught.value.code == "MALFORMED_REQUEST"


@pytest.mark.parametrize("value", ["x" * 300, "a\0b"])
def test_a_text_that_postgresql_refuses_is_the_caller_s_fault(postgres_store: Store, value: str) -> None:
    add_tenant(postgres_store, "acme")
    row = {"tenant": "acme", "name": "g", "display": value, "source": "local", "created_ms": 1, "changed_ms": 1}

    with pytest.raises(ValidationError) as caught:
        postgres_store.run_now(lambda c: c.execute(insert(tables.groups).values(**row)), tenant="acme")

    assert caught.value.code == "MALFORMED_REQUEST"


def test_the_password_of_the_database_is_in_no_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Store.open("postgresql://somebody:hunter2-secret@127.0.0.1:1/none")

    assert caught.value.code == "ENVIRONMENT_ERROR"
    shown = repr(caught.value) + str(caught.value.detail) + str(caught.value.hint)
    assert "hunter2-secret" not in shown
    assert "at '127.0.0.1:1/none' cannot be opened" in caught.value.message
    assert "somebody" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "postgresql://h/d?options=-csome"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Store.open(url)

    assert caught.value.code == "INVALID_CONFIG"


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()

    with pytest.raises(ConfigurationError) as caught:
        Store.open(f"sqlite:///{tmp_path}/other.db")

    assert caught.value.code == "INVALID_CONFIG"


# ── migrations ───────────────────────────────────────────────────────────────────────────────────────────


def test_tables_of_a_newer_program_are_refused(empty_url: str) -> None:
    store = Store.open(empty_url)
    role = "SELECT set_config('role', 'altar_owner', true)"
    with store.engine.begin() as connection:
        if store.dialect == "postgresql":
            connection.execute(text(role))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()

    with pytest.raises(ConfigurationError) as caught:
        Store.open(empty_url)

    assert ("INVALID_CONFIG", True) == (caught.value.code, "9999" in caught.value.message)


def test_processes_that_open_a_new_store_at_once_migrate_it_once(empty_url: str) -> None:
    program = "import sys; from altar.aesp.store.database import Store; Store.open(sys.argv[1]).close()"
    opened = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(3)]

    assert [0, 0, 0] == [each.wait(timeout=60) for each in opened]
    store = Store.open(empty_url)
    with store.engine.connect() as connection:
        assert revision_of(connection) == head()
    store.close()


def test_the_tables_are_those_that_the_program_knows(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, tables.METADATA)

    assert [] == differences


# ── one tenant never sees another ────────────────────────────────────────────────────────────────────────


TENANT_TABLES = [table for table in tables.METADATA.sorted_tables if "tenant" in table.c]


def fill(store: Store, tenant: str) -> None:
    """Put a row into every table of a tenant, whatever its columns are."""
    values: dict[type, object] = {str: "x", int: 1, bool: True, bytes: tenant.encode()}

    def work(connection: Connection) -> None:
        for table in TENANT_TABLES:
            if table in {tables.changes, tables.tenant_versions, tables.tenants}:
                continue
            row = {column.name: values[column.type.python_type] for column in table.c}
            given = {"tenant": tenant, "id": f"{tenant}-x", "kind": "user"}
            if table is tables.artefacts:
                given |= {"kind": "policy", "status": "DRAFT"}
            row |= {name: value for name, value in given.items() if name in table.c}
            if table is tables.bindings:
                row["group_name"] = None
            if table is tables.group_nestings:
                continue
            connection.execute(insert(table).values(**row))

    add_tenant(store, tenant)
    store.run_now(work, tenant=None)


def test_every_table_names_its_tenant_first() -> None:
    without = {table.name for table in tables.METADATA.sorted_tables if "tenant" not in table.c}

    assert {"organizations", "business_units"} == without
    assert {"tenant"} == {table.primary_key.columns.keys()[0] for table in TENANT_TABLES}


def test_statements_without_a_condition_see_one_tenant_alone(postgres_store: Store) -> None:
    fill(postgres_store, "acme")
    fill(postgres_store, "umbrella")

    def work(connection: Connection) -> dict[str, set[str]]:
        return {
            table.name: set(connection.execute(text(f"SELECT tenant FROM {table.name}")).scalars())
            for table in TENANT_TABLES
        }

    seen = postgres_store.run_now(work, tenant="acme")
    all_seen = postgres_store.run_now(work, tenant=None)

    empty = {"group_nestings"}
    assert {table.name: {"acme"} for table in TENANT_TABLES if table.name not in empty} | {
        name: set() for name in empty
    } == seen
    assert {"acme", "umbrella"} == all_seen["principals"]


def test_a_transaction_that_names_no_tenant_sees_nothing(postgres_store: Store) -> None:
    fill(postgres_store, "acme")

    def work(connection: Connection) -> int:
        connection.execute(text("SELECT set_config('altar.tenant', '', true)"))
        return sum(
            connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one() for table in TENANT_TABLES
        )

    assert postgres_store.run_now(work, tenant="acme") == 0


def test_the_owner_of_the_tables_is_held_to_it_as_well(postgres_store: Store) -> None:
    fill(postgres_store, "acme")

    def work(connection: Connection) -> int:
        connection.execute(text("SELECT set_config('role', 'altar_owner', true)"))
        return sum(
            connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()
            for table in TENANT_TABLES
            if table not in {tables.changes, tables.tenant_versions}
        )

    assert postgres_store.run_now(work, tenant="acme") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO groups VALUES ('umbrella', 'g', '', 'local', 1, 1)",
        "UPDATE principals SET tenant = 'umbrella'",
        "INSERT INTO changes VALUES ('acme', 99, 'principal', 'x')",
        "UPDATE tenants SET status = 'ACTIVE'",
        "SELECT * FROM organizations",
        "DELETE FROM tenant_versions",
    ],
)
def test_a_tenant_cannot_write_past_its_own_rows(postgres_store: Store, statement: str) -> None:
    fill(postgres_store, "acme")
    fill(postgres_store, "umbrella")

    with pytest.raises(ExecutionError) as caught:
        postgres_store.run_now(lambda c: c.execute(text(statement)), tenant="acme")

    assert caught.value.code == "INTERNAL"


def test_deleting_without_a_condition_leaves_the_other_tenant(postgres_store: Store) -> None:
    fill(postgres_store, "acme")
    fill(postgres_store, "umbrella")

    postgres_store.run_now(lambda c: c.execute(text("DELETE FROM principals")), tenant="acme")

    rows = postgres_store.run_now(lambda c: c.execute(select(tables.principals.c.tenant)).scalars().all(), tenant=None)
    assert ["umbrella"] == list(rows)


def test_a_login_that_may_make_no_roles_is_told_what_to_run(postgres_url: str, postgres: LocalPostgres) -> None:
    import psycopg

    name = f"plain_{postgres_url.rpartition('_')[2]}"
    database = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p'".encode())
    url = f"postgresql://{name}:p@127.0.0.1:{postgres.port}/{database}"

    with pytest.raises(ConfigurationError) as caught:
        Store.open(url)
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for line in roles_sql(name).splitlines():
            try:
                admin.execute(line.encode())
            except psycopg.errors.DuplicateObject:
                assert "CREATE ROLE" in line
    store = Store.open(url)
    add_tenant(store, "acme")
    store.close()

    assert ("ENVIRONMENT_ERROR", True) == (caught.value.code, name in str(caught.value.hint))


# ── changes reach whoever decides ────────────────────────────────────────────────────────────────────────


async def test_a_decision_has_changed_when_the_change_is_acknowledged(store: Store) -> None:
    add_tenant(store, "acme")
    add_principal(store, "acme", "alice")
    directory = Directory(store, clock=time.time)
    rbac, roles, alice = Rbac(directory), roles_of(store), user("acme/alice")
    seen = [rbac.decide(alice, resource="tools/x", action="execute").allowed]

    binding = await roles.bind("developer", tenant="acme", principal="alice")
    seen.append(rbac.decide(alice, resource="tools/x", action="execute").allowed)
    await roles.unbind(binding.id, tenant="acme")
    seen.append(rbac.decide(alice, resource="tools/x", action="execute").allowed)

    assert [False, True, False] == seen


async def test_listeners_in_the_loop_hear_of_a_change_before_its_maker_goes_on(store: Store) -> None:
    add_tenant(store, "acme")
    directory = Directory(store, clock=time.time, deliver=asyncio.get_running_loop().call_soon_threadsafe)
    heard: list[int] = []
    directory.on_change.append(lambda: heard.append(directory.version))

    await store.run(lambda c: people.create_group(c, tenant="acme", name="g", now_ms=1), tenant="acme")

    assert [directory.version] == heard


async def test_a_listener_that_fails_keeps_nobody_else_from_hearing(store: Store) -> None:
    add_tenant(store, "acme")
    directory = Directory(store, clock=time.time)
    heard: list[int] = []
    directory.on_change.append(lambda: heard.remove(-1))
    directory.on_change.append(lambda: heard.append(directory.version))

    await store.run(lambda c: people.create_group(c, tenant="acme", name="g", now_ms=1), tenant="acme")

    snapshot = directory.snapshot("acme")
    assert snapshot is not None
    assert ([directory.version], {"g"}) == (heard, set(snapshot.groups))


CHANGES: dict[str, Callable[[Connection], object]] = {
    "deactivated": lambda c: people.update_principal(c, tenant="acme", name="alice", now_ms=2, active=False),
    "removed": lambda c: people.delete_principal(c, tenant="acme", name="alice"),
    "taken out of the group": lambda c: people.set_members(
        c, tenant="acme", group="inner", principals=(), source="local"
    ),
    "the groups come apart": lambda c: people.unnest_group(c, tenant="acme", parent="outer", child="inner"),
    "the group is removed": lambda c: people.delete_group(c, tenant="acme", name="outer"),
    "the binding is removed": lambda c: c.execute(text("DELETE FROM bindings")),
    "the role loses its permission": lambda c: c.execute(text("DELETE FROM role_permissions")),
    "the role inherits no more": lambda c: c.execute(text("DELETE FROM role_inherits")),
    "the tenant is suspended": lambda c: c.execute(text("UPDATE tenants SET status = 'SUSPENDED'")),
    "the tenant is gone": lambda c: c.execute(text("DELETE FROM tenants")),
}


async def furnish(store: Store) -> Directory:
    """Let alice call tools by way of two groups and two roles."""
    add_tenant(store, "acme")
    add_principal(store, "acme", "alice")
    roles = roles_of(store)
    await roles.create("caller", tenant="acme", permissions=["tools:execute"])
    await roles.create("lead", tenant="acme", inherits=["caller"])

    def work(connection: Connection) -> None:
        people.create_group(connection, tenant="acme", name="inner", now_ms=1)
        people.create_group(connection, tenant="acme", name="outer", now_ms=1)
        people.nest_group(connection, tenant="acme", parent="outer", child="inner")
        people.set_members(connection, tenant="acme", group="inner", principals=["alice"], source="local")

    await store.run(work, tenant="acme")
    await roles.bind("lead", tenant="acme", group="outer")
    return Directory(store, clock=time.time)


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_takes_a_right_away_takes_it_at_once(store: Store, change: str) -> None:
    directory = await furnish(store)
    rbac, alice = Rbac(directory), user("acme/alice")
    before = rbac.decide(alice, resource="tools/x", action="execute")

    await store.run(CHANGES[change], tenant=None)

    assert (True, False) == (before.allowed, rbac.decide(alice, resource="tools/x", action="execute").allowed)


async def test_what_was_read_in_pieces_is_what_reading_all_gives(store: Store) -> None:
    directory = await furnish(store)
    roles = roles_of(store)
    roles._new_id = iter(f"c-{number}" for number in range(100)).__next__
    add_principal(store, "acme", "bob", "carol")
    await roles.bind("viewer", tenant="acme", principal="bob", scope="tools/a.*", expires_ms=4_000_000_000_000)
    gone = await roles.bind("developer", tenant="acme", principal="carol")
    await roles.unbind(gone.id, tenant="acme")
    await roles.change("caller", tenant="acme", permissions=["tools:read"])
    await store.run(lambda c: people.delete_group(c, tenant="acme", name="inner"), tenant="acme")
    await store.run(lambda c: people.delete_principal(c, tenant="acme", name="carol"), tenant="acme")

    anew = Directory(store, clock=time.time)

    def facts(of: Directory) -> object:
        snapshot = of.snapshot("acme")
        assert snapshot is not None
        return (
            snapshot.tenant,
            snapshot.version,
            snapshot.people,
            snapshot.groups,
            snapshot.groups_of,
            snapshot.parents,
            {name: (role.permissions, role.inherits) for name, role in snapshot.roles.items()},
            snapshot.bindings,
            snapshot.of_principal,
            snapshot.of_group,
        )

    assert facts(anew) == facts(directory)


async def test_more_changes_than_are_kept_are_read_as_a_whole(store: Store) -> None:
    add_tenant(store, "acme")
    directory = Directory(store, clock=time.time)
    names = [f"p{number:04}" for number in range(2500)]

    def work(connection: Connection) -> None:
        row = {"tenant": "acme", "display": "", "source": "local", "created_ms": 1, "changed_ms": 1}
        connection.execute(insert(tables.groups), [row | {"name": name} for name in names])

    await store.run(work, tenant="acme")

    snapshot = directory.snapshot("acme")
    kept = await store.run(lambda c: len(c.execute(select(tables.changes)).all()), tenant="acme", reads=True)
    assert snapshot is not None
    assert (set(names), True) == (set(snapshot.groups), kept < 2 * 1024)


OTHER_HOST = """
import sys, time
from altar.aesp.directory import Directory
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.rbac import Rbac
from altar.aesp.store.database import Store

store = Store.open(sys.argv[1])
directory = Directory(store, clock=time.time)
rbac = Rbac(directory)
alice = Principal("acme/alice", "acme", PrincipalKind.USER, "password")
while True:
    print(rbac.decide(alice, resource="tools/x", action="execute").allowed, flush=True)
    if not sys.stdin.readline():
        break
store.close()
"""


async def test_another_process_drops_its_decision_when_a_binding_changes(store: Store) -> None:
    add_tenant(store, "acme")
    add_principal(store, "acme", "alice")
    roles = roles_of(store)
    url = store.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    other = subprocess.Popen(  # noqa: ASYNC220 (it lives as long as this test)
        [sys.executable, "-c", OTHER_HOST, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None
    assert other.stdout is not None
    stdin, stdout = other.stdin, other.stdout

    def ask() -> bool:
        stdin.write("\n")
        stdin.flush()
        return stdout.readline() == "True\n"

    try:
        assert stdout.readline() == "False\n"
        binding = await roles.bind("developer", tenant="acme", principal="alice")
        until(ask, what="the other process allows it", patience=10)
        await roles.unbind(binding.id, tenant="acme")
        until(lambda: not ask(), what="the other process refuses it", patience=10)
    finally:
        other.communicate(timeout=30)
    assert other.returncode == 0


async def test_a_watcher_whose_connection_was_cut_hears_what_it_missed(postgres_store: Store) -> None:
    add_tenant(postgres_store, "acme")
    add_principal(postgres_store, "acme", "alice")
    watching = Store.open(postgres_store.engine.url.render_as_string(hide_password=False))
    directory = Directory(watching, clock=time.time)
    rbac, alice = Rbac(directory), user("acme/alice")

    def cut(connection: Connection) -> None:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE (query LIKE 'LISTEN%' OR query = 'SELECT 1') AND pid <> pg_backend_pid()"
            )
        )

    with postgres_store.engine.connect() as connection:
        cut(connection)
    await roles_of(postgres_store).bind("developer", tenant="acme", principal="alice")

    until(lambda: rbac.decide(alice, resource="tools/x", action="execute").allowed, what="the binding is known")
    watching.close()


def test_a_host_whose_database_is_gone_decides_nothing_any_more() -> None:
    with LocalPostgres() as server:
        store = Store.open(server.create_database())
        add_tenant(store, "acme")
        add_principal(store, "acme", "alice")
        asyncio.run(roles_of(store).bind("admin", tenant="acme", principal="alice"))
        rbac = Rbac(Directory(store, clock=time.time, longest_unconfirmed=4.0))
        until(lambda: not rbac._directory.stale, what="the directory is confirmed")
        before = rbac.decide(user("acme/alice"), resource="tools/x", action="execute")

    until(lambda: not rbac.decide(user("acme/alice"), resource="tools/x", action="execute").allowed, what="it refuses")

    store.close()
    assert before.allowed


def confirm_again(store: Store) -> None:
    before = store.confirmed
    until(lambda: store.confirmed > before, what="the store is confirmed", patience=20)


def test_a_store_in_which_nothing_happens_is_confirmed_again_and_again(store: Store) -> None:
    store.changed(lambda _tenant: None)

    for _ in range(3):
        confirm_again(store)


def test_who_writes_the_record_of_calls_reads_no_table_of_administration(postgres_store: Store) -> None:
    def work(connection: Connection) -> set[str]:
        return {
            table.name
            for table in tables.METADATA.sorted_tables
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
            if connection.execute(
                text(f"SELECT has_table_privilege('altar_ledger', 'altar.{table.name}', '{right}')")
            ).scalar_one()
        }

    assert set() == postgres_store.run_now(work, tenant=None)


def test_the_indexes_begin_with_the_tenant_or_hold_what_is_unique_on_the_host(store: Store) -> None:
    found = inspect(store.engine)
    first = {
        index["name"]: index["column_names"][0]
        for table in TENANT_TABLES
        for index in found.get_indexes(table.name)
        if not str(index["name"]).startswith("sqlite_")
    }

    assert {"uq_api_keys_id"} == {name for name, column in first.items() if column != "tenant"}
