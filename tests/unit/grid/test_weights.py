"""Weighted versions: who gets which, how evenly, and which rules are refused."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from altar.adm.errors import ConfigurationError, ValidationError
from altar.grid.host.sessions import HostCatalog, Sessions
from altar.grid.manifests.manifest import Manifest
from altar.grid.manifests.weights import METADATA, drawn
from altar.later.invocation import Invocation
from tests.unit.grid.contracts import declaration


def manifest(rule: object, *versions: str) -> Manifest:
    """A manifest of ``charge`` in these versions, with a rule for it."""
    contracts = [declaration("charge", version) for version in versions or ("1.0.0", "1.1.0")]
    return Manifest([*contracts, declaration("other")], metadata={METADATA: json.dumps(rule)})


def asked(held: Manifest, *, version: str = "", known: str = "", tool: str = "charge", **more: str) -> Invocation:
    """A call as the host finds its contract."""
    invocation = Invocation(tool, b"{}", version=version, known_digest=known, **more)  # type: ignore[arg-type]  # texts
    HostCatalog(held, Sessions()).find(invocation)
    return invocation


CANARY = {"charge": {"1.0.0": 95, "1.1.0": 5}}


# -------------------------------------------------------------------------------------------------------- choosing


def test_of_ten_thousand_sessions_five_in_a_hundred_use_the_new_version_and_always_the_same_ones() -> None:
    sessions = [f"session-{number}" for number in range(10_000)]

    first = {who for who in sessions if drawn(who, "charge", 100) >= 95}
    again = {who for who in reversed(sessions) if drawn(who, "charge", 100) >= 95}

    assert 420 < len(first) < 580  # four standard deviations of a fair draw
    assert again == first


def test_who_uses_the_new_version_of_one_tool_is_not_who_uses_that_of_another() -> None:
    sessions = [f"session-{number}" for number in range(10_000)]
    both = [who for who in sessions if drawn(who, "a", 100) >= 95 and drawn(who, "b", 100) >= 95]

    assert len(both) < 60


def test_every_call_of_a_session_uses_one_version_and_the_record_says_why() -> None:
    held = manifest(CANARY)

    routes = Counter[tuple[str, str]]()
    for number in range(1000):
        calls = [asked(held, principal=f"client-{number}") for _ in range(2)]
        assert calls[0].version == calls[1].version
        routes[calls[0].version, calls[0].route] += 1

    assert set(routes) == {("1.0.0", "weights:95/100"), ("1.1.0", "weights:5/100")}
    assert 25 < routes["1.1.0", "weights:5/100"] < 80


def test_the_session_decides_and_without_one_the_principal() -> None:
    assert drawn("session-1", "charge", 1 << 40) != drawn("client-1", "charge", 1 << 40)
    held = manifest({"charge": {"1.0.0": 1, "1.1.0": 1}})

    assert len({asked(held, principal=f"client-{number}").version for number in range(64)}) == 2


def test_a_version_that_was_asked_for_is_given_whatever_its_weight() -> None:
    held = manifest({"charge": {"1.0.0": 1, "1.1.0": 0}})

    invocation = asked(held, version="1.1.0")

    assert (invocation.version, invocation.route) == ("1.1.0", "")


def test_a_range_chooses_among_those_that_it_admits() -> None:
    held = manifest({"charge": {"1.0.0": 1, "1.1.0": 0, "2.0.0": 7}}, "1.0.0", "1.1.0", "2.0.0")

    among = asked(held, version="^1")
    alone = asked(held, version=">=2")

    assert (among.version, among.route) == ("1.0.0", "weights:1/1")
    assert (alone.version, alone.route) == ("2.0.0", "")


def test_a_version_that_the_rule_leaves_out_is_not_chosen() -> None:
    held = manifest({"charge": {"1.0.0": 1}}, "1.0.0", "1.1.0")

    assert asked(held).version == "1.0.0"


def test_a_tool_without_a_rule_means_its_highest_version() -> None:
    invocation = asked(manifest(CANARY), tool="other")

    assert (invocation.version, invocation.route) == ("1.0.0", "")


def test_a_tool_that_does_not_exist_is_refused_as_ever() -> None:
    with pytest.raises(ValidationError, match="is not in this session"):
        asked(manifest(CANARY), tool="charged")


def test_whoever_knows_one_of_the_contracts_to_choose_from_knows_the_one_that_is_chosen() -> None:
    held = manifest({"charge": {"1.0.0": 1, "1.1.0": 0}})
    newest = held.find("charge", "1.1.0")

    invocation = asked(held, known=newest.digest)

    assert (invocation.version, invocation.known_digest) == ("1.0.0", held.find("charge", "1.0.0").digest)
    with pytest.raises(ValidationError, match="not the one the caller knows"):
        asked(held, known="sha256:" + "0" * 64)


def test_the_rule_stays_when_contracts_join() -> None:
    held = manifest({"charge": {"1.0.0": 1}}).joined_with([])

    assert asked(held).route == "weights:1/1"


# -------------------------------------------------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "not an object of tools"),
        ('{"charge": {}}', "says nothing for 'charge'"),
        ('{"charge": []}', "says nothing for 'charge'"),
        ('{"charge": {"3.0.0": 1}}', "'charge' at '3.0.0', which the manifest does not have"),
        ('{"refund": {"1.0.0": 1}}', "'refund' at '1.0.0', which the manifest does not have"),
        ('{"charge": {"1.0.0": -1}}', "no whole number from 0 to 1000000"),
        ('{"charge": {"1.0.0": 1000001}}', "no whole number from 0 to 1000000"),
        ('{"charge": {"1.0.0": true}}', "no whole number"),
        ('{"charge": {"1.0.0": 0.5}}', "no whole number"),
        ('{"charge": {"1.0.0": 0, "1.1.0": 0}}', "gives every version of 'charge' the weight 0"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused_by_name(text: str, words: str) -> None:
    document = {
        "contracts": [
            {
                "name": "all",
                "description": "All.",
                "function_declarations": [
                    declaration("charge").to_adm(),
                    declaration("charge", "1.1.0").to_adm(),
                ],
            }
        ],
        "manifest_version": "1.0.0",
        "global_metadata": {METADATA: text},
    }

    with pytest.raises(ConfigurationError) as refused:
        Manifest.of(document, source="manifest.json")

    assert refused.value.code == "INVALID_CONFIG"
    assert words in refused.value.message
