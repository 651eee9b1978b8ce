"""A sink that is an object store with the interface of S3: each batch becomes one object for each log in it.

An object is gzipped lines, and its name says which entries it holds:
`<prefix><origin>/<first position>-<last position>.ndjson.gz`.
A batch that is sent again puts the same bytes under the same name.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from urllib.parse import quote, urlsplit

from altar.adm.errors import ConfigurationError
from altar.aesp.audit.formats import format_named, head_of
from altar.aesp.audit.record import Record
from altar.aesp.audit.sinks.http import HttpSender
from altar.aesp.audit.sinks.sigv4 import Credentials, signed_headers
from altar.aesp.audit.sinks.sink import SinkOptions

__all__ = ["ObjectStore", "S3Sink"]


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a signature holds for minutes of the wall clock


class ObjectStore:
    """Puts objects into one bucket, addressed by path: `<address>/<bucket>/<name>`."""

    def __init__(self, options: SinkOptions, *, now: Callable[[], datetime] = _now) -> None:
        """Take address, bucket and keys; raises ConfigurationError INVALID_CONFIG when one of them is missing."""
        if not (options.bucket and options.token and options.secret):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The object store of {options.name!r} needs a bucket, an access key and its secret",
                hint="set bucket, token (the access key) and secret",
            )
        self._http = HttpSender(options)
        self._bucket = options.bucket
        self._credentials = Credentials(options.token, options.secret, options.region)
        self._now = now

    def put(self, name: str, content: bytes, *, kind: str) -> None:
        """Put one object; it is there when this returns. Raises `SinkError`."""
        path = f"/{self._bucket}/{name}"
        headers = signed_headers(
            "PUT",
            host=urlsplit(self._http.address).netloc,
            path=path,
            headers={"content-type": kind},
            payload=content,
            credentials=self._credentials,
            now=self._now(),
        )
        address = self._http.address + quote(path, safe="/-_.~")
        self._http.send(content, headers=headers, address=address, method="PUT")

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


class S3Sink:
    """Writes objects of lines in one format."""

    def __init__(self, options: SinkOptions, *, now: Callable[[], datetime] = _now) -> None:
        """Take the store, the prefix of names and the format."""
        self._store = ObjectStore(options, now=now)
        self._prefix = options.prefix
        self._line = format_named(options.format)
        self._head = head_of(options.format)
        self._ending = {"cef": "cef", "csv": "csv"}.get(options.format, "ndjson")

    def send(self, records: Sequence[Record]) -> None:
        """Put one object for each log that the records are of."""
        for origin, of_log in groupby(sorted(records, key=_place), key=lambda record: record.origin):
            held = list(of_log)
            name = f"{quote(origin, safe='')}/{held[0].position:012d}-{held[-1].position:012d}.{self._ending}.gz"
            lines = [*([self._head] if self._head else []), *(self._line(record) for record in held)]
            content = gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=6, mtime=0)
            self._store.put(self._prefix + name, content, kind="application/gzip")

    def close(self) -> None:
        """Let go of the connection."""
        self._store.close()


def _place(record: Record) -> tuple[str, int]:
    return record.origin, record.position
