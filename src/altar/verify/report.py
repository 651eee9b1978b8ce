"""What a verification answers with: findings, the report, and where a byte of a file belongs.

These are plain values.
A `Finding` names one thing that is wrong and where; a `Report` sums up a whole log; a `Location` says what
one byte is for.
`Findings` is the list that the checks write into while they run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

MOST_FINDINGS = 200
"""How many findings are kept in full; the rest is only counted."""

MOST_OF_A_PAGE = 8
"""How many findings about one page are kept, so that one bad page does not crowd out the others."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    `where` names the place in words: "entry 17", "checkpoint 4096", "page 12: entries leaf, entries 40–57",
    "line 3 (entry 1)".
    `what` says what is wrong with it.
    `seq` is the number of the entry, `page` the page of the database, `offset` the byte in the file at
    which the
    damaged thing begins; each is None where it does not apply.
    """

    where: str
    what: str
    seq: int | None = None
    page: int | None = None
    offset: int | None = None


@dataclass(frozen=True)
class LogReport:
    """What was found out about one of the logs in a file; the members are as in `Report`.

    `removed` counts the entries that were removed by policy: their hashes are there, what they said is not.
    `rotations` is how often the signing key was changed, each time named by the one before.
    `since_proved` is true when it was shown that this log goes on from the checkpoint obtained elsewhere.
    """

    origin: str
    entries: int
    intents: int
    outcomes: int
    open_intents: int
    verified_size: int
    verified_time: int | None
    unsigned_tail: int
    since_proved: bool = False
    removed: int = 0
    rotations: int = 0


@dataclass(frozen=True)
class Report:
    """What was found out about the log, or the logs, in one file.

    `ok` is true only if there is no finding at all.
    `entries`, `intents`, `outcomes` and `open_intents` count what could be read.
    `verified_size` is how many entries, counted from the first, the newest fitting signed checkpoint covers.
    `verified_time` is the time of the last of them, in milliseconds since 1970 UTC, or None.
    `unsigned_tail` is how many entries come after it.
    `statement` says in a few sentences what was proved and what was not.
    `logs` says the same of each log in the file; the numbers above are their sums, and the time is the latest.
    `removed` is the sum over the logs; they are among `entries`.
    `foreign_key` is true when nothing was proved because the log is signed by another key than the one given.
    """

    ok: bool
    kind: Literal["database", "export"]
    origin: str
    entries: int
    intents: int
    outcomes: int
    open_intents: int
    verified_size: int
    verified_time: int | None
    unsigned_tail: int
    findings: tuple[Finding, ...]
    statement: str
    logs: tuple[LogReport, ...] = ()
    foreign_key: bool = False
    removed: int = 0

    @property
    def verdict(self) -> str:
        """Say it in a word or two: ok, DAMAGED, or NOT THE KEY OF THIS LOG."""
        if self.ok:
            return "ok"
        return "NOT THE KEY OF THIS LOG" if self.foreign_key else "DAMAGED"


@dataclass(frozen=True)
class Location:
    """What one byte of a file is for.

    `text` says it in words.
    `used` is false for bytes that carry no meaning, such as the free space of a page: a change there
    changes nothing.
    `seq` is the entry and `page` the page that the byte belongs to, or None.
    """

    text: str
    used: bool
    seq: int | None = None
    page: int | None = None


class Findings:
    """The findings so far; too many of them, or too many about one page, are counted but not kept."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: list[Finding] = []
        self._more = 0
        self._of_page: Counter[int] = Counter()

    def add(
        self,
        where: str,
        what: str,
        *,
        seq: int | None = None,
        page: int | None = None,
        offset: int | None = None,
    ) -> None:
        """Note one thing that is wrong; the arguments are those of `Finding`."""
        if page is not None:
            self._of_page[page] += 1
        if len(self._kept) < MOST_FINDINGS and (page is None or self._of_page[page] <= MOST_OF_A_PAGE):
            self._kept.append(Finding(where, what, seq, page, offset))
        else:
            self._more += 1

    def all(self) -> tuple[Finding, ...]:
        """Return what was found, in the order in which it was found, with a last line for those not kept."""
        if self._more:
            return (*self._kept, Finding("file", f"{self._more} more findings are not listed"))
        return tuple(self._kept)

    def __len__(self) -> int:
        """Return how many things are wrong, kept or not."""
        return len(self._kept) + self._more
