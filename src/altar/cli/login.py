"""`altar login`, `altar logout`, `altar whoami`: who this user is to a host.

A password, or what an identity provider vouches for, is shown to the host once; the host's own tokens are kept in a
private file of this user and renewed by themselves.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError
from altar.cli import output
from altar.cli.children import require_grid

if TYPE_CHECKING:
    from altar.aesp.identity.oidc_login import Obtained, Prompt
    from altar.grid.client.authentication import Authentication, Issued
    from altar.grid.client.saved_login import SavedLogin, SavedLogins
    from altar.grid.trust.certificates import CertificateFiles
    from altar.settings import Settings

__all__ = ["login", "logout", "whoami"]

_LOCAL = "local"
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

_source = click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")
_profile = click.option("--profile", help="Profile of altar.toml.")


@click.command()
@_source
@click.option("--provider", help="Name of the identity provider at the host; `local` for users of the host itself.")
@click.option("--tenant", help="Tenant to sign in to.")
@click.option("--name", help="Name of the user, for a password.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin; a second line is the new password.")
@click.option("--issuer", help="Issuer of OpenID Connect, for a provider of that kind.")
@click.option("--client-id", help="Client id of this command at the issuer.")
@click.option("--web", metavar="URL", help="Web address of the host, for a provider of SAML.")
@click.option("--device", is_flag=True, help="Sign in with a code on another device, without a browser here.")
@click.option("--no-browser", is_flag=True, help="Print the address to go to, and open no browser.")
@click.option("--timeout", type=click.FloatRange(min=1), default=300.0, metavar="SECONDS", help="How long to wait.")
@_profile
@output.json_option
def login(
    *,
    source: str | None,
    provider: str | None,
    tenant: str | None,
    name: str | None,
    password_stdin: bool,
    issuer: str | None,
    client_id: str | None,
    web: str | None,
    device: bool,
    no_browser: bool,
    timeout: float,
    profile: str | None,
    as_json: bool,
) -> None:
    """Sign in to a host.

    With a name and a password, at an OpenID Connect issuer with a browser or another device, or by SAML with --web.
    The tokens of the host are kept for the next commands, and for `altar.session`.
    """
    given = {"provider": provider, "tenant": tenant, "issuer": issuer, "client_id": client_id}
    settings, target, files = _where(source=source, profile=profile, login=given)
    from altar.grid.client.authentication import Authentication

    with Authentication(target, files) as host:
        if web is not None:
            issued = _by_saml(host, settings, web, browser=not no_browser, seconds=timeout)
        elif settings.login.issuer and settings.login.provider != _LOCAL:
            issued = _by_issuer(host, settings, device=device, browser=not no_browser, seconds=timeout)
        else:
            issued = _by_password(host, settings, name=name, from_stdin=password_stdin)
    saved = _logins(target, files).write(issued, provider=settings.login.provider)
    output.data(_told(saved), as_json=as_json, text="")
    output.say(f"signed in to {target} as {saved.principal}")


@click.command()
@_source
@_profile
@output.json_option
def logout(*, source: str | None, profile: str | None, as_json: bool) -> None:
    """End the login at a host: its tokens are revoked there, and forgotten here."""
    _, target, files = _where(source=source, profile=profile)
    logins = _logins(target, files)
    if not logins.exists():
        output.data({"signed_out": False}, as_json=as_json, text="")
        output.say(f"nobody is signed in to {target}")
        return
    from altar.grid.client.authentication import Authentication

    try:
        with suppress(ConfigurationError):  # a damaged file is removed all the same
            token = logins.read().refresh_token
            with Authentication(target, files) as host:
                host.revoke(token)
    except AltarError as unreached:
        logins.remove()
        output.warn(f"the host could not be told, so the tokens live until they end: {unreached}")
    logins.remove()
    output.data({"signed_out": True}, as_json=as_json, text="")
    output.say(f"signed out of {target}")


@click.command()
@_source
@_profile
@output.json_option
def whoami(*, source: str | None, profile: str | None, as_json: bool) -> None:
    """Show who you are to a host, as the host says it: principal, tenant, roles and permissions."""
    settings, target, files = _where(source=source, profile=profile)
    from altar.grid.client.authentication import Authentication
    from altar.grid.client.client_credential import credential_in
    from altar.settings import credential_options

    shown = credential_in(credential_options(settings), target=target, files=files)
    token = asyncio.run(shown.fresh()).decode() if shown is not None else ""
    with Authentication(target, files) as host:
        said = host.whoami(token)
    members = {
        "principal": said.principal,
        "tenant": said.tenant,
        "roles": list(said.roles),
        "permissions": list(said.permissions),
        "seconds_left": max(0, round(said.expires - time.time())) if said.expires else None,
    }
    rows = [(key, _words(value)) for key, value in members.items() if value]
    output.data(members, as_json=as_json, text=output.columns(rows))


def _where(
    *, source: str | None, profile: str | None, login: dict[str, str | None] | None = None
) -> tuple[Settings, str, CertificateFiles]:
    """The settings, the ``host:port`` of the host, and the certificate files to reach it with."""
    from altar.settings import Settings

    require_grid()
    settings = Settings.load(profile=profile, source=source, login=login or {})
    if not settings.source.startswith("grid://"):
        raise ConfigurationError(
            "INVALID_CONFIG", f"{settings.source!r} is no host", hint="name one: --source grid://host:port"
        )
    from altar.grid.trust.tls import require_tls13

    require_tls13()
    from altar.grid.client.client import certificates_of, target_of

    tls = settings.tls
    files = certificates_of({"certificate": tls.certificate, "key": tls.key, "authority": tls.authority})
    return settings, target_of(settings.source)[0], files


def _logins(target: str, files: CertificateFiles) -> SavedLogins:
    from altar.grid.client.saved_login import SavedLogins
    from altar.settings import logins_directory

    return SavedLogins(logins_directory(), target=target, files=files)


def _by_password(host: Authentication, settings: Settings, *, name: str | None, from_stdin: bool) -> Issued:
    """Sign in with a password; one that was for handing over is replaced by one of the user's own."""
    user = name or ("" if from_stdin else _line("name: "))
    if not user:
        raise ConfigurationError("INVALID_CONFIG", "Whose password is it?", hint="give --name")
    lines = sys.stdin.read(64 * 1024).splitlines() if from_stdin else []
    password = lines[0] if lines else "" if from_stdin else getpass.getpass("password: ")
    new = lines[1] if len(lines) > 1 else ""

    def ask(new_password: str) -> Issued:
        return host.password(
            tenant=settings.login.tenant or settings.aesp.operator_tenant,
            name=user,
            password=password,
            new_password=new_password,
            provider=settings.login.provider,
        )

    try:
        return ask(new)
    except AuthorizationError as refused:
        if from_stdin or "handing over" not in refused.message:
            raise
        output.say(refused.message)
        chosen = getpass.getpass("new password: ")
        if chosen != getpass.getpass("again: "):
            raise ConfigurationError("INVALID_CONFIG", "The two passwords differ", hint="sign in again") from None
        return ask(chosen)


def _by_issuer(host: Authentication, settings: Settings, *, device: bool, browser: bool, seconds: float) -> Issued:
    """Sign in at an issuer, and exchange its ID token at the host."""
    said = settings.login
    if not said.client_id or not said.issuer:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"To sign in with {said.provider!r}, an issuer and a client id are needed",
            hint="set login.issuer and login.client_id, or give --issuer and --client-id",
        )
    obtained = asyncio.run(_obtained(settings, device=device, browser=browser, seconds=seconds))
    return host.oidc(tenant=said.tenant, provider=said.provider, token=obtained.id_token, nonce=obtained.nonce)


def _by_saml(host: Authentication, settings: Settings, web: str, *, browser: bool, seconds: float) -> Issued:
    """Sign in at a SAML provider of the host, with a browser, and exchange the code that comes back."""
    from altar.aesp.identity.saml_login import by_saml

    said = settings.login
    token = asyncio.run(by_saml(web, said.provider, open_page=_opening(browser=browser), seconds=seconds))
    return host.saml(tenant=said.tenant, provider=said.provider, token=token)


async def _obtained(settings: Settings, *, device: bool, browser: bool, seconds: float) -> Obtained:
    from altar.aesp.identity.oidc_login import OidcClient, by_browser, by_device
    from altar.aesp.identity.outbound import Outbound

    said = settings.login
    origins = {"oidc": [said.issuer, *said.origins]}
    outbound = Outbound(origins, networks=_PRIVATE, authority=said.authority)
    client = OidcClient(said.issuer, said.client_id, said.scopes, now=time.time, clock=time.monotonic)
    if device:
        return await by_device(client, outbound, show=_show_code)
    return await by_browser(client, outbound, open_page=_opening(browser=browser), seconds=seconds)


def _opening(*, browser: bool) -> Callable[[str], None]:
    def open_page(address: str) -> None:
        if not (browser and webbrowser.open(address)):
            output.say("go to this address to sign in:")
            output.say(address)

    return open_page


def _show_code(prompt: Prompt) -> None:
    output.say(f"go to {prompt.address} on any device, and enter the code {prompt.code}")
    if prompt.complete:
        output.say(f"or go to {prompt.complete}")


def _line(words: str) -> str:
    """A line of the person at the terminal; the question goes to stderr, as all talk does."""
    output.say(words)
    return sys.stdin.readline().strip()


def _told(saved: SavedLogin) -> dict[str, Any]:
    return {"principal": saved.principal, "tenant": saved.tenant, "provider": saved.provider}


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
