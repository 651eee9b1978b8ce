"""Versions as the store has them: their values, and reading them over a connection."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from altar.adm.canonical import digest as digest_of
from altar.aesp.store import tables
from altar.aesp.store.people import unknown

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "Artefact",
    "ArtefactKind",
    "Status",
    "active_one",
    "active_ones",
    "artefact_in",
    "found_one",
    "key_of",
    "newest_number",
    "predecessor_of",
]


class ArtefactKind(StrEnum):
    """What a version is a version of."""

    POLICY = "policy"
    CONTRACT = "contract"
    ROLE = "role"
    PRICE = "price"
    CONFIGURATION = "configuration"


class Status(StrEnum):
    """Where a version stands between its author and its use; only ACTIVE counts."""

    DRAFT = "DRAFT"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One version of something; times are milliseconds since 1970.

    ``body`` is its text as it was handed in, "" where only a list was asked for; ``digest`` is that of the text.
    ``authors`` are the ids of those who wrote or submitted it; ``against`` the version that was ACTIVE when it was
    submitted, 0 for none; ``activated_ms`` is when it was last activated, 0 for never.
    """

    tenant: str
    kind: ArtefactKind
    name: str
    version: int
    status: Status
    digest: str
    note: str
    authors: tuple[str, ...]
    against: int
    reviewed_by: str
    changed_by: str
    created_ms: int
    changed_ms: int
    activated_ms: int
    body: str = field(default="", repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether the body is the one that was handed in."""
        return digest_of(self.body.encode()) == self.digest


def newest_number(connection: Connection, tenant: str, kind: ArtefactKind, name: str) -> int:
    """Give the number of the newest version, 0 for none."""
    query = select(func.max(tables.artefacts.c.version)).filter_by(tenant=tenant, kind=kind, name=name)
    return int(connection.execute(query).scalar_one_or_none() or 0)


def found_one(connection: Connection, tenant: str, kind: ArtefactKind, name: str, version: int) -> Artefact:
    """Give a version of a tenant; ValidationError UNKNOWN_RESOURCE when there is none."""
    where = {"tenant": tenant, "kind": kind, "name": name, "version": version}
    row = connection.execute(select(tables.artefacts).filter_by(**where)).one_or_none()
    if row is None:
        raise unknown("version", str(version))
    return artefact_in(row)


def active_one(connection: Connection, tenant: str, kind: ArtefactKind, name: str) -> Artefact | None:
    """Give the version that is ACTIVE, None for none."""
    where = {"tenant": tenant, "kind": kind, "name": name, "status": Status.ACTIVE}
    row = connection.execute(select(tables.artefacts).filter_by(**where)).one_or_none()
    return None if row is None else artefact_in(row)


def active_ones(connection: Connection, kind: ArtefactKind, *, tenant: str) -> list[Artefact]:
    """Give the ACTIVE versions of a kind, one for each name, by name."""
    query = select(tables.artefacts).filter_by(tenant=tenant, kind=kind, status=Status.ACTIVE)
    return [artefact_in(row) for row in connection.execute(query.order_by(tables.artefacts.c.name))]


def predecessor_of(connection: Connection, tenant: str, kind: ArtefactKind, name: str) -> Artefact | None:
    """Give the version that was ACTIVE last before the one that is, None for none."""
    table = tables.artefacts
    query = select(table).filter_by(tenant=tenant, kind=kind, name=name, status=Status.RETIRED)
    query = query.where(table.c.activated_ms.is_not(None)).order_by(table.c.activated_ms.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else artefact_in(row)


def key_of(found: Artefact) -> dict[str, Any]:
    """Give the primary key of a version."""
    return {"tenant": found.tenant, "kind": found.kind, "name": found.name, "version": found.version}


def artefact_in(row: Any) -> Artefact:
    """Give the version in a row; its body is "" where the row has none."""
    return Artefact(
        tenant=row.tenant,
        kind=ArtefactKind(row.kind),
        name=row.name,
        version=row.version,
        status=Status(row.status),
        digest=row.digest,
        note=row.note,
        authors=tuple(json.loads(row.authors)),
        against=row.against,
        reviewed_by=row.reviewed_by,
        changed_by=row.changed_by,
        created_ms=row.created_ms,
        changed_ms=row.changed_ms,
        activated_ms=row.activated_ms or 0,
        body=getattr(row, "body", ""),
    )
