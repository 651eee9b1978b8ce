"""`altar manifest`: writes the manifest a host trusts, and compares it with what code declares.

The manifest is an ADM ToolManifest (§4.6): one contract for each module, the functions sorted by name.
The same declarations give the same bytes: a manifest can be reviewed, signed and kept under version control.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.cli import output
from altar.cli.manifest_diff import diff
from altar.cli.manifest_enrich import enrich
from altar.cli.manifest_signing import keygen, rollback, sign, verify
from altar.cli.manifest_text import manifest_bytes
from altar.cli.tools import load_modules, module_of
from altar.later.loading import held_by
from altar.later.nesting import CALLS

if TYPE_CHECKING:
    from altar.adm.declaration import ToolManifest
    from altar.grid.manifests.manifest import Manifest
    from altar.later.tool import ToolFunction

__all__ = ["build_manifest", "compare", "manifest", "manifest_bytes"]

FORMAT = "1.1.0"
"""The version of the manifest format that is written: ADM 1.1."""


@click.group()
def manifest() -> None:
    """Build, check, compare and sign manifests of contracts."""


for _command in (keygen, sign, verify, rollback, diff, enrich):
    manifest.add_command(_command)


@manifest.command(short_help="Write the manifest of some modules.")
@click.argument("modules", nargs=-1, required=True)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="File to write; without it, stdout.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="A member of global_metadata; may be repeated.")
@output.json_option
def build(*, modules: tuple[str, ...], target: Path | None, metadata: tuple[str, ...], as_json: bool) -> None:
    """Write the manifest of the tools that MODULES declare: one contract for each module.

    Tools that MODULES only import from elsewhere are left out, and said so.
    With `-o` and `--json` a summary of the file goes to stdout.
    """
    built = build_manifest(load_modules(modules), metadata=_pairs(metadata))
    content = manifest_bytes(built)
    if target is None:
        output.raw(content)
        return
    try:
        target.write_bytes(content)
    except OSError as error:
        raise ConfigurationError("ENVIRONMENT_ERROR", f"Cannot write {str(target)!r}: {error.strerror}") from error
    functions = sum(len(contract.function_declarations) for contract in built.contracts)
    if as_json:
        summary = {"file": str(target), "contracts": len(built.contracts), "functions": functions}
        output.data(summary, as_json=True)
    else:
        output.say(f"wrote {target} (contracts: {len(built.contracts)}, functions: {functions})")


@manifest.command(short_help="Check a manifest, and code against it.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--against", multiple=True, metavar="MODULE", help="Module whose tools must be those of FILE.")
@output.json_option
def check(*, file: Path, against: tuple[str, ...], as_json: bool) -> int:
    """Check that a host can use the manifest FILE, and with `--against` that code still declares the same.

    Exit code 1 when something differs.
    """
    from altar.grid.manifests.manifest import Manifest

    known = Manifest.load(file)
    rows = compare(known, _tools_of(load_modules(against))) if against else []
    differing = [row for row in rows if row["state"] != "same"]
    text = [f"{file}  functions: {len(list(known))}  {known.digest}"]
    if rows:
        text.append(output.columns([(row["state"], row["name"], row["version"], row["note"]) for row in rows]))
    report = {
        "ok": not differing,
        "file": str(file),
        "digest": known.digest,
        "functions": rows or _listed(known),
    }
    output.data(report, as_json=as_json, text="\n".join(text))
    return output.FAILED if differing else output.DONE


def build_manifest(modules: Sequence[str], *, metadata: dict[str, str] | None = None) -> ToolManifest:
    """The manifest of the tools that loaded modules declare, with one contract for each module, by name.

    A tool belongs to the module that defines it, or to the nearest package of it that is named.
    Raises ConfigurationError MISSING_MANIFEST when a module declares none.
    """
    from altar.adm.declaration import ToolContract, ToolManifest

    contracts = []
    tools = _tools_of(modules)
    for module in sorted(set(modules)):
        found = [tool.declaration for tool in tools if _owner(tool, modules) == module]
        if not found:
            raise ConfigurationError(
                "MISSING_MANIFEST",
                f"The module {module!r} declares no tool",
                hint="put @altar.tool on a function, or name the module that defines it",
            )
        document = inspect.getdoc(sys.modules[module]) or f"Tools of the module {module}."
        contracts.append(ToolContract(module, document.split("\n", 1)[0], tuple(found)))
    return ToolManifest(FORMAT, tuple(contracts), metadata or {})


def compare(known: Manifest, tools: Iterable[ToolFunction[..., Any]]) -> list[dict[str, str]]:
    """One row for each function of a manifest or of code: `name`, `version`, `state` and a `note` in words.

    States: `same`; `differs`, when one version has two contracts; `missing` in the code; `extra` in the code.
    """
    declared = {(tool.declaration.name, tool.declaration.version): tool.declaration for tool in tools}
    trusted = {(contract.name, contract.version): contract for contract in known}
    rows = []
    for key in sorted(declared.keys() | trusted.keys()):
        if key not in declared:
            state, note = "missing", "in the manifest, but the code does not declare it"
        elif key not in trusted:
            state, note = "extra", "in the code, but not in the manifest"
        elif declared[key].digest != trusted[key].digest:
            state, note = "differs", f"the code has {declared[key].signature}; raise its version"
        else:
            state, note = "same", ""
        rows.append({"name": key[0], "version": key[1], "state": state, "note": note})
    return rows


def _tools_of(modules: Sequence[str]) -> list[ToolFunction[..., Any]]:
    from altar.later.registry import REGISTRY

    inside: list[ToolFunction[..., Any]] = []
    outside: list[ToolFunction[..., Any]] = []
    for tool in REGISTRY.tools():
        (inside if _owner(tool, modules) else outside).append(tool)
    for tool in outside:
        by = [one.name for one in inside if tool.name in _calls(one)]
        needed = (
            f", and {', '.join(map(repr, by[:_SHOWN]))} will fail without it: name that module as well" if by else ""
        )
        output.warn(f"left out {tool.name!r}: it is declared in {module_of(tool)!r}, which is not named{needed}")
    return inside


def _calls(tool: ToolFunction[..., Any]) -> Sequence[str]:
    """The names of the tools that a contract says its function calls."""
    named = tool.declaration.metadata.get(CALLS)
    return [str(one) for one in named] if isinstance(named, list | tuple) else []


_SHOWN = 3


def _owner(tool: ToolFunction[..., Any], modules: Sequence[str]) -> str | None:
    home = module_of(tool)
    if ":" in home:  # its contract came from a framework, not from a module: whoever holds it declares it
        return next((name for name in modules if name in sys.modules and tool in held_by(sys.modules[name])), None)
    owners = [module for module in modules if home == module or home.startswith(module + ".")]
    return max(owners, key=len, default=None)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValidationError("MALFORMED_REQUEST", f"{word!r} is not metadata", hint="write it as key=value")
        pairs[key] = value
    return pairs


def _listed(known: Manifest) -> list[dict[str, str]]:
    return [{"name": one.name, "version": one.version, "state": "trusted", "note": ""} for one in known]
