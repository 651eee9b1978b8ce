"""`altar approvals` and `altar break-glass`: decide on calls that wait, and let them pass in an emergency."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from altar.adm.errors import ValidationError
from altar.cli import output
from altar.cli.administration import ask_host, commands_of

__all__ = ["approvals", "break_glass"]

_SERVICE = "EnterpriseGovernanceService"

approvals = click.Group("approvals", help="Calls that wait for the approval of a person.")
break_glass = click.Group("break-glass", help="Let calls pass without approval in an emergency, under an alarm.")
for _group in (approvals, break_glass):
    for _command in commands_of(str(_group.name)):
        _group.add_command(_command)

_source = click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")
_profile = click.option("--profile", help="Profile of altar.toml.")


@approvals.command()
@click.argument("approval_id")
@_source
@_profile
@output.json_option
def show(*, approval_id: str, source: str | None, profile: str | None, as_json: bool) -> None:
    """Show a request, with the call as the host renders it."""
    found = _approval(approval_id, source=source, profile=profile)
    output.data(found, as_json=as_json, text=_text(found))


@approvals.command()
@click.argument("approval_id")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--digest", help="Digest of what is approved, as `show` gives it; without it you are asked.")
@_source
@_profile
@output.json_option
def approve(
    *, approval_id: str, reason: str, digest: str | None, source: str | None, profile: str | None, as_json: bool
) -> None:
    """Approve a call, as it is shown."""
    if digest is None:
        found = _approval(approval_id, source=source, profile=profile)
        output.say(_text(found))
        if not sys.stdin.isatty():
            raise ValidationError(
                "MALFORMED_REQUEST",
                "Nobody is there to confirm what is approved",
                hint=f"look at it with `altar approvals show {approval_id}` and pass its --digest",
            )
        click.confirm("Approve this call?", abort=True, err=True)
        digest = str(found["digest"])
    request = {
        "approval_id": approval_id,
        "adjudication": "ADJUDICATION_APPROVE",
        "digest": digest,
        "reason": reason,
    }
    answer = ask_host(f"{_SERVICE}/AdjudicateApproval", request, source=source, profile=profile)["approval"]
    output.data(answer, as_json=as_json, text=f"{approval_id}  {_state(answer)}")


@approvals.command()
@click.option("--id", "approval_id", default="", help="One request; all of the tenant without.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="How many at most, up to 1000.")
@click.option("--cursor", default="", help="Where the page begins: the cursor of the page before.")
@_source
@_profile
@output.json_option
def history(
    *, approval_id: str, limit: int, cursor: str, source: str | None, profile: str | None, as_json: bool
) -> None:
    """Say what the record says of requests, the newest first."""
    request = {"approval_id": approval_id, "limit": limit, "cursor": cursor}
    answer = ask_host(f"{_SERVICE}/GetApprovalHistory", request, source=source, profile=profile)
    rows = [(_when(one["time_ms"]), one["approval_id"], said_of(one)) for one in answer["events"]]
    output.data(answer, as_json=as_json, text=output.columns(rows) if rows else "")
    if not as_json and not rows:
        output.say("none")
    if not as_json and answer.get("next_cursor"):
        output.say(f"there are more: --cursor {answer['next_cursor']}")


@break_glass.command("open")
@click.argument("tools")
@click.option("--reason", required=True, help="Why; at least 10 characters, for everybody to read.")
@click.option("--minutes", type=click.IntRange(1, 60), default=15, show_default=True, help="How long.")
@_source
@_profile
@output.json_option
def open_glass(
    *, tools: str, reason: str, minutes: int, source: str | None, profile: str | None, as_json: bool
) -> None:
    """Let calls of TOOLS (a pattern such as `payments.*`) pass without approval for a while."""
    request = {"tools": tools, "reason": reason, "seconds": minutes * 60}
    answer = ask_host(f"{_SERVICE}/OpenBreakGlass", request, source=source, profile=profile)["break_glass"]
    until = _when(answer["until_ms"])
    output.data(answer, as_json=as_json, text=f"{answer['break_glass_id']}  open for {tools!r} until {until}")


def _approval(approval_id: str, *, source: str | None, profile: str | None) -> Mapping[str, Any]:
    answer = ask_host(f"{_SERVICE}/GetApproval", {"approval_id": approval_id}, source=source, profile=profile)
    found: Mapping[str, Any] = answer["approval"]
    return found


def _text(found: Mapping[str, Any]) -> str:
    lines = [
        ("request", found["approval_id"]),
        ("state", _state(found)),
        ("tool", f"{found['tool']} {found['version']}"),
        ("asked by", found["principal_id"]),
        ("asked at", _when(found["created_ms"])),
        ("expires", _when(found["expires_ms"])),
    ]
    for need in found["needs"]:
        roles = " or ".join(need["approvers"]) or "approvals:decide"
        asker = ("contract", "") if need["policy"] == "(contract)" else ("policy", f"{need['policy']}: ")
        lines.append((asker[0], f"{asker[1]}{need['approved']} of {need['quorum']} ({roles})"))
    for vote in found["votes"]:
        word = "approved" if vote["approved"] else "refused"
        reason = f": {_plain(vote['reason'])}" if vote["reason"] else ""
        lines.append((word, f"{vote['principal_id']}, {_when(vote['decided_ms'])}{reason}"))
    lines.append(("digest", found["digest"]))
    return f"{output.columns(lines)}\n\n{found['arguments']}"


def said_of(event: Mapping[str, Any]) -> str:
    """What an entry of the record says of a request, in words; the commitments in it are for `--json`."""
    who, data = event["principal_id"] or "somebody", _data(event)
    tool = str(event["resource"]).removeprefix("tools/")
    reason = f": {_plain(str(data['reason']))}" if data.get("reason") else ""
    match str(event["event"]).removeprefix("approval."):
        case "requested":
            until = f", to be decided by {_when(data['expires'])}" if data.get("expires") else ""
            return f"{who} asked for {tool} {data.get('version', '')}{until}"
        case "decided":
            return f"{who} {'approved' if data.get('approve') is True else 'refused'} {tool}{reason}"
        case "consumed":
            return f"{who} used it for {tool}"
        case "released":
            return f"{tool} did not run, so it is good again"
        case "withdrawn":
            return f"{who} took it back"
        case "expired":
            return "it expired before it was used"
        case other:
            return f"{_plain(other)} {tool}"


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        data = json.loads(event.get("data") or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _state(found: Mapping[str, Any]) -> str:
    return str(found["state"]).removeprefix("APPROVAL_STATE_")


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _when(time_ms: Any) -> str:
    at = datetime.fromtimestamp(int(time_ms) / 1000, UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
