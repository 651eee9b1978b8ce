"""Which places of two documents differ, and whether a list of losses names just these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from altar.adm.canonical import canonical, parse
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration
from altar.adm.defect import pointer
from altar.adm.formats import Loss


def differences(one: Any, other: Any) -> set[str]:
    """Return the JSON Pointer of every leaf that only one document has, or that they have with another value."""
    first, second = dict(_leaves(_normal(one), "")), dict(_leaves(_normal(other), ""))
    return {
        path
        for path in first.keys() | second.keys()
        if (path not in first or path not in second or not _same(first[path], second[path]))
        and not (_is_empty(first.get(path)) and _has_below(second, path))
        and not (_is_empty(second.get(path)) and _has_below(first, path))
    }


def unreported(source: FunctionDeclaration, back: FunctionDeclaration, losses: Sequence[Loss]) -> set[str]:
    """Return the places that changed and that no loss names."""
    return {
        path for path in differences(source.to_adm(), back.to_adm()) if not any(_covers(loss, path) for loss in losses)
    }


def idle(source: FunctionDeclaration, back: FunctionDeclaration, losses: Sequence[Loss]) -> list[Loss]:
    """Return the losses that name a place where nothing has changed."""
    changed = differences(source.to_adm(), back.to_adm())
    return [loss for loss in losses if not any(_covers(loss, path) for path in changed)]


def _normal(document: Any) -> Any:
    """Return a document as its canonical form reads, in which 1.0 is 1."""
    return parse(canonical(document, max_depth=MAX_DOCUMENT_DEPTH), max_depth=MAX_DOCUMENT_DEPTH)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, held in value.items():
            yield from _leaves(held, path + pointer(name))
    elif isinstance(value, list | tuple) and value:
        for index, held in enumerate(value):
            yield from _leaves(held, path + pointer(index))
    else:
        yield path, value


def _is_empty(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _has_below(leaves: Mapping[str, Any], path: str) -> bool:
    """Tell whether a container has members; then these are what differs, not the container."""
    return any(other.startswith(f"{path}/") for other in leaves)


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _covers(loss: Loss, path: str) -> bool:
    return path == loss.path or path.startswith(f"{loss.path}/")
