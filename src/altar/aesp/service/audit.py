"""EnterpriseAuditService: the record of a tenant, for those who may read it.

The log holds pseudonyms; names are put in their place here, for whoever may read the record.
A principal whose name was forgotten stays a pseudonym for everybody.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from altar._proto.altar.aesp.v1 import audit_pb2 as pb
from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.aesp.audit.formats import format_named, head_of
from altar.aesp.audit.index import Index
from altar.aesp.audit.opening import open_records
from altar.aesp.audit.query import Page, Query, search
from altar.aesp.audit.record import Record, Records, members_of, named
from altar.aesp.service.log_keeping import LogKeeping
from altar.aesp.service.paging import limit_of
from altar.ledger.places import Place, beside

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.service.administration import Asked

__all__ = ["Audit", "Names"]

_FORMATS = {
    pb.EXPORT_FORMAT_NDJSON: "ndjson",
    pb.EXPORT_FORMAT_CEF: "cef",
    pb.EXPORT_FORMAT_OCSF: "ocsf",
    pb.EXPORT_FORMAT_CSV: "csv",
}
_MOST_EXPORTED = 100_000
_LINES = 256
_PAGE = 10_000
_MOST_COUNTS = 1_000


class Names(Protocol):
    """Pseudonyms and who they stand for."""

    def pseudonym(self, tenant: str, principal: str) -> str:
        """The word for a principal in the log; empty for one that is not in it."""
        ...

    def name_of(self, pseudonym: str) -> tuple[str, str] | None:
        """Tenant and principal of a pseudonym; None when nobody knows any more."""
        ...


class Audit:
    """Reads the log of the host at ``path``, beside the writer; each request in a thread of its own."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseAuditService"]

    def __init__(self, path: Place, names: Names, keeping: LogKeeping) -> None:
        self._path = path
        self._names = names
        self._keeping = keeping
        self._indexing = threading.Lock()
        self.forget_principal = keeping.forget_principal
        self.hold_log = keeping.hold_log
        self.release_log = keeping.release_log
        self.retain_log = keeping.retain_log

    async def list_holds(self, asked: Asked, request: pb.ListHoldsRequest) -> pb.ListHoldsResponse:
        """What holds the log of a tenant."""
        return await self._keeping.list_holds(asked, request, self._name_or_pseudonym)

    async def query_events(self, asked: Asked, request: pb.QueryEventsRequest) -> pb.QueryEventsResponse:
        """Entries of a tenant that match, a page of them."""
        query = Query(
            tenant=asked.tenant,
            principal=await asyncio.to_thread(self._pseudonym, asked, request.principal_id),
            tool=request.tool,
            session=request.session_id,
            correlation=request.correlation_id,
            outcome=request.outcome,
            event=request.event_type,
            since_ms=request.start_ms or None,
            until_ms=request.end_ms or None,
            newest_first=not request.oldest_first,
            limit=limit_of(request.limit),
            cursor=request.cursor,
        )
        page = await asyncio.to_thread(self._search, query)
        return pb.QueryEventsResponse(events=map(_event, page.records), next_cursor=page.cursor)

    async def trail(self, tenant: str, principal: str, *, limit: int, cursor: str) -> tuple[list[pb.AuditEvent], str]:
        """What a principal did, the newest first."""
        pseudonym = await asyncio.to_thread(self._names.pseudonym, tenant, principal) or _NOBODY
        query = Query(tenant=tenant, principal=pseudonym, limit=limit, cursor=cursor)
        page = await asyncio.to_thread(self._search, query)
        return list(map(_event, page.records)), page.cursor

    async def export_audit_logs(
        self, asked: Asked, request: pb.ExportAuditLogsRequest
    ) -> list[pb.ExportAuditLogsResponse]:
        """The entries of a tenant in order, as lines of a format; behind 100,000 a cursor says where to go on."""
        name = _FORMATS.get(request.format)
        if name is None:
            raise ValidationError("MALFORMED_REQUEST", "The request names no format", ran="no", path="/format")
        query = replace(self._of_time(asked, request.start_ms, request.end_ms), cursor=request.cursor)
        lines, cursor = await asyncio.to_thread(self._exported, query, name)
        head = head_of(name)
        if head and not request.cursor:
            lines.insert(0, head)
        parts = [
            pb.ExportAuditLogsResponse(chunk="".join(f"{line}\n" for line in lines[at : at + _LINES]).encode())
            for at in range(0, len(lines), _LINES)
        ]
        if cursor:
            parts[-1].next_cursor = cursor
        return parts

    async def get_audit_statistics(
        self, asked: Asked, request: pb.GetAuditStatisticsRequest
    ) -> pb.GetAuditStatisticsResponse:
        """How many entries there are of each event, tool, outcome and principal."""
        query = self._of_time(asked, request.start_ms, request.end_ms)
        return await asyncio.to_thread(self._count, query)

    def _count(self, query: Query) -> pb.GetAuditStatisticsResponse:
        counted: Counter[tuple[str, str]] = Counter()
        entries = 0
        for record in map(self._named, self._every(query)):
            entries += 1
            for dimension in ("event", "tool", "outcome", "principal"):
                value = getattr(record, dimension)
                if value:
                    counted[dimension, value] += 1
        counts = [
            pb.AuditCount(dimension=dimension, value=value, count=count)
            for (dimension, value), count in counted.most_common(_MOST_COUNTS)
        ]
        return pb.GetAuditStatisticsResponse(entries=entries, counts=counts)

    def _of_time(self, asked: Asked, start_ms: int, end_ms: int) -> Query:
        return Query(
            tenant=asked.tenant, since_ms=start_ms or None, until_ms=end_ms or None, newest_first=False, limit=_PAGE
        )

    def _every(self, query: Query) -> Iterator[Record]:
        """Every match, in order."""
        with self._searching() as (records, index):
            while True:
                page = _found(lambda: search(records, query, index=index))  # noqa: B023 - it is called at once
                yield from page.records
                if not page.cursor:
                    return
                query = replace(query, cursor=page.cursor)

    def _exported(self, query: Query, name: str) -> tuple[list[str], str]:
        """The lines of at most `_MOST_EXPORTED` matches, and the cursor of what comes behind them."""
        line, lines = format_named(name), list[str]()
        with self._searching() as (records, index):
            while True:
                page = _found(lambda: search(records, query, index=index))  # noqa: B023 - it is called at once
                lines += [line(self._named(record)) for record in page.records]
                if not page.cursor or len(lines) >= _MOST_EXPORTED:
                    return lines, page.cursor
                query = replace(query, cursor=page.cursor)

    def _search(self, query: Query) -> Page:
        with self._searching() as (records, index):
            page = _found(lambda: search(records, query, index=index))
            return Page(tuple(map(self._named, page.records)), page.cursor)

    @contextmanager
    def _searching(self) -> Iterator[tuple[Records, Index | None]]:
        """The log, and its index brought up to date; None where no index can be kept, and all is read."""
        with closing(self._records().reader) as reader:
            records = Records(reader)
            try:
                index = Index(f"{beside(self._path)}.index")
            except ConfigurationError:
                yield records, None
                return
            with index:
                with self._indexing:
                    index.catch_up(records)
                yield records, index

    def _records(self) -> Records:
        return open_records(self._path)

    def _pseudonym(self, asked: Asked, principal_id: str) -> str:
        if not principal_id:
            return ""
        return self._names.pseudonym(asked.tenant, f"{asked.tenant}/{asked.name_of(principal_id)}") or _NOBODY

    def _name_or_pseudonym(self, pseudonym: str) -> str:
        found = self._names.name_of(pseudonym)
        return pseudonym if found is None else found[1]

    def _named(self, record: Record) -> Record:
        return named(record, self._names.name_of)


_NOBODY = "p-"


def _found(work: Callable[[], Page]) -> Page:
    """A page; an empty one for a tenant that has no log yet."""
    try:
        return work()
    except AltarError as error:
        if error.code == "UNKNOWN_RESOURCE":
            return Page((), "")
        raise


def _event(record: Record) -> pb.AuditEvent:
    return pb.AuditEvent(
        position=record.position,
        timestamp_ms=record.time_ms,
        event_type=record.event,
        principal_id=record.principal,
        tenant_id=record.tenant,
        session_id=record.session,
        resource=record.resource,
        action=record.action,
        outcome=record.outcome,
        code=record.code,
        correlation_id=record.correlation,
        record=canonical(members_of(record)),
    )
