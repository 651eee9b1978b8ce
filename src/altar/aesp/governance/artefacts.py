"""What is decided before it is in force: versions of policies and the like, from a draft to the end of their use.

::

    DRAFT ──submit──► PENDING_APPROVAL ──activate──► ACTIVE ──(another is activated)──► RETIRED
                                                       ▲                                    │
                                                       └───────────── rollback ─────────────┘

A version is never changed: what changes is a new version.
At most one version of a name is ACTIVE; which one is changed in a single transaction, of which every host is told.
Where review is asked for, only another human than those who wrote a version can activate it, see `humans`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from altar.adm.canonical import digest as digest_of
from altar.adm.errors import ExecutionError, ValidationError
from altar.aesp.governance.artefact_rows import (
    Artefact,
    ArtefactKind,
    Status,
    active_one,
    artefact_in,
    found_one,
    key_of,
    newest_number,
    predecessor_of,
)
from altar.aesp.governance.humans import marks_of
from altar.aesp.governance.reviewers import nobody_behind, require_reviewer
from altar.aesp.principal import Principal
from altar.aesp.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.store.database import Store

__all__ = ["MOST_BYTES", "Artefact", "ArtefactKind", "Artefacts", "Effect", "Status", "Swap", "read_active"]

MOST_BYTES = 256 * 1024
"""Bytes of one version at most."""

MOST_OPEN = 32
"""Versions of one name that may be DRAFT or PENDING_APPROVAL at once."""

MOST_VERSIONS = 10_000
"""Versions of one name that are kept at most."""

_LONGEST_NOTE = 1024
_PAGE = 1000


_ENDED_ALONE = frozenset({ArtefactKind.CONTRACT})
"""Kinds whose end only ever refuses more."""


@dataclass(frozen=True, slots=True)
class Swap:
    """What is ACTIVE now, and what was before; None for nothing."""

    now: Artefact
    before: Artefact | None


Effect = Callable[["Connection", Artefact, int], None]
"""Lets a version hold that is ACTIVE now, or nothing in its place when it was RETIRED; the time is in milliseconds."""


class Artefacts:
    """The versions of all tenants; whoever calls has been authorized for the tenant already."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        review: Collection[ArtefactKind],
        effects: Mapping[ArtefactKind, Effect] | None = None,
    ) -> None:
        """Take the store, a clock in seconds since 1970, and the kinds that another human must have looked at.

        ``effects`` are carried out in the transaction of the swap, so that both hold or neither does.
        """
        self._store = store
        self._clock = clock
        self._review = frozenset(review)
        self._effects = effects or {}

    def needs_review(self, kind: ArtefactKind) -> bool:
        """Tell whether another human than its authors must activate a version of this kind."""
        return kind in self._review

    async def require_author(self, kind: ArtefactKind, by: str) -> None:
        """Return when somebody could review what ``by`` hands in.

        Raises AuthorizationError PERMISSION_DENIED where review is asked for and nobody can tell who is behind ``by``.
        """
        if self.needs_review(kind):
            behind = await self._store.run(lambda c: marks_of(c, by), tenant=None, reads=True)
            if not behind:
                raise nobody_behind(by, "is asking")

    async def draft(
        self, kind: ArtefactKind, name: str, body: str, *, tenant: str, by: str, note: str = "", after: int = 0
    ) -> Artefact:
        """Add a version as DRAFT.

        With ``after`` it takes the place of that DRAFT or PENDING_APPROVAL version, which is RETIRED, and has its
        authors too.
        Raises ValidationError MALFORMED_REQUEST for a body or note that is too large, UNKNOWN_RESOURCE or
        RESOURCE_CONFLICT for an ``after`` that is not there or not open, ExecutionError RESOURCE_EXHAUSTED when too
        many versions are open.
        """
        _require_size(body, note)

        def work(connection: Connection) -> Artefact:
            authors = {by}
            if after:
                replaced = found_one(connection, tenant, kind, name, after)
                _require_status(replaced, (Status.DRAFT, Status.PENDING_APPROVAL), "replaced")
                authors |= set(replaced.authors)
                self._set(connection, replaced, Status.RETIRED, by=by)
            version = _next_version(connection, tenant, kind, name)
            now = self._now_ms()
            connection.execute(
                insert(tables.artefacts).values(
                    tenant=tenant,
                    kind=kind,
                    name=name,
                    version=version,
                    status=Status.DRAFT,
                    body=body,
                    digest=digest_of(body.encode()),
                    note=note,
                    authors=json.dumps(sorted(authors)),
                    against=0,
                    reviewed_by="",
                    changed_by=by,
                    created_ms=now,
                    changed_ms=now,
                    activated_ms=None,
                )
            )
            return found_one(connection, tenant, kind, name, version)

        return await self._store.run(work, tenant=tenant)

    async def submit(self, kind: ArtefactKind, name: str, version: int, *, tenant: str, by: str) -> Artefact:
        """Ask for the review of a version: DRAFT or PENDING_APPROVAL, or RETIRED after it has been ACTIVE.

        It is reviewed against what is ACTIVE now; when that changes meanwhile it is submitted again.
        Raises UNKNOWN_RESOURCE, RESOURCE_CONFLICT when it is ACTIVE or was never in force.
        """

        def work(connection: Connection) -> Artefact:
            found = found_one(connection, tenant, kind, name, version)
            allowed = (Status.DRAFT, Status.PENDING_APPROVAL, *((Status.RETIRED,) if found.activated_ms else ()))
            _require_status(found, allowed, "submitted")
            if found.status is Status.RETIRED:
                _require_room(connection, tenant, kind, name)
            active = active_one(connection, tenant, kind, name)
            authors = json.dumps(sorted({*found.authors, by}))
            against = active.version if active is not None else 0
            return self._set(connection, found, Status.PENDING_APPROVAL, by=by, authors=authors, against=against)

        return await self._store.run(work, tenant=tenant)

    async def activate(
        self, kind: ArtefactKind, name: str, version: int, *, tenant: str, who: Principal, digest: str = ""
    ) -> Swap:
        """Let a version count from now on, in the place of the one that does.

        Where review is asked for it must be PENDING_APPROVAL, and ``who`` a human who is not behind any of its authors.
        ``digest`` is that of what was looked at; empty to take whatever the version is.
        Raises AuthorizationError PERMISSION_DENIED for a reviewer who may not; ValidationError UNKNOWN_RESOURCE, or
        RESOURCE_CONFLICT when it is not what was looked at, in another state, or another version has become ACTIVE
        since it was submitted.
        """
        reviewed = self.needs_review(kind)
        if reviewed:
            seen = await self.show(kind, name, version, tenant=tenant)
            await self._store.run(
                lambda c: require_reviewer(c, who, version=version, authors=seen.authors), tenant=None, reads=True
            )

        def work(connection: Connection) -> Swap:
            found = found_one(connection, tenant, kind, name, version)
            _require_whole(found)
            is_other = reviewed and (seen.digest, seen.authors) != (found.digest, found.authors)
            if is_other or (digest and digest != found.digest):
                raise _conflict(f"Version {version} is not what was looked at", "look at it again")
            waiting = (Status.PENDING_APPROVAL,) if reviewed else (Status.DRAFT, Status.PENDING_APPROVAL)
            _require_status(found, waiting, "activated")
            before = active_one(connection, tenant, kind, name)
            now_active = before.version if before is not None else 0
            if found.status is Status.PENDING_APPROVAL and found.against != now_active:
                raise _conflict(
                    f"Version {version} was compared with {_named(found.against)},"
                    f" and {_named(now_active)} is ACTIVE now",
                    "look at what it would change now, and submit it again",
                )
            return self._swap(connection, found, before, by=who.id, reviewed_by=who.id if reviewed else "")

        return await self._store.run(work, tenant=tenant)

    async def rollback(self, kind: ArtefactKind, name: str, *, tenant: str, by: str) -> Swap:
        """Let the version that was ACTIVE before this one count again, at once and without another review.

        Only that one: an older version is submitted again.
        Raises RESOURCE_CONFLICT when there is none.
        """

        def work(connection: Connection) -> Swap:
            before = active_one(connection, tenant, kind, name)
            found = predecessor_of(connection, tenant, kind, name)
            if found is None:
                raise _conflict("There is no version that was ACTIVE before", "activate one")
            _require_whole(found)
            return self._swap(connection, found, before, by=by, reviewed_by=found.reviewed_by)

        return await self._store.run(work, tenant=tenant)

    async def predecessor(self, kind: ArtefactKind, name: str, *, tenant: str) -> Artefact | None:
        """Give the version that a rollback would activate, None when there is none."""
        return await self._store.run(lambda c: predecessor_of(c, tenant, kind, name), tenant=tenant, reads=True)

    async def retire(self, kind: ArtefactKind, name: str, version: int, *, tenant: str, by: str) -> Artefact:
        """End a version: it does not count, or is not asked for any more.

        Raises RESOURCE_CONFLICT when it is RETIRED, or ACTIVE where review is asked for: nobody takes away alone what
        two agreed on.
        """

        def work(connection: Connection) -> Artefact:
            found = found_one(connection, tenant, kind, name, version)
            _require_status(found, (Status.DRAFT, Status.PENDING_APPROVAL, Status.ACTIVE), "retired")
            if found.status is Status.ACTIVE and self.needs_review(kind) and kind not in _ENDED_ALONE:
                raise _conflict(
                    f"Version {version} is ACTIVE, and one person cannot take it away",
                    "let another version be reviewed in its place, also an empty one",
                )
            made = self._set(connection, found, Status.RETIRED, by=by)
            if found.status is Status.ACTIVE:
                self._take_effect(connection, made)
            return made

        return await self._store.run(work, tenant=tenant)

    async def delete(self, kind: ArtefactKind, name: str, version: int, *, tenant: str) -> Artefact:
        """Remove a version that never counted; RESOURCE_CONFLICT for one that did.

        Of the newest its number stays, RETIRED and empty: it is never given to another text, which somebody who looked
        at this one might activate.
        """

        def work(connection: Connection) -> Artefact:
            found = found_one(connection, tenant, kind, name, version)
            if found.activated_ms or found.status is Status.ACTIVE:
                raise _conflict(f"Version {version} has been in force, and is kept", "retire it instead")
            if found.version == newest_number(connection, tenant, kind, name):
                self._set(
                    connection, found, Status.RETIRED, by=found.changed_by, body="", digest=digest_of(b""), note=""
                )
            else:
                connection.execute(delete(tables.artefacts).filter_by(**key_of(found)))
            return found

        return await self._store.run(work, tenant=tenant)

    async def show(self, kind: ArtefactKind, name: str, version: int = 0, *, tenant: str) -> Artefact:
        """Give a version with its body; 0 is the ACTIVE one. UNKNOWN_RESOURCE when there is none."""

        def work(connection: Connection) -> Artefact:
            if version:
                return found_one(connection, tenant, kind, name, version)
            active = active_one(connection, tenant, kind, name)
            if active is None:
                raise ValidationError(
                    "UNKNOWN_RESOURCE", f"No {kind} is ACTIVE in this tenant", hint="activate a version"
                )
            return active

        return await self._store.run(work, tenant=tenant, reads=True)

    async def newest(self, kind: ArtefactKind, *, tenant: str, after: str = "", limit: int = 100) -> list[Artefact]:
        """Give the newest version of each name with its body, by name: those behind ``after``; for small bodies."""
        table = tables.artefacts
        other = table.alias()

        def work(connection: Connection) -> list[Artefact]:
            newest = (
                select(func.max(other.c.version))
                .where(other.c.tenant == table.c.tenant, other.c.kind == table.c.kind, other.c.name == table.c.name)
                .correlate(table)
                .scalar_subquery()
            )
            query = select(table).where(table.c.tenant == tenant, table.c.kind == kind, table.c.name > after)
            query = query.where(table.c.version == newest).order_by(table.c.name).limit(min(limit, _PAGE))
            return [artefact_in(row) for row in connection.execute(query)]

        return await self._store.run(work, tenant=tenant, reads=True)

    async def listed(
        self, kind: ArtefactKind, name: str, *, tenant: str, before: int = 0, limit: int = 100
    ) -> tuple[Artefact, ...]:
        """Give versions without their bodies, the newest first: those before ``before``, at most ``limit``."""
        table = tables.artefacts
        columns = [column for column in table.c if column.name != "body"]

        def work(connection: Connection) -> tuple[Artefact, ...]:
            query = select(*columns).filter_by(tenant=tenant, kind=kind, name=name)
            if before:
                query = query.where(table.c.version < before)
            found = connection.execute(query.order_by(table.c.version.desc()).limit(min(limit, _PAGE)))
            return tuple(artefact_in(row) for row in found)

        return await self._store.run(work, tenant=tenant, reads=True)

    def _swap(
        self, connection: Connection, found: Artefact, before: Artefact | None, *, by: str, reviewed_by: str
    ) -> Swap:
        if before is not None:
            before = self._set(connection, before, Status.RETIRED, by=by)
        made = self._set(
            connection, found, Status.ACTIVE, by=by, reviewed_by=reviewed_by, activated_ms=self._after(before)
        )
        self._take_effect(connection, made)
        return Swap(made, before)

    def _take_effect(self, connection: Connection, made: Artefact) -> None:
        effect = self._effects.get(made.kind)
        if effect is not None:
            effect(connection, made, self._now_ms())

    def _after(self, before: Artefact | None) -> int:
        """Now, but later than when the one before was activated, so that their order is kept."""
        return max(self._now_ms(), before.activated_ms + 1 if before is not None else 1)

    def _set(self, connection: Connection, found: Artefact, status: Status, *, by: str, **more: Any) -> Artefact:
        """Move a version on; RESOURCE_CONFLICT when somebody else has done so meanwhile."""
        table = tables.artefacts
        values = {"status": status, "changed_by": by, "changed_ms": self._now_ms(), **more}
        where = {**key_of(found), "status": found.status}
        if connection.execute(update(table).filter_by(**where).values(**values)).rowcount != 1:
            raise _conflict(f"Version {found.version} was changed meanwhile", "look at it again")
        return found_one(connection, found.tenant, found.kind, found.name, found.version)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def read_active(connection: Connection, kind: ArtefactKind, name: str, *, tenant: str) -> Artefact | None:
    """Give what is ACTIVE in a tenant, None for nothing.

    Raises ExecutionError INTERNAL when its body is not the one that was activated.
    """
    found = active_one(connection, tenant, kind, name)
    if found is not None:
        _require_whole(found)
    return found


def _require_size(body: str, note: str) -> None:
    if len(body.encode()) > MOST_BYTES or len(note) > _LONGEST_NOTE:
        raise ValidationError(
            "MALFORMED_REQUEST",
            "The version is too large",
            ran="no",
            hint=f"at most {MOST_BYTES} bytes, with a note of at most {_LONGEST_NOTE} characters",
        )


def _require_status(found: Artefact, allowed: Collection[Status], what: str) -> None:
    if found.status not in allowed:
        wanted = " or ".join(allowed)
        raise _conflict(f"Version {found.version} is {found.status}, and cannot be {what}", f"it must be {wanted}")


def _require_whole(found: Artefact) -> None:
    if not found.is_whole:
        raise ExecutionError(
            "INTERNAL",
            f"The body of version {found.version} is not the one that was handed in",
            ran="no",
            hint="somebody has changed the database; hand the version in again",
            detail=f"{found.kind} {found.name!r} of {found.tenant!r}: {found.digest}",
        )


def _next_version(connection: Connection, tenant: str, kind: ArtefactKind, name: str) -> int:
    _require_room(connection, tenant, kind, name)
    newest = newest_number(connection, tenant, kind, name)
    if newest >= MOST_VERSIONS:
        raise ExecutionError(
            "RESOURCE_EXHAUSTED", f"There are {MOST_VERSIONS} versions already", ran="no", hint="use another name"
        )
    return newest + 1


def _require_room(connection: Connection, tenant: str, kind: ArtefactKind, name: str) -> None:
    table = tables.artefacts
    waiting = (Status.DRAFT, Status.PENDING_APPROVAL)
    query = select(func.count()).select_from(table).filter_by(tenant=tenant, kind=kind, name=name)
    if connection.execute(query.where(table.c.status.in_(waiting))).scalar_one() >= MOST_OPEN:
        raise ExecutionError(
            "RESOURCE_EXHAUSTED",
            f"{MOST_OPEN} versions wait for a decision already",
            ran="no",
            hint="retire those that nobody needs",
        )


def _named(version: int) -> str:
    return f"version {version}" if version else "no version"


def _conflict(message: str, hint: str) -> ValidationError:
    return ValidationError("RESOURCE_CONFLICT", message, ran="no", hint=hint)
