"""What reaches stdout and a terminal: no control character as it is, and nothing that the encoding cannot write."""

from __future__ import annotations

import json
import sys
from io import BytesIO, TextIOWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.cli import output

HOSTILE = "é → 木 😀 \x1b[31m\x07 \x7f \x9b31m \u202e \ud800 end"
"""Letters of several scripts, what starts a colour in two ways, a change of direction, and half of a pair."""


def written(
    value: object, *, encoding: str, monkeypatch: pytest.MonkeyPatch, as_json: bool, text: str | None = None
) -> str:
    """What `output.data` writes to a stdout of this encoding."""
    held = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(held, encoding=encoding))
    output.data(value, as_json=as_json, text=text)
    return held.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "koi8-r", "utf-8", "utf-16", "gb18030"])
def test_json_is_the_same_value_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = written({HOSTILE: HOSTILE}, encoding=encoding, monkeypatch=monkeypatch, as_json=True)

    assert json.loads(shown) == {HOSTILE: HOSTILE}
    assert shown.endswith("\n")
    assert shown[:-1].isprintable()
    assert shown.isascii() is not encoding.startswith("utf")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_text_keeps_its_lines_and_escapes_what_cannot_be_written(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = written(None, encoding=encoding, monkeypatch=monkeypatch, as_json=False, text=f"one\ttwo\n{HOSTILE}")

    first, second = shown.splitlines()
    assert first == "one\ttwo"
    assert second.isprintable()
    assert r"\x1b[31m\x07 \x7f \x9b31m \u202e \ud800 end" in second
    assert (r"\u2192" in second) is (encoding != "utf-8")


def test_a_closed_stdout_and_stderr_take_nothing_and_raise_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    output.data({"a": 1}, as_json=True)
    output.data(None, as_json=False, text="é")
    output.warn("é")


@given(rows=st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=1))
def test_a_table_has_one_line_for_each_row_whatever_is_in_its_cells(rows: list[tuple[str, str, str]]) -> None:
    assert output.columns(rows).count("\n") == len(rows) - 1
