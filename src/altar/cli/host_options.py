"""The options of every verb that asks a host about a tenant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from altar.cli import output

__all__ = ["host_options"]

F = TypeVar("F", bound=Callable[..., Any])


def host_options(command: F) -> F:
    """Add `--tenant`, `--source`, `--profile` and `--json`."""

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        return command(**given)

    run = click.option("--tenant", help="Tenant; your own without.")(run)
    run = click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")(run)
    run = click.option("--profile", help="Profile of altar.toml.")(run)
    return output.json_option(run)  # type: ignore[return-value]  # the same parameters as before
