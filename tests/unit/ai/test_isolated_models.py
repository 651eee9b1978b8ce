"""Isolated tools are told what is configured, and which language model their session names; no provider's key."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.ai import configuration
from altar.ai.carried import take, tell
from altar.ai.lm import configure
from altar.ai.lm.configure import LMOptions, SecretSource, chosen, use
from altar.ai.lm.keys import KeyInFile
from altar.ai.lm.local import LocalLM
from altar.later.isolation.carried import changed
from tests.unit.ai.isolated_model_tools import isolated_answer, isolated_key, isolated_look, isolated_says


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with nothing in it, and what was configured put back."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("ALTAR_")]:
        monkeypatch.delenv(name)
    yield tmp_path
    use("")
    held.put(settled=settled, said=said)


def called(tool: Any, text: str, **arguments: Any) -> Any:
    """The result of an isolated tool in a session of an ``altar.toml``."""
    Path("altar.toml").write_text(f"[ai]\n{text}\n")
    with altar.session([tool], source="later:", timeout=60) as session:
        return session.call(tool.name, **arguments)


def test_a_program_in_a_process_of_its_own_asks_the_model_of_its_session(here: Path) -> None:
    for name in ("Paris", "Rome"):
        (here / f"{name}.json").write_text(json.dumps({"": {"answer": name}}))

    answers = [
        called(isolated_answer, f"lm = 'scripted:{here / name}.json'", question="Which capital?").unwrap()
        for name in ("Paris", "Rome", "Paris")
    ]
    nobody = called(isolated_answer, "", question="Which capital?").unwrap()

    assert ["Paris", "Rome", "Paris"] == answers
    assert "there is no language model" == nobody


def test_what_is_configured_holds_there_too_and_no_longer_than_it_is_configured() -> None:
    said = called(isolated_look, "pipeline_timeout = 7\nresult_validation = false").unwrap()
    after = called(isolated_look, "").unwrap()

    assert (7, False) == (said["pipeline_timeout"], said["result_validation"])
    assert (300, True) == (after["pipeline_timeout"], after["result_validation"])
    assert said["is_elsewhere"]


def test_of_two_sessions_that_are_open_each_has_its_own_model_there_also_without_a_context(here: Path) -> None:
    with open_with("lm = 'openai/first'") as first, open_with("lm = 'openai/second'") as second:
        asked = [each.call("isolated_look").unwrap()["spec"] for each in (first, second, first)]

    assert ["openai/first", "openai/second", "openai/first"] == asked


def test_what_a_tool_says_there_does_not_count_for_the_next_call() -> None:
    with open_with("lm = 'openai/first'\npipeline_timeout = 7") as session:
        session.call("isolated_says").unwrap()
        after = session.call("isolated_look").unwrap()

    assert ("openai/first", 7) == (after["spec"], after["pipeline_timeout"])


def open_with(text: str) -> altar.Session:
    """A session of an ``altar.toml``."""
    Path("altar.toml").write_text(f"[ai]\n{text}\n")
    return altar.session([isolated_look, isolated_says], source="later:", timeout=60)


def test_a_secret_among_the_settings_of_a_model_is_in_no_text() -> None:
    use("openai/gpt-4.1-mini", extra_headers={"Authorization": "open sesame"})

    assert "sesame" not in repr(configure.chosen_here())


def test_a_key_in_a_file_is_read_there_and_a_function_is_not_carried(here: Path) -> None:
    (here / "key").write_text("open sesame\n")
    lm = "lm = 'openai/gpt-4.1-mini'"

    from_file = called(isolated_key, f"{lm}\nkey_file = 'key'").unwrap()
    look = called(isolated_look, f"{lm}\nkey_file = 'key'").unwrap()
    use("openai/gpt-4.1-mini", LMOptions(key=lambda: "open sesame"))
    from_function = called(isolated_key, "")

    assert "open sesame" == from_file
    assert "sesame" not in str(look)
    assert from_function.error is not None
    assert "INVALID_CONFIG" == from_function.error.type
    assert "function of another process" in from_function.error.message


def test_a_key_is_never_among_what_is_told(here: Path) -> None:
    (here / "key").write_text("open sesame\n")
    keys: list[SecretSource] = [lambda: "open sesame", KeyInFile(here / "key")]
    for key in keys:
        use("openai/gpt-4.1-mini", LMOptions(key=key))

        assert "sesame" not in json.dumps(tell(None))


def test_the_model_that_its_parent_has_started_is_asked_and_no_second_is_started(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Running:
        """A process that has not ended."""

        def poll(self) -> None:
            return None

    options = LMOptions(directory=here)
    running = LocalLM("http://127.0.0.1:1/v1", "of here", "small", Running())  # type: ignore[arg-type]
    monkeypatch.setitem(configure._CHOSEN.started, configure._identity("small", options), running)
    use("local:small", options)

    said = json.loads(json.dumps(tell(None)))
    take(said)

    spec, told = chosen()
    assert ("local:small", "http://127.0.0.1:1/v1") == (spec, told.base_url)
    assert told.key is not None
    assert "of here" == told.key()
    assert "of here" not in repr(told)


def test_settings_that_have_no_form_in_json_are_not_carried() -> None:
    use("openai/gpt-4.1-mini", stop=object())

    assert {"configuration", "language_model"} == set(tell(None) or ())
    assert (tell(None) or {})["language_model"] is None


def test_only_what_has_changed_is_told_and_what_holds_no_more_is_taken_back() -> None:
    assert {} == changed({"a": 1}, {"a": 1})
    assert {"a": None, "b": 2} == changed({"a": 1}, {"b": 2})
