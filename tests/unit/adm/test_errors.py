"""The classes and codes of errors, and the files generated from spec/errors.toml."""

from __future__ import annotations

import pickle
import runpy
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from altar.adm.codes import ALIASES, CODES
from altar.adm.errors import (
    AltarError,
    AuthorizationError,
    ConfigurationError,
    DeclarationError,
    ExecutionError,
    TransportError,
    ValidationError,
    error_of,
)

ROOT = Path(__file__).parents[3]
CLASSES = {
    "AUTHORIZATION": AuthorizationError,
    "VALIDATION": ValidationError,
    "EXECUTION": ExecutionError,
    "TRANSPORT": TransportError,
    "CONFIGURATION": ConfigurationError,
}


def test_the_generated_files_match_the_table_of_codes() -> None:
    generate = runpy.run_path(str(ROOT / "scripts" / "generate_codes.py"))["generate"]

    for path, text in generate().items():
        assert text == path.read_text(encoding="utf-8"), f"run scripts/generate_codes.py: {path.name} is stale"


def test_the_codes_are_those_of_the_table() -> None:
    table = tomllib.loads((ROOT / "spec" / "errors.toml").read_text(encoding="utf-8"))

    assert set(table) == set(CODES)


def test_a_name_of_another_system_means_one_code_that_exists() -> None:
    assert set(ALIASES.values()) <= set(CODES)
    assert set(ALIASES).isdisjoint(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_class_of_an_error_is_the_category_of_its_code(code: str) -> None:
    error = error_of(code, "words")

    assert isinstance(error, CLASSES[CODES[code].category])
    assert CODES[code].ran == error.ran
    assert "words" == str(error)


def test_a_declaration_error_is_a_configuration_error() -> None:
    assert DeclarationError is type(error_of("INVALID_DECLARATION", "words"))
    assert issubclass(DeclarationError, ConfigurationError)


def test_an_unknown_code_and_a_code_of_another_class_are_mistakes_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="'NOPE' is not an error code"):
        error_of("NOPE", "words")
    with pytest.raises(ValueError, match="is not an error code"):
        AltarError("NOPE", "words")
    with pytest.raises(ValueError, match="'TIMEOUT' is of category EXECUTION, not VALIDATION"):
        ValidationError("TIMEOUT", "words")


def test_an_error_crosses_a_process_boundary_with_all_its_parts() -> None:
    error = error_of(
        "TIMEOUT", "late", hint="wait", detail="at 5", path="/a", ran="no", retry_after=timedelta(seconds=2)
    )

    other = pickle.loads(pickle.dumps(error))

    assert type(error) is type(other)
    assert error.__dict__ == other.__dict__


def test_the_detail_is_in_neither_text_of_an_error() -> None:
    error = error_of("INTERNAL", "It failed", detail="secret 4711")

    assert "4711" not in f"{error!s}{error!r}"
