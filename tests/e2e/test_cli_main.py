"""The front door: help, version, wrong use, and `altar config`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from altar.adm.codes import CODES
from altar.adm.errors import AltarError, error_of
from altar.cli import main as main_module
from altar.cli import output
from altar.cli.main import COMMANDS
from tests.e2e.command import altar


def test_help_lists_every_command_and_imports_none(tmp_path: Path) -> None:
    shown = altar("--help", at=tmp_path)

    assert (shown.code, shown.err) == (0, "")
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in shown.out
        assert line in shown.out


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from altar.cli.main import main; main(['--help']); "
        "sys.exit(','.join(sorted(sys.modules.keys() & set(sys.argv[1:]))) or 0)"
    )
    heavy = [
        "pydantic",
        "grpc",
        "rich",
        "jsonschema_rs",
        "cryptography",
        "griffe",
        "altar.settings",
        "altar.later",
    ]

    done = subprocess.run([sys.executable, "-c", program, *heavy], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_table_of_commands_is_true(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")

    command = getattr(importlib.import_module(module), attribute)

    assert command.name == name
    assert COMMANDS[name][1] == COMMANDS[name][1].strip()


@pytest.mark.parametrize("module", ["uvloop", "grpc.aio", "cryptography.exceptions", "google.protobuf"])
def test_a_command_that_lacks_the_grid_extra_says_the_line_that_installs_it(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main_module.cli, "main", missing(module))

    code = main_module.main(["host"])

    assert (output.WRONG_USE, "") == (code, (shown := capsys.readouterr()).out)
    assert f"needs the package {module!r}, which is not installed (ENVIRONMENT_ERROR)" in shown.err
    assert "hint: pip install 'altar-ai[grid]'" in shown.err


def test_any_other_missing_module_is_a_defect_and_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module.cli, "main", missing("altar.nothing"))

    with pytest.raises(ModuleNotFoundError):
        main_module.main(["host"])


def missing(module: str) -> Callable[..., None]:
    def run(**_options: object) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    return run


SERVING = {"forward", "host", "runtime", "serve", "up"}
"""Commands that run until they are told to stop, and announce themselves in JSON anyway."""


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_and_every_answer_can_be_json(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)

    for own, one in getattr(command, "commands", {name: command}).items():
        assert one.help
        options = {option for parameter in one.params for option in parameter.opts}
        assert "--json" in options or own in SERVING


def test_the_version_is_data(tmp_path: Path) -> None:
    shown = altar("--version", at=tmp_path)

    assert (shown.code, shown.out, shown.err) == (0, "altar 0.1.0\n", "")


def test_no_command_at_all_is_wrong_use_and_shows_help(tmp_path: Path) -> None:
    shown = altar(at=tmp_path)

    assert (shown.code, shown.out) == (2, "")
    assert "Commands:" in shown.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["cal"], "error: There is no command 'cal' (MALFORMED_REQUEST)\n\nhint: did you mean 'call'?\n"),
        (["qqq"], "error: There is no command 'qqq' (MALFORMED_REQUEST)\n\nhint: `altar --help` says how\n"),
        (
            ["config", "shw"],
            "error: There is no command 'shw' (MALFORMED_REQUEST)\n\nhint: did you mean 'show'?\n",
        ),
        (
            ["config", "show", "--profil"],
            "error: There is no option '--profil' (MALFORMED_REQUEST)\n\nhint: did you mean '--profile'?\n",
        ),
        (
            ["call"],
            "error: Missing argument 'NAME' (MALFORMED_REQUEST)\n\nhint: `altar call --help` says how\n",
        ),
    ],
)
def test_wrong_use_is_answered_in_these_words(tmp_path: Path, arguments: list[str], expected: str) -> None:
    shown = altar(*arguments, at=tmp_path)

    assert (shown.code, shown.out, shown.err) == (2, "", expected)


def test_wrong_use_with_json_is_one_object_on_stdout(tmp_path: Path) -> None:
    shown = altar("cal", "--json", at=tmp_path)

    assert (shown.code, shown.err) == (2, "")
    assert shown.json == {
        "error": {
            "type": "MALFORMED_REQUEST",
            "category": "VALIDATION",
            "message": "There is no command 'cal'",
            "hint": "did you mean 'call'?",
            "ran": "no",
        }
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("PERMISSION_DENIED", 3),
        ("APPROVAL_PENDING", 3),
        ("SESSION_EXPIRED", 3),
        ("CONNECTION_FAILED", 4),
        ("NETWORK_TIMEOUT", 4),
        ("TLS_HANDSHAKE_FAILED", 4),
        ("INVALID_TOOL_ARGS", 2),
        ("UNSUPPORTED_TOOL", 2),
        ("INVALID_CONFIG", 2),
        ("TOOL_EXECUTION_FAILED", 1),
        ("TIMEOUT", 1),
        ("MESSAGE_TOO_LARGE", 1),
    ],
)
def test_the_exit_code_says_how_to_react(code: str, expected: int) -> None:
    assert output.exit_code(error_of(code, "x")) == expected


def test_a_result_that_breaks_its_contract_is_a_failure_of_the_tool() -> None:
    assert output.exit_code(error_of("SCHEMA_VIOLATION", "x", ran="yes")) == output.FAILED


@pytest.mark.parametrize("code", CODES)
def test_every_code_ends_with_an_exit_code_that_is_not_zero(code: str) -> None:
    error: AltarError = error_of(code, "x")

    assert output.exit_code(error) in {1, 2, 3, 4}


def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail(error_of("TOOL_EXECUTION_FAILED", "a\x1b[2Jb\u202e", detail="for the log"), as_json=False)

    assert capsys.readouterr().err == "error: a\\x1b[2Jb\\u202e (TOOL_EXECUTION_FAILED)\n"


def test_config_show_names_the_origin_of_each_value(tmp_path: Path) -> None:
    (tmp_path / "altar.toml").write_text('[profile.prod.runtime]\nruntime_id = "py-${REGION}"\n')
    environ = {"REGION": "eu", "ALTAR_SOURCE": "grid://host:7443"}

    shown = altar("config", "show", "--profile", "prod", at=tmp_path, environ=environ)

    assert (shown.code, shown.err) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in shown.out.splitlines()}
    assert rows["source"] == ['"grid://host:7443"', "environment ALTAR_SOURCE"]
    assert rows["runtime.runtime_id"] == ['"py-eu"', "altar.toml [profile.prod] line 2"]
    assert rows["timeout"] == ["30", "default"]
    assert rows["tls.key"] == ["-", "default"]


def test_config_show_as_json(tmp_path: Path) -> None:
    shown = altar("config", "show", "--json", at=tmp_path, environ={"ALTAR_RUNTIME_TOOLS": "a,b"})

    assert {
        "key": "runtime.tools",
        "value": ["a", "b"],
        "origin": "environment ALTAR_RUNTIME_TOOLS",
    } in shown.json


def test_a_wrong_file_stops_config_show(tmp_path: Path) -> None:
    (tmp_path / "altar.toml").write_text("timeot = 1\n")

    shown = altar("config", "show", at=tmp_path)

    assert (shown.code, shown.out) == (2, "")
    assert shown.err == (
        "error: There is no setting 'timeot' (altar.toml line 1) (INVALID_CONFIG)\n\nhint: did you mean 'timeout'?\n"
    )
