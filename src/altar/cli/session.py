"""`altar session`: see, extend and end the sessions that this principal has open on a host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from altar.cli import output
from altar.cli.children import require_grid

if TYPE_CHECKING:
    from altar.grid.client.session_admin import SessionAdmin
    from altar.later.session_info import SessionInfo

__all__ = ["session"]

T = TypeVar("T")

_source = click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")
_profile = click.option("--profile", help="Profile of altar.toml.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def session() -> None:
    """See, extend and end the sessions that you have open on a host.

    Whose sessions they are is read from the credential, the saved login, or the client certificate in `[tls]`.
    Those of others are not there.
    """


@session.command("list")
@_source
@_profile
@output.json_option
def list_sessions(*, source: str | None, profile: str | None, as_json: bool) -> None:
    """List your sessions, the oldest first."""
    found = _asked(lambda admin: admin.sessions(), source=source, profile=profile)
    if not found:
        output.say("no sessions are open")
    rows = [("SESSION", "LEFT", "TTL", "CALLS", "VARIABLES", "CLIENTS", "TOOLS"), *map(_row, found)]
    output.data([_members(one) for one in found], as_json=as_json, text=output.columns(rows) if found else "")


@session.command("show")
@click.argument("session_id")
@_source
@_profile
@output.json_option
def show(*, session_id: str, source: str | None, profile: str | None, as_json: bool) -> None:
    """Show one session."""
    found = _asked(lambda admin: admin.describe(session_id), source=source, profile=profile)
    _show(found, as_json=as_json)


@session.command("extend")
@click.argument("session_id")
@click.option("--ttl", type=click.FloatRange(min=1), metavar="SECONDS", help="How long; as it was unless given.")
@_source
@_profile
@output.json_option
def extend(*, session_id: str, ttl: float | None, source: str | None, profile: str | None, as_json: bool) -> None:
    """Let a session live longer, from now on and after each use; the host caps it."""
    wanted = timedelta(seconds=ttl) if ttl is not None else None
    found = _asked(lambda admin: admin.extend(session_id, ttl=wanted), source=source, profile=profile)
    _show(found, as_json=as_json)


@session.command("destroy")
@click.argument("session_id")
@click.option("--force", is_flag=True, help="Cancel the calls that run in it; without this it is kept while any do.")
@_source
@_profile
@output.json_option
def destroy(*, session_id: str, force: bool, source: str | None, profile: str | None, as_json: bool) -> None:
    """End a session, and its variables with it."""
    _asked(lambda admin: admin.destroy(session_id, force=force), source=source, profile=profile)
    output.data({"destroyed": session_id}, as_json=as_json, text="")
    output.say(f"destroyed {session_id}")


def _asked(what: Callable[[SessionAdmin], Awaitable[T]], *, source: str | None, profile: str | None) -> T:
    from altar.settings import Settings, credential_options

    require_grid()
    settings = Settings.load(profile=profile, source=source)

    async def ask() -> T:
        from altar.grid.trust.tls import require_tls13

        require_tls13()
        from altar.grid.client.client import certificates_of
        from altar.grid.client.session_admin import administration

        tls = settings.tls
        files = certificates_of({"certificate": tls.certificate, "key": tls.key, "authority": tls.authority})
        async with administration(settings.source, files, options=credential_options(settings)) as admin:
            return await what(admin)

    return asyncio.run(ask())


def _show(info: SessionInfo, *, as_json: bool) -> None:
    members = _members(info)
    shown = [(name, _words(value)) for name, value in members.items() if value not in (None, [], {})]
    output.data(members, as_json=as_json, text=output.columns(shown))


def _members(info: SessionInfo) -> dict[str, Any]:
    return {
        "session_id": info.session_id,
        "created": info.created.isoformat(timespec="seconds") if info.created is not None else None,
        "ttl_seconds": int(info.ttl.total_seconds()),
        "seconds_left": int(info.left.total_seconds()),
        "tools": list(info.tools),
        "calls": info.calls,
        "variables": info.variables,
        "connections": info.connections,
        "labels": dict(info.labels),
    }


def _row(info: SessionInfo) -> tuple[str, ...]:
    return (
        info.session_id,
        f"{info.left.total_seconds():.0f} s",
        f"{info.ttl.total_seconds():.0f} s",
        str(info.calls),
        str(info.variables),
        str(info.connections),
        ", ".join(info.tools) or "all",
    )


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
