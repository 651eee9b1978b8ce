"""`altar contracts`: which contracts of a host a tenant has approved for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from altar.adm.errors import ValidationError
from altar.cli import output
from altar.cli.administration import ask_host, commands_of
from altar.cli.host_options import host_options
from altar.cli.looking import confirmed, digest_option

__all__ = ["contracts"]

_SERVICE = "EnterpriseContractService"
_PAGE = 1000

contracts = click.Group(
    "contracts",
    help="Which contracts of the host a tenant has approved for itself.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in commands_of("contracts"):
    contracts.add_command(_command)


@contracts.command(short_help="Approve a contract.")
@click.argument("contract")
@digest_option
@host_options
def approve(
    *,
    contract: str,
    digest: str | None,
    tenant: str | None,
    source: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Let the tenant call CONTRACT, such as weather@1.0.0, as it was submitted.

    The digest is that of the contract; `altar contracts list` has it.
    """
    of_tenant = {"tenant_id": tenant} if tenant else {}
    if digest is None:
        found = _submitted(contract, of_tenant, source=source, profile=profile)
        confirmed(_text(found), question=f"Approve {contract}?", look="altar contracts list")
        digest = str(found["digest"])
    request = {"contract": contract, "digest": digest, **of_tenant}
    answer = ask_host(f"{_SERVICE}/ActivateContract", request, source=source, profile=profile)
    output.data(answer, as_json=as_json, text=_text(answer["standing"]))


def _submitted(
    contract: str, of_tenant: Mapping[str, str], *, source: str | None, profile: str | None
) -> Mapping[str, Any]:
    """What the tenant says of a contract, found in the pages of the list."""
    cursor = ""
    while True:
        request = {"limit": _PAGE, "cursor": cursor, **of_tenant}
        page = ask_host(f"{_SERVICE}/ListContracts", request, source=source, profile=profile)
        for found in page["contracts"]:
            if found["contract"] == contract:
                standing: Mapping[str, Any] = found
                return standing
        cursor = page["next_cursor"]
        if not cursor:
            raise ValidationError(
                "UNKNOWN_RESOURCE",
                f"There is no contract {contract[:80]!r} that was submitted",
                ran="no",
                hint=f"submit it first: altar contracts submit {contract}",
            )


def _text(standing: Mapping[str, Any]) -> str:
    rows = [
        ("contract", standing["contract"]),
        ("status", str(standing["status"]).removeprefix("ARTEFACT_STATUS_")),
        ("authors", ", ".join(standing["authors"])),
        ("reviewed by", standing["reviewed_by"]),
        ("digest", standing["digest"]),
    ]
    return output.columns([row for row in rows if row[1]])
