"""`altar explain`: say why a call that was made was decided on as it was."""

from __future__ import annotations

from typing import Any

import click

from altar.cli import output
from altar.cli.policy_explain import show

__all__ = ["explain"]


@click.command()
@click.argument("call")
@click.option("--tenant", help="Tenant; your own without.")
@click.option("--source", help="The host: `grid://host:port`; the setting `source` unless given.")
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def explain(*, call: str, tenant: str | None, source: str | None, profile: str | None, as_json: bool) -> int:
    """Say check by check why CALL was decided on as it was, from the record of its host.

    CALL is the id of an invocation, of a call or of a correlation, or `#` and a position in the log of the tenant.
    What was not recorded is said to be unknown.
    Your own calls are explained to you; those of others need the permission `policies:explain`.
    Exit code 3 for a call that was refused.
    """
    from altar.cli.administration import ask_host

    request: dict[str, Any] = {"tenant_id": tenant} if tenant else {}
    if call.startswith("#") and call[1:].isdigit():
        request["position"] = int(call[1:])
    else:
        request["invocation_id"] = call
    answer: dict[str, Any] = ask_host("EnterprisePolicyService/Explain", request, source=source, profile=profile)
    return show(answer, as_json=as_json)
