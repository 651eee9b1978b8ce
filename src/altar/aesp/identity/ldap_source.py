"""Pulling everybody, or who changed, from LDAP or Active Directory.

slapd is asked by ``modifyTimestamp``, Active Directory by ``uSNChanged`` of the one controller that is asked.
When a group has changed, or the controller is another one, everybody is pulled: who is in which group is then anew.
Who was deleted is found when everybody is pulled, which is what a schedule is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from altar.aesp.identity.ldap import LdapProvider, Nesting, is_active
from altar.aesp.identity.ldap_names import group_name, split_dn
from altar.aesp.identity.ldap_wire import And, AtLeast, Filter, Present, Scope
from altar.aesp.identity.sync import Known, Progress, Pulled

if TYPE_CHECKING:
    from collections.abc import Callable

    from altar.aesp.identity.ldap_connection import Entry, LdapConnection

__all__ = ["LdapSource"]

_DEEPEST = 16


class LdapSource:
    """A `Source` over the same configuration that people sign in by."""

    def __init__(self, provider: LdapProvider, *, now: Callable[[], float]) -> None:
        self._provider = provider
        self._configuration = provider.configuration
        self._now = now

    @property
    def name(self) -> str:
        """Name of the provider in the configuration."""
        return self._configuration.name

    @property
    def tenant(self) -> str:
        """The one tenant whose people these are."""
        return self._configuration.tenant

    async def pull(self, mark: str, progress: Progress) -> Pulled:
        """Tell everybody, or who changed since the mark; as of `Source.pull`."""
        async with self._provider.connection() as connection:
            await self._provider.bind(connection)
            server, before = mark.rpartition("|")[::2]
            here = await self._server(connection)
            changed = self._since(before) if before and server == here else None
            if changed is not None and await self._groups(connection, changed):
                changed = None
            people = await self._people(connection, changed)
            progress(0, len(people))
            groups = await self._groups(connection, None)
            known = tuple(self._known(people, groups))
            latest = await self._latest(connection, people, groups, before)
            return Pulled(known, changed is None, f"{here}|{latest}")

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    def _since(self, before: str) -> Filter:
        """Give the filter for what changed at or after the mark: the last second may have had more to come."""
        attribute = "uSNChanged" if self._configuration.is_active_directory else "modifyTimestamp"
        return AtLeast(attribute, before)

    async def _server(self, connection: LdapConnection) -> str:
        """Give what names the server that counts: change numbers of another one mean something else."""
        if not self._configuration.is_active_directory:
            return "slapd"
        found = await connection.search(
            "", Present("objectClass"), attributes=("dsServiceName",), limit=1, scope=Scope.BASE
        )
        return found[0].text("dsServiceName") if found else ""

    async def _latest(
        self, connection: LdapConnection, people: Iterable[Entry], groups: Iterable[Entry], before: str
    ) -> str:
        if self._configuration.is_active_directory:
            numbers = [int(each.text("uSNChanged") or 0) for each in (*people, *groups)]
            return str(max([*numbers, int(before or 0)]))
        return max([each.text("modifyTimestamp") for each in (*people, *groups)] + [before])

    async def _people(self, connection: LdapConnection, changed: Filter | None) -> list[Entry]:
        configuration = self._configuration
        wanted = configuration.people() if changed is None else And((configuration.people(), changed))
        attributes = (*configuration.person_attributes, self._counter)
        return await connection.search(configuration.base, wanted, attributes=attributes, limit=configuration.limit)

    async def _groups(self, connection: LdapConnection, changed: Filter | None) -> list[Entry]:
        configuration = self._configuration
        wanted = configuration.group_classes if changed is None else And((configuration.group_classes, changed))
        attributes = ("memberOf", "member", "uniqueMember", self._counter)
        base = configuration.group_base or configuration.base
        return await connection.search(base, wanted, attributes=attributes, limit=configuration.limit)

    @property
    def _counter(self) -> str:
        return "uSNChanged" if self._configuration.is_active_directory else "modifyTimestamp"

    def _known(self, people: Iterable[Entry], groups: list[Entry]) -> Iterable[Known]:
        above = _above(groups, of_members=self._configuration.nesting is Nesting.MEMBERS)
        for entry in people:
            direct = {_folded(dn) for dn in entry.texts("memberOf")} | above.get(_folded(entry.dn), frozenset())
            reached = _reached(direct, above)
            names = {group_name(dn, self._configuration.group_base) for dn in reached}
            login = self._provider.login_of(entry, tuple(sorted(name for name in names if name)))
            yield Known(login, active=is_active(entry, self._configuration, now=self._now()))


def _above(groups: Iterable[Entry], *, of_members: bool) -> Mapping[str, frozenset[str]]:
    """Give for each entry the groups it is in directly, as the groups themselves tell."""
    found: dict[str, set[str]] = {}
    for group in groups:
        name = _folded(group.dn)
        for parent in group.texts("memberOf"):
            found.setdefault(name, set()).add(_folded(parent))
        if of_members:
            for member in (*group.texts("member"), *group.texts("uniqueMember")):
                found.setdefault(_folded(member), set()).add(name)
    return {name: frozenset(parents) for name, parents in found.items()}


def _reached(start: Iterable[str], above: Mapping[str, frozenset[str]]) -> set[str]:
    found = set(start)
    level = set(found)
    for _ in range(_DEEPEST):
        level = {parent for name in level for parent in above.get(name, ())} - found
        if not level:
            break
        found |= level
    return found


def _folded(dn: str) -> str:
    """Write a name in one way, so that two ways to write it are one; what is no name stays as it is."""
    try:
        parts = split_dn(dn)
    except ValueError:
        return dn
    return ",".join(f"{attribute}={_escaped(value.casefold())}" for attribute, value in parts)


def _escaped(value: str) -> str:
    return "".join(f"\\{letter}" if letter in '\\,;+<>="#' else letter for letter in value)
