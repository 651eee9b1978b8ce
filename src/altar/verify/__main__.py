"""The auditor's command: `python -m altar.verify PATH --vkey KEY`.

Exit code 0 if the log verifies, 1 if it is damaged, 2 if the command was used wrongly.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from . import Location, Report, locate, verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command on `arguments` (default: those of the process) and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.locate is not None:
            _show_location(locate(options.path, options.locate), as_json=options.json)
            return 0
        since = Path(options.since).read_text(encoding="utf-8") if options.since else None
        report = verify(options.path, vkey=_vkey(options), since=since, witnesses=options.witness)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except ModuleNotFoundError as missing:
        sys.stderr.write(f"error: checking a signature needs {missing.name!r}: pip install cryptography\n")
        return 2
    _show_report(report, as_json=options.json)
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m altar.verify",
        description="Check an audit log, or an export of one, against the key that signs its checkpoints.",
    )
    parser.add_argument("path", help="the database or the export")
    parser.add_argument("--vkey", help="the verifier key: name+id+key")
    parser.add_argument("--vkey-file", help="a file that holds the verifier key")
    parser.add_argument("--since", metavar="FILE", help="a signed checkpoint obtained elsewhere")
    parser.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="KEY",
        help="a witness that must have cosigned that checkpoint",
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.add_argument("--locate", type=int, metavar="OFFSET", help="say what this byte of the file is for, and stop")
    return parser


def _vkey(options: argparse.Namespace) -> str:
    """Return the key that was given; ValueError unless exactly one was."""
    if (options.vkey is None) == (options.vkey_file is None):
        raise ValueError("give the verifier key by --vkey or by --vkey-file")
    return (
        str(options.vkey) if options.vkey is not None else Path(options.vkey_file).read_text(encoding="utf-8").strip()
    )


def _show_location(location: Location, *, as_json: bool) -> None:
    text = json.dumps(dataclasses.asdict(location)) if as_json else location.text
    sys.stdout.write(f"{text}\n")


def _show_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(report)) + "\n")
        return
    counts = f"{report.entries} entries, {report.intents} intents, {report.outcomes} outcomes"
    lines = [
        f"{report.verdict}: {report.kind} of {report.origin or 'an unknown log'}",
        f"{counts}, {report.open_intents} open",
    ]
    for finding in report.findings:
        place = f" (byte {finding.offset})" if finding.offset is not None else ""
        lines.append(f"- {finding.where}: {finding.what}{place}")
    lines.append(report.statement)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
