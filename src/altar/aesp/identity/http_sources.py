"""Pulling people and groups over HTTP: from any SCIM 2.0 server, and from the users and groups API of Okta.

Requests go out through `Outbound`, to the one origin that the provider names; pages are followed within it.
A source that asks to wait (429, RFC 6585) is waited for, within a bound.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from altar.adm.errors import ExecutionError
from altar.aesp.identity.login import Login
from altar.aesp.identity.sync import Known, Progress, Pulled

if TYPE_CHECKING:
    from altar.aesp.identity.outbound import Answer, Outbound

__all__ = ["HttpConfiguration", "OktaSource", "ScimSource"]

_PAGE = 200
_MOST_PAGES = 1000
_LONGEST_WAIT = 60.0
_ATTEMPTS = 5
_ALIVE = frozenset({"ACTIVE", "PROVISIONED", "RECOVERY", "PASSWORD_EXPIRED"})


@dataclass(frozen=True, slots=True)
class HttpConfiguration:
    """One source: where its API is, and the token for it; ``tenant`` is the one whose people these are."""

    name: str
    tenant: str
    base: str
    token: str = field(repr=False)


class _Http:
    """What both share: pages, waiting, errors. ``now`` is in seconds since 1970."""

    scheme = "Bearer"

    def __init__(
        self,
        configuration: HttpConfiguration,
        outbound: Outbound,
        *,
        now: Callable[[], float],
        wait: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        """Take the way out, whose purpose ``sync`` lists the origin of the base."""
        self._configuration = configuration
        self._outbound = outbound
        self._now = now
        self._wait = wait

    @property
    def name(self) -> str:
        """Name of the provider in the configuration."""
        return self._configuration.name

    @property
    def tenant(self) -> str:
        """The one tenant whose people these are."""
        return self._configuration.tenant

    async def _get(self, url: str) -> tuple[Answer, Any]:
        """Fetch one page; DEPENDENCY_UNAVAILABLE for what is no JSON, an error, or asks to wait too often."""
        headers = {"authorization": f"{self.scheme} {self._configuration.token}", "accept": "application/json"}
        for _ in range(_ATTEMPTS):
            answer = await self._outbound.get("sync", url, headers=headers)
            if answer.status == 429:
                await self._wait(self._pause(answer))
                continue
            if answer.status != 200:
                raise self._unavailable(f"status {answer.status}")
            try:
                return answer, json.loads(answer.body)
            except ValueError as error:
                raise self._unavailable("no JSON") from error
        raise self._unavailable("it asks to wait again and again")

    def _pause(self, answer: Answer) -> float:
        """Give how long to wait: Retry-After in seconds, or Okta's time of the next window."""
        after, reset = answer.headers.get("retry-after", ""), answer.headers.get("x-rate-limit-reset", "")
        seconds = float(after) if after.isdigit() else float(reset) - self._now() if reset.isdigit() else 1.0
        return min(max(seconds, 0.1), _LONGEST_WAIT)

    def _unavailable(self, why: str) -> ExecutionError:
        return ExecutionError(
            "DEPENDENCY_UNAVAILABLE",
            f"The source {self.name!r} cannot be asked now",
            ran="no",
            hint="check its address and token, or try again later",
            detail=why,
        )


class ScimSource(_Http):
    """A `Source` over a SCIM 2.0 server; who changed is asked by ``meta.lastModified``, groups always in full."""

    async def pull(self, mark: str, progress: Progress) -> Pulled:
        """Tell everybody, or who changed since the mark; as of `Source.pull`."""
        groups = [group async for group in self._pages("Groups", "", progress)]
        digest = str(hash_of(groups))
        before, _, groups_before = mark.rpartition("|")
        since = before if before and groups_before == digest else ""
        wanted = f'meta.lastModified ge "{since}"' if since else ""
        people = [user async for user in self._pages("Users", wanted, progress)]
        latest = max([str(user.get("meta", {}).get("lastModified", "")) for user in people] + [before])
        of = _groups_by_member(groups)
        known = tuple(self._known(user, of) for user in people if user.get("id"))
        return Pulled(known, not since, f"{latest}|{digest}")

    async def _pages(self, kind: str, wanted: str, progress: Progress) -> AsyncIterator[dict[str, Any]]:
        start = 1
        for _ in range(_MOST_PAGES):
            query = {"startIndex": str(start), "count": str(_PAGE)} | ({"filter": wanted} if wanted else {})
            _, page = await self._get(f"{self._configuration.base}/{kind}?{urlencode(query)}")
            found = page.get("Resources") or []
            total = int(page.get("totalResults", 0))
            for each in found:
                yield each
            start += len(found)
            progress(start - 1, total)
            if not found or start > total:
                return
        raise self._unavailable(f"more than {_MOST_PAGES} pages")

    def _known(self, user: dict[str, Any], of: dict[str, set[str]]) -> Known:
        emails = [each for each in user.get("emails") or [] if isinstance(each, dict) and each.get("value")]
        email = next((each for each in emails if each.get("primary")), emails[0] if emails else {})
        login = Login(
            provider=self.name,
            subject=str(user["id"]),
            tenant=self.tenant,
            name=str(user.get("userName", "")),
            display=str(user.get("displayName") or (user.get("name") or {}).get("formatted") or ""),
            email=str(email.get("value", "")),
            groups=tuple(sorted(of.get(str(user["id"]), ()))),
        )
        return Known(login, active=user.get("active") is not False)


class OktaSource(_Http):
    """A `Source` over Okta's API: ``/api/v1/users`` and ``/api/v1/groups``, with pages by ``Link``."""

    scheme = "SSWS"

    async def pull(self, mark: str, progress: Progress) -> Pulled:
        """Tell everybody, or who changed since the mark; as of `Source.pull`."""
        base = f"{self._configuration.base}/api/v1"
        groups = [group async for group in self._pages(f"{base}/groups?limit={_PAGE}", progress)]
        moved = max([str(group.get("lastMembershipUpdated", "")) for group in groups] + [""])
        names = str(hash_of([group.get("profile", {}).get("name") for group in groups]))
        before, _, rest = mark.partition("|")
        since = before if before and rest == f"{moved}|{names}" else ""
        query = {"limit": str(_PAGE)} | ({"search": f'lastUpdated ge "{since}"'} if since else {})
        people = [user async for user in self._pages(f"{base}/users?{urlencode(query)}", progress)]
        of: dict[str, set[str]] = {}
        for group in groups:
            name = str(group.get("profile", {}).get("name", ""))
            async for member in self._pages(f"{base}/groups/{group['id']}/users?limit={_PAGE}", progress):
                of.setdefault(str(member["id"]), set()).add(name)
        latest = max([str(user.get("lastUpdated", "")) for user in people] + [before])
        known = tuple(self._known(user, of) for user in people)
        return Pulled(known, not since, f"{latest}|{moved}|{names}")

    async def _pages(self, url: str, progress: Progress) -> AsyncIterator[dict[str, Any]]:
        done = 0
        for _ in range(_MOST_PAGES):
            answer, page = await self._get(url)
            if not isinstance(page, list):
                raise self._unavailable("no list")
            for each in page:
                yield each
            done += len(page)
            progress(done, None)
            following = _next_of(answer.headers.get("link", ""))
            if not following:
                return
            if urlsplit(following)[:2] != urlsplit(self._configuration.base)[:2]:
                raise self._unavailable("the next page is on another host")
            url = following
        raise self._unavailable(f"more than {_MOST_PAGES} pages")

    def _known(self, user: dict[str, Any], of: dict[str, set[str]]) -> Known:
        profile = user.get("profile") or {}
        names = (str(profile.get("firstName") or ""), str(profile.get("lastName") or ""))
        login = Login(
            provider=self.name,
            subject=str(user["id"]),
            tenant=self.tenant,
            name=str(profile.get("login", "")),
            display=str(profile.get("displayName") or " ".join(name for name in names if name)),
            email=str(profile.get("email") or ""),
            groups=tuple(sorted(of.get(str(user["id"]), ()))),
        )
        return Known(login, active=user.get("status") in _ALIVE)


def _groups_by_member(groups: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Give for each id of a user the names of its groups, also by way of groups in groups."""
    above: dict[str, set[str]] = {}
    names = {str(group.get("id")): str(group.get("displayName", "")) for group in groups}
    for group in groups:
        for member in group.get("members") or []:
            above.setdefault(str(member.get("value")), set()).add(str(group.get("id")))
    found: dict[str, set[str]] = {}
    for id in above.keys() - names.keys():
        reached, todo = set(above[id]), list(above[id])
        while todo:
            new = above.get(todo.pop(), set()) - reached
            reached |= new
            todo.extend(new)
        found[id] = {names[each] for each in reached if names.get(each)}
    return found


def _next_of(header: str) -> str:
    """Give the address of ``rel="next"`` in a Link header (RFC 8288), empty without one."""
    for part in header.split(","):
        found = re.match(r'\s*<([^>]+)>\s*;\s*rel="?next"?', part)
        if found is not None:
            return found.group(1)
    return ""


def hash_of(value: Any) -> str:
    """Give a short word that is another one when the value is another one."""
    import hashlib

    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
