"""`altar identity init`: the first administrator of a host, before anybody can sign in."""

from __future__ import annotations

import asyncio
import sys

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output

__all__ = ["init"]


@click.command()
@click.option("--name", default="admin", show_default=True, help="Name of the administrator.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin; one is made up without it.")
@click.option(
    "--certificate", default="", metavar="NAME", help="Let the client certificate of this name administer too."
)
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def init(*, name: str, password_stdin: bool, certificate: str, profile: str | None, as_json: bool) -> None:
    """Make the tenant of the operator and its first administrator, in the store of the host.

    A password that is made up is printed once and good for one sign-in, which has to replace it.
    """
    from altar.cli.enterprise import begin
    from altar.settings import Settings

    password = sys.stdin.readline(4096).rstrip("\r\n") if password_stdin else ""
    if password_stdin and not password:
        raise ConfigurationError("INVALID_CONFIG", "There is no password on stdin", hint="write it as one line")
    settings = Settings.load(profile=profile)
    begun = asyncio.run(begin(settings, name=name, password=password, certificate=certificate))
    members = {"principal": begun.principal, "tenant": settings.aesp.operator_tenant}
    if begun.password:
        members["one_time_password"] = begun.password
    output.data(members, as_json=as_json, text=output.columns(list(members.items())))
    if begun.password:
        output.say("sign in once with this password and a new one: altar login")
