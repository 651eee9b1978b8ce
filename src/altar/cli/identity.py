"""`altar identity`: the first administrator of a host, and where its people come from."""

from __future__ import annotations

import click

from altar.cli.administration import commands_of
from altar.cli.identity_init import init
from altar.cli.identity_sync import add_mapping, list_mappings, providers, remove_mapping, sync, try_provider

__all__ = ["identity"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def identity() -> None:
    """Begin with the first administrator, and look after where people come from."""


for _command in (init, providers, try_provider, sync, list_mappings, add_mapping, remove_mapping):
    identity.add_command(_command)

for _verb in commands_of("identity"):
    identity.add_command(_verb)
