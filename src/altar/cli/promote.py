"""`altar promote`: from what runtimes registered on a host in development to the manifest of a host that is strict."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.cli import output
from altar.cli.manifest_diff import changes_as_json, changes_as_text, read_document
from altar.cli.manifest_signing import lifetime_option, open_key, sign_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from altar.adm.declaration import FunctionDeclaration, ToolManifest
    from altar.grid.client.client import GridSource
    from altar.settings import Settings

__all__ = ["promote", "promoted"]

_PATH = click.Path(path_type=Path, dir_okay=False)
GROUP = "promoted"
"""The contract of the manifest that takes up tools whose name is in none yet."""


@click.command()
@click.option("--source", metavar="ADDRESS", help="The development host; without it the setting `source`.")
@click.option(
    "--tool", "tools", multiple=True, metavar="NAME", help="Only this tool, in every version; may be repeated."
)
@click.option("--manifest", "current", type=_PATH, help="The manifest that is in force, plain or signed.")
@click.option(
    "--group", default=GROUP, show_default=True, help="The contract that takes up tools that are new by name."
)
@click.option("--key", type=_PATH, help="Sign the result with this private key.")
@lifetime_option
@click.option("--version", type=click.IntRange(min=1), help="Version of the signed manifest; without it the next one.")
@click.option("-o", "--output", "target", type=_PATH, help="File to write; without it only the difference is shown.")
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def promote(
    *,
    source: str | None,
    tools: tuple[str, ...],
    current: Path | None,
    group: str,
    key: Path | None,
    expires: timedelta,
    version: int | None,
    target: Path | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Take the tools of a running development host into a manifest, and show what that changes.

    What is in the current manifest stays there; a contract that has changed under its old version is refused.
    With `--key` the result is signed, and a strict host takes it up; without, it is a plain manifest for review.
    """
    from altar.grid.manifests.manifest_diff import changes_between
    from altar.settings import Settings

    settings = Settings.load(profile=profile, source=source)
    older = _current(current)
    found = [one for one in asyncio.run(_offered(settings)) if not tools or one.name in tools]
    absent = sorted(set(tools) - {one.name for one in found})
    if absent:
        raise ValidationError("UNSUPPORTED_TOOL", f"The host has no tool {absent[0]!r}", ran="no")
    newer = promoted(older, found, group=group)
    changes = changes_between(_functions(older), _functions(newer))
    written = _write(newer, target, key=key, lifetime=expires, version=version, current=current) if target else None
    facts = {"changes": changes_as_json(changes), "file": str(target) if target else None, "version": written}
    output.data(facts, as_json=as_json, text=changes_as_text(changes) or "no tool has changed")
    if target is not None:
        output.say(f"wrote {target}" + (f": version {written}, signed" if written else ", which is not signed"))


def promoted(older: ToolManifest | None, found: Sequence[FunctionDeclaration], *, group: str) -> ToolManifest:
    """The manifest with these functions added; a new version stands where the name is already.

    Raises ValidationError VERSION_MISMATCH for a function that differs under a version that is there.
    """
    from altar.adm.declaration import ToolContract, ToolManifest
    from altar.adm.ranges import Version
    from altar.cli.manifest import FORMAT

    contracts = {one.name: list(one.function_declarations) for one in older.contracts} if older else {}
    homes = {function.name: name for name, functions in contracts.items() for function in functions}
    known = {(one.name, one.version): one for functions in contracts.values() for one in functions}
    for function in found:
        there = known.get((function.name, function.version))
        if there is None:
            contracts.setdefault(homes.get(function.name, group), []).append(function)
        elif there.digest != function.digest:
            raise ValidationError(
                "VERSION_MISMATCH",
                f"{function.name!r} has another contract than the manifest has at {function.version}",
                ran="no",
                hint="give the changed tool a new version: @altar.tool(version=…)",
            )
    if not contracts:
        raise ConfigurationError("MISSING_MANIFEST", "There is no tool to promote", hint="start a runtime: --register")
    told = {one.name: one for one in older.contracts} if older else {}
    made = []
    for name, functions in sorted(contracts.items()):
        contract = told.get(name) or ToolContract(name, f"Tools of {name}.", ())
        listed = tuple(sorted(functions, key=lambda one: (one.name, Version.parse(one.version))))
        made.append(replace(contract, function_declarations=listed))
    return replace(older, contracts=tuple(made)) if older else ToolManifest(FORMAT, tuple(made))


def _current(file: Path | None) -> ToolManifest | None:
    from altar.adm.declaration import ToolManifest

    return ToolManifest.from_adm(read_document(file)) if file is not None else None


async def _offered(settings: Settings) -> list[FunctionDeclaration]:
    """The declarations of every tool on the host, in every version."""
    from altar.grid.trust.tls import require_tls13

    require_tls13()
    from altar.grid.client.client import connect
    from altar.later.source import Request

    if not settings.source.startswith("grid://"):
        raise ConfigurationError(
            "INVALID_CONFIG", f"The source {settings.source!r} is no host", hint="name one: --source grid://host:port"
        )
    tls = settings.tls
    options = {"certificate": tls.certificate, "key": tls.key, "authority": tls.authority}
    async with connect(Request(settings.source, options=options)) as (_, source):
        return [contract.declaration for contract in cast("GridSource", source).contracts]


def _functions(manifest: ToolManifest | None) -> list[FunctionDeclaration]:
    return [one for contract in manifest.contracts for one in contract.function_declarations] if manifest else []


def _write(
    manifest: ToolManifest,
    target: Path,
    *,
    key: Path | None,
    lifetime: timedelta,
    version: int | None,
    current: Path | None,
) -> int | None:
    from altar.adm.canonical import canonical, parse
    from altar.adm.declaration import MAX_DOCUMENT_DEPTH
    from altar.grid.manifests.manifest_store import open_signed

    document: Any = parse(canonical(manifest.to_adm(), max_depth=MAX_DOCUMENT_DEPTH), max_depth=MAX_DOCUMENT_DEPTH)
    if key is not None:
        signed = current if current is not None and _is_signed(current) else None
        if signed is not None:
            open_signed(signed, (open_key(key).vkey,))  # what a stranger signed, or altered, is not signed again
        signed = None if target.exists() else signed
        return sign_document(document, target, key=key, lifetime=lifetime, version=version, replaces=signed).version
    try:
        target.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError("ENVIRONMENT_ERROR", f"Cannot write {str(target)!r}: {error.strerror}") from error
    return None


def _is_signed(file: Path) -> bool:
    from altar.grid.manifests.envelope import Envelope, NotSignedError

    try:
        Envelope.read(file.read_bytes())
    except NotSignedError:
        return False
    return True
