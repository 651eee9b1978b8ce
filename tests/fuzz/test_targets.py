"""The targets of the fuzzer on a few hundred inputs each, and on every input that once broke one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

FINDS = json.loads((Path(__file__).parent / "finds.json").read_text(encoding="utf-8"))

words = st.sampled_from(
    '{}[]",: 019.eE+-\\uD8null true false é𝄞 name args type $ref call_id'.split(" ") + list('{}[]",:')
)
texts = st.lists(words | st.text(max_size=3), max_size=40).map("".join)
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
inputs = (
    st.binary(max_size=200)
    | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | values.map(lambda value: json.dumps(value).encode("utf-8"))
)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=inputs)
def test_nothing_breaks(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("find", FINDS, ids=lambda find: find["why"])
def test_what_once_broke_does_not_break_again(find: dict[str, str]) -> None:
    TARGETS[find["target"]](bytes.fromhex(find["data"]))
