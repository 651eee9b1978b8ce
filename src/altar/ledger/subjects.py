"""Who a pseudonym of the log stands for, in a database beside it, until that is to be forgotten.

In a log that is kept for long, a principal is a random pseudonym (``p-`` and 16 hexadecimal digits), and the digests of
arguments and results are commitments: nobody can find by trying what they are of, without a key.
Pseudonym and key of a subject, that is a principal of a tenant, are in the file of the log's name with ``.subjects``
behind it.
`Subjects.destroy` deletes both for good: the entries still verify, but neither who called nor what can be recovered
from them, nor confirmed.

A commitment is ``hmac-sha256:`` and the HMAC-SHA-256 of the text of the digest, under the salt of the call; the salt is
the HMAC of the invocation's id under the key of the subject.
Who has the payload and the salt of one call can show that they belong together, and learns nothing about other calls.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from altar.adm.errors import AltarError, ExecutionError
from altar.ledger.beside import UNREADABLE, Beside, Layout, Then, Work, seal
from altar.ledger.keyed_hash import mac
from altar.ledger.sqlite import Connection, translated
from altar.ledger.subject_copies import SubjectCopies, SubjectCopy

__all__ = ["Subject", "Subjects", "commitment", "mac", "read_names", "subjects_path"]

_KEPT = 65_536
"""Subjects that are kept in memory; another one is read from the file when it is needed."""

_SELECT = "SELECT tenant, principal, pseudonym, key, seal FROM subjects"


@dataclass(frozen=True, slots=True)
class Subject:
    """A principal as the log has it: its pseudonym, and the key under which commitments are made for it."""

    pseudonym: str
    key: bytes = field(repr=False)

    def salt(self, invocation: str) -> bytes:
        """Give the salt of one call."""
        return mac(self.key, invocation.encode())


def commitment(salt: bytes, digest: str) -> str:
    """Commit to a digest, such as ``sha256:…`` of arguments, under the salt of its call."""
    return "hmac-sha256:" + mac(salt, digest.encode()).hex()


class Subjects(Beside):
    """The subjects of one host's logs: `of` gives one, `name_of` looks one up, `destroy` forgets one."""

    layout = Layout(
        0x414C5456,  # "ALTV"
        1,
        (
            (
                "CREATE TABLE subjects (tenant TEXT, principal TEXT, pseudonym TEXT NOT NULL UNIQUE,"
                " key BLOB NOT NULL, seal BLOB NOT NULL, PRIMARY KEY (tenant, principal)) WITHOUT ROWID"
            ),
        ),
        what="Pseudonyms and their keys",
        without="subjects",
    )

    def __init__(
        self, path: str | Path, *, on_failure: Callable[[AltarError], None], copies: SubjectCopies | None = None
    ) -> None:
        """Open the file, or begin a new one; see `Beside` for what is raised.

        With `copies` each subject is kept there too, and what the file has not is taken from there.
        """
        self._kept: OrderedDict[tuple[str, str], Subject] = OrderedDict()
        self._copies = copies
        self._is_owing = False  # somebody is to be forgotten, and could not be yet
        super().__init__(path, on_failure=on_failure, deliver=_here)
        if copies is not None:
            try:
                self._agree_with(copies)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the file and of the copies; calling it again does nothing."""
        super().close()
        if self._copies is not None:
            self._copies.close()

    def of(self, tenant: str, principal: str) -> Subject:
        """Give the subject; a new one is made, and is durable on return, which waits for the disk once in its life.

        Raises ExecutionError LOG_UNAVAILABLE when the file cannot be read or written, ConfigurationError LOG_DAMAGED.
        """
        found = self._kept.get((tenant, principal))
        if found is None:
            made: list[Subject] = []
            self._wait(self._making(tenant, principal, made))
            found = made[0]  # in memory it may be forgotten again by now
        return found

    def find(self, tenant: str, principal: str) -> Subject | None:
        """Give the subject if there is one, and make none; waits for the file. Raises as `of` does."""
        rows: list[tuple[str, str, str, bytes, bytes]] = []
        work = _Asked()

        def look(connection: Connection) -> None:
            rows.extend(connection.execute(f"{_SELECT} WHERE tenant = ? AND principal = ?", (tenant, principal)))

        work.read = self._careful(work, look)
        self._wait(work)
        for _, _, pseudonym, key, sealed in rows:
            if sealed != seal(tenant, principal, pseudonym, key):
                raise self._damaged(f"the row of {pseudonym!r}")
            return Subject(pseudonym, key)
        return None

    def prepare(self, tenant: str, principal: str, then: Then) -> None:
        """See to it that `of` need not wait for this principal; `then` is called when that is so.

        It is called in another thread, or here when there is nothing to wait for.
        """
        if (tenant, principal) in self._kept:
            then(None)
            return
        work = self._making(tenant, principal)
        failed = work.failed
        work.then = lambda error: then(failed[0] if failed and error is None else error)
        self.put(work)

    def name_of(self, pseudonym: str) -> tuple[str, str] | None:
        """Give tenant and principal of a pseudonym; None when nobody knows any more, or ever did."""
        rows: list[tuple[str, str, str, bytes, bytes]] = []
        work = _Asked()

        def look(connection: Connection) -> None:
            rows.extend(connection.execute(f"{_SELECT} WHERE pseudonym = ?", (pseudonym,)))

        work.read = self._careful(work, look)
        self._wait(work)
        for tenant, principal, name, key, sealed in rows:
            if sealed == seal(tenant, principal, name, key):
                return tenant, principal
        return None

    def applied(self) -> int:
        """Give the ``seq`` before which everybody of whom the log says that they were forgotten is; 0 if unknown."""
        rows: list[tuple[str, bytes]] = []
        work = _Asked()

        def look(connection: Connection) -> None:
            rows.extend(connection.execute("SELECT pseudonym, seal FROM subjects WHERE tenant = '' AND principal = ''"))

        work.read = self._careful(work, look)
        self._wait(work)
        return next((int(at[4:]) for at, sealed in rows if sealed == seal("", "", at, b"")), 0)

    def note_applied(self, size: int) -> None:
        """Note that all are forgotten of whom the log says so before ``seq`` `size`; not while one is only half."""
        if not self._is_owing:
            at = f"seq-{size}"
            row = ("", "", at, b"", seal("", "", at, b""))
            work = _Asked([("INSERT OR REPLACE INTO subjects VALUES (?,?,?,?,?)", row)])
            self._wait(work)

    def destroy(self, tenant: str, principal: str) -> bool:
        """Forget a subject for good, durable on return; False when there is none.

        What SQLite had of it in its files is written over.
        Raises ExecutionError LOG_UNAVAILABLE, also while another program reads the file, so that this cannot be done:
        ask again then.
        """
        there: list[object] = []
        work = _Asked()

        def delete(connection: Connection) -> None:
            self._kept.pop((tenant, principal), None)
            where = "WHERE tenant = ? AND principal = ?"
            if self._copies is not None:
                self._copies.remove(tenant, principal)
            there.extend(connection.execute(f"SELECT 1 FROM subjects {where}", (tenant, principal)))  # noqa: S608 - our own words
            list(connection.execute(f"DELETE FROM subjects {where}", (tenant, principal)))  # noqa: S608 - our own words
            ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if busy:  # a reader holds on to the pages as they were
                raise ExecutionError(
                    "LOG_UNAVAILABLE",
                    f"The subject is deleted, and its traces in {self.path!r} are not: another program is reading them",
                    hint="end what reads the file, and ask again; a host that stops removes them too",
                    ran="unknown",
                )

        work.read = self._careful(work, delete)
        self._is_owing = True
        self._wait(work)
        self._is_owing = False
        return bool(there)

    def _agree_with(self, copies: SubjectCopies) -> None:
        """Take in what the copies have and the file has not, and the other way round; before anything is asked."""
        execute = self._connection.execute
        copied = set()
        for row in copies.every():
            copied.add(row.pseudonym)
            found = list(execute(f"{_SELECT} WHERE tenant = ? AND principal = ?", row[:2]))
            if not found or found[0][2] != row.pseudonym:
                list(execute("INSERT OR REPLACE INTO subjects VALUES (?,?,?,?,?)", (*row, seal(*row))))
                # whoever put it there may have kept it since before its subject was forgotten: all is looked at again
                list(execute("DELETE FROM subjects WHERE tenant = '' AND principal = ''"))
        for *row, sealed in list(execute(f"{_SELECT} WHERE principal <> ''")):
            if row[2] not in copied and sealed == seal(*row):
                copies.keep(SubjectCopy(*row))

    def _making(self, tenant: str, principal: str, told: list[Subject] | None = None) -> _Asked:
        """Work that reads a subject into memory and into `told`, and makes it first where there is none."""
        work = _Asked()

        def keep(subject: Subject) -> None:
            self._keep(tenant, principal, subject)
            if told is not None:
                told.append(subject)

        def read_or_make(connection: Connection) -> None:
            rows = connection.execute(f"{_SELECT} WHERE tenant = ? AND principal = ?", (tenant, principal))
            for _, _, pseudonym, key, sealed in rows:
                if sealed != seal(tenant, principal, pseudonym, key):
                    raise self._damaged(f"the row of {pseudonym!r}")
                keep(Subject(pseudonym, key))
                return
            made = Subject(f"p-{secrets.token_hex(8)}", secrets.token_bytes(32))
            row = SubjectCopy(tenant, principal, made.pseudonym, made.key)
            if self._copies is not None:
                self._copies.keep(row)
            list(connection.execute("INSERT INTO subjects VALUES (?,?,?,?,?)", (*row, seal(*row))))
            keep(made)

        work.read = self._careful(work, read_or_make)
        return work

    def _careful(self, work: _Asked, read: Callable[[Connection], None]) -> Callable[[Connection], None]:
        """What is damaged is told to who asked; what cannot be written ends the store, as in any other."""

        def carefully(connection: Connection) -> None:
            try:
                read(connection)
            except AltarError as error:
                work.failed.append(error)
            except sqlite3.OperationalError:
                raise
            except UNREADABLE as error:
                work.failed.append(self._damaged(str(error)))

        return carefully

    def _keep(self, tenant: str, principal: str, subject: Subject) -> None:
        self._kept[tenant, principal] = subject
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def _wait(self, work: _Asked) -> None:
        done = threading.Event()

        def then(error: AltarError | None) -> None:
            if error is not None:
                work.failed.append(error)
            done.set()

        work.then = then
        self.put(work)
        done.wait()
        if work.failed:
            raise work.failed[0]


@dataclass(slots=True)
class _Asked(Work):
    """Work of which somebody waits to hear what went wrong."""

    failed: list[AltarError] = field(default_factory=list)


def subjects_path(ledger: str | Path) -> Path:
    """Where the subjects of the logs at this path are."""
    return Path(f"{os.fspath(ledger)}.subjects")


def read_names(ledger: str | Path) -> dict[str, tuple[str, str]]:
    """Read, beside a host that may be running, tenant and principal of every pseudonym of the logs at this path.

    Empty where nobody has a pseudonym. Raises ConfigurationError LOG_DAMAGED, ExecutionError LOG_UNAVAILABLE.
    """
    path = subjects_path(ledger)
    if not path.is_file():
        return {}
    with (
        translated(str(path)),
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as db,
    ):
        rows = db.execute(f"{_SELECT} WHERE principal <> ''").fetchall()
    return {
        pseudonym: (tenant, principal)
        for tenant, principal, pseudonym, key, sealed in rows
        if sealed == seal(tenant, principal, pseudonym, key)
    }


def _here(function: Callable[[], None]) -> None:
    function()
