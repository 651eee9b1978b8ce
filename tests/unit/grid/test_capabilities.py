"""What a peer can do: read within bounds, and refused by name where it is missing."""

from __future__ import annotations

import pytest

from altar.adm.errors import ConfigurationError, TransportError
from altar.grid.capabilities import (
    CLIENT,
    HOST,
    LONGEST,
    MOST,
    RUNTIME,
    Capability,
    kind_of,
    lacking,
    missing,
    read_capabilities,
)


def test_names_that_nobody_knows_yet_are_kept_and_mean_nothing() -> None:
    assert read_capabilities(["nested", "telepathy", "nested"]) == {"nested", "telepathy"}


@pytest.mark.parametrize("names", [["x"] * (MOST + 1), ["x" * (LONGEST + 1)]])
def test_more_than_there_may_be_is_a_violation(names: list[str]) -> None:
    with pytest.raises(TransportError) as refused:
        read_capabilities(names)

    assert refused.value.code == "PROTOCOL_VIOLATION"


@pytest.mark.parametrize(
    ("needs", "has", "lacks"),
    [
        ((), set(), ""),
        (("nested",), {"nested"}, ""),
        (("nested", "streaming"), {"nested"}, "streaming"),
        (("nested", "streaming"), set(), "nested"),
    ],
)
def test_the_first_that_is_missing_is_named(needs: tuple[str, ...], has: set[str], lacks: str) -> None:
    assert lacking(needs, has) == lacks


def test_a_refusal_names_the_capability_and_the_kind_of_peer_and_nothing_ran() -> None:
    error = missing(Capability.STREAMING, what="The call of 'ticks'", who=f"a runtime of {kind_of('go', '0.3.1')}")

    assert isinstance(error, ConfigurationError)
    assert (error.code, error.ran) == ("FEATURE_UNAVAILABLE", "no")
    assert error.message == "The call of 'ticks' needs 'streaming', which a runtime of go 0.3.1 cannot do"


@pytest.mark.parametrize(
    ("language", "version", "kind"), [("", "", "unknown"), ("x" * 100, "1", f"{'x' * LONGEST} 1"), ("go", "", "go")]
)
def test_a_kind_is_bounded_and_never_empty(language: str, version: str, kind: str) -> None:
    assert kind_of(language, version) == kind


@pytest.mark.parametrize("said", [CLIENT, HOST, RUNTIME])
def test_what_this_release_announces_is_known_by_name_and_said_once(said: tuple[str, ...]) -> None:
    assert {Capability(name) for name in said} == set(said)
    assert len(said) == len(set(said))
    assert read_capabilities(said) == set(said)
