"""Whose word counts for an approval, now: people, each of them once, and never the one who asked.

A vote is worth what its voter may do at the moment of asking: who was removed, deactivated or lost the role does not
count any more, whatever was recorded.
Accounts of a tenant with the same e-mail address belong to one person.
Neither the requester counts, under any account, nor a person who holds the keys of the service account that asked.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Protocol

from altar.aesp.principal import PrincipalKind

if TYPE_CHECKING:
    from altar.aesp.governance.requests import Need, Request, Vote
    from altar.aesp.snapshot import Person

__all__ = ["Owners", "People", "Quorum", "human_of"]

_KIND, _DECIDE = "approvals", "decide"  # the permission of who may approve what names no roles


class People(Protocol):
    """Who there is now; `altar.aesp.directory.Directory` is one."""

    def principal(self, principal_id: str) -> Person | None:
        """Give a principal by its id; None when there is none, also when it was removed."""
        ...


Owners = Callable[[str], Collection[str]]
"""Gives the ids of the people who hold the keys of a service account, by its id."""


def human_of(person: Person) -> str:
    """The person behind an account: by e-mail address where there is one, else the account itself.

    What is behind a ``+`` in the first part is left out, because it leads to the same mailbox.
    """
    local, at, domain = unicodedata.normalize("NFKC", person.email).strip().casefold().rpartition("@")
    if not at or not local or not domain:
        return f"id:{person.id}"
    return f"mail:{person.tenant}/{local.partition('+')[0]}@{domain.rstrip('.')}"


class Quorum:
    """Counts the votes on a request by what the directory says now."""

    def __init__(self, people: People, owners: Owners) -> None:
        self._people = people
        self._owners = owners

    def counted(self, request: Request) -> tuple[int, ...]:
        """For each need of the request, how many people have approved whose word counts."""
        own = self.excluded(request)
        humans = [(human, person) for human, person in self._approving(request) if human not in own]
        return tuple(len({human for human, person in humans if _may(person, need, request)}) for need in request.needs)

    def is_met(self, request: Request) -> bool:
        """Whether each need has as many people as it asks for; a request without needs is met by nobody."""
        have = self.counted(request)
        return bool(have) and all(count >= need.quorum for count, need in zip(have, request.needs, strict=True))

    def may_decide(self, principal_id: str, request: Request) -> bool:
        """Whether the word of this principal would count for one of the needs."""
        person = self._voter(principal_id, request)
        if person is None or human_of(person) in self.excluded(request):
            return False
        return any(_may(person, need, request) for need in request.needs)

    def human(self, principal_id: str) -> str:
        """The person behind an account; empty for one that is not there."""
        person = self._people.principal(principal_id)
        return "" if person is None else human_of(person)

    def excluded(self, request: Request) -> frozenset[str]:
        """The people whose call it is: the requester, and who holds the keys of a service account that asked."""
        found = set[str]()
        for account in (request.principal, *self._owners(request.principal)):
            person = self._people.principal(account)
            found.add(f"id:{account}")
            if person is not None:
                found.add(human_of(person))
        return frozenset(found)

    def _approving(self, request: Request) -> Iterable[tuple[str, Person]]:
        for vote in request.votes:
            person = self._counts(vote, request)
            if person is not None:
                yield human_of(person), person

    def _counts(self, vote: Vote, request: Request) -> Person | None:
        if not vote.approve or vote.principal == request.principal:
            return None
        return self._voter(vote.principal, request)

    def _voter(self, principal_id: str, request: Request) -> Person | None:
        """The account if it is one of a person of the same tenant that is active."""
        person = self._people.principal(principal_id)
        if person is None or not person.active or person.tenant != request.tenant:
            return None
        return person if person.kind is PrincipalKind.USER else None


def _may(person: Person, need: Need, request: Request) -> bool:
    """Whether somebody holds one of the roles for this tool, or the permission where no role is named."""
    for grant in person.grants.held:
        if need.approvers:
            if grant.role in need.approvers and grant.binding.scope.covers("tools", request.tool):
                return True
        elif grant.binding.scope.covers(_KIND, request.id) and any(
            each.covers(_KIND, request.id, _DECIDE) for each in grant.permissions
        ):
            return True
    return False
