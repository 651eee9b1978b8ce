"""A language model on this machine, started and stopped for its user, in a process of its own.

    with local_lm(directory=cache) as lm:
        dspy.configure(lm=lm.dspy(temperature=0.0))

Its address is one of OpenAI's interface on loopback, behind a key that only this process knows.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from altar.adm.errors import ConfigurationError, error_of
from altar.ai.lm.addresses import FileOfWeights, ends_at, serves_at
from altar.ai.lm.weights import DEFAULT, Progress, fetch, require, weights_named
from altar.later.extras import loaded, missing_extra

__all__ = ["LocalLM", "local_lm", "registered_lm"]


@dataclass(slots=True)
class LocalLM:
    """A model that is being served; for ``with``, or until :meth:`close`.

    ``base_url`` and ``api_key`` are what a client of OpenAI's interface is given, with any name of a model.
    """

    base_url: str
    api_key: str
    name: str
    _process: subprocess.Popen[bytes]

    def dspy(self, **settings: Any) -> Any:
        """A ``dspy.LM`` that asks it; ``settings`` are those of ``dspy.LM``.

        DSPy is told that it keeps to a schema, so that ``dspy.JSONAdapter`` lets the grammar hold the form.
        """
        return registered_lm(self.name, base_url=self.base_url, api_key=self.api_key, **settings)

    @property
    def alive(self) -> bool:
        """Whether its process is still there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and wait for that."""
        ends_at(self.base_url)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Show where it is, and not its key."""
        return f"LocalLM({self.name!r}, {self.base_url!r})"


def local_lm(
    weights: str | Path = DEFAULT,
    *,
    directory: Path,
    fetching: bool = True,
    progress: Progress | None = None,
    port: int = 0,
    api_key: str | None = None,
    context: int = 4096,
    parallel: int = 1,
    threads: int = 2,
) -> LocalLM:
    """Start a model on this machine, and wait until it answers.

    ``weights`` is the name of a known set, or a file in the format GGUF.
    ``directory`` is where known sets are kept; one that is not there is fetched, once, unless ``fetching`` is off,
    and ``progress`` is told how far that is. ``port`` 0 takes a free one.
    Without ``api_key`` one is made up, so that nobody else on the machine can ask.
    ``context`` is in tokens, for a request and its answer; ``parallel`` is how many requests run at the same time.
    Raises ConfigurationError: ENVIRONMENT_ERROR without the extra ``local-lm``, pip or the weights, INVALID_CONFIG for
    a file that is no model, or a port that is taken.
    """
    path, name, digest = _file_of(weights, directory=directory, fetching=fetching, progress=progress)
    key = secrets.token_urlsafe(32) if api_key is None else api_key
    process = subprocess.Popen(
        [sys.executable, "-m", "altar.ai.lm.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "0")},
    )
    asked = {"path": str(path.absolute()), "name": name, "port": port, "api_key": key}
    loaded_from = _as_it_is(path, context=context, sha256=digest)
    told = _begin(process, asked | {"context": context, "parallel": parallel, "threads": threads})
    lm = LocalLM(told.get("base_url", ""), key, name, process)
    if not lm.base_url:
        lm.close()
        raise _not_started(told)
    if loaded_from is not None:
        serves_at(lm.base_url, loaded_from.identity)
    return lm


def registered_lm(name: str, *, base_url: str, api_key: str, **settings: Any) -> Any:
    """A ``dspy.LM`` for an address of :class:`altar.ai.lm.openai_front.ChatServer` that serves a model of this name."""
    dspy = loaded("dspy", extra="dspy", what="A language model for DSPy")
    lm15 = dspy.lm15
    access = lm15.AccessPolicy("altar-local", base_url="http://127.0.0.1/v1")
    definition = lm15.ProviderDefinition.chat(
        access, compat=lm15.OpenAIChatCompat.preset("vllm"), placeholder_key="none"
    )
    supports = lm15.ModelSupport(function_calling=True, response_schema=True, reasoning=False)
    lm15.register_provider(definition, supports=supports)
    return dspy.LM(f"altar-local/{name}", api_base=base_url, api_key=api_key or "none", **settings)


def _file_of(
    weights: str | Path, *, directory: Path, fetching: bool, progress: Progress | None
) -> tuple[Path, str, str]:
    """The file of the weights, the name the model goes by, and its SHA-256 where that has just been checked."""
    import importlib.util

    if importlib.util.find_spec("xllamacpp") is None:
        raise missing_extra("local-lm", what="A language model on this machine")
    if isinstance(weights, Path) or "/" in weights or weights.endswith(".gguf"):
        return Path(weights), Path(weights).stem, ""
    known = weights_named(weights)
    if fetching:
        return fetch(known, directory=directory, progress=progress), known.name, known.sha256
    return require(known, directory=directory), known.name, known.sha256


def _as_it_is(path: Path, *, context: int, sha256: str) -> FileOfWeights | None:
    """The file before it is loaded; None where it cannot be looked at, which loading it will say better."""
    try:
        return FileOfWeights.of(path.absolute(), context=context, sha256=sha256)
    except OSError:
        return None


def _begin(process: subprocess.Popen[bytes], asked: dict[str, Any]) -> dict[str, Any]:
    """Tell the process what to load, and return what it says; nothing when it died."""
    if process.stdin is None or process.stdout is None:
        return {}
    try:
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        told: dict[str, Any] = json.loads(process.stdout.readline() or b"{}")
    except (BrokenPipeError, ValueError):
        return {}
    return told


def _not_started(told: dict[str, Any]) -> Exception:
    if "code" in told:
        return error_of(told["code"], told["message"], hint=told.get("hint"))
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        "The process of the language model ended before it could answer",
        hint="the file may be no model that the runner knows, or the memory too small for it",
    )
