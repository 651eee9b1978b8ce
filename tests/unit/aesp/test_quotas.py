"""What a tenant may write into its log in a day: counted by the log itself, over a real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from altar.adm.errors import AuthorizationError
from altar.aesp.audit.denials import OTHERS, Denials
from altar.aesp.directory import Directory
from altar.aesp.quotas import EntryQuota, first_since
from altar.aesp.snapshot import Tenant
from altar.cli.quotas_of_host import entry_quota
from altar.ledger import Event, Ledger
from altar.testing import FakeClock
from tests.unit.aesp.service.plane import PHONE, plane
from tests.unit.ledger.samples import ORIGIN, commit, signer_in

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


class Scene:
    """A ledger whose time is set by hand, and tenants with quotas."""

    def __init__(self, folder: Path) -> None:
        self.now_ms = NOON_MS
        self.tenants: dict[str, Tenant] = {}
        self.ledger = Ledger.open(
            folder / "ledger.db",
            signer=signer_in(folder),
            origin=ORIGIN,
            host="host-1",
            software="altar test",
            wall_ms=lambda: self.now_ms,
            on_failure=lambda _error: None,
            per_tenant=True,
        )
        self.directory = cast("Directory", SimpleNamespace(tenant=self.tenants.get))

    def write(self, count: int, *, tenant: str = "acme") -> None:
        for _ in range(count):
            commit(self.ledger, Event(event="app.tick", subject="x", tenant=tenant))

    def quota(self, limit: int | None) -> EntryQuota:
        """The quota as it is after a start, with what the log says of today read at once."""
        self.tenants["acme"] = Tenant("acme", "ACTIVE", quotas={} if limit is None else {"entries_per_day": limit})

        def begun(tenant: str, time_ms: int, then: Callable[[int], None]) -> None:
            asyncio.run(self._begun(tenant, time_ms, then))

        return EntryQuota(self.directory, size_of=self.ledger.size_of, begun=begun, now=lambda: self.now_ms / 1000)

    async def _begun(self, tenant: str, time_ms: int, then: Callable[[int], None]) -> None:
        found = asyncio.Event()
        joined = entry_quota(self.ledger, self.directory, asyncio.get_running_loop(), now=lambda: 0.0)

        def told(number: int) -> None:
            then(number)
            found.set()

        joined._begun(tenant, time_ms, told)
        await found.wait()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.ledger.close()


def test_what_was_written_today_before_a_restart_counts_and_what_was_written_yesterday_does_not(scene: Scene) -> None:
    scene.now_ms -= DAY_MS
    scene.write(50)
    scene.now_ms += DAY_MS
    scene.write(3)

    quota = scene.quota(4)
    quota.require(scene.tenants["acme"])
    quota.require(scene.tenants["acme"])  # the first did not know yet of today's entries
    scene.write(1)
    with pytest.raises(AuthorizationError) as full:
        quota.require(scene.tenants["acme"])

    assert "RATE_LIMIT_EXCEEDED" == full.value.code
    assert "entries_per_day" in (full.value.hint or "")
    assert full.value.retry_after is not None
    assert 12 * 3600 == full.value.retry_after.total_seconds()


def test_the_quota_of_a_day_is_free_again_at_midnight(scene: Scene) -> None:
    quota = scene.quota(2)
    scene.write(2)
    assert [False, True] == [quota.is_used_up("acme"), quota.is_used_up("acme")]

    scene.now_ms += DAY_MS // 2

    assert not quota.is_used_up("acme")


def test_the_log_of_another_tenant_does_not_count(scene: Scene) -> None:
    quota = scene.quota(1)
    scene.write(5, tenant="rival")

    assert [False, False] == [quota.is_used_up("acme"), quota.is_used_up("acme")]


def test_without_the_quota_nothing_is_refused_or_read(scene: Scene) -> None:
    quota = scene.quota(None)
    scene.write(5)

    quota.require(scene.tenants["acme"])

    assert not quota.is_used_up("acme")
    assert not quota.is_used_up("nobody")
    assert {} == quota._at_midnight


@pytest.mark.parametrize("wanted", range(9))
def test_the_first_entry_of_a_time_is_found_also_where_older_ones_were_removed(wanted: int) -> None:
    times = {3: 30, 4: 40, 5: 50, 6: 60, 7: 70}

    class Kept:
        def entries(self, _tenant: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
            return iter([(at, str(times[at]).encode()) for at in range(start, stop or 8) if at in times])

    expected = min((at for at, time in times.items() if time >= wanted * 10), default=8)
    assert expected == first_since(Kept(), "acme", 8, time_ms=wanted * 10, time_of=int)


def test_a_flood_of_different_refusals_is_one_entry_a_minute_once_the_day_is_used_up() -> None:
    noted: list[Event] = []
    clock = FakeClock()
    denials = Denials(noted.append, clock=clock, is_full=lambda tenant: tenant == "acme")

    for number in range(500):
        denials.denied(tenant="acme", principal=f"acme/u{number}", code="PERMISSION_DENIED")
        denials.denied(tenant="rival", principal=f"rival/u{number % 3}", code="PERMISSION_DENIED")
    first = [event for event in noted if event.tenant == "acme"]
    clock.advance(61)
    denials.sweep()

    assert [OTHERS] == [event.subject for event in first]
    assert 500 == sum(event.count or 1 for event in noted if event.tenant == "acme")
    assert {"rival/u0", "rival/u1", "rival/u2"} == {event.principal for event in noted if event.tenant == "rival"}


async def test_calls_sessions_and_records_are_refused_when_the_day_is_used_up(tmp_path: Path) -> None:
    async with plane(tmp_path) as ready:
        made: Any = ready.made
        await made.tenants.create("acme", quotas={"entries_per_day": 0})
        token = await ready.person("acme", "ann", "developer")
        caller = made.callers.of(token.encode(), PHONE)

        with pytest.raises(AuthorizationError) as session:
            made.callers.admit(caller, "create")
        call = SimpleNamespace(tenant="acme")
        quota = made._checks[3]  # after who, where and what
        with pytest.raises(AuthorizationError) as called:
            quota(call)
        await made.roles.create("recorder", tenant="acme", permissions=("audit:record",))
        await made.roles.bind("recorder", tenant="acme", principal="ann")
        allow: Any = ready.host.app_records.allow
        with pytest.raises(AuthorizationError) as recorded:
            allow(SimpleNamespace(who=caller.who, tenant="acme"))
        await made.tenants.set_quotas("acme", {"entries_per_day": None})
        made.callers.admit(caller, "create")
        quota(call)

    assert ["RATE_LIMIT_EXCEEDED"] * 3 == [each.value.code for each in (session, called, recorded)]
