"""`altar manifest diff`: what changed between two manifests, and which of it breaks callers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from altar.adm.declaration import FunctionDeclaration
    from altar.grid.manifests.manifest import Manifest
    from altar.grid.manifests.manifest_diff import Change

__all__ = ["changes_as_json", "changes_as_text", "declarations_in", "diff", "read_document"]

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Say what changed, and what breaks callers.")
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
@click.option("--check", is_flag=True, help="End with exit code 1 when something breaks callers.")
@output.json_option
def diff(*, old: Path, new: Path, check: bool, as_json: bool) -> int:
    """Compare the manifests OLD and NEW, signed or not: tools added, removed and changed.

    A change breaks callers when what they send is not taken any more, or when they are answered with what they do not
    expect; one that cannot be judged counts as breaking, and is said so.
    """
    from altar.grid.manifests.governance_diff import with_governance
    from altar.grid.manifests.manifest_diff import changes_between

    changes = changes_between(declarations_in(old), declarations_in(new))
    changes = with_governance(changes, _manifest_in(old), _manifest_in(new))
    breaks = any(change.breaks for change in changes)
    text = changes_as_text(changes) or "no tool has changed"
    output.data({"breaks": breaks, "changes": changes_as_json(changes)}, as_json=as_json, text=text)
    return output.FAILED if breaks and check else output.DONE


def declarations_in(file: Path) -> list[FunctionDeclaration]:
    """The declarations of a manifest, signed by whomever or plain."""
    return [contract.declaration for contract in _manifest_in(file)]


def _manifest_in(file: Path) -> Manifest:
    from altar.grid.manifests.manifest import Manifest

    return Manifest.of(read_document(file), source=str(file))


def read_document(file: Path) -> dict[str, Any]:
    """The ADM document of a manifest, plain or signed by whomever: for looking at, not for trusting."""
    from altar.adm.canonical import parse
    from altar.adm.declaration import MAX_DOCUMENT_DEPTH
    from altar.grid.manifests.envelope import MAX_ENVELOPE_BYTES, Envelope, NotSignedError
    from altar.grid.manifests.manifest_statement import statement_in

    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigurationError("MISSING_MANIFEST", f"Cannot read {str(file)!r}: {error.strerror}") from error
    try:
        return dict(statement_in(Envelope.read(text)).manifest)
    except NotSignedError:
        document: Any = parse(text, max_bytes=MAX_ENVELOPE_BYTES, max_depth=MAX_DOCUMENT_DEPTH)
    if not isinstance(document, dict):
        raise ValidationError("MALFORMED_REQUEST", f"{str(file)!r} is not a manifest")
    return document


def changes_as_text(changes: Iterable[Change]) -> str:
    """One line for each change, and one below it for each thing that changed."""
    lines = []
    for change in changes:
        versions = " → ".join(filter(None, (change.before, change.after)))
        lines.append(
            f"{change.kind:<8} {change.tool} {versions}".rstrip() + ("  BREAKS CALLERS" if change.breaks else "")
        )
        for finding in change.findings:
            word = ("breaks? " if finding.unclear else "breaks  ") if finding.breaks else "fine    "
            where = " ".join(filter(None, (finding.place if finding.place != "contract" else "", finding.path)))
            lines.append(f"  {word} {where}{': ' if where else ''}{finding.what}")
    return "\n".join(lines)


def changes_as_json(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [asdict(change) | {"breaks": change.breaks} for change in changes]
