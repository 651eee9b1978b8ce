"""Look through code and dependencies, and write what was found to ``build/security/``.

=============  ==========================================================================================
static         bandit over ``src/altar``; what a comment in the code judges, and what ``ACCEPTED`` says, is no finding
licences       of everything that comes along (`scripts.licences`)
advisories     of every version in the lock files (`scripts.advisories`)
parts          the list of parts of what comes along, ``altar-ai.cdx.json`` (CycloneDX)
controls       the page of controls is up to date and each test on it exists (`scripts.generate_controls`)
=============  ==========================================================================================

``--advisories FOLDER`` reads advisories from a folder instead of asking a service.
``--only NAME`` takes one step.
Exit status: 0 when nothing was found, 1 when something was, or when a step could not look at what it is for.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import advisories, generate_controls, licences  # noqa: E402 - found by the line above

OUT = ROOT / "build" / "security"
TOOLS = ROOT / ".cache" / "security" / "bin"
LOCKS: Final = tuple(ROOT / "requirements" / name for name in ("dev.lock", "providers.lock", "release.lock"))

ACCEPTED: Final = {
    "B404": "a program that starts programs imports subprocess; how they are started is judged at each place",
    "B603": "a list of arguments and no shell is the safe form",
    "B607": "git, xmlsec1 and altar are found by PATH on purpose",
}
"""Rules that are no finding anywhere, and why."""

ACCEPTED_AT: Final = {
    ("B105", "src/altar/adm/codes.py"): "INVALID_CREDENTIALS is the name of an error",
    ("B311", "src/altar/grid/telemetry.py"): "ids of traces, and a share of them; neither is a secret",
    ("B405", "src/altar/aesp/identity/saml_document.py"): "only the type; the parser is defusedxml",
}
"""Findings in one file that are none, and why."""

STALE: Final = 30
"""Days after which a folder of advisories says nothing about today."""

_JUDGED_HERE = re.compile(r"# noqa: (?P<codes>[A-Z]+\d+(?:, ?[A-Z]+\d+)*)")
_JUDGED_IN_FILE = re.compile(r"^# ruff: noqa: (?P<codes>[A-Z]+\d+(?:, ?[A-Z]+\d+)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """How one step went: whether all is well, one sentence, and the lines behind it."""

    ok: bool
    said: str
    lines: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Take every step, or the one that is named; print how each went; return the exit status."""
    asked = argparse.ArgumentParser(description="Look through code and dependencies.")
    asked.add_argument("--only", choices=["static", "licences", "advisories", "parts", "controls"])
    asked.add_argument("--advisories", type=Path, help="a folder of advisories in the form of OSV")
    told = asked.parse_args(arguments)
    steps: dict[str, Callable[[], Step]] = {
        "static": static,
        "licences": judge_licences,
        "advisories": partial(look_up, told.advisories),
        "parts": list_parts,
        "controls": check_controls,
    }
    OUT.mkdir(parents=True, exist_ok=True)
    ok = True
    for name, step in steps.items():
        if told.only in {None, name}:
            done = step()
            ok &= done.ok
            print(f"{'ok  ' if done.ok else 'FAIL'}  {name:11} {done.said}", *done.lines, sep="\n        ")
    return 0 if ok else 1


def static() -> Step:
    """Run bandit over the package; a finding is one that nobody judged in the code or above."""
    report = OUT / "static.json"
    generated = ROOT / "src" / "altar" / "_proto"
    command: list[str | Path] = [
        TOOLS / "bandit",
        "-q",
        "-r",
        "src/altar",
        "-x",
        str(generated),
        "-f",
        "json",
        "-o",
        report,
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not report.exists() or run.returncode not in {0, 1}:
        return Step(ok=False, said="bandit did not run", lines=run.stderr.splitlines()[-3:])
    told = json.loads(report.read_text())
    if told["errors"]:
        return Step(ok=False, said="bandit could not read every file", lines=[str(one) for one in told["errors"]])
    found = list(unjudged(told["results"], root=ROOT, accepted=ACCEPTED_AT))
    return Step(ok=not found, said=f"{len(told['results'])} findings of bandit, {len(found)} not judged", lines=found)


def unjudged(
    results: Iterable[Mapping[str, Any]], *, root: Path, accepted: Mapping[tuple[str, str], str]
) -> Iterator[str]:
    """Yield a line for each finding of bandit that neither this file nor a comment of the code accepts.

    ``accepted`` is as `ACCEPTED_AT`; what it accepts and bandit does not find is told as well.
    The rules of ruff have the numbers of bandit's, with S for B, so that a place is judged once for both.
    """
    needless = set(accepted)
    for one in results:
        rule, name = str(one["test_id"]), str(one["filename"]).removeprefix("./")
        needless.discard((rule, name))
        if rule in ACCEPTED or (rule, name) in accepted:
            continue
        text = (root / name).read_text()
        span = one.get("line_range") or [one["line_number"]]
        here = "\n".join(text.splitlines()[min(span) - 1 : max(span)])
        said = [*_JUDGED_HERE.finditer(here), *_JUDGED_IN_FILE.finditer(text)]
        if f"S{rule[1:]}" not in {code.strip() for match in said for code in match["codes"].split(",")}:
            yield f"{name}:{one['line_number']}: {rule} {one['issue_text']}"
    yield from (f"{name}: {rule} is accepted and not found any more" for rule, name in sorted(needless))


def judge_licences() -> Step:
    """Judge the licence of everything that comes along."""
    found = {name: licences.licence_of(name) for name in sorted(licences.shipped())}
    (OUT / "licences.json").write_text(json.dumps(found, indent=1) + "\n")
    wrong = list(licences.objections(found))
    return Step(ok=bool(found) and not wrong, said=f"{len(found)} packages come along", lines=wrong)


def look_up(folder: Path | None) -> Step:
    """Look every pinned version up, in a folder or at the service of the index."""
    versions = advisories.pinned(LOCKS)
    try:
        if folder is None:
            weak, said = advisories.asked(LOCKS, tool=TOOLS / "pip-audit"), "asked of the package index"
        else:
            weak, newest = advisories.found_in(folder, versions)
            said = f"of advisories up to {newest[:10]}"
            if (days := age(newest, today=datetime.now(UTC).date())) > STALE:
                return Step(ok=False, said=f"NOT EXAMINED: the newest advisory is {days} days old", lines=weak)
    except advisories.NotExaminedError as nobody:
        hint = "give a folder of advisories: make security ADVISORIES=FOLDER"
        return Step(ok=False, said=f"NOT EXAMINED: {nobody}", lines=[hint])
    (OUT / "advisories.json").write_text(json.dumps(weak, indent=1) + "\n")
    return Step(ok=not weak, said=f"{len(versions)} versions, {said}, {len(weak)} weak", lines=weak)


def age(newest: str, *, today: date) -> int:
    """How many days ago an advisory was changed, by the date its time begins with."""
    return (today - date.fromisoformat(newest[:10])).days


def list_parts() -> Step:
    """Write the list of parts of what comes along, by version and hash of the lock files."""
    wanted, out = licences.shipped(), OUT / "altar-ai.cdx.json"
    text = "".join(entry for lock in LOCKS[:2] for entry in entries_of(lock.read_text(), wanted))
    command: list[str | Path] = [TOOLS / "cyclonedx-py", "requirements", "-", "--pyproject", ROOT / "pyproject.toml"]
    command += ["--output-reproducible", "--of", "JSON", "-o", out]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if run.returncode:
        return Step(ok=False, said="the list of parts was not written", lines=run.stderr.splitlines()[-3:])
    parts = {one["name"].lower() for one in json.loads(out.read_text())["components"]}
    lacking = sorted(wanted.keys() - parts)
    return Step(ok=not lacking, said=f"{len(parts)} parts in {out.relative_to(ROOT)}", lines=lacking)


def check_controls() -> Step:
    """Whether the page of controls is what its source says, and each test on it exists."""
    status = generate_controls.main(["--check"])
    return Step(ok=status == 0, said="the page of controls" + (" is sound" if status == 0 else " is not"))


def entries_of(lock: str, wanted: Mapping[str, str]) -> Iterator[str]:
    """Yield the entries of a lock file, with their hashes, that are wanted."""
    for entry in re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE | re.IGNORECASE):
        if entry.partition("==")[0].lower() in wanted:
            yield "".join(line for line in entry.splitlines(keepends=True) if not line.lstrip().startswith("#"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
