"""Configuration: the settings of the operator that may change while hosts run, as versions.

::

    [aesp]
    environment = "staging"

    [aesp.constants]
    region = "eu"

    [host]
    sessions_per_principal = 200

What a version says takes the place of the same line in ``altar.toml``, on every host of the store, while it is in
force; what it does not say is as in the file.
Which settings these are, and how a host takes them up, says whoever makes a `Settable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from altar.aesp.governance.documents import body_of, members_of, refused, toml_in
from altar.aesp.policy.writing import assigned

if TYPE_CHECKING:
    from altar.adm.canonical import JsonValue

__all__ = [
    "CONFIGURATION",
    "Settable",
    "body_of_configuration",
    "configuration_changes",
    "configuration_of",
    "read_configuration",
    "written_configuration",
]

CONFIGURATION = "host"
"""The name of the configuration among the artefacts of the operator's tenant."""

Values = Mapping[str, "JsonValue"]
"""Values by the names of settings, such as ``host.session_ttl``."""


class Settable(Protocol):
    """The settings that may change while a host runs."""

    def checked(self, values: Mapping[str, object]) -> Values:
        """Give values of settings as they are kept; MALFORMED_REQUEST where one is none, or may not be set."""
        ...

    def now(self) -> Values:
        """Give what holds on this host now, of each of them."""
        ...


def read_configuration(source: str, settable: Settable) -> Values:
    """Read values from TOML; ValidationError MALFORMED_REQUEST for what may not be set."""
    return _values(toml_in(source), settable)


def configuration_of(body: str, settable: Settable) -> Values:
    """Give the values of a version; errors as of `read_configuration`."""
    return settable.checked(members_of(body))


def body_of_configuration(values: Values) -> str:
    """Give the text of a version."""
    return body_of(values)


def written_configuration(values: Values) -> str:
    """Give values as TOML that can be handed in again."""
    sections: dict[str, list[str]] = {}
    for name, value in sorted(values.items()):
        section, _, last = name.rpartition(".")
        sections.setdefault(section, []).append(assigned(last, value))
    return "\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())


def configuration_changes(before: Values, after: Values) -> Iterator[str]:
    """Say what holds otherwise, by setting; ``before`` are the values that hold, also those of the file."""
    for name in sorted({*before, *after}):
        was, becomes = before.get(name), after.get(name)
        if was != becomes:
            yield f"{name}: {_said(was)} → {_said(becomes)}"


def _values(members: Mapping[str, Any], settable: Settable) -> Values:
    found: dict[str, object] = {}
    for section, held in members.items():
        if not isinstance(held, dict):
            raise refused(f"{section[:64]!r} is no section", hint="write [host] or [aesp], and the setting below it")
        found |= {f"{section}.{name}": value for name, value in held.items()}
    return settable.checked(found)


def _said(value: JsonValue | None) -> str:
    if value is None:
        return "as in the file"
    return assigned("", value).partition(" = ")[2] if value not in ({}, []) else "nothing"
