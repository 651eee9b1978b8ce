"""Wrong uses of the rules of lint, and the exact words they are answered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from altar.adm.errors import ConfigurationError
from altar.later.linting.lint import allow, selected
from tests.e2e.command import altar
from tests.messages.conftest import Told


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("lint_allows_an_unknown_rule", lambda: allow("A999", because="it is old")),
        ("lint_allows_without_a_reason", lambda: allow("A101", because="")),
        ("lint_selects_nothing", lambda: selected(select=["Q1"])),
    ],
)
def test_what_lint_refuses(name: str, wrong: Callable[[], object], told: Told) -> None:
    with pytest.raises(ConfigurationError) as refused:
        wrong()

    error = refused.value
    told(name, f"code: {error.code}\nmessage: {error.message}\nhint: {error.hint}\nran: {error.ran}\n")


def test_lint_without_modules(tmp_path: Path, told: Told) -> None:
    done = altar("lint", at=tmp_path)

    told("command_lint_nothing", f"exit code: {done.code}\n{done.out}{done.err}")
