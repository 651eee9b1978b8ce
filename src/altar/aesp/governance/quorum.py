"""Whose word counts for an approval, now: people, each of them once, and never the one who asked.

A vote is worth what its voter may do at the moment of asking: who was removed, deactivated or lost the role does not
count any more, whatever was recorded; nor does who was given the id of a voter later.
Accounts of a tenant with the same e-mail address belong to one person.
The requester does not count, under any account, nor does a person who can act as the account that asked: who made it,
who has seen a key of it, and for the account of a certificate whoever has its name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from altar.aesp.principal import PrincipalKind

if TYPE_CHECKING:
    from altar.aesp.governance.requests import Need, Request
    from altar.aesp.snapshot import Person

__all__ = ["MARK", "Owners", "People", "Quorum", "human_of", "mailbox_of", "mark_of"]

MARK = "#"
"""How a `mark_of` a person begins; no id and no name does."""

_MAILBOX = "mail:"
_KIND, _DECIDE = "approvals", "decide"  # the permission of who may approve what names no roles
_CERTIFICATE = "cert:"  # how the names of accounts of certificates begin, as `identity.certificates` says


class People(Protocol):
    """Who there is now; `altar.aesp.directory.Directory` is one."""

    def principal(self, principal_id: str) -> Person | None:
        """Give a principal by its id; None when there is none, also when it was removed."""
        ...


Owners = Callable[[str], Collection[str]]
"""Gives who can act as an account beside whose it is, by its id: their ids, and `mark_of` each of them."""


def human_of(person: Person) -> str:
    """The person behind an account: by e-mail address where there is one, else the account itself.

    What is behind a ``+`` in the first part is left out, because it leads to the same mailbox.
    """
    return mailbox_of(person.email, tenant=person.tenant) or f"id:{person.id}"


def mailbox_of(email: str, *, tenant: str) -> str:
    """The person behind an address in a tenant; empty for a text that is none."""
    local, at, domain = unicodedata.normalize("NFKC", email).strip().casefold().rpartition("@")
    if not at or not local or not domain:
        return ""
    return f"{_MAILBOX}{tenant}/{local.partition('+')[0]}@{domain.rstrip('.')}"


def mark_of(human: str) -> str:
    """A short text by which a person is known again, and that does not say who it is."""
    return f"{MARK}{sha256(human.encode()).hexdigest()[:24]}"


class Quorum:
    """Counts the votes on a request by what the directory says now."""

    def __init__(self, people: People, owners: Owners) -> None:
        self._people = people
        self._owners = owners

    def counted(self, request: Request) -> tuple[int, ...]:
        """For each need of the request, how many people have approved whose word counts."""
        approving = list(self._approving(request, self.excluded(request)))
        return tuple(
            len({human for human, person in approving if _may(person, need, request)}) for need in request.needs
        )

    def is_met(self, request: Request) -> bool:
        """Whether each need has as many people as it asks for; a request without needs is met by nobody."""
        have = self.counted(request)
        return bool(have) and all(count >= need.quorum for count, need in zip(have, request.needs, strict=True))

    def may_decide(self, principal_id: str, request: Request, *, over: str = "") -> bool:
        """Whether the word of this principal would count for one of the needs.

        ``over`` is the account of the certificate of the connection that the word comes over, where that is known.
        """
        person = self._voter(principal_id, request)
        if person is None or self._is_own(person, self.excluded(request)) or self._is_asking(over, request):
            return False
        return any(_may(person, need, request) for need in request.needs)

    def human(self, principal_id: str) -> str:
        """The person behind an account; empty for one that is not there."""
        person = self._people.principal(principal_id)
        return "" if person is None else human_of(person)

    def account(self, principal_id: str) -> int:
        """Which account this id is now: when it was made, in ms since 1970; -1 where there is none."""
        person = self._people.principal(principal_id)
        return -1 if person is None else person.created_ms

    def is_asker(self, principal_id: str, request: Request) -> bool:
        """Whether this is the very account that asked, and not a later one of the same id."""
        return principal_id == request.principal and self.account(principal_id) == request.account

    def excluded(self, request: Request) -> frozenset[str]:
        """The people whose call it is: the requester, and who can act as the account that asked."""
        found = set[str]()
        for account in self._behind(request.principal):
            if account.startswith(MARK):
                found.add(account)
                continue
            person = self._people.principal(account)
            found.add(f"id:{account}")
            found.update(_names(account))
            if person is not None:
                found.add(human_of(person))
        return frozenset(found)

    def _behind(self, account: str) -> list[str]:
        """An account, who can act as it, who can act as those, and so on."""
        found = [account]
        for one in found:
            if len(found) < _MOST_BEHIND and not one.startswith(MARK):
                found.extend(other for other in self._owners(one) if other not in found)
        return found

    def _is_own(self, person: Person, own: frozenset[str]) -> bool:
        human = human_of(person)
        return not own.isdisjoint({human, mark_of(human), f"id:{person.id}", _name(person.tenant, person.name)})

    def _is_asking(self, over: str, request: Request) -> bool:
        """Whether the certificate of a connection is the one that asked, or another one of the same person."""
        if not over or not _is_certificate(request.principal):
            return False
        asker, other = self.human(request.principal), self.human(over)
        return over == request.principal or (asker == other and asker.startswith(_MAILBOX))

    def _approving(self, request: Request, own: frozenset[str]) -> Iterator[tuple[str, Person]]:
        for vote in request.votes:
            person = self._voter(vote.principal, request) if vote.approve else None
            if person is not None and person.created_ms == vote.account and not self._is_own(person, own):
                yield human_of(person), person

    def _voter(self, principal_id: str, request: Request) -> Person | None:
        """The account if it is one of a person of the same tenant that is active, and not that of a certificate."""
        person = self._people.principal(principal_id)
        if person is None or not person.active or person.tenant != request.tenant:
            return None
        return person if person.kind is PrincipalKind.USER and not _is_certificate(principal_id) else None


_MOST_BEHIND = 256


def _is_certificate(principal_id: str) -> bool:
    return principal_id.partition("/")[2].startswith(_CERTIFICATE)


def _names(principal_id: str) -> Iterable[str]:
    """What whoever holds the certificate of an account is called, for all that is known: as the certificate is."""
    tenant, _, name = principal_id.partition("/")
    return {_name(tenant, name.removeprefix(_CERTIFICATE))} if name.startswith(_CERTIFICATE) else ()


def _name(tenant: str, name: str) -> str:
    """The mark of a name, for comparison with that of a certificate: a provider may give names that are addresses."""
    return f"name:{tenant}/{name.casefold().partition('@')[0]}"


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
