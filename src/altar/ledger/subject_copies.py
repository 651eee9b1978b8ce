"""Sealed copies of the subjects of a log, kept with a log that is in a database.

A log in a database outlives the disk of the host that wrote it; so must what says whom it is about.
Whoever has the database alone learns nothing from them: what a copy is found by is an HMAC, and what is in it is
encrypted and authenticated (AES-256-GCM), both under a key that is a file of the host, kept where its signing key is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple, Protocol

import orjson

from altar.adm.errors import ConfigurationError
from altar.ledger.keyed_hash import mac
from altar.ledger.places import DatabaseLog, Place

__all__ = ["SubjectCopies", "SubjectCopy", "SubjectRows", "copies_of"]

_NONCE_BYTES = 12


class SubjectCopy(NamedTuple):
    """A principal of a tenant, its pseudonym, and the key of its commitments."""

    tenant: str
    principal: str
    pseudonym: str
    key: bytes


class SubjectRows(Protocol):
    """The table that the copies are in; each change is durable on return."""

    def every(self) -> Iterator[tuple[bytes, bytes]]:
        """Give all rows: by what each is found, and what is in it."""

    def put(self, lookup: bytes, sealed: bytes) -> None:
        """Add a row, in the place of one that is there."""

    def remove(self, lookup: bytes) -> None:
        """Take a row away, if it is there."""

    def close(self) -> None:
        """Let go of the database."""


class SubjectCopies:
    """The copies over a table of rows, sealed with one key; for one thread at a time."""

    def __init__(self, rows: SubjectRows, key: bytes) -> None:
        """Take the table and the key of the database."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._rows = rows
        self._lookup_key = sha256(b"altar subjects lookup\x00" + key).digest()
        self._cipher = AESGCM(sha256(b"altar subjects seal\x00" + key).digest())

    def every(self) -> Iterator[SubjectCopy]:
        """Give all copies; ConfigurationError INVALID_CONFIG when one was not sealed with this key."""
        from cryptography.exceptions import InvalidTag

        for lookup, sealed in self._rows.every():
            try:
                plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], lookup)
            except (InvalidTag, ValueError) as error:
                raise ConfigurationError(
                    "INVALID_CONFIG",
                    "The copies of pseudonyms in the database were not sealed with this host's key for it",
                    hint="put back the file of that key, which lies beside the signing key and is backed up with it",
                ) from error
            tenant, principal, pseudonym, key = orjson.loads(plain)
            yield SubjectCopy(tenant, principal, pseudonym, bytes.fromhex(key))

    def keep(self, subject: SubjectCopy) -> None:
        """Keep a copy, durable on return."""
        lookup = self._lookup(subject.tenant, subject.principal)
        plain = orjson.dumps((subject.tenant, subject.principal, subject.pseudonym, subject.key.hex()))
        nonce = os.urandom(_NONCE_BYTES)
        self._rows.put(lookup, nonce + self._cipher.encrypt(nonce, plain, lookup))

    def remove(self, tenant: str, principal: str) -> None:
        """Remove the copy of a subject that is to be forgotten, durable on return."""
        self._rows.remove(self._lookup(tenant, principal))

    def close(self) -> None:
        """Let go of the database."""
        self._rows.close()

    def _lookup(self, tenant: str, principal: str) -> bytes:
        return mac(self._lookup_key, orjson.dumps((tenant, principal)))


def copies_of(place: Place) -> SubjectCopies | None:
    """Open the copies that a log in a database keeps; None for a log in a file, and without a key."""
    if not (isinstance(place, DatabaseLog) and place.key):
        return None
    from altar.ledger.postgres import PostgresSubjects  # only here its driver is needed

    return SubjectCopies(PostgresSubjects(place), place.key)
