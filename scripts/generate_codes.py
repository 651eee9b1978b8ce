"""Write the error codes of Python and their reference page from spec/errors.toml and spec/grpc_status.toml.

In: `spec/errors.toml`, the one table of codes that all languages share, and `spec/grpc_status.toml`, which says what a
status of gRPC means that comes without a code.
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
STATUSES = ROOT / "spec" / "grpc_status.toml"
TARGETS = {
    "codes": ROOT / "src/altar/adm/codes.py",
    "statuses": ROOT / "src/altar/adm/statuses.py",
    "page": ROOT / "docs/reference/errors.md",
}
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
    statuses = tomllib.loads(STATUSES.read_text(encoding="utf-8"))
    return {
        TARGETS["codes"]: _module(codes),
        TARGETS["statuses"]: _status_module(statuses),
        TARGETS["page"]: _page(codes, statuses),
    }


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


def _status_module(statuses: dict[str, dict[str, Any]]) -> str:
    lines = [_STATUS_MODULE_HEAD]
    lines += ["STATUSES: Final[Mapping[str, StatusInfo]] = MappingProxyType(", "    {"]
    for status, row in statuses.items():
        code, meaning = json.dumps(row["code"]), json.dumps(row["meaning"])
        lines += [f"        {json.dumps(status)}: StatusInfo(", f"            code={code},"]
        lines += [f"            meaning={meaning},", "        ),"]
    lines += ["    }", ")", '"""What each status of gRPC means when no code comes with it."""', ""]
    return "\n".join(lines)


def _page(codes: dict[str, dict[str, Any]], statuses: dict[str, dict[str, Any]]) -> str:
    lines = [_PAGE_HEAD, "| code | ran | retry | gRPC | HTTP |", "| --- | --- | --- | --- | --- |"]
    for code, row in codes.items():
        link = f"[{code}](#{code.lower()})"
        lines += [f"| {link} | {row['ran']} | {row['retry']} | {row['grpc']} | {row['http']} |"]
    lines += [""]
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
    lines += [_STATUS_HEAD, "| gRPC | code | meaning |", "| --- | --- | --- |"]
    lines += [f"| {status} | {row['code']} | {row['meaning']} |" for status, row in statuses.items()]
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

_STATUS_MODULE_HEAD = '''\
"""What each status of gRPC means when no error code comes with it.

Generated from spec/grpc_status.toml by scripts/generate_codes.py; change that file, not this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """One row of spec/grpc_status.toml."""

    code: str
    meaning: str

'''

_PAGE_HEAD = """\
# Error codes

Every error has a code, and every code belongs to one of five categories.
The category says how to react, the code says what happened.
`ran` says whether the tool ran; only `no`, or a contract that is idempotent, may be retried by anybody.
This page is generated from `spec/errors.toml` and `spec/grpc_status.toml`.

A refused request of gRPC has the status of its code, and its message and code as details.
All of the error, as an `altar.adm.v1.ErrorObject`, is in the trailing metadata `altar-error-bin`.
An HTTP answer has the status of its code, `{"error": …}` as its body, and `Retry-After` where there is a time to wait.
"""

_STATUS_HEAD = """\
## A status without a code

Something between the two sides may answer in the place of a host, and then there is only a status of gRPC.
A client and a runtime tell it as this code.
A message that is too large for the transport is MESSAGE_TOO_LARGE, and a stream that HTTP/2 resets CONNECTION_FAILED.
"""

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
