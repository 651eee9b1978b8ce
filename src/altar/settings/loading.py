"""All settings of one process, read from flags, the environment and `altar.toml`."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args, get_origin

from pydantic import BaseModel, Field, PrivateAttr, SecretStr
from pydantic import ValidationError as ModelError

from altar.adm.errors import ConfigurationError
from altar.settings.aesp import Aesp
from altar.settings.ai import Ai
from altar.settings.audit import Audit
from altar.settings.login import Login
from altar.settings.sections import Host, Runtime, Seconds, Section, Source, Telemetry, TlsFiles

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["Explained", "Settings", "variable_of"]


class Explained(NamedTuple):
    """One setting, its value, and the place the value came from."""

    key: str
    value: object
    origin: str


class Settings(Section):
    """All settings of one process.

    `Settings()` holds the defaults and reads nothing; `Settings.load()` reads the environment and the file.
    """

    source: Source = Field(
        default="later:",
        description="Where tools run: `later:` in this process, `grid://host:port` on a grid.",
    )
    timeout: Seconds = Field(default=30, description="Seconds that a call may take, when the caller sets no limit.")
    labels: tuple[str, ...] = Field(
        default=(), description="Labels of the runtimes that a session on a grid prefers, such as `zone=a`."
    )
    environment: str = Field(
        default="production",
        min_length=1,
        description="Kind of environment; one that is not named is production. A host in mode `development` needs"
        " `development`.",
    )
    execution_mode: Literal["remote", "local_first", "governed_local"] = Field(
        default="remote",
        description="Where calls on a grid run: on the grid, or in this process under permits of the host, where that"
        " is possible or always.",
    )
    fallback: tuple[str, ...] = Field(
        default=(), description="Tools that may run in this process when no host can be reached."
    )
    approval: Literal["wait", "return"] = Field(
        default="return",
        description="What a call does that a person must approve: wait for that until its deadline, or return at once.",
    )
    journal: Path = Field(
        default=Path(".altar/journal"),
        description="Directory of what ran in this process, until the host has recorded it.",
    )
    tls: TlsFiles = Field(default=TlsFiles(), description="Certificate files of the client.")
    credential: SecretStr = Field(
        default=SecretStr(""),
        description="Token or API key that says who asks on a grid; a saved login or the certificate does without it.",
    )
    credential_file: Path | None = Field(
        default=None, description="File that holds such a token or key; it is read again when a fresh one is needed."
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="Database of tenants and roles, `sqlite:///path` or `postgresql://…`; else a file in `host.data`.",
    )
    login: Login = Field(default=Login(), description="How `altar login` signs in.")
    host: Host = Field(default=Host(), description="The host.")
    runtime: Runtime = Field(default=Runtime(), description="The runtime.")
    telemetry: Telemetry = Field(default=Telemetry(), description="Traces.")
    audit: Audit = Field(default=Audit(), description="What becomes of the log.")
    aesp: Aesp = Field(default=Aesp(), description="Governance.")
    ai: Ai = Field(default=Ai(), description="Language models.")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(None)
    _profile: str | None = PrivateAttr(None)

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        *,
        profile: str | None = None,
        environ: Mapping[str, str] = os.environ,
        **flags: object,
    ) -> Self:
        """Read flags, environment and `altar.toml` into one object.

        `path` names the file and `profile` the profile; without them `ALTAR_CONFIG` and `ALTAR_PROFILE` do.
        A flag is a setting by its name (`timeout=5`), its dotted name (`**{"host.listen": …}`) or its section
        (`host={"listen": …}`); a flag that is None was not given.
        An empty environment variable was not given either; but an empty `ALTAR_CREDENTIAL` or `ALTAR_CREDENTIAL_FILE`
        was, so that a token that is missing is never taken for the wish to do without one.
        Relative paths count from the directory of the file; those of flags and environment count from the
        working directory.

        Raises ConfigurationError: INVALID_CONFIG for a file, name or value that cannot be used,
        ENVIRONMENT_ERROR for a `${NAME}` that is not set and has no default.
        """
        leaves = dict(_leaves(cls))
        file = _find_file(path, environ)
        profile = profile or environ.get("ALTAR_PROFILE") or None
        given = _from_defaults(leaves)
        given |= _from_file(file, profile, leaves)
        given |= _from_environment(environ, leaves)
        given |= _from_flags(flags, leaves)
        values = {key: _final(key, one, leaves[key], file, environ) for key, one in given.items()}
        try:
            settings = cls.model_validate(_nested(values))
        except ModelError as error:
            raise _refusal(error, values, given, leaves) from error
        origins = {key: one.origin for key, one in given.items()}
        settings._remember(origins, file, profile)  # noqa: SLF001 (a method of this very class)
        return settings

    @property
    def file(self) -> Path | None:
        """The `altar.toml` that was read, or None."""
        return self._file

    @property
    def profile(self) -> str | None:
        """The profile that was selected, or None."""
        return self._profile

    def origin(self, key: str) -> str:
        """The place the value of a setting came from, as `explain` words it."""
        return self._origins.get(key, "default")

    def explain(self) -> list[Explained]:
        """Every setting with its value and origin, in the order of the page; secrets are hidden.

        An origin reads `flag`, `environment ALTAR_SOURCE`, `altar.toml [profile.prod] line 12`,
        `altar.toml line 3` or `default`.
        """
        return [
            Explained(key, _shown_value(reduce(getattr, key.split("."), self)), self.origin(key))
            for key, _ in _leaves(type(self))
        ]

    def _remember(self, origins: Mapping[str, str], file: Path | None, profile: str | None) -> None:
        self._origins.update(origins)
        self._file, self._profile = file, profile


def variable_of(key: str) -> str:
    """The environment variable of a setting: `host.tls.key` is `ALTAR_HOST_TLS_KEY`."""
    return "ALTAR_" + key.upper().replace(".", "_")


_FILE_NAME = "altar.toml"
_HIDDEN = "********"
_GIVEN_WHEN_EMPTY = frozenset({"credential", "credential_file"})
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\})?")


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was written, and the place it was written at."""

    value: object
    origin: str
    kind: Literal["flag", "environment", "file", "default"]


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _find_file(path: Path | str | None, environ: Mapping[str, str]) -> Path | None:
    named = path or environ.get("ALTAR_CONFIG")
    if named:
        file = Path(named).expanduser().absolute()
        if not file.is_file():
            raise ConfigurationError("INVALID_CONFIG", f"There is no settings file {str(named)!r}")
        return file
    here = Path.cwd()
    return next((at / _FILE_NAME for at in (here, *here.parents) if (at / _FILE_NAME).is_file()), None)


def _from_defaults(leaves: Mapping[str, FieldInfo]) -> dict[str, _Given]:
    return {key: _Given(field.default, "default", "default") for key, field in leaves.items()}


def _from_file(file: Path | None, profile: str | None, leaves: Mapping[str, FieldInfo]) -> dict[str, _Given]:
    if file is None:
        if profile is not None:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"Profile {profile!r} is selected, but there is no {_FILE_NAME}",
                hint=f"write {_FILE_NAME} with a section [profile.{profile}], or unset ALTAR_PROFILE",
            )
        return {}
    text, document = _read(file)
    lines = _lines(text)
    profiles = document.pop("profile", {})
    given = _from_table(document, (), file, lines, leaves)
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise ConfigurationError("INVALID_CONFIG", f"Profiles in {_shown(file)} are tables: [profile.<name>]")
    # Every profile is checked, not only the selected one: a slip in prod is found in dev.
    overlays = {name: _from_table(table, ("profile", name), file, lines, leaves) for name, table in profiles.items()}
    if profile is not None and profile not in overlays:
        hint = f"it has {', '.join(sorted(overlays))}" if overlays else f"add a section [profile.{profile}]"
        raise ConfigurationError("INVALID_CONFIG", f"Profile {profile!r} is not in {_shown(file)}", hint=hint)
    return given | overlays.get(profile or "", {})


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("INVALID_CONFIG", f"Cannot read {_shown(file)}: {error}") from error


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line on which each key is written; a statement of TOML ends where its text first parses."""
    lines: dict[tuple[str, ...], int] = {}
    header: tuple[str, ...] = ()
    statement, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        start = start if statement else number
        statement += line + "\n"
        try:
            table = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        paths = list(_paths(table))
        if statement.lstrip().startswith("["):
            header = paths[-1]
        else:
            lines |= {(*header, *path): start for path in paths}
        statement = ""
    return lines


def _paths(table: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *rest) for rest in _paths(value))


def _from_table(
    table: Mapping[str, Any],
    prefix: tuple[str, ...],
    file: Path,
    lines: Mapping[tuple[str, ...], int],
    leaves: Mapping[str, FieldInfo],
) -> dict[str, _Given]:
    given = {}
    for key, value in _flat(table):
        section = f" [{'.'.join(prefix)}]" if prefix else ""
        line = lines.get((*prefix, *key.split(".")))
        origin = f"{_shown(file)}{section}" + (f" line {line}" if line else "")
        _check_name(key, origin, leaves)
        given[key] = _Given(value, origin, "file")
    return given


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


def _check_name(key: str, origin: str, leaves: Mapping[str, FieldInfo]) -> None:
    if key in leaves:
        return
    if any(name.startswith(key + ".") for name in leaves):
        raise ConfigurationError("INVALID_CONFIG", f"Setting {key!r} is a table of settings ({origin})")
    near = difflib.get_close_matches(key, leaves, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`altar config show` lists every setting"
    raise ConfigurationError("INVALID_CONFIG", f"There is no setting {key!r} ({origin})", hint=hint)


def _from_environment(environ: Mapping[str, str], leaves: Mapping[str, FieldInfo]) -> dict[str, _Given]:
    # Other ALTAR_* variables are left alone: orchestrators add their own, such as ALTAR_HOST_PORT.
    given = {}
    for key, field in leaves.items():
        variable = variable_of(key)
        text = environ.get(variable)
        if text or (text is not None and key in _GIVEN_WHEN_EMPTY):
            origin = f"environment {variable}"
            value: object = text
            if _is_table(field):
                value = _tables(key, text, origin)
            elif _is_list(field):
                value = [part.strip() for part in text.split(",") if part.strip()]
            given[key] = _Given(value, origin, "environment")
    return given


def _from_flags(flags: Mapping[str, object], leaves: Mapping[str, FieldInfo]) -> dict[str, _Given]:
    given = {}
    for key, value in _flat(flags):
        _check_name(key, "flag", leaves)
        if value is not None:
            given[key] = _Given(value, "flag", "flag")
    return given


def _final(key: str, given: _Given, field: FieldInfo, file: Path | None, environ: Mapping[str, str]) -> object:
    value = given.value
    if given.kind == "file":
        value = _filled(key, value, given.origin, environ)
    if not _is_path(field):
        return value
    relative_to = file.parent if file is not None and given.kind in {"file", "default"} else Path.cwd()
    if isinstance(value, list | tuple):
        return [_placed(one, relative_to) for one in value]
    return _placed(value, relative_to)


def _placed(value: object, relative_to: Path) -> object:
    if not isinstance(value, str | Path):
        return value
    path = Path(value).expanduser()
    return path if relative_to == Path.cwd() else relative_to / path


def _filled(key: str, value: object, origin: str, environ: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_filled(key, item, origin, environ) for item in value]
    if isinstance(value, dict):
        return {name: _filled(key, item, origin, environ) for name, item in value.items()}
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match[0] == "$${":
            return "${"
        if name is None:
            reason = "has a ${ that is neither ${NAME} nor ${NAME:-default}"
            raise ConfigurationError("INVALID_CONFIG", f"Setting {key!r} ({origin}) {reason}")
        if default is not None:
            return environ.get(name) or str(default)
        if name not in environ:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"Setting {key!r} ({origin}) needs the environment variable {name!r}, which is not set",
                hint=f"set {name}, or write ${{{name}:-a default}}",
            )
        return environ[name]

    return _REFERENCE.sub(one, value)


def _is_path(field: FieldInfo) -> bool:
    return Path in (field.annotation, *get_args(field.annotation))


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _is_table(field: FieldInfo) -> bool:
    """Whether a setting is a table of names, or a list of tables."""
    return get_origin(field.annotation) is dict or any(
        isinstance(each, type) and issubclass(each, BaseModel) for each in get_args(field.annotation)
    )


def _tables(key: str, text: str, origin: str) -> object:
    """A table, or a list of tables, in one variable is JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"Setting {key!r} ({origin}) is no JSON",
            hint="write an object, {…}, or a list of objects: [{…}, {…}]",
        ) from error


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        at = tree
        for section in sections:
            at = at.setdefault(section, {})
        at[name] = value
    return tree


def _refusal(
    error: ModelError,
    values: Mapping[str, object],
    given: Mapping[str, _Given],
    leaves: Mapping[str, FieldInfo],
) -> ConfigurationError:
    problems = error.errors(include_url=False, include_input=False)
    location = [str(part) for part in problems[0]["loc"]]
    starts = [".".join(location[:length]) for length in range(len(location), 0, -1)]
    key = next((start for start in starts if start in leaves), "")
    reason = problems[0]["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    if key:
        shown = _HIDDEN if leaves[key].annotation is SecretStr else repr(_shown_value(values[key]))
        message = f"Setting {key!r} is {shown}, but {reason} ({given[key].origin})"
    else:
        message = f"Settings in {'.'.join(location)!r} do not fit together: {reason}"
    hint = f"{len(problems) - 1} more settings are wrong" if len(problems) > 1 else _HINTS.get(key)
    return ConfigurationError("INVALID_CONFIG", message, hint=hint, path=key or None)


_HINTS = {"source": "use 'later:' for this process or 'grid://host:port' for a host"}


def _shown_value(value: object) -> object:
    if isinstance(value, SecretStr):
        return _HIDDEN
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return [_shown_value(one) for one in value] if isinstance(value, list | tuple) else value
