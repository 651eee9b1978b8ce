"""Labels: where a runtime stands and what it has, such as ``region: eu`` or ``hardware: gpu``.

A runtime announces them, a contract may require some, a session may prefer some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ConfigurationError, DeclarationError, ValidationError

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration

__all__ = ["LONGEST", "MOST", "REQUIRES", "Labels", "labels_in", "labels_of", "preferred", "required_by", "requires_of"]

Labels = tuple[tuple[str, str], ...]
"""Labels as pairs of a name and a value, sorted by name."""

MOST = 16
"""Most labels of a runtime, of a session or of a contract."""
LONGEST = 64
"""Most characters of the name, and of the value, of a label."""
REQUIRES = "altar.requires"
"""The key of a declaration's metadata under which a contract says what its runtimes must have."""


def labels_of(given: Mapping[str, Any], *, what: str) -> Labels:
    """Labels as somebody gave them, sorted by name; ``what`` says whose they are, for the message.

    Raises ValidationError MALFORMED_REQUEST for too many, and for a name or value that is no text, empty or too long.
    """
    pairs = [*given.items()] if len(given) <= MOST else None
    if pairs is None or not all(map(_is_label, (text for pair in pairs for text in pair))):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The labels of {what} are not at most {MOST} pairs of texts of 1 to {LONGEST} printable characters",
            ran="no",
            hint='write a label as a name and a value, such as {"zone": "a"}',
        )
    return tuple(sorted(pairs))


def labels_in(texts: Iterable[str], *, setting: str) -> dict[str, str]:
    """Labels as they are written in settings and on a command line, such as ``zone=a``.

    Raises ConfigurationError INVALID_CONFIG, with the name of the ``setting``, for what is not written so.
    """
    pairs = [text.partition("=") for text in texts]
    try:
        labels = dict(labels_of({name: value for name, _, value in pairs}, what=repr(setting)))
    except ValidationError as refused:
        raise ConfigurationError("INVALID_CONFIG", refused.message, hint="write a label as zone=a") from refused
    if len(labels) < len(pairs):
        raise ConfigurationError("INVALID_CONFIG", f"A label of {setting!r} is given twice", hint="give each name once")
    return labels


def preferred(labels: Mapping[str, str]) -> Labels:
    """Labels in the order in which they are preferred: region, zone, then the others by name."""
    return tuple(sorted(labels.items(), key=lambda pair: (_ORDER.get(pair[0], len(_ORDER)), pair[0])))


def requires_of(requires: Mapping[str, str] | None, name: str) -> dict[str, Any]:
    """The member of a contract's metadata for the labels that its runtimes must have; nothing for None.

    Raises DeclarationError INVALID_DECLARATION for what are no labels.
    """
    if requires is None:
        return {}
    try:
        return {REQUIRES: dict(labels_of(requires, what=f"the contract of {name!r}"))}
    except ValidationError as refused:
        raise DeclarationError("INVALID_DECLARATION", refused.message, hint=refused.hint) from refused


def required_by(declaration: FunctionDeclaration) -> Labels:
    """The labels that the runtimes of a contract must have; none unless its metadata says so.

    Raises as :func:`labels_of` does.
    """
    given = declaration.metadata.get(REQUIRES)
    if given is None:
        return ()
    return labels_of(given if isinstance(given, Mapping) else {"": None}, what=f"the contract of {declaration.name!r}")


_ORDER = {"region": 0, "zone": 1}


def _is_label(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= LONGEST and text.isprintable()
