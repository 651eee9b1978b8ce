"""Joins a host with the file of its manifest: what is activated is recorded, served and watched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from altar.grid.manifests.manifest_store import ActiveManifest, ManifestStore, ManifestWatch

if TYPE_CHECKING:
    from altar.adm.errors import AltarError
    from altar.grid.host.host import Host

__all__ = ["follow"]

_log = logging.getLogger("altar.grid")


def follow(host: Host, store: ManifestStore, active: ActiveManifest, *, now: Callable[[], datetime]) -> ManifestWatch:
    """Let a host that was made with ``active`` follow the file from here on; ``reload`` of the answer looks at once.

    Writes down and records that ``active`` is active. Raises ConfigurationError when it cannot be written down.
    """

    def activate(newer: ActiveManifest) -> None:
        nonlocal active
        host.activate(newer.contracts)
        _record(host, newer, before=active)
        active = newer
        facts = {"version": newer.version, "digest": newer.digest, "tools": len(newer.contracts.names)}
        _log.info("manifest activated", extra=facts)

    def refuse(why: Callable[[], AltarError] | None) -> None:
        host.catalog.refusal = why

    store.remember(active)
    _record(host, active)
    watch = ManifestWatch(store, active, activate=activate, refuse=refuse, now=now)
    host.manifest_status = watch.status
    host.chores.append(watch.step)
    if store.development:
        _log.warning("development mode: unsigned manifests and tools of runtimes are taken; not for production")
    return watch


def _record(host: Host, active: ActiveManifest, *, before: ActiveManifest | None = None) -> None:
    signer = active.key.partition("+")[0] or "nobody"
    back = f", rolled back from version {before.version}" if before and active.version < before.version else ""
    host.gate.note("manifest.activated", f"version {active.version}", f"{active.digest} signed by {signer[:300]}{back}")
