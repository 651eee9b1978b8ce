"""Settings: which source wins, where a value came from, and how a wrong one is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import Field, SecretStr
from pydantic import ValidationError as ModelError

from altar.adm.errors import ConfigurationError
from altar.settings import Explained, Settings, variable_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def write(text: str, name: str = "altar.toml") -> Path:
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    return file


def origin_of(settings: Settings, key: str) -> str:
    return next(row.origin for row in settings.explain() if row.key == key)


def refusal(**how: Any) -> ConfigurationError:
    how.setdefault("environ", {})
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(**how)
    return caught.value


def test_without_any_source_every_value_is_the_default() -> None:
    settings = Settings.load(environ={})

    assert settings.model_dump() == Settings().model_dump()
    assert settings.source == "later:"
    assert settings.timeout == 30
    assert settings.environment == "production"
    assert settings.host.listen == "127.0.0.1:7443"
    assert settings.host.max_message_bytes == 4 * 1024 * 1024
    assert {row.origin for row in settings.explain()} == {"default"}


def test_each_source_beats_the_one_below_it() -> None:
    write("timeout = 2\n[profile.prod]\ntimeout = 3\n")
    environ = {"ALTAR_TIMEOUT": "4"}

    assert [
        (2, "altar.toml line 1"),
        (3, "altar.toml [profile.prod] line 3"),
        (4, "environment ALTAR_TIMEOUT"),
        (5, "flag"),
    ] == [
        (settings.timeout, origin_of(settings, "timeout"))
        for settings in (
            Settings.load(environ={}),
            Settings.load(profile="prod", environ={}),
            Settings.load(profile="prod", environ=environ),
            Settings.load(profile="prod", environ=environ, timeout=5),
        )
    ]


def test_a_flag_may_be_a_name_a_dotted_name_or_a_section() -> None:
    flags: dict[str, Any] = {
        "host.listen": "0.0.0.0:1",
        "runtime": {"tls": {"key": "k.pem"}},
        "source": None,
    }

    settings = Settings.load(environ={"ALTAR_SOURCE": "grid://h:1"}, **flags)

    assert settings.host.listen == "0.0.0.0:1"
    assert settings.runtime.tls.key == Path("k.pem")
    assert settings.source == "grid://h:1"


def test_the_profile_comes_from_the_environment_when_no_one_names_it() -> None:
    write("[profile.dev]\ntimeout = 1\n[profile.prod]\ntimeout = 2\n")

    assert Settings.load(environ={"ALTAR_PROFILE": "prod"}).timeout == 2
    assert Settings.load(profile="dev", environ={"ALTAR_PROFILE": "prod"}).profile == "dev"


def test_a_profile_fills_in_only_what_it_names() -> None:
    write('[host]\nname = "a"\nqueue = 7\n[profile.prod.host]\nname = "b"\n')

    settings = Settings.load(profile="prod", environ={})

    assert (settings.host.name, settings.host.queue) == ("b", 7)


def test_a_variable_is_written_into_the_text_of_a_profile() -> None:
    write('[profile.prod.runtime]\nruntime_id = "py-${REGION}-${NODE_ID}"\n')

    settings = Settings.load(profile="prod", environ={"REGION": "eu", "NODE_ID": "7"})

    assert settings.runtime.runtime_id == "py-eu-7"


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("${A:-x}", {}, "x"),
        ("${A:-x}", {"A": ""}, "x"),
        ("${A:-}-", {}, "-"),
        ("${A:-x}", {"A": "y"}, "y"),
        ("-${A}", {"A": ""}, "-"),
        ("$${A} $A", {}, "${A} $A"),
        ("${A}", {"A": "${B}"}, "${B}"),
    ],
)
def test_a_reference_is_filled_once_and_like_a_shell_does(text: str, environ: dict[str, str], expected: str) -> None:
    write(f"environment = '{text}'\n")

    assert Settings.load(environ=environ).environment == expected


def test_a_number_and_an_item_of_a_list_may_be_references() -> None:
    write('timeout = "${T:-2.5}"\n[runtime]\ntools = ["shop.${PART}", "fixed"]\n')

    settings = Settings.load(environ={"PART": "prices"})

    assert (settings.timeout, settings.runtime.tools) == (2.5, ("shop.prices", "fixed"))


def test_a_reference_that_is_overridden_need_not_be_set() -> None:
    write('environment = "${NOBODY_SETS_THIS}"\n')

    assert Settings.load(environ={"ALTAR_ENVIRONMENT": "dev"}).environment == "dev"


def test_a_reference_that_is_not_set_names_file_key_and_variable() -> None:
    write('source = "later:"\n[profile.prod.runtime]\nruntime_id = "py-${NODE_ID}"\n')

    error = refusal(profile="prod")

    assert error.code == "ENVIRONMENT_ERROR"
    assert str(error) == (
        "Setting 'runtime.runtime_id' (altar.toml [profile.prod] line 3) "
        "needs the environment variable 'NODE_ID', which is not set"
    )
    assert error.hint == "set NODE_ID, or write ${NODE_ID:-a default}"


@pytest.mark.parametrize("text", ["${", "${A", "${1A}", "${A:x}", "${A-B}", "${}"])
def test_a_broken_reference_is_refused(text: str) -> None:
    write(f"environment = '{text}'\n")

    error = refusal(environ={"A": "a"})

    assert error.code == "INVALID_CONFIG"
    assert "is neither ${NAME} nor ${NAME:-default}" in str(error)


def test_values_of_the_environment_are_not_searched_for_references() -> None:
    assert Settings.load(environ={"ALTAR_ENVIRONMENT": "${A}"}).environment == "${A}"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.load(environ={"ALTAR_TLS_KEY": "", "ALTAR_PROFILE": "", "ALTAR_CONFIG": ""}).source == "later:"


def test_a_list_in_the_environment_is_split_by_commas() -> None:
    assert Settings.load(environ={"ALTAR_RUNTIME_TOOLS": "a, b.c,"}).runtime.tools == ("a", "b.c")


def test_a_list_of_tables_in_the_environment_is_json() -> None:
    tables = '[{"name": "a", "kind": "file", "address": "a.ndjson"}, {"name": "b", "kind": "file", "address": "b"}]'

    assert ["a", "b"] == [sink.name for sink in Settings.load(environ={"ALTAR_AUDIT_SINKS": tables}).audit.sinks]
    with pytest.raises(ConfigurationError, match="no JSON"):
        Settings.load(environ={"ALTAR_AUDIT_SINKS": "a,b"})


def test_paths_in_a_list_count_from_the_file_that_names_them(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (below / "altar.toml").write_text("[host]\nmanifest_keys = ['a.vkey', '/b.vkey']\n")

    settings = Settings.load(below / "altar.toml", environ={})

    assert settings.host.manifest_keys == (below / "a.vkey", Path("/b.vkey"))


def test_variables_that_are_no_settings_are_left_alone() -> None:
    environ = {"ALTAR_HOST_PORT": "tcp://10.0.0.1:7443", "ALTAR_SERVICE_HOST": "10.0.0.1"}

    assert {row.origin for row in Settings.load(environ=environ).explain()} == {"default"}


@pytest.mark.parametrize("row", Settings().explain(), ids=lambda row: row.key)
def test_every_setting_can_come_from_a_variable_of_its_own(row: Explained) -> None:
    values = {"tools": "x", "source": "grid://x:1", "listen": "x:1", "connect": "x:1", "workers": "8"}
    values |= {"mode": "development", "execution_mode": "local_first", "approval": "wait"}
    values |= {"operations": "x:1", "otlp_endpoint": "http://x:1", "sample": "0.5"}
    values |= {"issuer": "https://x", "tier": "foundation", "web": "x:1", "web_url": "https://x"}
    values |= {"base_url": "https://x", "retries": "2", "local_threads": "4", "local_parallel": "4"}
    values |= {"default_framework": "dspy"}
    values |= {
        "sinks": "[]",
        "providers": "[]",
        "retain_days": "400",
        "retain_tenants": '{"acme": 400}',
        "constants": '{"region": "eu"}',
        "log": "file",
    }
    number = "true" if isinstance(row.value, bool) else "86400"
    text = values.get(row.key.rpartition(".")[2], number if isinstance(row.value, float | int) else "x")

    settings = Settings.load(environ={variable_of(row.key): text, "ALTAR_HOST_MAX_SESSION_TTL": "86400"})

    assert origin_of(settings, row.key) == f"environment {variable_of(row.key)}"


def test_no_two_settings_share_a_variable() -> None:
    variables = [variable_of(row.key) for row in Settings().explain()]

    assert len(set(variables)) == len(variables)
    assert not {"ALTAR_CONFIG", "ALTAR_PROFILE"} & set(variables)


def test_the_file_is_looked_up_from_the_working_directory_upwards(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write('timeout = 9\n[tls]\nkey = "keys/k.pem"\nauthority = "/etc/ca.pem"\n').absolute()
    inner = here / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)

    settings = Settings.load(environ={"ALTAR_TLS_CERTIFICATE": "c.pem"})

    assert settings.file == file
    assert settings.timeout == 9
    assert origin_of(settings, "timeout") == f"{file} line 1"
    assert settings.tls.key == here / "keys/k.pem"
    assert settings.tls.authority == Path("/etc/ca.pem")
    assert settings.tls.certificate == Path("c.pem")
    assert settings.host.data == here / ".altar/host"


def test_a_named_file_is_read_instead_of_the_nearest() -> None:
    write("timeout = 1\n")
    write("timeout = 2\n", "other.toml")
    write("timeout = 3\n", "third.toml")

    assert Settings.load(environ={"ALTAR_CONFIG": "other.toml"}).timeout == 2
    assert Settings.load("third.toml", environ={"ALTAR_CONFIG": "other.toml"}).timeout == 3


def test_a_named_file_that_does_not_exist_is_refused() -> None:
    error = refusal(environ={"ALTAR_CONFIG": "none.toml"})

    assert (error.code, str(error)) == ("INVALID_CONFIG", "There is no settings file 'none.toml'")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("timeot = 3\n", "There is no setting 'timeot' (altar.toml line 1)", "did you mean 'timeout'?"),
        (
            '\n[host]\nlisten_on = ""\n',
            "There is no setting 'host.listen_on' (altar.toml line 3)",
            "did you mean 'host.listen'?",
        ),
        (
            "[profile.prod.tls]\ncertficate = 1\n",
            "There is no setting 'tls.certficate' (altar.toml [profile.prod] line 2)",
            "did you mean 'tls.certificate'?",
        ),
        (
            "zzz = 1\n",
            "There is no setting 'zzz' (altar.toml line 1)",
            "`altar config show` lists every setting",
        ),
        ("host = 1\n", "Setting 'host' is a table of settings (altar.toml line 1)", None),
        ("timeout.a = 1\n", "There is no setting 'timeout.a' (altar.toml line 1)", "did you mean 'timeout'?"),
        ("profile = 1\n", "Profiles in altar.toml are tables: [profile.<name>]", None),
        (
            'timeout = "soon"\n',
            (
                "Setting 'timeout' is 'soon', but it should be a valid number, "
                "unable to parse string as a number (altar.toml line 1)"
            ),
            None,
        ),
        (
            "timeout = 0\n",
            "Setting 'timeout' is 0, but it should be greater than 0 (altar.toml line 1)",
            None,
        ),
        (
            'source = "grid://h:99999"\n',
            "Setting 'source' is 'grid://h:99999', but a port is at most 65535 (altar.toml line 1)",
            "use 'later:' for this process or 'grid://host:port' for a host",
        ),
        (
            "[host]\nsession_ttl = 90000\n",
            "Settings in 'host' do not fit together: session_ttl is longer than max_session_ttl",
            None,
        ),
    ],
)
def test_a_wrong_file_is_refused_in_these_words(text: str, message: str, hint: str | None) -> None:
    write(text)

    error = refusal()

    assert (error.code, str(error), error.hint) == ("INVALID_CONFIG", message, hint)


@pytest.mark.parametrize("broken", [b"timeout = \n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_refused(broken: bytes) -> None:
    Path("altar.toml").write_bytes(broken)

    error = refusal()

    assert error.code == "INVALID_CONFIG"
    assert str(error).startswith("Cannot read altar.toml: ")


@pytest.mark.parametrize(
    "source",
    ["", "later", "grid://", "grid://host", "grid://user:secret@host:1", "http:/x", "grid://h:1/x", "x:"],
)
def test_a_source_that_is_no_address_is_refused(source: str) -> None:
    assert refusal(source=source).code == "INVALID_CONFIG"


@pytest.mark.parametrize("timeout", ["nan", "inf", "-1", float("inf"), True])
def test_a_time_that_is_no_time_is_refused(timeout: object) -> None:
    assert refusal(timeout=timeout).path == "timeout"


def test_a_wrong_variable_is_named() -> None:
    error = refusal(environ={"ALTAR_HOST_QUEUE": "many", "ALTAR_TIMEOUT": "x"})

    assert "(environment ALTAR_TIMEOUT)" in str(error)
    assert error.hint == "1 more settings are wrong"


def test_an_unknown_flag_is_refused() -> None:
    assert str(refusal(timout=3)) == "There is no setting 'timout' (flag)"


def test_a_profile_that_is_not_there_is_refused() -> None:
    assert str(refusal(profile="prod")) == "Profile 'prod' is selected, but there is no altar.toml"

    write("[profile.dev]\n[profile.staging]\n")

    error = refusal(profile="prod")
    assert (str(error), error.hint) == ("Profile 'prod' is not in altar.toml", "it has dev, staging")


def test_a_slip_in_a_profile_that_is_not_selected_is_found() -> None:
    write("[profile.prod]\ntimeot = 3\n")

    assert "altar.toml [profile.prod] line 2" in str(refusal())


def test_lines_are_right_around_statements_of_many_lines() -> None:
    write(
        "# a comment = 1\n"
        'environment = """\n[host]\nname = "no"\n"""\n'
        "[runtime]\ntools = [ # [x]\n  'a',\n\n  'b']\nconcurrency = 3\ntls = { key = 'k' }\n"
        "[host]\ntls.key = 'h'\n"
    )

    settings = Settings.load(environ={})

    assert {
        "environment": "altar.toml line 2",
        "runtime.tools": "altar.toml line 7",
        "runtime.concurrency": "altar.toml line 11",
        "runtime.tls.key": "altar.toml line 12",
        "host.tls.key": "altar.toml line 14",
    } == {row.key: row.origin for row in settings.explain() if row.origin != "default"}


def test_a_secret_is_hidden_in_what_is_shown_and_in_what_is_refused() -> None:
    class WithSecret(Settings):
        token: SecretStr = Field(default=SecretStr(""), max_length=20)

    shown = WithSecret.load(environ={"ALTAR_TOKEN": "hunter2"})

    assert ("token", "********", "environment ALTAR_TOKEN") in shown.explain()
    assert shown.token.get_secret_value() == "hunter2"
    with pytest.raises(ConfigurationError) as caught:
        WithSecret.load(environ={"ALTAR_TOKEN": "hunter2" * 10})
    assert "hunter2" not in f"{caught.value}{caught.value.hint}{caught.value.detail}{caught.value.__cause__}"


def test_settings_cannot_be_changed_and_take_no_unknown_names() -> None:
    with pytest.raises(ModelError):
        Settings().timeout = 3
    with pytest.raises(ModelError):
        Settings(tiemout=3)  # type: ignore[call-arg]  # that is what is refused


def test_making_settings_reads_neither_environment_nor_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALTAR_TIMEOUT", "7")
    write("timeout = 8\n")

    assert Settings().timeout == 30
    assert Settings.load().timeout == 7


def test_importing_altar_loads_neither_settings_nor_pydantic() -> None:
    program = "import sys, altar; sys.exit('altar.settings' in sys.modules or 'pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_page_and_the_schema_are_up_to_date() -> None:
    script = str(ROOT / "scripts/generate_settings_page.py")

    done = subprocess.run([sys.executable, script, "--check"], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("", True),
        (
            'source = "grid://h:1"\n[profile.prod.runtime]\nruntime_id = "py-${A}"\nconcurrency = "${N}"\n',
            True,
        ),
        ('[profile.prod.host]\nlisten = "${ADDRESS}"\ntls = { key = "k" }\n', True),
        ("timeot = 1\n", False),
        ("[profile.prod]\ntimeot = 1\n", False),
        ("[profile.prod.profile.dev]\n", False),
        ("timeout = 0\n", False),
        ('timeout = "3"\n', False),
    ],
)
def test_the_schema_of_the_file_tells_right_from_wrong(text: str, valid: bool) -> None:
    schema = json.loads((ROOT / "docs/reference/altar.toml.schema.json").read_text(encoding="utf-8"))

    assert valid == jsonschema_rs.is_valid(schema, tomllib.loads(text))


def test_a_source_that_is_no_address_is_refused_without_a_regular_expression() -> None:
    error = refusal(source="mesh")

    assert str(error) == (
        "Setting 'source' is 'mesh', but a source is 'later:' or an address such as 'grid://host:port' (flag)"
    )
    assert error.hint == "use 'later:' for this process or 'grid://host:port' for a host"


def test_an_address_without_a_port_is_refused_without_a_regular_expression() -> None:
    error = refusal(host={"listen": "here"})

    assert str(error) == (
        "Setting 'host.listen' is 'here', but an address is a host and a port, such as '127.0.0.1:7443' (flag)"
    )
