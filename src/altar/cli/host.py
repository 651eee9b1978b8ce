"""`altar host`: serve the contracts of a manifest, decide, record and route."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from altar import __version__
from altar.adm.errors import AltarError, ConfigurationError
from altar.cli import output
from altar.cli.audit_sinks import figures_of, forwarding
from altar.cli.keeping_of_host import keeping_of_host, retaining, rotated_by_signal
from altar.cli.log_place import log_of, writable
from altar.cli.observing import operations, traced
from altar.cli.processes import announce, log_to_stderr, run_until_told, tied_option, wall_ms
from altar.cli.tiers import require_tier
from altar.cli.trust import manifest_store, require_mode

if TYPE_CHECKING:
    from altar import settings
    from altar.cli.enterprise import Enterprise
    from altar.grid.host.host import Host, HostLimits
    from altar.grid.manifests.manifest_store import ActiveManifest, ManifestStore
    from altar.grid.telemetry import Tracing
    from altar.grid.trust.revocation import Revocations
    from altar.grid.trust.tls import CertificateFiles
    from altar.ledger.ledger import Ledger

__all__ = ["certificate_files", "host"]

_log = logging.getLogger("altar.grid")


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Address to listen on; port 0 lets the system choose.")
@click.option("--manifest", type=click.Path(path_type=Path), help="The manifest to serve.")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of the ledger.")
@click.option("--development", is_flag=True, help="Take unsigned manifests and tools of runtimes; on loopback only.")
@click.option("--profile", help="Profile of altar.toml.")
@tied_option
def host(
    *,
    listen: str | None,
    manifest: Path | None,
    data: Path | None,
    development: bool,
    profile: str | None,
    tied: bool,
) -> None:
    """Serve a signed manifest to clients and runtimes, over mutual TLS 1.3.

    When it is ready it prints one line of JSON to stdout with the port it listens on; its log goes to stderr.
    A newer manifest is taken up while it runs, within a second or at once on SIGHUP.
    On SIGUSR1 it logs its status: sessions, runtimes, calls in flight, commits.
    """
    from altar.settings import Settings

    given = {"listen": listen, "manifest": manifest, "data": data, "mode": "development" if development else None}
    loaded = Settings.load(profile=profile, host=given)
    require_mode(loaded)
    log_to_stderr(facts={"role": "host", "name": loaded.host.name})
    run_until_told(lambda leave: _observed(loaded, leave), tied=tied)


def certificate_files(tls: settings.TlsFiles, *, role: str) -> CertificateFiles:
    """The certificate files of a process, checked before it starts; a near expiry is said on stderr."""
    from altar.grid.trust.tls import CertificateFiles, check_files

    if tls.certificate is None or tls.key is None or tls.authority is None:
        raise ConfigurationError(
            "CERTIFICATE_ERROR",
            f"The {role} has no certificate",
            hint="set certificate, key and authority in altar.toml; `altar up` makes a set to start with",
        )
    files = CertificateFiles(certificate=tls.certificate, key=tls.key, authority=tls.authority)
    warning = check_files(files, role=role, now=datetime.now(UTC))  # type: ignore[arg-type]  # one of three words
    if warning:
        output.warn(warning)
    return files


async def _observed(loaded: settings.Settings, leave: asyncio.Event) -> None:
    from altar.grid.trust.tls import require_tls13

    require_tls13()
    async with traced(loaded.telemetry, role="host", name=loaded.host.name) as tracing:
        await _serve(loaded, tracing, leave)


async def _serve(loaded: settings.Settings, tracing: Tracing | None, leave: asyncio.Event) -> None:
    from altar.grid.host.host_manifest import follow
    from altar.grid.host.service import serve
    from altar.grid.trust.certificates import identity_in
    from altar.grid.trust.tls import server_credentials

    settings = loaded.host
    require_tier(loaded)
    files = certificate_files(settings.tls, role="host")
    store = manifest_store(settings)
    active = store.load(now=datetime.now(UTC))
    loop = asyncio.get_running_loop()

    failures: list[AltarError] = []

    def stop(failure: AltarError) -> None:
        failures.append(failure)
        _log.critical("ledger failed", extra={"reason": failure.message, "detail": failure.detail})
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(leave.set)

    is_governed = loaded.aesp.tier != "none"
    ledger = _open_ledger(loaded, loop, stop, is_governed=is_governed)
    try:
        domain = identity_in(files.certificate).trust_domain
        async with AsyncExitStack() as stack:
            plane = await stack.enter_async_context(_governing(loaded, ledger, domain)) if is_governed else None
            serving = _host(loaded, active, ledger, store, tracing, plane)
            watch = follow(serving, store, active, now=lambda: datetime.now(UTC))
            lag = figures_of(loaded, lambda: ledger.size)
            approvals = None if plane is None or plane.approvals is None else plane.approvals.figures
            told = await stack.enter_async_context(operations(serving, settings, sinks=lag, governance=approvals))
            port = await stack.enter_async_context(
                serve(
                    serving,
                    listen=settings.listen,
                    credentials=server_credentials(files),
                    trust_domain=domain,
                    more=plane.handlers if plane is not None else None,
                    revocations=_revocations(settings, files),
                )
            )
            if plane is not None:
                told = {**told, "web": await stack.enter_async_context(_web(loaded, plane))}
            await stack.enter_async_context(forwarding(loaded))
            stack.enter_context(retaining(loaded, plane.keeping if plane else keeping_of_host(loaded, ledger)))
            loop.add_signal_handler(signal.SIGHUP, rotated_by_signal(loaded, ledger, then=watch.reload))
            loop.add_signal_handler(signal.SIGUSR1, lambda: _log.info("status", extra=serving.status()))
            announce({"host": settings.name, "port": port, "epoch": ledger.epoch, "vkey": ledger.vkey, **told})
            await leave.wait()
    finally:
        await asyncio.to_thread(ledger.close)
    if failures:
        raise failures[0]


def _host(
    loaded: settings.Settings,
    active: ActiveManifest,
    ledger: Ledger,
    store: ManifestStore,
    tracing: Tracing | None,
    plane: Enterprise | None,
) -> Host:
    """The host of these settings; one with a tier is joined with what governs it."""
    from altar.grid.host.host import Host
    from altar.grid.host.metrics import Meter

    settings = loaded.host
    made = Host(
        name=settings.name,
        manifest=active.contracts,
        ledger=ledger,
        limits=_limits(settings),
        development=store.development,
        meter=Meter() if settings.operations is not None else None,
        tracing=tracing,
        control=plane.control if plane is not None else None,
        callers=plane.callers if plane is not None else None,
        views=plane.access if plane is not None else None,
    )
    made.app_records.redact = loaded.audit.redact
    if plane is not None:
        plane.attach(made)
    return made


def _limits(settings: settings.Host) -> HostLimits:
    """What the settings of a host bound."""
    from altar.grid.host.host import HostLimits
    from altar.grid.host.idempotency import KeyLimits
    from altar.grid.host.permits import PermitLimits

    return HostLimits(
        max_message_bytes=settings.max_message_bytes,
        queue=settings.queue,
        heartbeat=timedelta(seconds=settings.heartbeat),
        session_ttl=timedelta(seconds=settings.session_ttl),
        max_session_ttl=timedelta(seconds=settings.max_session_ttl),
        sessions_per_principal=settings.sessions_per_principal,
        strict_intents=settings.strict_intents,
        keys=KeyLimits(
            kept=timedelta(seconds=settings.idempotency_kept),
            per_principal=settings.idempotency_keys,
            in_all=10 * settings.idempotency_keys,
        ),
        stream_idle=timedelta(seconds=settings.stream_idle),
        permits=PermitLimits(
            principals=frozenset(settings.local_dispatch),
            ttl=timedelta(seconds=settings.permit_ttl),
            close=timedelta(seconds=settings.permit_close),
        ),
    )


def _revocations(settings: settings.Host, files: CertificateFiles) -> Revocations | None:
    from altar.grid.trust.revocation import Revocations

    path = settings.revocation_list
    return None if path is None else Revocations(path, authority=files.authority)


def _governing(loaded: settings.Settings, ledger: Ledger, domain: str) -> AbstractAsyncContextManager[Enterprise]:
    from altar.cli.enterprise import enterprise

    return enterprise(loaded, ledger, trust_domain=domain)


def _web(loaded: settings.Settings, plane: Enterprise) -> AbstractAsyncContextManager[str]:
    from altar.cli.web_of_host import web_of_host

    return web_of_host(loaded, plane)


def _open_ledger(
    loaded: settings.Settings,
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[AltarError], None],
    *,
    is_governed: bool,
) -> Ledger:
    from altar.ledger.ledger import Ledger
    from altar.ledger.rotation import signer_in_use

    settings = loaded.host
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The directory {str(settings.data)!r} cannot be made: {failed.strerror}",
            hint="name another one with --data, or in the setting host.data",
        ) from failed
    origin = f"altar.local/{settings.name}"
    place = writable(log_of(loaded), signing_key=settings.signing_key)
    signer = signer_in_use(settings.signing_key, name=origin, log=place)
    with suppress(OSError):  # beside the key, for `altar audit verify`; a host that may not write there says it too
        settings.signing_key.with_suffix(".vkey").write_text(signer.vkey + "\n")
    return Ledger.open(
        place,
        signer=signer,
        origin=origin,
        host=settings.name,
        software=f"altar {__version__}",
        wall_ms=wall_ms,
        on_failure=stop,
        deliver=lambda done: _deliver(loop, done),
        per_tenant=is_governed,
        pseudonyms=is_governed,
    )


def _deliver(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits for this any more
        loop.call_soon_threadsafe(done)
