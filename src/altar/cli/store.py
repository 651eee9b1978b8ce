"""`altar store`: the database of tenants and roles, prepared, brought forward, copied and restored.

These commands work on the database itself; for what is in it there is the host's own API.
"""

from __future__ import annotations

from pathlib import Path

import click

from altar.cli import output

__all__ = ["store"]

database_option = click.option(
    "--database",
    help="Its address, sqlite:///path or postgresql://…; without it that of the host's settings. A password is better"
    " kept in the environment, as part of ALTAR_DATABASE_URL, or in the file that PGPASSFILE names.",
)
profile_option = click.option("--profile", help="Profile of altar.toml.")


@click.group()
def store() -> None:
    """Back up, restore and migrate the store of tenants and roles."""


@store.command(short_help="Copy the whole store into one file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--log", type=click.Path(path_type=Path), help="The ledger of the host, when it is a file.")
@database_option
@profile_option
@output.json_option
def backup(*, file: Path, log: Path | None, database: str | None, profile: str | None, as_json: bool) -> None:
    """Copy the whole store into FILE, in one consistent state, while hosts go on working."""
    from altar.aesp.store.backup import backup as written
    from altar.aesp.store.database import Store

    opened = Store.open(_address(database, profile))
    try:
        contents = written(opened, file, log=log)
    finally:
        opened.close()
    _tell({"file": str(file), **contents}, f"wrote {file} (files: {len(contents['members'])})", as_json=as_json)


@store.command(short_help="Fill an empty store from a backup.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--log", type=click.Path(path_type=Path), help="Where the ledger of the backup shall be.")
@database_option
@profile_option
@output.json_option
def restore(*, file: Path, log: Path | None, database: str | None, profile: str | None, as_json: bool) -> None:
    """Fill the store, which must be empty, from FILE, and bring it forward to this ALTAR."""
    from altar.aesp.store.backup import restore as filled

    contents = filled(_address(database, profile), file, log=log)
    left_out = [name for name in contents["members"] if name.startswith("log/")] if log is None else []
    words = f"restored {file} (files: {len(contents['members']) - len(left_out)})"
    if left_out:
        words += (
            f"\nthe log in it was left out (files: {len(left_out)}); to have it too,"
            " restore into another new store with --log PATH"
        )
    _tell({"file": str(file), **contents, "left_out": left_out}, words, as_json=as_json)


@store.command(short_help="Bring the tables forward to this ALTAR.")
@database_option
@profile_option
@output.json_option
def migrate(*, database: str | None, profile: str | None, as_json: bool) -> None:
    """Bring the tables forward to this ALTAR; a host does the same when it starts."""
    from altar.aesp.store.database import Store
    from altar.aesp.store.migrating import head

    Store.open(_address(database, profile)).close()
    revision = head()
    _tell({"revision": revision}, f"the store has revision {revision}", as_json=as_json)


@store.command(short_help="Print what an administrator of PostgreSQL runs once.")
@click.argument("login")
@output.json_option
def roles(*, login: str, as_json: bool) -> None:
    """Print the statements that prepare PostgreSQL for a host that logs in as LOGIN."""
    from altar.aesp.store.migrating import roles_sql

    statements = roles_sql(login)
    output.data({"sql": statements}, as_json=as_json, text=statements.rstrip())


def _address(database: str | None, profile: str | None) -> str:
    """Give the address of the store: the one that was named, or the one that a host of these settings has."""
    from altar.settings import Settings

    if database:
        return database
    settings = Settings.load(profile=profile)
    return settings.database_url.get_secret_value() or f"sqlite:///{settings.host.data / 'aesp.db'}"


def _tell(value: object, words: str, *, as_json: bool) -> None:
    if as_json:
        output.data(value, as_json=True)
    else:
        output.say(words)
