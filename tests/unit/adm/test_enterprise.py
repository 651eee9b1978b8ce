"""The structures of AESP: documents there and back, and who has the last word on governance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from altar.adm.canonical import canonical
from altar.adm.declaration import ToolContract
from altar.adm.enterprise import (
    ANNOTATION,
    MEMBER,
    EnterpriseSecurityContext,
    EnterpriseToolContract,
    Governance,
    governed,
)
from altar.adm.errors import DeclarationError

CASES = json.loads((Path(__file__).parents[3] / "spec/cases/aesp.json").read_text(encoding="utf-8"))
KINDS: dict[str, Any] = {
    "EnterpriseSecurityContext": EnterpriseSecurityContext,
    "Governance": Governance,
    "EnterpriseToolContract": EnterpriseToolContract,
}
SOUND = [case for case in CASES if case["valid"] and case["structure"] in KINDS and case.get("mode") is None]


def function(name: str = "transfer", version: str = "1.0.0", **metadata: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "description": "Move money.", "parameters": {"type": "OBJECT"}}
    if version != "1.0.0":
        made["version"] = version
    return made | ({"metadata": metadata} if metadata else {})


def group(governance: dict[str, Any] | None, *functions: dict[str, Any]) -> ToolContract:
    said = {} if governance is None else {MEMBER: governance}
    return ToolContract.from_adm(
        {"name": "bank", "description": "Money.", "function_declarations": list(functions or (function(),))} | said
    )


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case["id"])
def test_a_document_that_is_read_is_written_as_it_was(case: dict[str, Any]) -> None:
    kind = KINDS[case["structure"]]

    written = kind.from_adm(case["input"]).to_adm()

    assert kind.from_adm(written).to_adm() == written
    defaults = {"contract_version": "1.0.0"} if case["structure"] == "EnterpriseToolContract" else {}
    assert canonical(defaults | case["input"]) == canonical(written)


def test_governance_is_no_part_of_the_digest_that_runtimes_fulfil() -> None:
    plain, enriched = group(None), group({"transfer": {"required_roles": ["cashier"]}})

    assert plain.function_declarations[0].digest == enriched.function_declarations[0].digest
    assert {("transfer", "1.0.0"): Governance(required_roles=("cashier",))} == governed(enriched)


def test_the_operator_has_the_last_word_member_by_member() -> None:
    authors: dict[str, Any] = {ANNOTATION: {"required_roles": ["cashier"], "contains_pii": True}}

    said = governed(
        group(
            {"transfer": {"required_roles": ["treasurer"]}, "transfer@2.0.0": {"required_roles": []}},
            function(**authors),
            function(version="2.0.0", **authors),
        )
    )

    assert Governance(required_roles=("treasurer",), contains_pii=True) == said["transfer", "1.0.0"]
    assert Governance(contains_pii=True) == said["transfer", "2.0.0"]


def test_a_function_of_which_nothing_is_said_has_no_governance() -> None:
    assert {} == governed(group(None))


def test_governance_of_a_function_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeclarationError) as refused:
        governed(group({"transfers": {}}))

    assert "/grid_governance/transfers" == refused.value.path
