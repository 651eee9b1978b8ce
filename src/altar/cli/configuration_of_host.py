"""Configuration of a running host: which settings may change while it serves, and how it takes them up.

The file ``altar.toml`` is read when a host starts.
A version of ``configuration/host`` that is in force takes the place of some of its lines, on every host of the store,
from the moment of the swap on; when it goes, the file counts again.
All other settings are refused: they are bound when the host starts, or keep one person from undoing what two decided.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from pydantic import ValidationError as NotValid

from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.aesp.governance.artefact_rows import ArtefactKind
from altar.aesp.governance.artefacts import read_active
from altar.aesp.governance.configuration import CONFIGURATION, configuration_of
from altar.settings import Settings

if TYPE_CHECKING:
    from altar.adm.canonical import JsonValue
    from altar.aesp.store.database import Store
    from altar.grid.host.host import Host

__all__ = ["CHANGEABLE", "ConfigurationOfHost", "configure_host"]

_log = logging.getLogger("altar.aesp")

CHANGEABLE: Final = (
    "aesp.constants",
    "aesp.environment",
    "audit.redact",
    "host.max_session_ttl",
    "host.session_ttl",
    "host.sessions_per_principal",
)
"""The settings that may change while a host runs: what policies read, what is redacted, what new sessions get."""

_NEVER: Final = {
    "aesp.require_review": "It says whether one person decides alone, so it is only changed where the host is run",
    "aesp.operator_tenant": "It says who may do this, so it is only changed where the host is run",
}


class ConfigurationOfHost:
    """What holds of `CHANGEABLE` on one host; a `Settable` for the service of artefacts."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Read what is in force, blocking, and follow the store from then on.

        Raises ConfigurationError INVALID_CONFIG when it cannot be read: nobody has decided on what would hold instead.
        """
        self._store = store
        self.operator_tenant = settings.aesp.operator_tenant
        self._file = {name: _plain(getattr(settings, section), last) for name, section, last in _parts()}
        self._takers: dict[str, list[Callable[[Any], None]]] = {}
        self._problem = ""
        store.changed(self._renew)
        try:
            self._values = self._read()
        except AltarError as broken:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The configuration in force cannot be read: {broken.message}",
                ran="no",
                hint="start a host of the version that activated it; or restore the store, which somebody has changed",
            ) from broken

    def value(self, name: str) -> Any:
        """Give what holds of a setting now, as JSON has it: the version in force, or the file."""
        return self._values.get(name, self._file[name])

    def take(self, name: str, taker: Callable[[Any], None]) -> None:
        """Let ``taker`` have the value of a setting, now, and whenever it changes, in whatever thread learns of it."""
        self._takers.setdefault(name, []).append(taker)
        taker(self.value(name))

    def problem(self) -> str:
        """Say why this host does not do what is in force; "" when it does."""
        return self._problem

    # ------------------------------------------------------------------------------------------------- as a Settable

    def checked(self, values: Mapping[str, object]) -> Mapping[str, JsonValue]:
        """Give values as they are kept; ValidationError MALFORMED_REQUEST for what may not be set, or is none.

        They are judged together, and with the defaults of what is not said: the same on every host.
        """
        sections: dict[str, dict[str, object]] = {}
        for name, value in values.items():
            if name not in CHANGEABLE:
                raise _refused(name)
            section, _, last = name.partition(".")
            sections.setdefault(section, {})[last] = value
        kept: dict[str, JsonValue] = {}
        for section, given in sections.items():
            try:
                made = type(getattr(_DEFAULTS, section)).model_validate(given)
            except NotValid as wrong:
                raise _unfit(section, given, wrong) from None
            kept |= {f"{section}.{last}": _plain(made, last) for last in given}
        return kept

    def now(self) -> Mapping[str, JsonValue]:
        """Give what holds of each setting that may change."""
        return {name: self.value(name) for name in CHANGEABLE}

    # --------------------------------------------------------------------------------------------------- in detail

    def _read(self) -> Mapping[str, JsonValue]:
        active = self._store.run_now(
            lambda c: read_active(c, ArtefactKind.CONFIGURATION, CONFIGURATION, tenant=self.operator_tenant),
            tenant=self.operator_tenant,
            reads=True,
        )
        return {} if active is None else configuration_of(active.body, self)

    def _renew(self, tenant: str) -> None:
        """Take up what is in force now; what cannot be read leaves everything as it is, and is said."""
        if tenant not in {"", self.operator_tenant}:
            return
        try:
            values = self._read()
        except AltarError as broken:
            if broken.code == "DEPENDENCY_UNAVAILABLE":  # the store is out of reach, which the directory sees too
                raise
            self._problem = f"The configuration in force cannot be read: {broken.message}"
            _log.error("configuration cannot be read", extra={"code": broken.code, "reason": broken.message})
            return
        before, self._values, self._problem = self.now(), values, ""
        for name, value in self.now().items():
            if value != before[name]:
                _log.info("setting changed", extra={"setting": name})
                for taker in self._takers.get(name, ()):
                    taker(value)


def configure_host(configuration: ConfigurationOfHost, host: Host) -> None:
    """Let a host do what the configuration says, from now on: for sessions opened later, and events told later."""

    def lives(value: float) -> None:
        host.limits = replace(host.limits, session_ttl=timedelta(seconds=value))
        host.sessions.limit(default_ttl=host.limits.session_ttl)

    def lives_at_most(value: float) -> None:
        host.limits = replace(host.limits, max_session_ttl=timedelta(seconds=value))
        host.sessions.limit(max_ttl=host.limits.max_session_ttl)

    def per_principal(value: int) -> None:
        host.limits = replace(host.limits, sessions_per_principal=value)
        host.sessions.limit(per_principal=value)

    configuration.take("host.session_ttl", lives)
    configuration.take("host.max_session_ttl", lives_at_most)
    configuration.take("host.sessions_per_principal", per_principal)
    configuration.take("audit.redact", lambda words: setattr(host.app_records, "redact", tuple(words)))


_DEFAULTS: Final = Settings()


def _parts() -> Iterator[tuple[str, str, str]]:
    """Each setting that may change: its name, its section, and its name there."""
    for name in CHANGEABLE:
        section, _, last = name.partition(".")
        yield name, section, last


def _plain(section: BaseModel, last: str) -> JsonValue:
    """Give a value as JSON has it, a whole number as one."""
    held: JsonValue = section.model_dump(mode="json")[last]
    return int(held) if isinstance(held, float) and held.is_integer() else held


def _refused(name: str) -> ValidationError:
    if name in _NEVER:
        return _malformed(f"{name!r} cannot be changed while a host runs. {_NEVER[name]}")
    section, _, last = name.partition(".")
    of_section = getattr(_DEFAULTS, section, None)
    if isinstance(of_section, BaseModel) and last in type(of_section).model_fields:
        return _malformed(f"{name!r} is read when a host starts, and cannot be changed while it runs")
    return _malformed(f"There is no setting {name[:128]!r}")


def _unfit(section: str, given: Mapping[str, object], wrong: NotValid) -> ValidationError:
    first = wrong.errors()[0]
    last = str(first["loc"][0]) if first["loc"] else ""
    what = f"{section + '.' + last!r} cannot be {given.get(last)!r:.80}" if last else f"[{section}] cannot be so"
    return ValidationError("MALFORMED_REQUEST", f"{what}: {first['msg']}", ran="no", path="/source")


def _malformed(message: str) -> ValidationError:
    return ValidationError(
        "MALFORMED_REQUEST",
        message,
        ran="no",
        hint=f"those that may change: {', '.join(CHANGEABLE)}; all others stand in altar.toml",
        path="/source",
    )
