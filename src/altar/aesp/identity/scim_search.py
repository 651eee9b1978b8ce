"""Finding resources of SCIM: by an indexed value where the filter asks for one, else one by one (RFC 7644 §3.4).

A filter is never turned into SQL text: a value it compares is a bound parameter, and all else is judged in memory by
scim2-models, over a bounded number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scim2_models import InvalidFilterException, SearchRequest, TooManyException
from scim2_models.path import CompareOperator, Comparison, LogicalExpr, LogicalOperator

from altar.aesp.identity.scim_roster import Resource, Roster

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["MOST_RESULTS", "found", "found_anywhere"]

MOST_RESULTS = 200
"""Resources of one answer."""

_MOST_LOOKED_AT = 20_000
_LONGEST_FILTER = 2_000
_COLUMNS = {
    "User": {"username": "called", "externalid": "external_id", "id": "id"},
    "Group": {"displayname": "called", "externalid": "external_id", "id": "id"},
}


def found(
    connection: Connection, roster: Roster, *, tenant: str, kind: str, request: SearchRequest[Any]
) -> tuple[int, list[Resource]]:
    """Give how many resources match, and those of the page that is asked for.

    Raises TooManyException when a filter or an order would have to look at more than 20,000 resources, and
    InvalidFilterException for a filter longer than 2,000 characters.
    """
    start, count = _page(request)
    if request.filter is None and request.sort_by is None:
        total, rows = roster.rows(connection, tenant=tenant, kind=kind, like={}, offset=start, limit=count)
        return total, [roster.resource_of(connection, row) for row in rows]
    resources = _matching(connection, roster, tenant=tenant, kind=kind, request=request)
    return len(resources), request.sort(resources)[start : start + count]


def found_anywhere(
    connection: Connection, roster: Roster, *, tenant: str, request: SearchRequest[Any]
) -> tuple[int, list[Resource]]:
    """Do the same among users and groups at once; errors as of `found`."""
    start, count = _page(request)
    resources = [
        each
        for kind in ("User", "Group")
        for each in _matching(connection, roster, tenant=tenant, kind=kind, request=request)
    ]
    return len(resources), request.sort(resources)[start : start + count]


def _page(request: SearchRequest[Any]) -> tuple[int, int]:
    if request.filter is not None and len(str(request.filter)) > _LONGEST_FILTER:
        raise InvalidFilterException(detail=f"A filter has at most {_LONGEST_FILTER} characters")
    return request.start_index_0 or 0, MOST_RESULTS if request.count is None else min(request.count, MOST_RESULTS)


def _matching(
    connection: Connection, roster: Roster, *, tenant: str, kind: str, request: SearchRequest[Any]
) -> list[Resource]:
    like = {} if request.filter is None else _indexed(request.filter.ast, kind)
    total, rows = roster.rows(connection, tenant=tenant, kind=kind, like=like, limit=_MOST_LOOKED_AT)
    if total > _MOST_LOOKED_AT:
        raise TooManyException(detail=f"More than {_MOST_LOOKED_AT} resources would have to be looked at")
    resources = [roster.resource_of(connection, row) for row in rows]
    return resources if request.filter is None else [each for each in resources if request.filter.match(each)]


def _indexed(node: Any, kind: str) -> dict[str, str]:
    """Give what columns must be for the filter to hold, where it says so outright; the rest of it is judged later."""
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.and_:
        joined: dict[str, str] = {}
        for part in node.terms:
            joined |= _indexed(part, kind)
        return joined
    if not isinstance(node, Comparison) or node.op is not CompareOperator.eq or not isinstance(node.value, str):
        return {}
    name = node.attr_path.attr.lower()
    column = _COLUMNS[kind].get(name)
    if column is None or node.attr_path.sub_attr is not None:
        return {}
    if name == "displayname":
        return {}  # compared without case, and kept with it
    return {column: node.value.casefold() if name == "username" else node.value}
