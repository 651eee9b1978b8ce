"""The nouns of administration: `altar tenants|principals|groups|roles|bindings|keys`, `altar who-can`, `altar can-i`.

Each verb is a row of `VERBS`: the method of the host that it asks, its arguments, and what of the answer is shown.
They go over the grid with a certificate and a credential, and never to the database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ValidationError
from altar.cli import output
from altar.cli.children import require_grid
from altar.cli.verbs import VERBS, Option, Verb

if TYPE_CHECKING:
    from altar.settings import Settings

__all__ = [
    "VERBS",
    "Option",
    "Verb",
    "ask_host",
    "bindings",
    "can_i",
    "commands_of",
    "groups",
    "keys",
    "principals",
    "roles",
    "tenants",
    "who_can",
]

_AUTHORIZATION = "EnterpriseAuthorizationService"
_DAY_MS = 86_400_000
_SECRETS = ("one_time_password", "api_key")


def commands_of(noun: str) -> list[click.Command]:
    """Make a command of each verb of a noun."""
    return [_command(verb) for verb in VERBS if verb.noun == noun]


def ask_host(method: str, request: Mapping[str, Any], *, source: str | None = None, profile: str | None = None) -> Any:
    """Ask a host one thing, with the certificate and the credential of the settings."""
    return _asked(method, request, {"source": source, "profile": profile})


def _group(noun: str, help_text: str) -> click.Group:
    group = click.Group(noun, help=help_text, context_settings={"help_option_names": ["-h", "--help"]})
    for command in commands_of(noun):
        group.add_command(command)
    return group


def _command(verb: Verb) -> click.Command:
    parameters: list[click.Parameter] = [click.Argument([name]) for name in verb.arguments]
    parameters += [_parameter(option) for option in verb.options]
    if verb.in_tenant:
        parameters.append(click.Option(["--tenant"], help="Tenant; your own without."))
    command = click.Command(verb.name, params=parameters, help=verb.help, callback=_callback(verb))
    return _with_connection(command)


def _with_connection(command: click.Command) -> click.Command:
    command.params += [
        click.Option(["--source"], help="The host: `grid://host:port`; the setting `source` unless given."),
        click.Option(["--profile"], help="Profile of altar.toml."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ]
    return command


def _parameter(option: Option) -> click.Option:
    name = option.flag.removeprefix("--").replace("-", "_")
    if option.kind == "switch":
        return click.Option([option.flag, f"o_{name}"], is_flag=True, help=option.help)
    if option.kind in {"many", "quotas"}:
        return click.Option([option.flag, f"o_{name}"], multiple=True, help=option.help)
    kind = click.IntRange(min=0) if option.kind == "count" else click.IntRange(min=1) if option.kind == "days" else None
    return click.Option([option.flag, f"o_{name}"], type=kind, help=option.help)


def _callback(verb: Verb) -> Callable[..., None]:
    def run(**given: Any) -> None:
        as_json = bool(given["as_json"])
        request = _request(verb, given)
        if verb.method.endswith("/ExportTenant"):
            output.raw(b"".join(part.chunk for part in _asked(verb.method, request, given, stream=True)))
            return
        _show(verb, _asked(verb.method, request, given), as_json=as_json)

    return run


def _request(verb: Verb, given: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = dict(verb.fixed) | {name: given[name] for name in verb.arguments}
    if verb.in_tenant and given.get("tenant"):
        request["tenant_id"] = given["tenant"]
    for option in verb.options:
        value = given[f"o_{option.flag.removeprefix('--').replace('-', '_')}"]
        if value in {None, False} or value == ():
            continue
        if option.kind == "days":
            value = int(time.time() * 1000) + value * _DAY_MS
        elif option.kind == "quotas":
            value = _quotas(value)
        request[option.member] = list(value) if option.kind == "many" else value
    return request


def _quotas(words: Sequence[str]) -> dict[str, int]:
    quotas = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not equals or not number.isdigit():
            raise ValidationError("MALFORMED_REQUEST", f"{word!r} is no quota", hint="write it as name=number")
        quotas[name] = int(number)
    return quotas


def _asked(method: str, request: Mapping[str, Any], given: Mapping[str, Any], *, stream: bool = False) -> Any:
    from altar.settings import Settings

    require_grid()
    settings = Settings.load(profile=given.get("profile"), source=given.get("source"))
    return asyncio.run(_ask(settings, method, request, stream=stream))


async def _ask(settings: Settings, method: str, request: Mapping[str, Any], *, stream: bool) -> Any:
    from altar.grid.trust.tls import require_tls13

    require_tls13()
    from altar.aesp.service.client import administration_of
    from altar.grid.client.client import certificates_of
    from altar.grid.client.client_credential import credential_in
    from altar.settings import credential_options

    tls = settings.tls
    files = certificates_of({"certificate": tls.certificate, "key": tls.key, "authority": tls.authority})
    target = settings.source.removeprefix("grid://")
    credential = credential_in(credential_options(settings), target=target, files=files)
    shown = (await credential.fresh()).decode() if credential is not None else ""
    async with administration_of(settings.source, files, credential=shown) as client:
        if stream:
            return [part async for part in client.stream(method, request)]
        return await client.ask(method, request)


def _show(verb: Verb, answer: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.data(dict(answer), as_json=True)
        return
    shown: Any = answer.get(verb.shows, answer) if verb.shows else answer
    if verb.columns:
        rows = [
            tuple(map(_word, verb.columns)),
            *(tuple(_cell(one.get(name), name) for name in verb.columns) for one in shown),
        ]
        output.data(None, as_json=False, text=output.columns(rows) if shown else "")
        if not shown:
            output.say("none")
        if answer.get("next_cursor"):
            output.say(f"there are more: --cursor {answer['next_cursor']}")
    elif verb.line:
        cells = {name: _cell(value, name) or "0" for name, value in shown.items()}
        output.data(None, as_json=False, text=verb.line.format_map(cells))
    elif isinstance(shown, Mapping):
        pairs = [
            (name.removesuffix("_ms"), _cell(value, name))
            for name, value in shown.items()
            if value not in ("", [], {}, None)
        ]
        output.data(None, as_json=False, text=output.columns(pairs) if pairs else "")
    else:
        output.data(None, as_json=False, text=_cell(shown))
    for name in _SECRETS:
        if answer.get(name) and verb.shows != name:
            output.data(None, as_json=False, text=f"{name}  {answer[name]}")
            output.say("it is shown this once and never again")


def _word(name: str) -> str:
    return name.removesuffix("_id").removesuffix("_ms").replace("_", " ").upper()


def _cell(value: Any, name: str = "") -> str:
    if name.endswith("_ms"):  # 64 bits are text in JSON
        at = int(value or 0) / 1000
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_cell(held)}" for name, held in sorted(value.items()))
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ("" if value in (None, "0", 0) else str(value)).removeprefix("APPROVAL_STATE_")
    for kind in ("PRINCIPAL_TYPE_", "ARTEFACT_STATUS_", "TENANT_STATUS_"):
        text = text.removeprefix(kind)
    return text.removeprefix("AUTHORIZATION_DECISION_")


tenants = _group("tenants", "Make, suspend and end tenants, as the operator of a host.")
principals = _group("principals", "People and programs of a tenant.")
groups = _group("groups", "Groups of principals.")
roles = _group("roles", "What may be granted.")
bindings = _group("bindings", "Who has which role, for what, until when.")
keys = _group("keys", "API keys of programs.")


@click.command("who-can")
@click.argument("permission")
@click.option("--tenant", help="Tenant; your own without.")
@click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def who_can(*, permission: str, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """List who may do PERMISSION, such as tools/weather:execute, and by which role."""
    request = _question(permission) | ({"tenant_id": tenant} if tenant else {})
    answer = _asked(f"{_AUTHORIZATION}/WhoCan", request, {"source": source, "profile": profile})
    rows = [(one["principal_id"], "; ".join(one["reasons"])) for one in answer["holders"]]
    output.data(answer, as_json=as_json, text=output.columns(rows) if rows else "")
    if not rows:
        output.say("nobody")


@click.command("can-i")
@click.argument("permission")
@click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def can_i(*, permission: str, source: str | None, profile: str | None, as_json: bool) -> int:
    """Say whether you may do PERMISSION, such as tools/weather:execute, and why. Exit code 1 for no."""
    answer = _asked(f"{_AUTHORIZATION}/CheckPermission", _question(permission), {"source": source, "profile": profile})
    allowed = answer["decision"] == "AUTHORIZATION_DECISION_ALLOWED"
    text = "\n".join(("yes" if allowed else "no", *answer["reasons"]))
    output.data(answer, as_json=as_json, text=text)
    return output.DONE if allowed else output.FAILED


def _question(permission: str) -> dict[str, str]:
    resource, colon, action = permission.rpartition(":")
    if not colon or not resource or not action:
        raise ValidationError("MALFORMED_REQUEST", f"{permission!r} is no permission", hint="write resource:action")
    return {"resource": resource, "action": action}
