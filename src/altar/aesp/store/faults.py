"""What a database says when it refuses, as errors of ALTAR: one table for both drivers."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError

from altar.adm.errors import AltarError, ExecutionError, ValidationError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

__all__ = ["is_conflict", "malformed", "translated"]

_RETRIED = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_UNIQUE = frozenset({"23505"})
_REFERENCE = frozenset({"23503"})
_SQLITE_UNIQUE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


def is_conflict(error: DBAPIError) -> bool:
    """Tell whether the same transaction may well succeed when it is run again."""
    if getattr(error.orig, "sqlstate", None) in _RETRIED:
        return True
    return getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY_SNAPSHOT


def translated(error: DBAPIError) -> AltarError:
    """Give the error to raise instead; its detail holds no value of any row.

    RESOURCE_CONFLICT for what is there already, UNKNOWN_RESOURCE for a reference to what is not there,
    MALFORMED_REQUEST for a value that the column refuses, DEPENDENCY_UNAVAILABLE for a database that cannot be reached
    or is held by another process, INTERNAL for the rest.
    """
    state = str(getattr(error.orig, "sqlstate", None) or "")
    number = int(getattr(error.orig, "sqlite_errorcode", 0))
    detail = f"{type(error.orig).__name__} {state or number}"
    if state in _UNIQUE or number in _SQLITE_UNIQUE:
        return ValidationError(
            "RESOURCE_CONFLICT",
            "There is one of that name already",
            hint="choose another name, or change the one that is there",
            detail=detail,
        )
    if state in _REFERENCE or number == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return ValidationError(
            "UNKNOWN_RESOURCE",
            "Something that this names is not there",
            hint="create it first, or correct its name",
            detail=detail,
        )
    if isinstance(error, DataError) or state.startswith("23") or number & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return malformed(detail)
    if state.startswith(("08", "53", "57")) or not (state or number) or number & 0xFF in _SQLITE_AWAY:
        return ExecutionError(
            "DEPENDENCY_UNAVAILABLE",
            "The store of tenants and roles cannot be reached",
            hint="nothing was changed; see the log of the host for the cause, then repeat it",
            detail=detail,
            ran="no",
        )
    return ExecutionError("INTERNAL", "The store of tenants and roles refused a statement", detail=detail, ran="no")


def malformed(detail: str) -> ValidationError:
    """Make the error for a value that no column takes."""
    return ValidationError(
        "MALFORMED_REQUEST",
        "A value cannot be kept as it is",
        hint="it may be too long, or hold a character that is none",
        detail=detail,
    )


_SQLITE_AWAY = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
)
