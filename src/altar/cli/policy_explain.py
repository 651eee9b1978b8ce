"""`altar policy explain`: say why a call would be decided on so, by a host, or by a bundle in a file."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from altar.adm.errors import ValidationError
from altar.cli import output
from altar.cli.audit_files import settings_of, time_ms_of
from altar.cli.call import arguments_of

__all__ = ["explain"]

_METHOD = "EnterprisePolicyService/Explain"


@click.command(short_help="Say why a call would be decided on so.")
@click.argument("tool")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json-args", metavar="JSON", help="Arguments as one JSON object.")
@click.option("--principal", default="", help="Who would call; you without.")
@click.option("--time", metavar="TIME", help="When, such as 2026-11-23T08:00; now without.")
@click.option("--environment", "constants", multiple=True, metavar="NAME=VALUE", help="In place of the operator's.")
@click.option("--bundle", type=click.Path(path_type=Path), metavar="FILE", help="Ask no host, but this bundle.")
@click.option(
    "--fact", "facts", multiple=True, metavar="NAME=VALUE", help="A fact for --bundle; VALUE is JSON or text."
)
@click.option("--manifest", type=click.Path(path_type=Path), help="Manifest of the contracts, for --bundle.")
@click.option("--tools", multiple=True, metavar="MODULE", help="Module that declares the tools, for --bundle.")
@click.option("--tenant", help="Tenant; your own without.")
@click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def explain(
    *,
    tool: str,
    values: tuple[str, ...],
    json_args: str | None,
    principal: str,
    time: str | None,
    constants: tuple[str, ...],
    bundle: Path | None,
    facts: tuple[str, ...],
    manifest: Path | None,
    tools: tuple[str, ...],
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> int:
    """Say check by check what would be decided on a call of TOOL, and what would have to differ. Nothing is called.

    Your own calls are explained to you; those of others need the permission `policies:explain`.
    Exit code 3 when the call would not run as it is.
    """
    name, _, version = tool.partition("@")
    arguments = arguments_of(values, json_args=json_args, parameters={})
    if bundle is None:
        if facts or manifest is not None or tools:
            raise ValidationError("MALFORMED_REQUEST", "--fact, --manifest and --tools go with --bundle", ran="no")
        request = {
            "tool": name,
            "version": version,
            "arguments": base64.b64encode(json.dumps(arguments).encode()).decode(),
            "principal_id": principal,
            "time_ms": time_ms_of(time, option="--time") or 0,
            "environment": dict(_pairs(constants, "--environment")),
        }
        return show(_asked(request, tenant=tenant, source=source, profile=profile), as_json=as_json)
    here = settings_of(profile).aesp
    said: dict[str, Any] = {"request.environment": here.environment}
    said |= {key: _value(text) for key, text in _pairs(facts, "--fact")}
    if principal:
        said["principal.id"] = principal
    if tenant:
        said["tenant.name"] = tenant
    table = {
        "name": "the call",
        "tool": name,
        "version": version,
        "args": arguments,
        "facts": said,
        "environment": dict(_pairs(constants, "--environment")) or here.constants,
        "expect": "ALLOW",
        **({"time": _moment(time)} if time else {}),
    }
    told = _offline(bundle, table, manifest, tools)
    output.data(told.as_json(), as_json=as_json, text=told.to_text())
    return output.DONE if told.allowed else output.DENIED


def show(answer: dict[str, Any], *, as_json: bool) -> int:
    """Print what a host explains; the exit code says whether the call runs."""
    told = json.loads(base64.b64decode(answer["json"]))
    output.data(told, as_json=as_json, text=answer["text"])
    return output.DONE if answer["allowed"] else output.DENIED


def _asked(request: dict[str, Any], *, tenant: str | None, source: str | None, profile: str | None) -> dict[str, Any]:
    from altar.cli.administration import ask_host

    asked = request | ({"tenant_id": tenant} if tenant else {})
    answer: dict[str, Any] = ask_host(_METHOD, asked, source=source, profile=profile)
    return answer


def _offline(file: Path, table: dict[str, Any], manifest: Path | None, tools: tuple[str, ...]) -> Any:
    from altar.aesp.policy.cases import cases_of
    from altar.aesp.policy.explain import offline
    from altar.aesp.policy.policy import read_bundle
    from altar.cli.policy_files import contracts_of, read_file

    bundle = read_bundle(read_file(file), path=str(file))
    contract = contracts_of(manifest, tools).find(table["tool"], table["version"])
    (case,) = cases_of(replace(bundle, tests=(table | {"version": contract.version},)))
    return offline(bundle, contract, case)


def _pairs(words: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise ValidationError("MALFORMED_REQUEST", f"{option} {word!r} is no NAME=VALUE", ran="no")
        pairs.append((name, value))
    return pairs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _moment(text: str) -> str:
    from datetime import UTC, datetime

    time_ms = time_ms_of(text, option="--time") or 0
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()
