"""Which human is behind a principal, so that one person with two accounts is not taken for two.

A human is known by marks: the id of a principal, its e-mail address, its subject at an identity provider, and the same
of whoever owns a service account or has seen a key of it.
Two principals that share a mark are one human.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from altar.aesp.principal import PrincipalKind
from altar.aesp.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["OWNER", "marks_of"]

OWNER = "owner"
"""The attribute of a service account that names the principal who answers for it."""

_CERTIFICATE = "cert:"  # how the names of accounts of certificates begin
_HOLDERS = "key_holders"  # as `owners` writes it, which builds on this module


def marks_of(connection: Connection, principal_id: str) -> frozenset[str]:
    """Give what tells the human behind a principal, over a connection that sees its tenant.

    Empty when nobody is known to be behind it: a service account without an owner, a certificate, one that is gone.
    """
    row = _row(connection, principal_id)
    if row is None:
        return frozenset()
    of_certificate = row.name.startswith(_CERTIFICATE)
    if row.kind == PrincipalKind.USER and not of_certificate:
        return frozenset(_marks(connection, row))
    behind = [_row(connection, one) for one in _people_of(row)]
    if of_certificate and row.email:
        behind.append(row)
    return frozenset(
        mark for one in behind if one is not None and one.kind == PrincipalKind.USER for mark in _marks(connection, one)
    )


def _row(connection: Connection, principal_id: str) -> Any:
    tenant, _, name = principal_id.partition("/")
    return connection.execute(select(tables.principals).filter_by(tenant=tenant, name=name)).one_or_none()


def _marks(connection: Connection, row: Any) -> Iterator[str]:
    yield f"id:{row.tenant}/{row.name}"
    if row.email:
        yield f"email:{_plain(row.email)}"
    links = connection.execute(select(tables.external_ids).filter_by(tenant=row.tenant, principal=row.name))
    for link in links:
        yield f"subject:{link.provider}/{link.subject}"


def _plain(email: str) -> str:
    """Give an address without what its holder may vary: case, and a tag behind ``+``."""
    local, at, domain = email.strip().casefold().rpartition("@")
    return f"{local.partition('+')[0]}{at}{domain}"


def _people_of(row: Any) -> Iterator[str]:
    """Give the ids of those who made a service account or hold a key of it."""
    try:
        attributes = json.loads(row.attributes or "{}")
    except ValueError:
        return
    if not isinstance(attributes, dict):
        return
    for one in (str(attributes.get(OWNER, "")), *str(attributes.get(_HOLDERS, "")).split()):
        if one:
            yield one if "/" in one else f"{row.tenant}/{one}"
