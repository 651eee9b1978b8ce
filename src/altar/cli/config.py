"""`altar config`: the settings in force, and where each came from."""

from __future__ import annotations

import click

from altar.cli import output

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show the settings and where each came from."""


@config.command(short_help="Print each setting and where it came from.")
@click.option("--profile", help="Profile of altar.toml; without it, ALTAR_PROFILE.")
@click.option("--file", "path", help="Settings file; without it, ALTAR_CONFIG or the nearest altar.toml.")
@output.json_option
def show(*, profile: str | None, path: str | None, as_json: bool) -> None:
    """Print each setting, its value, and the place the value came from; secrets are hidden."""
    from altar.settings import Settings

    rows = Settings.load(path, profile=profile).explain()
    listed = [{"key": row.key, "value": row.value, "origin": row.origin} for row in rows]
    text = output.columns([(row.key, _written(row.value), row.origin) for row in rows])
    output.data(listed, as_json=as_json, text=text)


def _written(value: object) -> str:
    """A value as one would write it in altar.toml; a setting without a value is a dash."""
    import json

    if value is None:
        return "-"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
