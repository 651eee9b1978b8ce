"""Writing a log as one text file that an auditor can verify without a database (format 2).

The file is JSON Lines: a head, every entry with its leaf hash, every checkpoint, and a digest of it all.
Every line is canonical JSON, so the file is the same to the byte whoever writes it.
It holds one log: the host's own, or that of one tenant.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import orjson

from altar.ledger.log import parse_note
from altar.ledger.places import Place
from altar.ledger.reader import LogReader
from altar.ledger.signer import log_vkey
from altar.ledger.sqlite import damaged

__all__ = ["read_checkpoint", "write_export"]


def write_export(
    store_path: Place,
    out: BinaryIO,
    *,
    vkey: str,
    tenant: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the log of a tenant, or the host's own, at `store_path` to `out` and give the number of its entries.

    `vkey` is the verifier key of the host; the head of the file has that of the log.
    A host may be writing to the log meanwhile: what is exported is one moment of it.
    `progress(done, total)` is called every 1000 entries and at the end.
    Memory does not grow with the log.
    Raises `ConfigurationError`: ENVIRONMENT_ERROR when there is no log, LOG_DAMAGED when it is not intact,
    `ValidationError` UNKNOWN_RESOURCE for an unknown tenant, and LOG_UNAVAILABLE when another program keeps it locked.
    """
    seal = hashlib.sha256()
    total = 0
    with LogReader.open(store_path) as reader, reader.moment():
        for line in _lines(reader, tenant, vkey=log_vkey(vkey, tenant), progress=progress or _ignore):
            seal.update(line)
            out.write(line)
            total += line.startswith((b'{"entry"', b'{"leaf"'))
    out.write(_line({"end": f"sha256:{seal.hexdigest()}"}))
    return total


def read_checkpoint(store_path: Place, *, tenant: str = "") -> str:
    """Give the newest signed checkpoint of a log at `store_path`.

    Kept elsewhere, it lets an auditor prove later that nothing before it was changed or taken away.
    Raises as `write_export` does.
    """
    with LogReader.open(store_path) as reader:
        return reader.checkpoint(tenant).decode()


def _lines(reader: LogReader, tenant: str, *, vkey: str, progress: Callable[[int, int], None]) -> Iterator[bytes]:
    """Give the export's lines in order, up to the last but one."""
    try:
        origin = parse_note(reader.checkpoint(tenant))[1].origin
    except ValueError as error:
        raise damaged(reader.path, "its newest checkpoint is malformed", detail=str(error)) from error
    total = next((each.size for each in reader.logs() if each.tenant == tenant), 0)
    head: dict[str, str | int] = {
        "altar_audit_export": 2,
        "origin": origin,
        "size": total,
        "tenant": tenant,
        "vkey": vkey,
    }
    yield _line(head)
    expected = 0
    for position, body, leaf in reader.stored(tenant):
        if position != expected:
            raise damaged(reader.path, f"entry {expected} is missing")
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise damaged(reader.path, "an entry is not UTF-8 text", detail=str(error)) from error
        told = {"entry": text} if text else {}  # of one that was removed, the hash alone is there
        yield _line({**told, "leaf": base64.b64encode(leaf).decode(), "seq": position})
        expected += 1
        if expected % 1000 == 0:
            progress(expected, total)
    progress(expected, total)
    for size, note in reader.checkpoints(tenant):
        yield _line({"checkpoint": note.decode(), "size": size})


def _line(members: dict[str, str | int]) -> bytes:
    """Write one line; the members are given in sorted order, which makes it canonical."""
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def _ignore(_done: int, _total: int) -> None:
    """Take no notice of progress."""
