"""Roles, prices and configuration of a host of the tier ADVANCED as versions, joined in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from altar.aesp.governance.artefact_rows import ArtefactKind
from altar.aesp.service.artefact_kinds import ConfigurationKind, PriceKind, RoleKind
from altar.aesp.service.artefacts import ArtefactService
from altar.cli.policies_of_host import said_to

if TYPE_CHECKING:
    from altar.aesp.principal import Principal
    from altar.aesp.service.managers import Managers
    from altar.aesp.tool_access import ToolAccess
    from altar.cli.advanced import PolicyChecks
    from altar.cli.configuration_of_host import ConfigurationOfHost
    from altar.cli.policies_of_host import PoliciesOfHost
    from altar.grid.manifests.manifest import HostContract
    from altar.ledger.entry import Event

__all__ = ["artefact_service", "configure_policies"]


def artefact_service(
    policies: PoliciesOfHost | None,
    note: Callable[[Event], None],
    managers: Managers,
    access: ToolAccess,
) -> ArtefactService:
    """The methods of artefacts, which refuse all on a host of a lower tier; ``note`` records."""
    say = said_to(note)
    if policies is None:
        return ArtefactService(None, {}, prices=_no_prices, seen_by=_no_contracts, note=say)

    configuration = policies.configuration

    def seen_by(who: Principal) -> Iterable[HostContract]:
        return (contract for contract in policies.contracts() if access.sees(who, contract))

    return ArtefactService(
        policies.artefacts,
        {
            ArtefactKind.ROLE: RoleKind(managers.store, managers.roles, managers.reach),
            ArtefactKind.PRICE: PriceKind(policies.contracts, policies.prices.problem),
            ArtefactKind.CONFIGURATION: ConfigurationKind(
                configuration, operator_tenant=configuration.operator_tenant, problem=configuration.problem
            ),
        },
        prices=policies.prices.of,
        seen_by=seen_by,
        note=say,
    )


def configure_policies(configuration: ConfigurationOfHost, policies: PoliciesOfHost, checks: PolicyChecks) -> None:
    """Let policies read what the configuration says of where the host runs, from now on."""
    configuration.take("aesp.constants", policies.bundles.set_environment)
    configuration.take("aesp.environment", lambda value: setattr(checks.desk, "environment", value))


def _no_prices(_tenant: str) -> None:
    return None


def _no_contracts(_who: Principal) -> Iterable[HostContract]:
    return ()
