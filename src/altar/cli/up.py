"""`altar up`: a whole grid on one machine, with one command.

It makes what is missing (certificates, keys, manifest, settings), then starts a host and some runtimes as processes
of their own, starts a runtime again when it dies, and ends all in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.cli import output
from altar.cli.children import Child, require_grid, start_child
from altar.cli.local_files import LocalGrid, Step, carry_out, plan
from altar.cli.manifest import build_manifest, manifest_bytes
from altar.cli.processes import announce, run_until_told, tied_option
from altar.cli.tiers import require_tier
from altar.cli.tools import load_modules

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles
    from altar.settings import Host, Settings

__all__ = ["up"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PAUSE, LONGEST_PAUSE, STEADY = 0.5, 30.0, 60.0
"""Seconds before a runtime is started again, at first and at most; and how long it must live to begin anew."""


@click.command()
@click.argument("modules", nargs=-1)
@click.option("--runtimes", type=click.IntRange(min=1, max=64), default=2, show_default=True, help="How many.")
@click.option("--listen", metavar="HOST:PORT", help="Loopback address of the host; port 0 lets the system choose.")
@click.option("--development", is_flag=True, help="Let runtimes bring contracts that are not in the manifest.")
@click.option(
    "--tier", type=click.Choice(["none", "foundation", "advanced"]), help="Govern the host: people, tenants, policies."
)
@click.option("--check", is_flag=True, help="Only say what would be done.")
@output.json_option
@tied_option
def up(
    *,
    modules: tuple[str, ...],
    runtimes: int,
    listen: str | None,
    development: bool,
    tier: str | None,
    check: bool,
    as_json: bool,
    tied: bool,
) -> None:
    """Start a host and runtimes for the tools of MODULES on this machine.

    Without MODULES, those of the setting `runtime.tools`.
    What is missing is made: a certificate authority, certificates, the keys of the log and of the manifest,
    the signed manifest, `altar.toml`.
    With `--tier foundation` or `advanced` the first start makes an administrator, and the client certificate of this
    machine is one too.
    When all is ready one line of JSON goes to stdout; Ctrl-C ends it.
    """
    from altar.settings import Settings

    require_grid()
    flags: dict[str, Any] = {"host.listen": listen, "aesp.tier": tier}
    settings = Settings.load(**flags)
    require_tier(settings)
    grid = _grid(settings, modules or settings.runtime.tools, runtimes)
    manifest = manifest_bytes(build_manifest(load_modules(grid.modules)))
    steps = plan(grid, manifest=manifest, now=datetime.now(UTC))
    if check:
        _show(steps, grid, as_json=as_json)
        return
    for step in carry_out(steps):
        output.say(f"{_DONE[step.verb]} {step.what}: {step.path}")
    if settings.file is not None and settings.tls.certificate is None:
        files = grid.certificate("client", grid.client)
        output.warn(
            f'{settings.file} has no [tls], and clients need it:\n  certificate = "{files.certificate}"'
            f'\n  key = "{files.key}"\n  authority = "{files.authority}"'
        )
    grid.logs.mkdir(parents=True, exist_ok=True)
    failures: list[AltarError] = []
    if settings.aesp.tier != "none":
        _begin(settings, certificate=grid.client)
    running = _Grid(grid, settings.host, failures, development=development, tier=settings.aesp.tier)
    run_until_told(running.run, tied=tied)
    if failures:
        raise failures[0]


def _begin(settings: Settings, *, certificate: str) -> None:
    """Make the first administrator, unless there is one."""
    from altar.cli.enterprise import begin

    try:
        begun = asyncio.run(begin(settings, name="admin", certificate=certificate))
    except AltarError as refused:
        if refused.code != "RESOURCE_CONFLICT":
            raise
        return
    output.say(
        f"made {begun.principal}, whose one-time password is {begun.password}\n"
        "  sign in with it and a new one: altar login --name admin"
    )


_DONE = {"make": "made", "renew": "renewed", "write": "wrote", "keep": "kept"}


def _grid(settings: Settings, modules: tuple[str, ...], runtimes: int) -> LocalGrid:
    if not modules:
        raise ConfigurationError(
            "MISSING_MANIFEST", "There are no tools to serve", hint="name a module: `altar up MODULE`"
        )
    address = settings.host.listen
    if address.rpartition(":")[0] not in LOOPBACK:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"`altar up` serves this machine only, not {address!r}",
            hint="use 127.0.0.1, or start `altar host` with certificates of your own",
        )
    return LocalGrid(
        settings=settings.file or Path.cwd() / "altar.toml",
        host=settings.host.name,
        runtimes=tuple(f"py-{number}" for number in range(1, runtimes + 1)),
        signing_key=settings.host.signing_key.absolute(),
        data=settings.host.data.absolute(),
        listen=address,
        modules=modules,
        tier=settings.aesp.tier,
    )


def _show(steps: list[Step], grid: LocalGrid, *, as_json: bool) -> None:
    starts = [("start", f"host {grid.host}", grid.listen)]
    starts += [("start", f"runtime {one}", ", ".join(grid.modules)) for one in grid.runtimes]
    rows = [*((step.verb, step.what, str(step.path)) for step in steps), *starts]
    listed = [{"verb": verb, "what": what, "where": where} for verb, what, where in rows]
    output.data(listed, as_json=as_json, text=output.columns(rows))


class _Grid:
    """The running processes: one host, some runtimes, from the first start to the orderly end."""

    def __init__(
        self, grid: LocalGrid, settings: Host, failures: list[AltarError], *, development: bool, tier: str
    ) -> None:
        self._grid = grid
        self._tier = tier
        self._development = development or settings.mode == "development"
        self._data = settings.data
        self._operations = settings.operations or "127.0.0.1:0"
        self._failures = failures
        self._target = ""
        self._host: Child | None = None
        self._runtimes: dict[str, Child] = {}

    async def run(self, leave: asyncio.Event) -> None:
        """Start, watch until `leave` is set or the host is lost, and stop: runtimes first, the host last."""
        try:
            watching = asyncio.get_running_loop().create_task(self._serve())
            leaving = asyncio.get_running_loop().create_task(leave.wait())
            await asyncio.wait({watching, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (watching, leaving):
                task.cancel()
            for result in await asyncio.gather(watching, leaving, return_exceptions=True):
                self._note(result)
        finally:
            await asyncio.gather(*(runtime.stop() for runtime in self._runtimes.values()))
            if self._host is not None:
                await self._host.stop()

    def _note(self, result: object) -> None:
        errors = result.exceptions if isinstance(result, BaseExceptionGroup) else (result,)
        for error in errors:
            if isinstance(error, AltarError):
                self._failures.append(error)
            elif isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error

    async def _serve(self) -> None:
        self._host = await self._start_host()
        async with asyncio.TaskGroup() as starting:
            for name in self._grid.runtimes:
                starting.create_task(self._start_runtime(name))
        self._tell(self._host)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_host(self._host))
            for name in self._grid.runtimes:
                tasks.create_task(self._keep(name))

    async def _start_host(self) -> Child:
        grid = self._grid
        arguments = ["host", "--listen", grid.listen, "--data", str(self._data)]
        arguments += ["--manifest", str(grid.signed_manifest), *(["--development"] if self._development else [])]
        environ = self._environ("HOST", grid.certificate("host", grid.host))
        environ |= {
            "ALTAR_HOST_NAME": grid.host,
            "ALTAR_HOST_SIGNING_KEY": str(grid.signing_key),
            "ALTAR_HOST_OPERATIONS": self._operations,
            "ALTAR_HOST_MANIFEST_KEYS": str(grid.manifest_verifier),
            "ALTAR_AESP_TIER": self._tier,
        }
        if self._development:
            environ["ALTAR_ENVIRONMENT"] = "development"
        host = await start_child(grid.host, arguments, log=grid.logs / "host.log", environ=environ)
        self._target = f"{grid.listen.rpartition(':')[0]}:{host.facts['port']}"
        return host

    async def _start_runtime(self, name: str) -> None:
        grid = self._grid
        arguments = ["runtime", "--connect", self._target, "--id", name, *(["--register"] if self._development else [])]
        for module in grid.modules:
            arguments += ["--tools", module]
        environ = self._environ("RUNTIME", grid.certificate("runtime", name))
        log = grid.logs / f"{name}.log"
        self._runtimes[name] = await start_child(name, arguments, log=log, environ=environ)

    def _environ(self, section: str, files: CertificateFiles) -> dict[str, str]:
        return {
            f"ALTAR_{section}_TLS_CERTIFICATE": str(files.certificate),
            f"ALTAR_{section}_TLS_KEY": str(files.key),
            f"ALTAR_{section}_TLS_AUTHORITY": str(files.authority),
        }

    def _tell(self, host: Child) -> None:
        grid = self._grid
        source = f"grid://{self._target}"
        output.say(
            "ready. To send calls here, put this line at the top of altar.toml, or the address into ALTAR_SOURCE:"
            f'\n  source = "{source}"\n`altar top` shows what it does. Ctrl-C ends it.'
        )
        facts: Mapping[str, Any] = {
            "port": host.facts["port"],
            "source": source,
            "settings": str(grid.settings),
            "vkey": str(grid.verifier_key),
            "data": str(self._data.absolute()),
            "operations": host.facts["operations"],
            "host": {"name": host.name, "pid": host.pid},
            "runtimes": [{"name": one.name, "pid": one.pid} for one in map(self._runtimes.__getitem__, grid.runtimes)],
        }
        announce(dict(facts))

    async def _watch_host(self, host: Child) -> None:
        code = await host.ended()
        raise ExecutionError(
            "RUNTIME_CRASH",
            f"The host {host.name!r} ended by itself ({_ending(code)})",
            hint=f"its log is {str(host.log)!r}",
        )

    async def _keep(self, name: str) -> None:
        """Start the runtime again each time it ends, after a pause that doubles while it does not last."""
        pause = PAUSE
        served = set(self._runtimes[name].facts["tools"])
        while True:
            started = time.monotonic()
            code = await self._runtimes[name].ended()
            if time.monotonic() - started > STEADY:
                pause = PAUSE
            if code == output.REPLACED:
                output.warn(f"another process has attached as {name}, which is not started again")
                return
            reason: str | None = f"runtime {name} ended ({_ending(code)})"
            while reason is not None:
                output.warn(f"{reason}; it starts again in {pause:g} s")
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)
                reason = await self._try_again(name)
            output.say(f"runtime {name} is back, as process {self._runtimes[name].pid}")
            lost = sorted(served.difference(self._runtimes[name].facts["tools"]))
            if lost:
                output.warn(
                    f"it does not serve {', '.join(lost)} any more, because the code has changed;"
                    " end `altar up` and start it again"
                )

    async def _try_again(self, name: str) -> str | None:
        """Start the runtime, and return why it did not start, or None when it did."""
        try:
            await self._start_runtime(name)
        except AltarError as failed:
            return f"{failed}; {failed.hint}" if failed.hint else str(failed)
        return None


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
