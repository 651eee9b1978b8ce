"""A host without a tier does not serve the directory of a governed one."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from altar.adm.errors import ConfigurationError
from altar.cli.local_files import LocalGrid, plan
from altar.cli.tiers import require_tier
from altar.settings import Aesp, Host, Settings


@pytest.mark.parametrize("name", ["ledger.db.subjects", "aesp.db"])
def test_a_plain_host_refuses_what_a_governed_one_has_made(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    with pytest.raises(ConfigurationError) as refused:
        require_tier(Settings(host=Host(data=tmp_path)))

    assert "INVALID_CONFIG" == refused.value.code
    assert 'tier = "foundation"' in str(refused.value.hint)


def test_a_governed_host_takes_it_and_a_plain_one_takes_a_plain_log(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    require_tier(Settings(host=Host(data=tmp_path)))
    require_tier(Settings(host=Host(data=tmp_path / "not-yet")))

    (tmp_path / "aesp.db").touch()
    require_tier(Settings(host=Host(data=tmp_path), aesp=Aesp(tier="foundation")))


@pytest.mark.parametrize(("tier", "written"), [("foundation", {"tier": "foundation"}), ("none", None)])
def test_the_settings_that_are_made_name_the_tier(tmp_path: Path, tier: str, written: dict[str, str] | None) -> None:
    grid = LocalGrid(
        settings=tmp_path / "altar.toml",
        host="h",
        runtimes=("py-1",),
        signing_key=tmp_path / "k.pem",
        listen="127.0.0.1:7450",
        modules=("shop",),
        tier=tier,
    )

    step = plan(grid, manifest=b"{}", now=datetime.now(UTC))[-1]
    assert step.do is not None
    step.do()

    assert written == tomllib.loads(grid.settings.read_text()).get("aesp")
