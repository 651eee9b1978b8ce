"""The contracts a host trusts: loaded strictly, found by name and version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from altar.adm.canonical import digest
from altar.adm.declaration import ToolContract, ToolManifest
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.grid.manifests.manifest import HostContract, Manifest
from tests.unit.grid.contracts import MANIFEST, declaration


def test_without_a_version_the_highest_is_meant() -> None:
    assert MANIFEST.find("add").version == "1.10.0"


def test_with_a_version_exactly_that_is_meant() -> None:
    assert MANIFEST.find("add", "1.9.0").version == "1.9.0"
    found = MANIFEST.get("add", "1.0.0")
    assert found is not None
    assert found.version == "1.0.0"
    assert MANIFEST.get("add", "2.0.0") is None
    assert MANIFEST.get("absent", "1.0.0") is None


def test_a_version_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValidationError, match=r"Tool 'add' has no version '2\.0\.0' here") as refused:
        MANIFEST.find("add", "2.0.0")
    assert (refused.value.code, refused.value.ran) == ("VERSION_MISMATCH", "no")
    assert refused.value.hint == "there is 1.10.0, 1.9.0, 1.0.0"


def test_a_tool_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError) as refused:
        MANIFEST.find("ad")
    assert (refused.value.code, refused.value.hint) == ("UNSUPPORTED_TOOL", "did you mean 'add'?")


@pytest.mark.parametrize(("asked", "version"), [("^1", "1.10.0"), ("1.9.x", "1.9.0"), ("<1.9", "1.0.0")])
def test_with_a_range_the_highest_in_it_is_meant(asked: str, version: str) -> None:
    assert MANIFEST.find("add", asked).version == version


def test_a_pre_release_may_stand_in_a_manifest_and_is_meant_by_who_asks_for_it() -> None:
    manifest = Manifest([declaration("add"), declaration("add", "2.0.0-rc.1")])

    assert manifest.find("add").version == "1.0.0"
    assert manifest.find("add", "^2.0.0-rc.1").version == "2.0.0-rc.1"


def test_several_versions_of_a_tool_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    shop = ToolContract("shop", "Shop.", (declaration("add"), declaration("add", "1.1.0")))
    newer = ToolContract("newer", "Shop, again.", (declaration("add", "2.0.0"),))
    file.write_text(json.dumps(ToolManifest("1.1.0", (shop, newer)).to_adm()))

    loaded = Manifest.load(file)

    assert [contract.version for contract in loaded] == ["2.0.0", "1.1.0", "1.0.0"]
    assert loaded.names == ["add"]


def test_a_version_that_two_contracts_declare_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    shop = ToolContract("shop", "Shop.", (declaration("add", "1.1.0+a"),))
    other = ToolContract("other", "Shop, again.", (declaration("add", "1.1.0+b"),))
    file.write_text(json.dumps(ToolManifest("1.1.0", (shop, other)).to_adm()))

    with pytest.raises(ConfigurationError, match="'add' is already declared by the contract 'shop'"):
        Manifest.load(file)


def test_its_digest_changes_with_any_contract_and_not_with_their_order() -> None:
    one, two = declaration("one"), declaration("two")

    assert Manifest([one, two]).digest == Manifest([two, one]).digest
    assert Manifest([one, two]).digest != Manifest([one]).digest
    assert Manifest([one]).digest != Manifest([declaration("one", "1.0.1")]).digest


def test_a_contract_is_checked_on_canonical_bytes_only() -> None:
    contract = HostContract(declaration("add"))

    contract.check(b'{"n":1}')
    contract.check_result(b"2")
    assert contract.digest == digest(contract.declaration_bytes)
    with pytest.raises(AltarError) as not_canonical:
        contract.check(b'{"n": 1}')
    assert not_canonical.value.ran == "no"
    with pytest.raises(ValidationError) as unfit:
        contract.check(b'{"n":"1"}')
    assert (unfit.value.code, unfit.value.path) == ("INVALID_TOOL_ARGS", "/n")
    with pytest.raises(AltarError) as result:
        contract.check_result(b"2.0")
    assert result.value.ran == "yes"
    with pytest.raises(ValidationError) as broken:
        contract.check_result(b'"2"')
    assert (broken.value.code, broken.value.ran) == ("SCHEMA_VIOLATION", "yes")


@pytest.mark.parametrize(
    ("annotations", "twice"),
    [({}, False), ({"idempotent": True}, True), ({"read_only": True}, True), ({"destructive": True}, False)],
)
def test_only_a_contract_that_says_so_may_run_twice(annotations: dict[str, bool], *, twice: bool) -> None:
    assert HostContract(declaration("add", "1.0.0", **annotations)).idempotent is twice


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    made = ToolManifest("1.0.0", (ToolContract("shop", "Shop.", (declaration("add"),)),), {})
    file.write_text(json.dumps(made.to_adm()))

    loaded = Manifest.load(file)

    assert (loaded.names, loaded.source) == (["add"], str(file))
    assert loaded.digest == Manifest([declaration("add")]).digest


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file") as refused:
        Manifest.load(tmp_path / "absent.json")
    assert refused.value.code == "MISSING_MANIFEST"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"manifest_version": "1.0.0"}', '{"a": 1, "a": 2}'])
def test_a_file_of_another_shape_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match="is not valid") as refused:
        Manifest.load(file)
    assert refused.value.code == "INVALID_CONFIG"


def test_what_a_contract_says_of_itself_binds_only_where_it_is_trusted() -> None:
    said = declaration("add", read_only=True, idempotent=True, stateful=True)
    trusted, brought = HostContract(said), HostContract(said, trusted=False)

    assert (trusted.read_only, trusted.idempotent, trusted.stateful) == (True, True, True)
    assert (brought.read_only, brought.idempotent, brought.stateful) == (False, False, False)
    assert trusted.digest == brought.digest


def test_a_contract_of_one_session_has_a_key_of_its_own() -> None:
    everywhere, inside = HostContract(declaration("add")), HostContract(declaration("add"), session_id="session-1")

    assert everywhere.key != inside.key
    assert everywhere.digest == inside.digest


def test_a_part_of_a_manifest_leaves_out_what_is_not_there_any_more() -> None:
    own = HostContract(declaration("own"), trusted=False, session_id="session-1")

    assert MANIFEST.part(["add@1.9.0", "gone", "look@^2"]).names == ["add"]
    assert MANIFEST.part(["gone"]).names == []
    assert MANIFEST.part(["gone"], [own]).names == ["own"]
    assert MANIFEST.part([], [own]).names == sorted([*MANIFEST.names, "own"])
