"""The official JSON Schema Test Suite, draft 2020-12, through the data model and back.

Each schema goes the whole way: JSON Schema, `Schema`, ADM, canonical JSON text, parsed, `Schema` again, compiled.
It is read leniently, as a document of a peer: the suite holds unknown keywords and wrong defaults on purpose.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import jsonschema_rs
import pytest

from altar.adm.canonical import canonical, parse
from altar.adm.declaration import MAX_DOCUMENT_DEPTH
from altar.adm.errors import DeclarationError
from altar.adm.reader import Mode
from altar.adm.schema import Schema
from tests.conformance.json_schema_suite import Group, exceptions, groups

MAX_EXCEPTED = 0.05

REQUIRED = groups()


def through_adm(document: Any, mode: Mode = "lenient") -> Schema | None:
    """The schema after the whole way, or None if ALTAR refuses it."""
    try:
        schema = Schema.from_json_schema(document, mode=mode)
        text = canonical(schema.to_adm(), max_depth=MAX_DOCUMENT_DEPTH)
        return Schema.from_adm(parse(text, max_depth=MAX_DOCUMENT_DEPTH), mode=mode)  # type: ignore[arg-type]
    except DeclarationError:
        return None


def is_right(schema: Schema | None, case: Any) -> bool:
    """Whether the verdict is the suite's, and an explanation is there exactly if the value is refused."""
    return (
        schema is not None
        and schema.accepts(case["data"]) == case["valid"]
        and (schema.defects(case["data"]) == []) == case["valid"]
    )


@pytest.mark.parametrize("group", REQUIRED, ids=lambda group: group.name)
def test_the_verdict_is_the_suites_or_the_case_is_excepted(group: Group) -> None:
    schema = through_adm(group.schema)
    if schema is not None:
        assert schema == Schema.from_adm(schema.to_adm(), mode="lenient")

    for case in group.cases:
        excepted = exceptions().get((group.name, case["description"]))
        assert is_right(schema, case) == (excepted is None), (case["description"], excepted)


def test_each_exception_names_a_case_of_the_suite() -> None:
    named = {(group.name, case["description"]) for group in REQUIRED for case in group.cases}

    assert set() == exceptions().keys() - named


def test_at_most_one_case_in_twenty_is_excepted() -> None:
    required = sum(len(group.cases) for group in REQUIRED)

    assert len(exceptions()) <= required * MAX_EXCEPTED


def test_the_figures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    required = sum(len(group.cases) for group in REQUIRED)
    lines = [f"{required} required, {required - len(exceptions())} pass, {len(exceptions())} excepted"]
    lines += [f"  {count} excepted: {reason}" for reason, count in Counter(exceptions().values()).items()]
    strictly = [(through_adm(group.schema, "strict"), case) for group in REQUIRED for case in group.cases]
    lines.append(f"  read strictly: {sum(is_right(schema, case) for schema, case in strictly)} pass")
    lines.append(f"  the engine by itself, without what is elsewhere: {_engine(REQUIRED, formats=False)}")
    for part, formats in (("optional", False), ("optional/format", True)):
        optional = groups(part)
        right = sum(is_right(schema, case) for group in optional for schema, case in _answered(group))
        total = sum(len(group.cases) for group in optional)
        lines.append(f"  {part}: {right} of {total}; the engine by itself: {_engine(optional, formats=formats)}")

    with capsys.disabled():
        print("\nJSON Schema Test Suite, draft 2020-12:", *lines, sep="\n  ")

    assert required > 1_200


def _answered(group: Group) -> list[tuple[Schema | None, Any]]:
    schema = through_adm(group.schema)
    return [(schema, case) for case in group.cases]


def _engine(wanted: list[Group], *, formats: bool) -> int:
    """How many verdicts of the engine are the suite's; for the formats it is told to check them."""
    right = 0
    for group in wanted:
        try:
            judge = jsonschema_rs.Draft202012Validator(group.schema, validate_formats=formats, offline=True)
        except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
            continue
        right += sum(judge.is_valid(case["data"]) == case["valid"] for case in group.cases)
    return right
