"""What a STRICT host refuses of tools that run code which a language model wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from altar.adm.declaration import FunctionDeclaration, ToolContract, ToolManifest
from altar.adm.errors import ConfigurationError
from altar.grid.manifests.manifest_statement import Statement, write_signed
from altar.grid.manifests.manifest_store import ManifestStore
from altar.ledger.signer import FileSigner
from tests.unit.grid.contracts import declaration

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def saying(name: str, metadata: Mapping[str, Any]) -> FunctionDeclaration:
    return replace(declaration(name), metadata=metadata)


def store(at: Path, *functions: FunctionDeclaration, development: bool = False) -> ManifestStore:
    signer = FileSigner.create(at / "key.pem", name="test/manifest")
    document = ToolManifest("1.1.0", (ToolContract("shop", "Shop.", functions),), {}).to_adm()
    write_signed(at / "signed.json", Statement(1, NOW, NOW + timedelta(days=9), "", document).seal(signer))
    return ManifestStore(at / "signed.json", keys=[signer.vkey], memory=at / "manifest.active", development=development)


def test_code_in_a_sandbox_is_offered_and_so_is_what_runs_none(tmp_path: Path) -> None:
    active = store(tmp_path, saying("think", {"runs_code": "sandboxed"}), declaration("add")).load(now=NOW)

    assert ["add", "think"] == sorted(active.contracts.names)


@pytest.mark.parametrize("said", ["unsandboxed", "", None, True, "SANDBOXED", {"deno": 1}])
def test_code_outside_of_a_sandbox_and_what_nobody_understands_is_refused(tmp_path: Path, said: Any) -> None:
    host = store(tmp_path, saying("think", {"runs_code": said}), declaration("add"))

    with pytest.raises(ConfigurationError) as refused:
        host.load(now=NOW)

    assert "INCOMPATIBLE_MODE" == refused.value.code
    assert "code that a language model writes would run outside of a sandbox in 'think'" in refused.value.message
    assert "'add'" not in refused.value.message
    assert "leave the tool out" in str(refused.value.hint)


def test_a_host_in_development_takes_it(tmp_path: Path) -> None:
    host = store(tmp_path, saying("think", {"runs_code": "unsandboxed"}), development=True)

    assert ["think"] == host.load(now=NOW).contracts.names


def test_many_such_tools_are_told_in_few_words(tmp_path: Path) -> None:
    many = [saying(f"think_{number}", {"runs_code": "unsandboxed"}) for number in range(9)]

    with pytest.raises(ConfigurationError, match="'think_0', 'think_1', 'think_2' and 6 more"):
        store(tmp_path, *many).load(now=NOW)
