"""`altar lm`, and the settings by which a process has a language model."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import ConfigurationError
from altar.ai.lm import configure, weights
from altar.ai.lm.weights import DEFAULT, WEIGHTS, path_of
from altar.cli.main import main
from altar.settings import Ai, Settings, use_language_model, weights_directory
from altar.settings.ai import lm_options


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALTAR_AI_WEIGHTS", str(tmp_path / "weights"))
    configure.use("")
    yield
    configure.use("")


def test_status_says_what_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert 0 == main(["lm", "status", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert {"name": DEFAULT, "state": "missing", "licence": "Apache-2.0"} == {
        name: told["weights"][0][name] for name in ("name", "state", "licence")
    }
    assert str(tmp_path / "weights") == told["directory"]
    assert told["lm"] is None


def test_status_says_what_is_damaged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = path_of(WEIGHTS[DEFAULT], directory=tmp_path / "weights")
    path.parent.mkdir()
    path.write_bytes(b"GGUF")

    assert 0 == main(["lm", "status"])

    assert "damaged" in capsys.readouterr().out


def test_weights_that_nobody_knows_are_not_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["lm", "fetch", "huge"])

    assert "no weights called 'huge'" in capsys.readouterr().err


def test_a_file_that_is_no_model_is_not_served(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text("no model")

    assert 2 == main(["lm", "serve", str(tmp_path / "a.gguf"), "--port", "0"])

    assert "is no model in the format GGUF" in capsys.readouterr().err


def test_weights_that_are_missing_are_not_fetched_for_a_program_that_nobody_watches(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert 2 == main(["lm", "serve", "--port", "0"])

    assert "altar lm fetch" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(("said", "code", "fetched"), [("y\n", 2, 1), ("n\n", 130, 0)])
def test_at_a_terminal_you_are_asked_with_the_size_before_weights_are_fetched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, said: str, code: int, fetched: int
) -> None:
    asked: list[str] = []
    terminal = io.StringIO(said)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(weights, "_run_client", lambda wanted, _: asked.append(wanted.name))

    assert code == main(["lm", "serve", "--port", "0"])

    assert "Fetch them, 93 MB (Apache-2.0)?" in capsys.readouterr().err
    assert [DEFAULT] * fetched == asked


def test_whoever_says_so_beforehand_is_not_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(weights, "_run_client", lambda wanted, _: asked.append(wanted.name))

    assert 2 == main(["lm", "serve", "--port", "0", "--fetch"])

    assert [DEFAULT] == asked
    assert "Fetch them" not in capsys.readouterr().err


def test_weights_lie_in_the_cache_of_the_user() -> None:
    assert Path("/x/altar/weights") == weights_directory(Ai(), {"XDG_CACHE_HOME": "/x"})
    assert Path("/y") == weights_directory(Ai(weights=Path("/y")), {"XDG_CACHE_HOME": "/x"})
    assert weights_directory(Ai(), {"XDG_CACHE_HOME": "relative"}).is_absolute()


def test_the_settings_name_the_language_model_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "altar.toml").write_text('[ai]\nlm = "scripted:answers.json"\nretries = 0\ntimeout = 7\n')
    (tmp_path / "answers.json").write_text('["hello"]')

    use_language_model(Settings.load().ai)

    assert "altar/answers" == configure.current().model


def test_opening_a_session_gives_the_process_its_language_model(tmp_path: Path) -> None:
    import altar

    (tmp_path / "altar.toml").write_text('[ai]\nlm = "scripted:answers.json"\n')
    (tmp_path / "answers.json").write_text('["hello"]')

    with altar.session():
        first = configure.current()
    with altar.session():
        assert first is configure.current()


def test_a_program_that_was_given_no_language_model_asks_that_of_the_process(tmp_path: Path) -> None:
    import dspy

    import altar
    from altar.ai import tool_from_module

    (tmp_path / "altar.toml").write_text('[ai]\nlm = "scripted:answers.json"\n')
    (tmp_path / "answers.json").write_text('[{"count": "several"}, {"count": "some"}, {"count": 3}]')
    tool = tool_from_module(dspy.Predict("text -> count: int"), name="count_words_of_settings")

    with altar.session([tool]) as session:
        result = session.call("count_words_of_settings", text="one two three")

    assert {"count": 3} == result.unwrap()
    used: Any = result.usage
    assert 3 == used["lm_calls"]
    assert used["output_tokens"] > 0


def test_each_session_asks_the_language_model_that_it_names(tmp_path: Path) -> None:
    import dspy

    import altar
    from altar.ai import tool_from_module

    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps([{"answer": name}]))
    (tmp_path / "altar.toml").write_text(
        '[profile.one.ai]\nlm = "scripted:one.json"\n[profile.two.ai]\nlm = "scripted:two.json"\n'
    )
    tool = tool_from_module(dspy.Predict("question -> answer"), name="answer_of_the_session")

    def ask(session: Any) -> Any:
        result = session.call(tool, question="who?")
        return result.error.type if result.error is not None else result.content["answer"]

    with altar.session([tool], profile="one") as first:
        with altar.session([tool], profile="two") as second:
            assert ["one", "two", "one"] == [ask(first), ask(second), ask(first)]
        with altar.session([tool]) as neither:
            assert "ENVIRONMENT_ERROR" == ask(neither)
            assert configure.current() is None
            configure.use("scripted:two.json")
            assert "two" == ask(neither)
        assert "one" == ask(first)


def test_missing_weights_are_not_fetched_in_the_middle_of_a_call(tmp_path: Path) -> None:
    configure.use("local", lm_options(Settings.load(ai={"lm": "local"}).ai))

    with pytest.raises(ConfigurationError, match="not on this machine"):
        configure.current()

    assert not (tmp_path / "weights").exists()


def test_without_the_setting_nothing_is_loaded_or_changed() -> None:
    configure.use("scripted:mine.json")

    use_language_model(Settings.load().ai)

    assert configure.Choice("scripted:mine.json") == configure.chosen_in(None)


def test_a_key_in_a_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "key"
    options = lm_options(Ai(lm="openai/any", key_file=file, base_url="http://127.0.0.1:1/v1"))
    assert options.key is not None
    with pytest.raises(ConfigurationError, match="cannot be read"):
        options.key()

    file.write_text("\n")
    with pytest.raises(ConfigurationError, match="holds no key"):
        options.key()

    file.write_text("sk-geheim\n")
    assert "sk-geheim" == options.key()
    assert "sk-geheim" not in repr(options)
    assert options == lm_options(Ai(lm="openai/any", key_file=file, base_url="http://127.0.0.1:1/v1"))


@pytest.mark.parametrize("words", [{"lm": "two words"}, {"base_url": "ftp://x"}, {"retries": -1}, {"local_threads": 0}])
def test_settings_that_cannot_be_are_refused(words: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="ai"):
        Settings.load(environ={}, ai=words)
