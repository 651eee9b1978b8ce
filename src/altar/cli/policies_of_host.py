"""Policies of a host of the tier ADVANCED: the versions that are kept and those in force, joined in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from altar.aesp.governance.active_bundles import ActiveBundles
from altar.aesp.governance.active_prices import ActivePrices
from altar.aesp.governance.artefact_rows import ArtefactKind
from altar.aesp.governance.artefacts import Artefacts
from altar.aesp.governance.role_versions import hold_role
from altar.aesp.service.contracts import Contracts
from altar.aesp.service.policies import Policies, note_data
from altar.cli.configuration_of_host import configure_host
from altar.ledger.entry import Event

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.service.policies import Explains, Note
    from altar.aesp.store.database import Store
    from altar.cli.configuration_of_host import ConfigurationOfHost
    from altar.grid.host.host import Host
    from altar.grid.manifests.manifest import HostContract, Manifest

__all__ = ["PoliciesOfHost", "contract_service", "policy_service", "said_to"]


_EFFECTS = {ArtefactKind.ROLE: hold_role}


class PoliciesOfHost:
    """What a host has of policies: ``artefacts`` keeps versions, ``bundles`` gives what decides now.

    ``prices`` gives the price lists in force, which policies read.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        *,
        clock: Callable[[], float],
        require_review: bool,
        configuration: ConfigurationOfHost,
    ) -> None:
        """Read and compile what is in force; blocks. ``configuration`` has the constants of the operator."""
        self.configuration = configuration
        self._host: Host | None = None
        self._seen: Manifest | None = None
        self._directory = directory
        tenants = [tenant.name for tenant in directory.tenants()]
        review = tuple(ArtefactKind) if require_review else ()
        self.artefacts = Artefacts(store, clock=clock, review=review, effects=_EFFECTS)
        self.prices = ActivePrices(store, tenants=tenants)  # before the bundles, which read them
        self.bundles = ActiveBundles(
            store,
            tenants=tenants,
            contracts=self.contracts,
            environment=configuration.value("aesp.constants"),
            prices=self.prices.of,
        )

    def join(self, host: Host) -> None:
        """Compile for the contracts of a host, now, which blocks, and whenever it has others."""
        self._host, self._seen = host, host.manifest
        self.bundles.contracts_changed()
        configure_host(self.configuration, host)
        host.chores.append(self.follow)

    def follow(self) -> None:
        """Compile anew when the host has another manifest; in a thread, because it may take seconds.

        Until then a contract that is new is compiled for when it is called.
        """
        if self._host is not None and self._host.manifest is not self._seen:
            self._seen = self._host.manifest
            threading.Thread(target=self.bundles.contracts_changed, name="altar-policies", daemon=True).start()

    def contracts(self) -> Iterable[HostContract]:
        """The contracts of the host, none before it is joined."""
        return () if self._host is None else self._host.manifest

    def holders(self, tenant: str, role: str) -> int:
        """How many active people hold a role, for whichever tools; -1 for a role that is not there."""
        snapshot = self._directory.snapshot(tenant)
        if snapshot is None or snapshot.role(role) is None:
            return -1
        people = (self._directory.principal(f"{tenant}/{name}") for name in snapshot.people)
        return sum(one is not None and one.active and one.kind == "user" and role in one.roles for one in people)


def contract_service(policies: PoliciesOfHost | None, note: Callable[[Event], None]) -> Contracts:
    """The methods of contracts, which refuse all on a host of a lower tier; ``note`` records."""
    if policies is None:
        return Contracts(None, contracts=tuple, note=said_to(note))
    return Contracts(policies.artefacts, contracts=policies.contracts, note=said_to(note))


def policy_service(
    policies: PoliciesOfHost | None, note: Callable[[Event], None], *, explains: Explains | None = None
) -> Policies:
    """The methods of policies, which refuse all on a host that has none; ``note`` records."""
    say = said_to(note)
    if policies is None:
        return Policies(None, None, contracts=tuple, holders=lambda _tenant, _role: -1, note=say, explains=explains)
    return Policies(
        policies.artefacts,
        policies.bundles,
        contracts=policies.contracts,
        holders=policies.holders,
        note=say,
        explains=explains,
    )


def said_to(note: Callable[[Event], None]) -> Note:
    """What turns a step in the life of a version into an entry of the log."""

    def say(event: str, tenant: str, principal: str, facts: Mapping[str, Any]) -> None:
        named = str(facts.get("name", ""))
        subject = f"{facts.get('artefact', 'policy')}/{named}{'/' if named else ''}{facts.get('version', '')}"
        note(
            Event(
                event=event,
                subject=subject,
                tenant=tenant,
                principal=principal,
                resource=subject,
                action=event.partition(".")[2],
                outcome="SUCCESS",
                data=note_data(facts),
            )
        )

    return say
