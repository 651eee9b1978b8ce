"""Keeping people and groups of a tenant as a directory elsewhere has them: a plan, and what carries it out.

A source tells who is there, or who changed; a plan says what that means here; a run does it in batches of transactions.
Who is not there any more, or is disabled there, loses all access with the transaction that says so.
A source that suddenly lacks many people is more likely broken than right: such a plan is refused unless it is forced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from altar.adm.errors import ExecutionError, ValidationError
from altar.aesp.identity.login import Login, require_login

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.identity.provisioning import MapGroups
    from altar.aesp.store.database import Store

__all__ = ["Known", "Plan", "Progress", "Pulled", "Source", "Synchronization"]

MOST_REMOVED = 0.2
"""The share of the active people of a provider that one run may take away without being forced."""

MARK = "deactivated_by"
"""The attribute of a principal that says who deactivated it: only that source may make it active again."""

_BATCH = 200
_SHOWN = 1000

Progress = Callable[[int, int | None], None]
"""Is told how much is done, and how much there is, None while that is not known."""


@dataclass(frozen=True, slots=True)
class Known:
    """A person as a source tells: who would sign in, and whether they may."""

    login: Login
    active: bool = True


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a source told.

    ``is_complete``: whoever is not among ``people`` is not there any more.
    ``mark`` is what the next pull goes on from.
    """

    people: tuple[Known, ...]
    is_complete: bool
    mark: str


class Source(Protocol):
    """A directory elsewhere."""

    @property
    def name(self) -> str:
        """Name of the provider in the configuration."""

    @property
    def tenant(self) -> str:
        """The one tenant whose people these are."""

    async def pull(self, mark: str, progress: Progress) -> Pulled:
        """Tell who is there, or with a mark of before who changed since; an empty mark asks for everybody.

        A source that cannot tell changes, or whose groups changed, tells everybody.
        Raises ExecutionError DEPENDENCY_UNAVAILABLE when it cannot be asked.
        """
        ...


@dataclass(slots=True)
class Plan:
    """What a run does, by the names of principals; ``conflicts`` are people whose name belongs to somebody else."""

    provider: str
    tenant: str
    is_complete: bool
    create: list[str] = field(default_factory=list)
    update: list[str] = field(default_factory=list)
    activate: list[str] = field(default_factory=list)
    deactivate: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    unchanged: int = 0
    active: int = 0
    is_done: bool = False
    forced: bool = False

    @property
    def is_too_much(self) -> bool:
        """Whether more than a fifth of the active people would go; one person may always go, the last may not."""
        gone = len(self.deactivate)
        return gone > max(1, int(self.active * MOST_REMOVED)) or (gone > 0 and gone == self.active)

    def members(self) -> dict[str, Any]:
        """Give the plan as JSON members; of each list the first thousand names, and how many there are."""
        told = asdict(self) | {"refused": self.is_too_much and not self.forced}
        lists = ("create", "update", "activate", "deactivate", "conflicts")
        counts = {name: len(told[name]) for name in lists}
        return told | {name: told[name][:_SHOWN] for name in lists} | {"counts": counts}


@dataclass(frozen=True, slots=True)
class _Here:
    """A person of the provider as the store has it."""

    name: str
    active: bool
    display: str
    email: str
    marked: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Store:
    """What the store has of a tenant: the provider's people by their subjects, and the names of everybody else."""

    people: Mapping[str, _Here]
    foreign: frozenset[str]


class Synchronization:
    """Brings sources into the store. ``now`` is in seconds since 1970."""

    def __init__(self, store: Store, *, now: Callable[[], float], map_groups: MapGroups) -> None:
        self._store = store
        self._now = now
        self._map_groups = map_groups

    async def run(
        self,
        source: Source,
        *,
        full: bool = False,
        dry_run: bool = False,
        force: bool = False,
        progress: Progress = lambda _done, _total: None,
    ) -> Plan:
        """Pull from a source and do what follows; with ``dry_run`` only say it.

        ``full`` asks for everybody. ``force`` lets more than a fifth of the people go.
        Raises ExecutionError RESOURCE_EXHAUSTED for a plan that is refused, with nothing done, and what `Source.pull`
        raises.
        """
        mark = "" if full else await self._mark(source)
        pulled = await source.pull(mark, progress)
        here = await self._store.run(lambda c: _read(c, source), tenant=source.tenant, reads=True)
        plan = _plan(source, pulled, here)
        plan.forced = force
        if dry_run:
            return plan
        if plan.is_too_much and not force:
            raise _too_much(plan)
        await self._carry_out(source, plan, pulled, here, progress)
        await self._store.run(lambda c: self._keep_mark(c, source, pulled), tenant=source.tenant)
        plan.is_done = True
        return plan

    async def state(self, source: Source) -> dict[str, Any]:
        """Give when the source was last pulled, in full and at all, in milliseconds since 1970."""
        return await self._store.run(lambda c: _state(c, source), tenant=source.tenant, reads=True)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    async def _mark(self, source: Source) -> str:
        return str((await self.state(source)).get("mark", ""))

    async def _carry_out(self, source: Source, plan: Plan, pulled: Pulled, here: _Store, progress: Progress) -> None:
        """First who goes, then who stays and who comes."""
        names = {one.name: subject for subject, one in here.people.items()}
        gone = [names[name] for name in plan.deactivate]
        known = {each.login.subject: each for each in pulled.people}
        touched = {*plan.create, *plan.update, *plan.activate}
        rest = [subject for subject, each in known.items() if _name_here(each, here) in touched]
        total = len(gone) + len(rest)
        for start in range(0, len(gone), _BATCH):
            part = gone[start : start + _BATCH]
            await self._store.run(partial(self._remove, source=source, subjects=part), tenant=source.tenant)
            progress(min(start + _BATCH, len(gone)), total)
        for start in range(0, len(rest), _BATCH):
            told = [known[subject] for subject in rest[start : start + _BATCH]]
            await self._store.run(partial(self._write, source=source, told=told), tenant=source.tenant)
            progress(len(gone) + min(start + _BATCH, len(rest)), total)

    def _remove(self, connection: Connection, *, source: Source, subjects: Iterable[str]) -> None:
        from altar.aesp.identity.provisioning import replace_groups
        from altar.aesp.store import people

        tenant, now_ms = source.tenant, self._now_ms()
        for subject in subjects:
            name = people.principal_of_external(connection, tenant=tenant, provider=source.name, subject=subject)
            if name is None:
                continue
            row = people.find_principal(connection, tenant=tenant, name=name)
            attributes = json.loads(row.attributes) | {MARK: source.name}
            values = {"active": False, "attributes": attributes, "not_before_ms": now_ms}
            people.update_principal(connection, tenant=tenant, name=name, now_ms=now_ms, **values)
            where: Any = {"tenant": tenant, "provider": source.name, "principal": name, "groups": ()}
            replace_groups(connection, now_ms=now_ms, **where)
            self._map_groups(connection, **where)

    def _write(self, connection: Connection, *, source: Source, told: Iterable[Known]) -> None:
        from altar.aesp.identity.provisioning import name_of, replace_groups
        from altar.aesp.store import people

        tenant, now_ms = source.tenant, self._now_ms()
        for each in told:
            login = each.login
            shown: Any = {"display": login.display[:256], "email": login.email[:320]}
            where = {"tenant": tenant, "provider": source.name, "subject": login.subject}
            name = people.principal_of_external(connection, **where)
            if name is None:
                name = name_of(login)
                made: Any = {"source": f"provider:{source.name}", "attributes": dict(login.attributes)}
                people.create_principal(connection, tenant=tenant, name=name, now_ms=now_ms, **shown, **made)
                people.link_external(connection, principal=name, now_ms=now_ms, **where)
            else:
                row = people.find_principal(connection, tenant=tenant, name=name)
                attributes = json.loads(row.attributes)
                if not row.active and attributes.pop(MARK, "") != source.name:
                    continue  # somebody else took the access away, and only they give it back
                values: Any = {"active": True, "attributes": attributes}
                people.update_principal(connection, tenant=tenant, name=name, now_ms=now_ms, **shown, **values)
            groups: Any = {"tenant": tenant, "provider": source.name, "principal": name, "groups": login.groups}
            replace_groups(connection, now_ms=now_ms, **groups)
            self._map_groups(connection, **groups)

    def _keep_mark(self, connection: Connection, source: Source, pulled: Pulled) -> None:
        from sqlalchemy import insert, update

        from altar.aesp.store.tables import identity_providers as table

        now_ms = self._now_ms()
        before = _state(connection, source)
        state = {"mark": pulled.mark, "run_ms": now_ms, "full_ms": now_ms if pulled.is_complete else before["full_ms"]}
        values = {"state": json.dumps(state), "changed_ms": now_ms}
        where = (table.c.tenant == source.tenant) & (table.c.name == source.name)
        if connection.execute(update(table).where(where).values(**values)).rowcount == 0:
            row = {"tenant": source.tenant, "name": source.name, "kind": "sync", "active": True, "configuration": "{}"}
            connection.execute(insert(table).values(**row, **values))

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _plan(source: Source, pulled: Pulled, here: _Store) -> Plan:
    """Compare what a source tells with what is here."""
    from altar.aesp.identity.provisioning import name_of

    plan = Plan(source.name, source.tenant, pulled.is_complete)
    plan.active = sum(one.active for one in here.people.values())
    taken = {one.name for one in here.people.values()} | here.foreign
    seen: set[str] = set()
    for each in pulled.people:
        try:
            login = require_login(each.login)
            name = name_of(login)
        except ValidationError:
            plan.conflicts.append(each.login.name[:128] or each.login.subject[:128])
            continue
        if login.subject in seen:
            continue
        seen.add(login.subject)
        one = here.people.get(login.subject)
        if one is not None:
            _plan_known(plan, one, each, source.name)
        elif each.active:
            (plan.conflicts if name in taken else plan.create).append(name)
            taken.add(name)
    if pulled.is_complete:
        told = {each.login.subject for each in pulled.people}
        plan.deactivate += [one.name for subject, one in here.people.items() if subject not in told and one.active]
    return plan


def _plan_known(plan: Plan, one: _Here, told: Known, provider: str) -> None:
    """Say what becomes of somebody who is here already."""
    if not told.active:
        if one.active:
            plan.deactivate.append(one.name)
    elif not one.active:
        if one.marked == provider:
            plan.activate.append(one.name)
    elif _differs(one, told.login, provider):
        plan.update.append(one.name)
    else:
        plan.unchanged += 1


def _differs(one: _Here, login: Login, provider: str) -> bool:
    from altar.aesp.identity.provisioning import group_name

    groups = frozenset(group_name(provider, group) for group in login.groups)
    return (one.display, one.email, one.groups) != (login.display[:256], login.email[:320], groups)


def _name_here(known: Known, here: _Store) -> str | None:
    from altar.aesp.identity.provisioning import name_of

    one = here.people.get(known.login.subject)
    try:
        return name_of(known.login) if one is None else one.name
    except ValidationError:
        return None


def _read(connection: Connection, source: Source) -> _Store:
    """Read the people of a provider, and who else there is."""
    from sqlalchemy import select

    from altar.aesp.store.tables import external_ids, memberships, principals

    ours = (external_ids.c.tenant == source.tenant) & (external_ids.c.provider == source.name)
    subjects = {row.principal: row.subject for row in connection.execute(select(external_ids).where(ours))}
    groups: dict[str, set[str]] = {}
    said = (memberships.c.tenant == source.tenant) & (memberships.c.source == f"provider:{source.name}")
    for row in connection.execute(select(memberships.c.principal, memberships.c.group_name).where(said)):
        groups.setdefault(row.principal, set()).add(row.group_name)
    found: dict[str, _Here] = {}
    foreign: set[str] = set()
    for row in connection.execute(select(principals).where(principals.c.tenant == source.tenant)):
        if row.name not in subjects:
            foreign.add(row.name)
            continue
        marked = json.loads(row.attributes).get(MARK, "")
        within = frozenset(groups.get(row.name, ()))
        found[subjects[row.name]] = _Here(row.name, bool(row.active), row.display, row.email, marked, within)
    return _Store(found, frozenset(foreign))


def _state(connection: Connection, source: Source) -> dict[str, Any]:
    from sqlalchemy import select

    from altar.aesp.store.tables import identity_providers as table

    asked = select(table.c.state).where(table.c.tenant == source.tenant, table.c.name == source.name)
    text = connection.execute(asked).scalar_one_or_none()
    return {"mark": "", "run_ms": 0, "full_ms": 0} | (json.loads(text) if text else {})


def _too_much(plan: Plan) -> ExecutionError:
    return ExecutionError(
        "RESOURCE_EXHAUSTED",
        f"{len(plan.deactivate)} of the {plan.active} active people of {plan.provider!r} would lose their access",
        ran="no",
        hint="look at the plan with --dry-run; if it is right, repeat with --force",
    )
