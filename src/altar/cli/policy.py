"""`altar policy`: bundles of policies, tried here without a host, and kept as versions by one.

`lint`, `test` and `validate` read a file and the contracts of a manifest; the other verbs ask a host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output
from altar.cli.host_options import host_options
from altar.cli.looking import confirmed, digest_option
from altar.cli.policy_files import examined, file_argument, manifest_options, read_file, report_lines, show_report

if TYPE_CHECKING:
    from altar.aesp.policy.examining import Examination

__all__ = ["policy"]

_SERVICE = "EnterprisePolicyService"
_LAZY = {
    "explain": ("altar.cli.policy_explain:explain", "Say why a call would be decided on so."),
    "replay": ("altar.cli.policy_replay:replay", "Say which calls of the record a bundle would change."),
}
"""Verbs that live elsewhere, with their line in the help."""


class _Group(click.Group):
    """The verbs here, and those of `_LAZY`, which are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        import importlib

        module, _, name = _LAZY[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def policy() -> None:
    """Write, test, deploy and roll back the policies of a tenant."""


# ---------------------------------------------------------------------------------------------------- without a host


@policy.command(short_help="Say what is odd about a bundle.")
@file_argument
@manifest_options
@output.json_option
def lint(*, file: Path, manifest: Path | None, tools: tuple[str, ...], as_json: bool) -> int:
    """Say what in FILE can never matter, or could not be followed later. Exit code 1 when something was found."""
    found = examined(file, manifest=manifest, tools=tools, runs_tests=False)
    show_report(found, as_json=as_json, what=str(file))
    return output.FAILED if found.findings else output.DONE


@policy.command(short_help="Run the tests of a bundle.")
@file_argument
@manifest_options
@output.json_option
def test(*, file: Path, manifest: Path | None, tools: tuple[str, ...], as_json: bool) -> int:
    """Run the tests in FILE. Exit code 1 when one fails, or a policy does not fit a contract."""
    found = examined(file, manifest=manifest, tools=tools)
    show_report(found, as_json=as_json, what=str(file), all_cases=True)
    return output.FAILED if found.wrong else output.DONE


@policy.command(short_help="Say whether a host would take a bundle.")
@file_argument
@manifest_options
@output.json_option
def validate(*, file: Path, manifest: Path | None, tools: tuple[str, ...], as_json: bool) -> int:
    """Say whether FILE can be deployed: it reads, fits the contracts and passes its tests. Exit code 1 for no."""
    found = examined(file, manifest=manifest, tools=tools)
    show_report(found, as_json=as_json, what=str(file))
    return output.FAILED if found.wrong else output.DONE


# ------------------------------------------------------------------------------------------------------- with a host


@policy.command(short_help="Hand in a bundle as a new version.")
@file_argument
@click.option("--note", default="", help="What changes and why, for whoever reviews it.")
@click.option("--draft", is_flag=True, help="Do not ask for its review yet.")
@click.option("--replaces", type=click.IntRange(min=1), help="A version that is not in force yet, which this one ends.")
@host_options
def deploy(
    *,
    file: Path,
    note: str,
    draft: bool,
    replaces: int | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Hand FILE in as a new version: the host checks and tests it, and shows which decisions it would change.

    It is in force when somebody else has activated it.
    """
    request = {"source": read_file(file), "note": note, "draft": draft}
    method = "CreatePolicy"
    if replaces:
        request["version"], method = replaces, "UpdatePolicy"
    answer = _ask(method, request, tenant=tenant, source=source, profile=profile)
    if as_json:
        output.data(answer, as_json=True)
        return
    show_report(_report_of(answer), as_json=False, what=str(file))
    made = answer["policy"]
    output.data(None, as_json=False, text=_line(made))
    version = made["version"]
    output.say(
        f"to ask for its review: altar policy submit {version}"
        if draft
        else f"another person puts it in force: altar policy activate {version}"
    )


@policy.command("list", short_help="List the versions of a tenant.")
@click.option("--limit", type=click.IntRange(min=1, max=1000), help="How many at most.")
@click.option("--cursor", help="Where the page begins: the cursor of the page before.")
@host_options
def list_versions(
    *,
    limit: int | None,
    cursor: str | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """List versions, the newest first, and what is wrong on this host with the one in force."""
    request = {"limit": limit or 0, "cursor": cursor or ""}
    answer = _ask("ListPolicies", request, tenant=tenant, source=source, profile=profile)
    heads = ("VERSION", "STATUS", "AUTHORS", "REVIEWED BY", "CHANGED", "NOTE")
    rows = [heads, *map(_row, answer["policies"])]
    output.data(answer, as_json=as_json, text=output.columns(rows) if answer["policies"] else "")
    if as_json:
        return
    if not answer["policies"]:
        output.say("none")
    for problem in answer["problems"]:
        output.warn(problem)
    if answer["next_cursor"]:
        output.say(f"there are more: --cursor {answer['next_cursor']}")


@policy.command(short_help="Print a version as TOML.")
@click.argument("version", type=click.IntRange(min=1), required=False)
@host_options
def show(*, version: int | None, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """Print VERSION, or the one in force, as TOML that can be deployed again."""
    answer = _ask("GetPolicy", {"version": version or 0}, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text=answer["source"].rstrip("\n"))
    if not as_json:
        output.say(_line(answer["policy"]))


@policy.command(short_help="Show which decisions differ between two versions.")
@click.argument("to", type=click.IntRange(min=1))
@click.option("--from", "from_version", type=click.IntRange(min=1), help="A version; the one in force without.")
@host_options
def diff(
    *,
    to: int,
    from_version: int | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Show what version TO would decide otherwise, in the tests of both. `altar policy replay` asks the record."""
    request = {"from_version": from_version or 0, "to_version": to}
    answer = _ask("DiffPolicy", request, tenant=tenant, source=source, profile=profile)
    if as_json:
        output.data(answer, as_json=True)
    else:
        show_report(_report_of(answer), as_json=False, what=f"version {to}")


@policy.command(short_help="Ask for the review of a version.")
@click.argument("version", type=click.IntRange(min=1))
@host_options
def submit(*, version: int, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """Ask for the review of VERSION: a draft, one that must be compared anew, or one that was in force once."""
    answer = _ask("SubmitPolicy", {"version": version}, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text=_line(answer["policy"]))


@policy.command(short_help="Put a version in force.")
@click.argument("version", type=click.IntRange(min=1))
@digest_option
@host_options
def activate(
    *,
    version: int,
    digest: str | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Let VERSION decide from now on, on every host, in the place of the one that does.

    Without --digest you see which decisions it would change, and are asked.
    Whoever wrote it cannot do this, also not under another name.
    """
    if digest is None:
        found = _ask("GetPolicy", {"version": version}, tenant=tenant, source=source, profile=profile)["policy"]
        answer = _ask("DiffPolicy", {"to_version": version}, tenant=tenant, source=source, profile=profile)
        shown = (*report_lines(_report_of(answer)), _line(found))
        look = f"altar policy diff {version}; altar policy show {version}"
        confirmed("\n".join(shown), question=f"Put version {version} in force?", look=look)
        digest = str(found["digest"])
    request = {"version": version, "digest": digest}
    _show_swap(_ask("ActivatePolicy", request, tenant=tenant, source=source, profile=profile), as_json=as_json)


@policy.command(short_help="Put the version before back in force.")
@host_options
def rollback(*, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """Let the version decide again that did before this one, at once and without another review."""
    _show_swap(_ask("RollbackPolicy", {}, tenant=tenant, source=source, profile=profile), as_json=as_json)


@policy.command(short_help="End a version.")
@click.argument("version", type=click.IntRange(min=1))
@host_options
def retire(*, version: int, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """End VERSION: say no to one that waits for its review, or take one out of force where no review is asked for."""
    answer = _ask("RetirePolicy", {"version": version}, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text=_line(answer["policy"]))


@policy.command(short_help="Remove a version that was never in force.")
@click.argument("version", type=click.IntRange(min=1))
@host_options
def delete(*, version: int, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """Remove VERSION, which was never in force."""
    answer = _ask("DeletePolicy", {"version": version}, tenant=tenant, source=source, profile=profile)
    output.data(answer, as_json=as_json, text="")
    if not as_json:
        output.say(f"removed version {version}")


def _ask(
    method: str, request: Mapping[str, Any], *, tenant: str | None, source: str | None, profile: str | None
) -> dict[str, Any]:
    from altar.cli.administration import ask_host

    asked = {**request, **({"tenant_id": tenant} if tenant else {})}
    answer: dict[str, Any] = ask_host(f"{_SERVICE}/{method}", asked, source=source, profile=profile)
    return answer


def _show_swap(answer: Mapping[str, Any], *, as_json: bool) -> None:
    output.data(answer, as_json=as_json, text=_line(answer["policy"]))
    before = answer.get("before")
    if not as_json:
        output.say(f"in the place of version {before['version']}" if before else "it is the first one in force")


def _line(made: Mapping[str, Any]) -> str:
    return f"version {made['version']}  {_status(made)}  {made['digest']}"


def _row(made: Mapping[str, Any]) -> Sequence[str]:
    changed = datetime.fromtimestamp(int(made["changed_ms"]) / 1000, UTC).isoformat(timespec="seconds")
    authors = ", ".join(made["authors"])
    return (
        str(made["version"]),
        _status(made),
        authors,
        made["reviewed_by"],
        changed.replace("+00:00", "Z"),
        made["note"],
    )


def _status(made: Mapping[str, Any]) -> str:
    return str(made["status"]).removeprefix("ARTEFACT_STATUS_")


def _report_of(answer: Mapping[str, Any]) -> Examination:
    """The report that a host gave, as the same value that is made here."""
    from altar.aesp.policy.examining import examination_of

    if "report" not in answer:
        raise ConfigurationError("VERSION_MISMATCH", "The host gave no report", hint="is it an older ALTAR?")
    return examination_of(answer["report"])
