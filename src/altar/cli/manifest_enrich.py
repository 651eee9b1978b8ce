"""`altar manifest enrich`: say who may use the contracts of a manifest, how sensitive they are, and what they cost.

What is said stands beside the declarations and not in them, so that the code of runtimes need not change; the
signature of the manifest covers both, and `altar manifest diff` shows both.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.cli import output
from altar.cli.manifest_diff import read_document
from altar.cli.manifest_text import manifest_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["enrich"]

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Say who may use contracts, and how sensitive they are.")
@click.argument("file", type=_PATH)
@click.option("-o", "--output", "target", type=_PATH, help="File to write; FILE itself without it.")
@click.option("--from", "annotations", type=_PATH, help="TOML file with one table for each function.")
@click.option("--tool", "tools", multiple=True, metavar="NAME[@VERSION]", help="Function that the options are about.")
@click.option("--role", "required_roles", multiple=True, help="Role that a caller must have; may be repeated.")
@click.option("--permission", "required_permissions", multiple=True, help="Permission that a caller must have.")
@click.option("--classification", type=click.Choice(["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"]))
@click.option("--pii/--no-pii", "contains_pii", default=None, help="Whether it handles data of persons.")
@click.option("--cost", metavar="DECIMAL", help="What a call costs, about.")
@click.option("--risk", type=click.Choice(["LOW", "MEDIUM", "HIGH"]))
@click.option("--tag", "compliance_tags", multiple=True, help="Compliance tag, such as GDPR; may be repeated.")
@click.option("--approval", type=click.Choice(["DRAFT", "PENDING_APPROVAL", "ACTIVE", "RETIRED"]))
@click.option("--approvers", multiple=True, metavar="ROLE", help="Role of people who must approve each call.")
@click.option("--quorum", type=click.IntRange(1, 16), help="How many different people must approve each call.")
@click.option("--approved-by", help="Who approved it.")
@output.json_option
def enrich(*, file: Path, target: Path | None, annotations: Path | None, as_json: bool, **given: Any) -> None:
    """Add governance to the plain manifest FILE; sign it afterwards with `altar manifest sign`.

    A table of the TOML file is named like the function, or `"name@version"`, and has the members of an
    EnterpriseToolContract: required_roles, required_permissions, security_classification, contains_pii,
    estimated_cost, risk_assessment, compliance_tags, approval_status, requires_approval (with approvers, quorum,
    expires), approved_by, governance_metadata.
    Without `--tool` the options are about every function.
    A host of a tier enforces required_roles, required_permissions, approval_status and requires_approval.
    """
    from altar.adm.declaration import ToolManifest
    from altar.grid.manifests.manifest import Manifest

    document = read_document(file)
    said = _from_toml(annotations) if annotations is not None else {}
    options = _from_options(given)
    names = list(_functions(document))
    if options:
        for name in given["tools"] or sorted(set(names)):
            said[name] = dict(said.get(name, {})) | options
    if not said:
        raise ValidationError("MALFORMED_REQUEST", "Nothing is said about any function", hint="give --from or options")
    left = _put(document, said)
    if left:
        raise ValidationError(
            "UNSUPPORTED_TOOL", f"The manifest has no function {left[0]!r}", hint=f"there is {', '.join(names[:8])}"
        )
    Manifest.of(document, source=str(file))
    (target or file).write_bytes(manifest_bytes(ToolManifest.from_adm(document)))
    if as_json:
        output.data({"file": str(target or file), "enriched": sorted(said)}, as_json=True)
    else:
        output.say(f"wrote {target or file} (enriched: {', '.join(sorted(said))})")


def _from_toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("INVALID_CONFIG", f"Cannot read {str(path)!r}: {error}") from error
    for name, table in document.items():
        if not isinstance(table, dict):
            raise ConfigurationError(
                "INVALID_CONFIG", f"{name!r} in {str(path)!r} is no table", hint="write one table for each function"
            )
    return document


def _from_options(given: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "required_roles": list(given["required_roles"]),
        "required_permissions": list(given["required_permissions"]),
        "security_classification": given["classification"],
        "contains_pii": given["contains_pii"],
        "estimated_cost": given["cost"],
        "risk_assessment": given["risk"],
        "compliance_tags": list(given["compliance_tags"]),
        "approval_status": given["approval"],
        "approved_by": given["approved_by"],
        "requires_approval": _required(given["approvers"], given["quorum"]),
    }
    return {name: value for name, value in said.items() if value is not None and value != []}


def _required(approvers: Iterable[str], quorum: int | None) -> dict[str, Any] | None:
    """Return what is said of approvals of calls; None where nothing is."""
    said = {"approvers": sorted(set(approvers)), "quorum": quorum}
    return {name: value for name, value in said.items() if value} or None


def _functions(document: Mapping[str, Any]) -> Iterable[str]:
    for contract in document.get("contracts", ()):
        for function in contract.get("function_declarations", ()):
            yield function["name"]


def _put(document: dict[str, Any], said: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Put what is said into the contracts whose functions it is about; gives the names that are nowhere."""
    from altar.adm.enterprise import MEMBER

    left = set(said)
    for contract in document["contracts"]:
        own = {
            key
            for function in contract["function_declarations"]
            for key in (function["name"], f"{function['name']}@{function.get('version', '1.0.0')}")
        }
        found = own & set(said)
        left -= found
        if found:
            before = contract.setdefault(MEMBER, {})
            for name in sorted(found):
                before[name] = dict(before.get(name, {})) | dict(said[name])
    return sorted(left)
