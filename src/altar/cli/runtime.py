"""`altar runtime`: run the functions of some modules for a host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from altar.cli.host import certificate_files
from altar.cli.processes import announce, log_to_stderr, run_until_told, tied_option
from altar.cli.tools import load_modules, named_or_set

if TYPE_CHECKING:
    from altar import settings

__all__ = ["runtime"]


@click.command()
@click.option("--tools", "modules", multiple=True, metavar="MODULE", help="Module or .py file that declares tools.")
@click.option("--connect", metavar="HOST:PORT", help="Address of the host.")
@click.option("--id", "runtime_id", help="Name of this runtime; the one in its certificate.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Calls that run at the same time.")
@click.option("--profile", help="Profile of altar.toml.")
@tied_option
def runtime(
    *,
    modules: tuple[str, ...],
    connect: str | None,
    runtime_id: str | None,
    concurrency: int | None,
    profile: str | None,
    tied: bool,
) -> None:
    """Dial a host and fulfil the contracts that the given modules declare.

    When the handshake is done it prints one line of JSON to stdout; SIGTERM lets it finish its calls and leave.
    """
    from altar.settings import Settings

    given = {"connect": connect, "runtime_id": runtime_id, "concurrency": concurrency}
    loaded = Settings.load(profile=profile, runtime=given)
    log_to_stderr()
    load_modules(named_or_set(modules))
    run_until_told(lambda leave: _serve(loaded.runtime, leave), tied=tied)


async def _serve(settings: settings.Runtime, leave: asyncio.Event) -> None:
    from altar.grid.tls import require_tls13

    require_tls13()
    from altar.grid.runtime import Runtime
    from altar.later.registry import REGISTRY

    def ready(tools: Sequence[str]) -> None:
        announce({"runtime": settings.runtime_id, "tools": list(tools)})

    serving = Runtime(
        REGISTRY,
        runtime_id=settings.runtime_id,
        target=settings.connect,
        files=certificate_files(settings.tls, role="runtime"),
        concurrency=settings.concurrency,
        ready=ready,
    )
    leaving = asyncio.get_running_loop().create_task(_leave_when(leave, serving))
    try:
        await serving.run()
    finally:
        leaving.cancel()


async def _leave_when(leave: asyncio.Event, serving: object) -> None:
    await leave.wait()
    serving.leave()  # type: ignore[attr-defined]  # a Runtime; its module is imported after the TLS settings
