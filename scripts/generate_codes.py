"""Write the error codes of Python and their reference page from spec/errors.toml.

In: `spec/errors.toml`, the one table of codes that all languages share.
Out: `src/altar/adm/codes.py` and `docs/reference/errors.md`.
Run it from anywhere: `python scripts/generate_codes.py`.
With `--check` nothing is written, and the exit code is 1 when a file is out of date.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "spec" / "errors.toml"
TARGETS = {"module": ROOT / "src/altar/adm/codes.py", "page": ROOT / "docs/reference/errors.md"}
CATEGORIES = {
    "AUTHORIZATION": "The gate said no, or not yet.",
    "VALIDATION": "The request does not fit.",
    "EXECUTION": "The tool, or what runs it, failed.",
    "TRANSPORT": "The message did not get through.",
    "CONFIGURATION": "It cannot start like this.",
}


def main(arguments: list[str]) -> int:
    """Write both files, or with `--check` only compare them; return the exit code."""
    stale = False
    for path, text in generate().items():
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        if current == text:
            continue
        stale = True
        if "--check" in arguments:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run scripts/generate_codes.py\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def generate() -> dict[Path, str]:
    """Return the text of each generated file, keyed by its path."""
    codes = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    return {TARGETS["module"]: _module(codes), TARGETS["page"]: _page(codes)}


def _module(codes: dict[str, dict[str, Any]]) -> str:
    lines = [_MODULE_HEAD]
    lines += ["CODES: Final[Mapping[str, CodeInfo]] = MappingProxyType(", "    {"]
    for code, row in codes.items():
        lines += [
            f"        {json.dumps(code)}: CodeInfo(",
            f"            category={json.dumps(row['category'])},",
        ]
        lines += [
            f"            ran={json.dumps(row['ran'])},",
            f"            retry={json.dumps(row['retry'])},",
        ]
        lines += [
            f"            grpc_status={json.dumps(row['grpc'])},",
            f"            http_status={row['http']},",
        ]
        lines += [f"            meaning={json.dumps(row['meaning'])},"]
        lines += [f"            remedy={json.dumps(row['remedy'])},", "        ),"]
    lines += ["    }", ")", '"""Every code of ALTAR, in the order of its category."""', ""]
    lines += ["ALIASES: Final[Mapping[str, str]] = MappingProxyType(", "    {"]
    for code, row in codes.items():
        lines += [f"        {json.dumps(name)}: {json.dumps(code)}," for name in row.get("also", ())]
    lines += ["    }", ")", '"""Names that other systems use, and the code that each of them means."""', ""]
    return "\n".join(lines)


def _page(codes: dict[str, dict[str, Any]]) -> str:
    lines = [_PAGE_HEAD]
    for category, meaning in CATEGORIES.items():
        lines += [f"## {category}", "", meaning, ""]
        for code, row in codes.items():
            if row["category"] != category:
                continue
            lines += [f"### {code}", "", row["meaning"], row["remedy"], ""]
            lines += ["| ran | retry | gRPC | HTTP |", "| --- | --- | --- | --- |"]
            lines += [f"| {row['ran']} | {row['retry']} | {row['grpc']} | {row['http']} |", ""]
            if row.get("also"):
                lines += [f"Also read as: {', '.join(f'`{name}`' for name in row['also'])}.", ""]
    return "\n".join(lines).rstrip() + "\n"


_MODULE_HEAD = '''\
"""The error codes of ALTAR: what each means and how to react to it.

Generated from spec/errors.toml by scripts/generate_codes.py; change that file, not this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Category = Literal["AUTHORIZATION", "VALIDATION", "EXECUTION", "TRANSPORT", "CONFIGURATION"]
"""The five kinds of error; each has one class in `altar.adm.errors`."""

Ran = Literal["no", "yes", "unknown"]
"""Whether the tool ran before the error."""

Retry = Literal["no", "after_renewal", "after_delay"]
"""When the same call may succeed; `after_delay` holds only if it did not run or is idempotent."""


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """One row of spec/errors.toml."""

    category: Category
    ran: Ran
    retry: Retry
    grpc_status: str
    http_status: int
    meaning: str
    remedy: str

'''

_PAGE_HEAD = """\
# Error codes

Every error has a code, and every code belongs to one of five categories.
The category says how to react, the code says what happened.
`ran` says whether the tool ran; only `no`, or a contract that is idempotent, may be retried by anybody.
This page is generated from `spec/errors.toml`.
"""

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
