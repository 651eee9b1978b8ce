"""`altar runtime`: run the functions of some modules for a host, in this process or in several."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from altar.adm.errors import AltarError
from altar.cli import output
from altar.cli.host import certificate_files
from altar.cli.observing import traced
from altar.cli.processes import announce, log_to_stderr, run_until_told, tied_option
from altar.cli.readiness import ReadyFile
from altar.cli.tools import load_modules, named_or_set
from altar.cli.worker import GRACE, Line, is_replaced, work
from altar.grid.workers import MAX_WORKERS, worker_id
from altar.later.labels import labels_in

if TYPE_CHECKING:
    from altar import settings
    from altar.grid.runtime.runtime import Runtime
    from altar.grid.telemetry import Tracing

__all__ = ["runtime"]


@click.command()
@click.option("--tools", "modules", multiple=True, metavar="MODULE", help="Module or .py file that declares tools.")
@click.option("--connect", metavar="HOST:PORT", help="Address of the host.")
@click.option("--id", "runtime_id", help="Name of this runtime; the one in its certificate.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Calls that run at the same time, in each worker.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Where it stands, what it has: zone=a.")
@click.option("--workers", type=click.IntRange(1, MAX_WORKERS), help="Processes that run the tools.")
@click.option("--register", is_flag=True, help="Bring contracts that the host lacks; it must be in development.")
@click.option("--session", metavar="ID", help="Serve this session only.")
@click.option("--reload", is_flag=True, help="Take up changes in the files of the tools; for development.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that is there while calls can come.",
)
@click.option("--profile", help="Profile of altar.toml.")
@click.option("--worker", type=click.IntRange(0, MAX_WORKERS), hidden=True)
@tied_option
def runtime(
    *,
    modules: tuple[str, ...],
    connect: str | None,
    runtime_id: str | None,
    concurrency: int | None,
    labels: tuple[str, ...],
    workers: int | None,
    register: bool,
    session: str | None,
    reload: bool,
    ready_file: Path | None,
    profile: str | None,
    worker: int | None,
    tied: bool,
) -> int:
    """Dial a host and fulfil the contracts that the given modules declare.

    When the handshake is done it prints one line of JSON to stdout; SIGTERM lets it finish its calls and leave, and a
    second one ends it at once.
    With more than one worker, or with `--reload`, a supervising process starts the workers and prints a line when all
    of them are ready, and again when that changes.
    """
    from altar.settings import Settings, use_language_model

    given: dict[str, object] = {"connect": connect, "runtime_id": runtime_id, "concurrency": concurrency}
    given |= {"workers": workers, "labels": labels or None}
    given |= {"register_tools": register or None, "session": session}
    settings = Settings.load(profile=profile, runtime=given)
    use_language_model(settings.ai)
    loaded = settings.runtime
    start = _Start(loaded, settings.telemetry, named_or_set(modules), settings.ai)
    about = {"role": "runtime", "name": loaded.runtime_id}
    if worker is not None:
        log_to_stderr(facts={**about, "worker": worker})
        return work(
            lambda leave, line: start.work(leave, line, number=worker),
            load=start.load,
            twice=_end_at_once,
            patience=loaded.drain + GRACE,
        )
    log_to_stderr(facts=about)
    ready = ReadyFile(ready_file)
    if reload or loaded.workers > 1:
        return _supervise(loaded, _arguments_of_workers(), reload=reload, ready=ready, tied=tied)
    start.load()
    try:
        run_until_told(
            lambda leave: start.serve(leave, ready), tied=tied, twice=_end_at_once, patience=loaded.drain + GRACE
        )
    except AltarError as error:
        if not is_replaced(error):
            raise
        return output.fail(error, as_json=False, number=output.REPLACED)
    return output.DONE


class _Start:
    """How a runtime of these settings is started, with the tools of these modules."""

    def __init__(
        self, settings: settings.Runtime, telemetry: settings.Telemetry, modules: Sequence[str], ai: settings.Ai
    ) -> None:
        self._settings = settings
        self._ai = ai
        self._telemetry = telemetry
        self._modules = modules

    def load(self) -> None:
        """Do all that can fail before a host is dialled."""
        from altar.grid.trust.tls import require_tls13

        load_modules(self._modules, ai=self._ai)
        require_tls13()
        self._files = certificate_files(self._settings.tls, role="runtime")

    async def serve(self, leave: asyncio.Event, ready: ReadyFile) -> None:
        """Run the tools in this process, and say so on standard output."""

        def now_ready(tools: Sequence[str]) -> None:
            facts = {"runtime": self._settings.runtime_id, "tools": list(tools)}
            ready.write({"ready": True, **facts, "pid": os.getpid()})
            announce(facts)

        try:
            await self._serve(0, leave, ready=now_ready, unready=ready.remove)
        finally:
            ready.remove()

    async def work(self, leave: asyncio.Event, line: Line, *, number: int) -> None:
        """Run the tools as a worker of this number, and say so to the supervisor."""

        def now_ready(tools: Sequence[str]) -> None:
            line.tell({"ready": True, "tools": list(tools)})

        await self._serve(number, leave, ready=now_ready, unready=lambda: line.tell({"ready": False}))

    async def _serve(
        self,
        number: int,
        leave: asyncio.Event,
        *,
        ready: Callable[[Sequence[str]], None],
        unready: Callable[[], None],
    ) -> None:
        name = worker_id(self._settings.runtime_id, number=number)
        async with traced(self._telemetry, role="runtime", name=name) as tracing:
            await _serve(self._made(name, ready=ready, unready=unready, tracing=tracing), leave)

    def _made(
        self,
        runtime_id: str,
        *,
        ready: Callable[[Sequence[str]], None],
        unready: Callable[[], None],
        tracing: Tracing | None,
    ) -> Runtime:
        from altar.grid.runtime.runtime import Runtime
        from altar.later.registry import REGISTRY

        return Runtime(
            REGISTRY,
            runtime_id=runtime_id,
            target=self._settings.connect,
            files=self._files,
            concurrency=self._settings.concurrency,
            labels=labels_in(self._settings.labels, setting="runtime.labels"),
            drain=timedelta(seconds=self._settings.drain),
            ready=ready,
            unready=unready,
            tracing=tracing,
            register=self._settings.register_tools,
            session_id=self._settings.session,
        )


async def _serve(serving: Runtime, leave: asyncio.Event) -> None:
    leaving = asyncio.get_running_loop().create_task(_leave_when(leave, serving))
    try:
        await serving.run()
    finally:
        leaving.cancel()


async def _leave_when(leave: asyncio.Event, serving: Runtime) -> None:
    await leave.wait()
    serving.leave()


def _supervise(
    settings: settings.Runtime, arguments: Sequence[str], *, reload: bool, ready: ReadyFile, tied: bool
) -> int:
    from altar.cli.supervisor import Supervisor

    def told(holds: Mapping[str, Any]) -> None:
        if holds["ready"]:
            ready.write(holds)
        else:
            ready.remove()
        output.data(dict(holds), as_json=True)

    supervisor = Supervisor(
        arguments,
        runtime_id=settings.runtime_id,
        workers=settings.workers,
        drain=settings.drain,
        reload=reload,
        told=told,
    )
    code = output.FAILED

    async def run(leave: asyncio.Event) -> None:
        nonlocal code
        code = await supervisor.run(leave)

    try:
        run_until_told(run, tied=tied, twice=supervisor.kill)
    finally:
        ready.remove()
    return code


_OWN = frozenset({"workers", "reload", "ready_file", "worker", "tied"})
"""Options that are for the supervisor and not for its workers."""


def _arguments_of_workers() -> list[str]:
    """The options of this command line that its workers are started with."""
    context = click.get_current_context()
    arguments: list[str] = []
    for option in context.command.params:
        name = option.name or ""
        if name in _OWN or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        if isinstance(option, click.Option) and option.is_flag:
            arguments.append(option.opts[0])
            continue
        for one in value if option.multiple else (value,):
            arguments += [option.opts[0], str(one)]
    return arguments


def _end_at_once() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
