"""`altar identity providers|test|sync|mappings|map|unmap`: where people come from, over the host's web address.

They ask the host, with a credential, and never a directory or the database: the host is authorized and records it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from altar.adm.codes import CODES
from altar.adm.errors import ConfigurationError, TransportError, error_of
from altar.cli import output
from altar.cli.progress import progress_bar

if TYPE_CHECKING:
    import httpx

    from altar.settings import Settings

__all__ = ["add_mapping", "list_mappings", "providers", "remove_mapping", "sync", "try_provider"]

_SECONDS = 3600.0
_LISTS = ("create", "update", "activate", "deactivate", "conflicts")

_web = click.option("--web", metavar="URL", help="Web address of the host; the setting `aesp.web_url` without it.")
_profile = click.option("--profile", help="Profile of altar.toml.")


@click.command(short_help="List where people come from.")
@_web
@_profile
@output.json_option
def providers(*, web: str | None, profile: str | None, as_json: bool) -> None:
    """List the identity providers of your tenant, and when their people were pulled."""
    found = _ask("GET", "/providers", web=web, profile=profile)["providers"]
    rows = [("name", "kind", "pulled", "in full")]
    rows += [(each["name"], each["kind"], _time(each.get("run_ms")), _time(each.get("full_ms"))) for each in found]
    output.data(found, as_json=as_json, text=output.columns(rows) if found else "")


@click.command("test", short_help="Ask a provider for its people, and change nothing.")
@click.argument("provider")
@_web
@_profile
@output.json_option
def try_provider(*, provider: str, web: str | None, profile: str | None, as_json: bool) -> None:
    """Ask a provider for its people, and show how many there are and who some of them would be."""
    found = _ask("POST", f"/providers/{provider}/test", web=web, profile=profile)
    lines = [f"{found['people']} people"]
    lines += [f"{each['name']}: {', '.join(each['groups']) or 'no groups'}" for each in found["some"]]
    output.data(found, as_json=as_json, text="\n".join(lines))


@click.command(short_help="Pull people and groups from a provider.")
@click.argument("provider")
@click.option("--full", is_flag=True, help="Pull everybody, not only who changed; finds who was deleted.")
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option("--force", is_flag=True, help="Let more than a fifth of the people lose their access.")
@_web
@_profile
@output.json_option
def sync(
    *, provider: str, full: bool, dry_run: bool, force: bool, web: str | None, profile: str | None, as_json: bool
) -> None:
    """Pull people and groups from a provider: LDAP, Active Directory, SCIM or Okta.

    Who is not there any more, or is disabled there, loses all access at once.
    """
    body = {"full": full, "dry_run": dry_run, "force": force}
    plan = _ask("POST", f"/providers/{provider}/sync", web=web, profile=profile, body=body, watch=provider)
    output.data(plan, as_json=as_json, text=_words(plan))


@click.command("mappings", short_help="List the rules that give roles to groups of a provider.")
@_web
@_profile
@output.json_option
def list_mappings(*, web: str | None, profile: str | None, as_json: bool) -> None:
    """List the rules of your tenant that give roles to groups of a provider."""
    found = _ask("GET", "/mappings", web=web, profile=profile)["mappings"]
    rows = [("provider", "group", "role", "for")]
    rows += [(each["provider"], each["pattern"], each["role"], each["scope"]) for each in found]
    output.data(found, as_json=as_json, text=output.columns(rows) if found else "")


_provider = click.argument("provider")
_pattern = click.argument("group")
_role = click.argument("role")
_scope = click.option("--scope", default="*", show_default=True, help="Resources that the role is for.")


@click.command("map", short_help="Give a role to a group of a provider.")
@_provider
@_pattern
@_role
@_scope
@_web
@_profile
@output.json_option
def add_mapping(
    *, provider: str, group: str, role: str, scope: str, web: str | None, profile: str | None, as_json: bool
) -> None:
    """Give a role to everybody in a group of a provider; a * in its name is any run of characters."""
    body = {"provider": provider, "pattern": group, "role": role, "scope": scope}
    output.data(_ask("POST", "/mappings", web=web, profile=profile, body=body), as_json=as_json, text="")
    output.say(f"{group} of {provider} gives {role}")


@click.command("unmap", short_help="Take such a rule away.")
@_provider
@_pattern
@_role
@_scope
@_web
@_profile
@output.json_option
def remove_mapping(
    *, provider: str, group: str, role: str, scope: str, web: str | None, profile: str | None, as_json: bool
) -> None:
    """Take a rule away; nobody holds the role by it any more."""
    body = {"provider": provider, "pattern": group, "role": role, "scope": scope}
    _ask("DELETE", "/mappings", web=web, profile=profile, body=body)
    output.data({"removed": True}, as_json=as_json, text="")
    output.say(f"{group} of {provider} gives {role} no more")


# ── how it is asked ──────────────────────────────────────────────────────────────────────────────────────────


def _ask(
    method: str,
    path: str,
    *,
    web: str | None,
    profile: str | None,
    body: dict[str, Any] | None = None,
    watch: str = "",
) -> Any:
    from altar.settings import Settings

    settings = Settings.load(profile=profile)
    base = (web or settings.aesp.web_url).rstrip("/")
    if not base:
        raise ConfigurationError(
            "INVALID_CONFIG",
            "The web address of the host is not known",
            hint="give --web https://host:port, or set aesp.web_url",
        )
    return asyncio.run(_answer(settings, base, method, path, body=body, watch=watch))


async def _answer(
    settings: Settings, base: str, method: str, path: str, *, body: dict[str, Any] | None, watch: str
) -> Any:
    import httpx

    token = await _credential(settings)
    headers = {"authorization": f"Bearer {token}"}
    trust: ssl.SSLContext | bool = True
    if settings.tls.authority is not None and base.startswith("https"):
        trust = ssl.create_default_context(cafile=str(settings.tls.authority))
    address = f"{base}/identity/v1"
    async with httpx.AsyncClient(base_url=address, headers=headers, verify=trust, timeout=_SECONDS) as client:
        try:
            with progress_bar(f"pulling {watch}") if watch else contextlib.nullcontext(_nothing) as show:
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(_watch(client, watch, show)) if watch else None
                    try:
                        answer = await client.request(method, path, json=body)
                    finally:
                        if watching is not None:
                            watching.cancel()
        except* httpx.HTTPError as errors:
            first = errors.exceptions[0]
            raise TransportError(
                "CONNECTION_FAILED", f"{base} cannot be reached", ran="unknown", detail=str(first)
            ) from first
    if answer.status_code >= 400:
        raise _error(answer)
    return answer.json() if answer.content else None


async def _watch(client: httpx.AsyncClient, provider: str, show: Callable[[int, int | None], None]) -> None:
    """Ask now and then how far the host is, and show it."""
    import httpx

    while True:
        await asyncio.sleep(0.5)
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            found = (await client.get("/providers")).json()["providers"]
            running = next((each.get("running") for each in found if each["name"] == provider), None)
            if running:
                show(running["done"], running["total"])


async def _credential(settings: Settings) -> str:
    """The token of who is signed in, or the key of the settings."""
    from altar.grid.client.client import certificates_of, target_of
    from altar.grid.client.client_credential import credential_in
    from altar.settings import credential_options

    tls = settings.tls
    files = certificates_of({"certificate": tls.certificate, "key": tls.key, "authority": tls.authority})
    target = target_of(settings.source)[0] if settings.source.startswith("grid://") else ""
    shown = credential_in(credential_options(settings), target=target, files=files)
    if shown is None:
        raise ConfigurationError("INVALID_CONFIG", "Nobody is signed in", hint="altar login, or set ALTAR_CREDENTIAL")
    return (await shown.fresh()).decode()


def _error(answer: httpx.Response) -> Exception:
    try:
        told = json.loads(answer.content)["error"]
        code = told["code"]
        if code in CODES:
            return error_of(code, str(told["message"]), hint=str(told["hint"]) or None)
    except (ValueError, KeyError, TypeError):
        pass
    return TransportError("PROTOCOL_VIOLATION", f"The host answered with status {answer.status_code}", ran="unknown")


def _words(plan: dict[str, Any]) -> str:
    lines = []
    for name in _LISTS:
        count = plan["counts"][name]
        if count:
            some = ", ".join(plan[name][:20])
            lines.append(f"{name:<10} {count:>6}  {some}{' …' if count > 20 else ''}")
    lines.append(f"{'unchanged':<10} {plan['unchanged']:>6}")
    if plan["refused"]:
        lines.append("This would be refused without --force: more than a fifth of the people would go.")
    return "\n".join(lines)


def _time(ms: int | None) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ") if ms else "-"


def _nothing(_done: int, _total: int | None) -> None:
    """Nobody watches."""
