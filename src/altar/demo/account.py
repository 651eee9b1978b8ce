"""What the demo found out: plain values, and the same in words.

Every figure was measured in the run that is told of; nothing is estimated.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Account", "Added", "Check", "Crash", "Flip", "Run", "Verified"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the application: where it ran, its calls, its time, and the digest of its report."""

    source: str
    calls: int
    seconds: float
    digest: str

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds


@dataclass(frozen=True, slots=True)
class Added:
    """What a session adds to one call, one at a time: medians of `calls` calls, in microseconds."""

    calls: int
    plain_us: float
    tool_us: float
    added_us: float


@dataclass(frozen=True, slots=True)
class Crash:
    """A runtime was killed while calls were under way.

    `in_flight` and `sent_again` are read from the audit log, at the entry that says that the runtime was lost.
    """

    runtime: str
    pid: int
    rounds: int
    run: Run
    in_flight: int
    sent_again: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What the auditor's program said of the log."""

    ok: bool
    entries: int
    statement: str


@dataclass(frozen=True, slots=True)
class Flip:
    """What the auditor's program said of a copy in which one bit of the byte at `offset` was flipped."""

    offset: int
    entry: int
    ok: bool
    findings: tuple[str, ...]
    named: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Account:
    """The whole demo: its input, its runs, and which promises were kept."""

    summary: dict[str, Any]
    tls: str
    later: Run
    grid: Run
    added_later: Added
    added_grid: Added
    crash: Crash
    verified: Verified
    flip: Flip
    seconds: float
    directory: str | None

    @property
    def checks(self) -> tuple[Check, ...]:
        """The promises, in the order of the demo."""
        return (
            Check("the connection is TLS 1.3", "TLSv1.3" in self.tls),
            Check("the report of the grid is the report of the one process", self.grid.digest == self.later.digest),
            Check("calls of the killed runtime were sent again", self.crash.sent_again > 0),
            Check("all reports with a killed runtime are the same", self.crash.run.digest == self.later.digest),
            Check("the audit log verifies", self.verified.ok),
            Check("the flipped byte is found and its entry is named", not self.flip.ok and self.flip.named),
        )

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """All figures and checks as JSON values."""
        plain = asdict(self)
        for name in ("later", "grid"):
            plain[name]["calls_per_second"] = getattr(self, name).rate
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks], **plain}

    def to_text(self) -> str:
        """A short account for a reader."""
        summary = self.summary
        families = ", ".join(f"{count} {family}" for family, count in summary["families"].items())
        lines = [
            f"The application audited the {summary['packages']} Python packages of this environment:",
            f"  {summary['files']} files, {summary['size_bytes'] / 1e6:.1f} MB; licenses: {families}.",
            f"  Largest: {', '.join(summary['largest'][:3])}.",
            f"  Most required: {', '.join(summary['most_required'][:3])}.",
            "",
            *_table(self),
            "",
            f"  TLS    {self.tls}, each side with a certificate made on the spot",
            f"  equal  both reports are {self.later.digest[:23]}…",
            f"  crash  {_crash(self.crash)}",
            *_wrapped(f"  audit  {self.verified.entries} entries. {self.verified.statement}"),
            f"  flip   byte {self.flip.offset} of a copy, in entry {self.flip.entry}; the verifier says:",
            *(line for finding in self.flip.findings[:3] for line in _wrapped(f"         - {finding}")),
            "",
            *(f"  {'ok  ' if check.ok else 'FAIL'}  {check.name}" for check in self.checks),
            "",
            f"Done in {self.seconds:.1f} s; {_left(self.directory)}",
        ]
        return "\n".join(lines)


def _table(account: Account) -> list[str]:
    rows = [("", "calls", "seconds", "calls/s", "added per call, one at a time")]
    for place, run, added_time in (
        ("LATER: in its own process", account.later, account.added_later),
        ("GRID: a host, two runtimes", account.grid, account.added_grid),
        (f"GRID: {account.crash.rounds} audits, one runtime killed", account.crash.run, None),
    ):
        rows.append(
            (
                place,
                str(run.calls),
                f"{run.seconds:.2f}",
                f"{run.rate:.0f}",
                _added(added_time) if added_time else "",
            )
        )
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    lines = []
    for where, *figures, added in rows:
        right = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join(("", where.ljust(widths[0]), *right, added)).rstrip())
    return lines


def _added(added: Added) -> str:
    time = f"{added.added_us:.1f} µs" if added.added_us < 1000 else f"{added.added_us / 1000:.2f} ms"
    return f"{time} (median of {added.calls}; the plain function takes {added.plain_us:.1f} µs)"


def _crash(crash: Crash) -> str:
    return (
        f"runtime {crash.runtime} (process {crash.pid}) was killed with {crash.in_flight} calls in flight; "
        f"{crash.sent_again} were sent again, and all {crash.run.calls} were answered"
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 110, subsequent_indent=" " * 9, replace_whitespace=False)


def _left(directory: str | None) -> str:
    return f"its files are in {directory}" if directory else "no process and no file is left behind."
