"""`altar artefacts`: roles, prices and configuration as versions; and what a call of a tool costs.

An artefact is named by its kind and its name: `role/auditor`, `price/list`, `configuration/host`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from altar.cli import output
from altar.cli.host_options import host_options
from altar.cli.looking import confirmed, digest_option
from altar.cli.policy_files import read_file

__all__ = ["artefacts"]

_SERVICE = "EnterpriseArtefactService"
_MOST_SAID = 40

_artefact = click.argument("artefact")
_version = click.argument("version", type=click.IntRange(min=1))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def artefacts() -> None:
    """Keep roles, prices and configuration as versions, which a second person puts in force."""


@artefacts.command(short_help="Hand in a new version.")
@_artefact
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What changes and why, for whoever reviews it.")
@click.option("--draft", is_flag=True, help="Do not ask for its review yet.")
@click.option("--replaces", type=click.IntRange(min=1), help="A version that is not in force yet, which this one ends.")
@host_options
def deploy(
    *,
    artefact: str,
    file: Path,
    note: str,
    draft: bool,
    replaces: int | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Hand FILE (TOML) in as a new version of ARTEFACT, such as role/auditor, price/list or configuration/host.

    It is in force when somebody else has activated it.
    """
    request = {"artefact": artefact, "source": read_file(file), "note": note, "draft": draft}
    request |= {"replaces": replaces} if replaces else {}
    answer = _ask("CreateArtefact", request, tenant=tenant, source=source, profile=profile)
    made = answer["version"]
    output.data(answer, as_json=as_json, text="\n".join((*_changes(answer), _line(made))))
    if not as_json:
        verb, who = ("submit", "to ask for its review") if draft else ("activate", "another person puts it in force")
        output.say(f"{who}: altar artefacts {verb} {artefact} {made['version']}")


@artefacts.command("list", short_help="List versions.")
@click.argument("artefact", required=False)
@click.option("--limit", type=click.IntRange(min=1, max=1000), help="How many at most.")
@click.option("--cursor", help="Where the page begins: the cursor of the page before.")
@host_options
def list_versions(
    *,
    artefact: str | None,
    limit: int | None,
    cursor: str | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """List the versions of ARTEFACT, the newest first; without it the newest version of each.

    What does not hold on this host as it was activated is said too.
    """
    request = {"artefact": artefact or "", "limit": limit or 0, "cursor": cursor or ""}
    answer = _ask("ListArtefacts", request, tenant=tenant, source=source, profile=profile)
    found = answer["versions"]
    heads = ("ARTEFACT", "VERSION", "STATUS", "AUTHORS", "REVIEWED BY", "CHANGED", "NOTE")
    output.data(answer, as_json=as_json, text=output.columns([heads, *map(_row, found)]) if found else "")
    if as_json:
        return
    if not found:
        output.say("none")
    for problem in answer["problems"]:
        output.warn(problem)
    if answer["next_cursor"]:
        output.say(f"there are more: --cursor {answer['next_cursor']}")


@artefacts.command(short_help="Print a version as TOML.")
@_artefact
@click.argument("version", type=click.IntRange(min=1), required=False)
@host_options
def show(
    *,
    artefact: str,
    version: int | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Print VERSION of ARTEFACT, or the one in force, as TOML that can be deployed again; and what it would change."""
    request = {"artefact": artefact, "version": version or 0}
    answer = _ask("GetArtefact", request, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text=answer["source"].rstrip("\n"))
    if not as_json:
        output.say("\n".join((*_changes(answer), _line(answer["version"]))))


@artefacts.command(short_help="Ask for the review of a version.")
@_artefact
@_version
@host_options
def submit(
    *, artefact: str, version: int, tenant: str | None, source: str | None, profile: str | None, as_json: bool
) -> None:
    """Ask for the review of VERSION: a draft, one that must be compared anew, or one that was in force once."""
    request = {"artefact": artefact, "version": version}
    answer = _ask("SubmitArtefact", request, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text=_line(answer["version"]))


@artefacts.command(short_help="Put a version in force.")
@_artefact
@_version
@digest_option
@host_options
def activate(
    *,
    artefact: str,
    version: int,
    digest: str | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Let VERSION hold from now on, on every host, in the place of the one that does.

    Whoever wrote it cannot do this, also not under another name.
    """
    request: dict[str, Any] = {"artefact": artefact, "version": version}
    if digest is None:
        found = _ask("GetArtefact", request, tenant=tenant, source=source, profile=profile)
        shown = (found["source"].rstrip("\n"), *_changes(found), _line(found["version"]))
        look = f"altar artefacts show {artefact} {version}"
        confirmed("\n".join(shown), question=f"Put version {version} of {artefact} in force?", look=look)
        digest = str(found["version"]["digest"])
    request["digest"] = digest
    answer = _ask("ActivateArtefact", request, tenant=tenant, source=source, profile=profile)
    _show_swap(answer, as_json=as_json)


@artefacts.command(short_help="Put the version before back in force.")
@_artefact
@host_options
def rollback(*, artefact: str, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """Let the version of ARTEFACT hold again that did before this one, at once and without another review."""
    answer = _ask("RollbackArtefact", {"artefact": artefact}, tenant=tenant, source=source, profile=profile)
    _show_swap(answer, as_json=as_json)


@artefacts.command(short_help="End a version.")
@_artefact
@_version
@host_options
def retire(
    *, artefact: str, version: int, tenant: str | None, source: str | None, profile: str | None, as_json: bool
) -> None:
    """End VERSION: say no to one that waits for its review, or take one out of force where no review is asked for."""
    request = {"artefact": artefact, "version": version}
    answer = _ask("RetireArtefact", request, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text=_line(answer["version"]))


@artefacts.command(short_help="Remove a version that was never in force.")
@_artefact
@_version
@host_options
def delete(
    *, artefact: str, version: int, tenant: str | None, source: str | None, profile: str | None, as_json: bool
) -> None:
    """Remove VERSION of ARTEFACT, which was never in force."""
    request = {"artefact": artefact, "version": version}
    answer = _ask("DeleteArtefact", request, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text="")
    if not as_json:
        output.say(f"removed version {version} of {artefact}")


@artefacts.command(short_help="Say what a call of a tool costs.")
@click.argument("tool")
@host_options
def price(*, tool: str, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """Say what a call of TOOL costs by the price list in force, and what policies read as its estimated cost."""
    answer = _ask("GetPrice", {"tool": tool}, tenant=tenant, source=source, profile=profile)
    currency = answer["currency"]
    rows = [(unit.replace("_", " "), f"{amount} {currency}") for unit, amount in sorted(answer["rates"].items())]
    rows += [("estimated", f"{answer['estimate']} {currency}".rstrip())] if answer["estimate"] else []
    output.data(answer, as_json=as_json, text=output.columns(rows) if rows else "")
    if not as_json:
        output.say(f"version {answer['version']} of price/list" if answer["version"] else "no price list names it")


def _ask(
    method: str, request: Mapping[str, Any], *, tenant: str | None, source: str | None, profile: str | None
) -> dict[str, Any]:
    from altar.cli.administration import ask_host

    asked = {**request, **({"tenant_id": tenant} if tenant else {})}
    answer: dict[str, Any] = ask_host(f"{_SERVICE}/{method}", asked, source=source, profile=profile)
    return answer


def _show_swap(answer: Mapping[str, Any], *, as_json: bool) -> None:
    output.data(answer, as_json=as_json, text=_line(answer["version"]))
    before = answer.get("before")
    if not as_json:
        output.say(f"in the place of version {before['version']}" if before else "it is the first one in force")


def _changes(answer: Mapping[str, Any]) -> list[str]:
    """The lines that say what a version would change, the first of them."""
    changes = [f"differs  {each}" for each in answer["changes"]]
    more = len(changes) - _MOST_SAID
    return [*changes[:_MOST_SAID], f"and {more} more"] if more > 0 else changes


def _line(made: Mapping[str, Any]) -> str:
    return f"{made['artefact']} version {made['version']}  {_status(made)}  {made['digest']}"


def _row(made: Mapping[str, Any]) -> Sequence[str]:
    changed = datetime.fromtimestamp(int(made["changed_ms"]) / 1000, UTC).isoformat(timespec="seconds")
    return (
        made["artefact"],
        str(made["version"]),
        _status(made),
        ", ".join(made["authors"]),
        made["reviewed_by"],
        changed.replace("+00:00", "Z"),
        made["note"],
    )


def _status(made: Mapping[str, Any]) -> str:
    return str(made["status"]).removeprefix("ARTEFACT_STATUS_")
