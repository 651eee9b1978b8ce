"""A sealed segment of a log: a file of its entries from one position to another, which verifies alone.

It holds the right edge of the tree before it, its entries, a signed checkpoint, and the proof that the tree with its
last entry is a beginning of what was signed.
So each entry is proved to stand where it says, by the verifier key alone; segments that follow each other, and the log
that goes on behind them, are shown to belong together by the roots where they meet.

The file is JSON Lines in canonical form: a head, the edge, the entries, the checkpoint with its proof, and a digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from altar.adm.canonical import canonical
from altar.adm.errors import ConfigurationError, ValidationError
from altar.aesp.audit.record import Log, Reader
from altar.ledger.log import Checkpoint, Frontier, leaf_hash, parse_note, verify_consistency
from altar.ledger.log_store import KEPT
from altar.ledger.logs import log_origin
from altar.ledger.rotation import Rotation
from altar.ledger.signer import is_signed_by, log_vkey, public_key_of, verifier_key

__all__ = ["MAGIC", "Segment", "check_archive", "check_joined", "position_before", "write_archive"]

MAGIC = b'{"altar_audit_archive":1,'
LONGEST_LINE = 64 * 1024
MAX_ROTATIONS = 100
"""Most statements of one key about the next that are followed in an archive."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What an archive proved: the entries of `origin` from `start` to before `stop`, and the roots at both ends.

    ``signed`` is the checkpoint that proves it, and ``kept`` is how many of the entries stay in the log for good.
    """

    origin: str
    tenant: str
    start: int
    stop: int
    start_root: bytes
    stop_root: bytes
    signed: Checkpoint
    kept: int = 0


def position_before(reader: Reader, log: Log, time_ms: int) -> int:
    """Give the position of the first entry that was committed at `time_ms` or later, at most what is signed."""
    signed = parse_note(reader.checkpoint(log.tenant))[1].size
    for position, body in reader.entries(log.tenant, 0, signed):
        if orjson.loads(body)["time"] >= time_ms:
            return position
    return signed


def write_archive(
    reader: Reader, log: Log, out: BinaryIO, *, start: int, stop: int, vkey: str, rotations: Sequence[str] = ()
) -> Segment:
    """Write the entries from `start` to before `stop` to `out`.

    `rotations` are the data of the log's entries `log.key_rotated`, by which whoever has an older key gets to the one
    that has signed.
    Raises ValidationError MALFORMED_REQUEST when there is nothing between them, or not all of it is signed yet.
    """
    note = reader.checkpoint(log.tenant)
    checkpoint = parse_note(note)[1]
    if not 0 <= start < stop <= checkpoint.size:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"There are no signed entries from {start} to before {stop}: {checkpoint.size} are signed",
            ran="no",
        )
    frontier = Frontier.from_bytes(start, reader.edge(log.tenant, start))
    start_root = frontier.root()
    seal = hashlib.sha256()

    def put(members: dict[str, Any]) -> None:
        line = canonical(members) + b"\n"
        seal.update(line)
        out.write(line)

    head = {"origin": log.origin, "start": start, "stop": stop, "tenant": log.tenant, "vkey": vkey}
    put({"altar_audit_archive": 1, **head})
    put({"edge": _texts(frontier.to_bytes()), "size": start})
    for position, body in reader.entries(log.tenant, start, stop):
        if position != frontier.size:
            break
        frontier.append(leaf_hash(body))
        put({"entry": body.decode(), "seq": position})
    if frontier.size != stop:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"Entry {frontier.size} of the log {log.origin!r} was removed, and is in an archive of before",
            ran="no",
            hint="begin behind that archive, with --after",
        )
    proof = reader.consistency(log.tenant, stop, checkpoint.size) if stop < checkpoint.size else []
    last: dict[str, Any] = {"checkpoint": note.decode(), "proof": _texts(b"".join(proof)), "size": checkpoint.size}
    if rotations:
        last["rotations"] = list(rotations)
    put(last)
    out.write(canonical({"end": f"sha256:{seal.hexdigest()}"}) + b"\n")
    return Segment(log.origin, log.tenant, start, stop, start_root, frontier.root(), checkpoint)


def check_archive(path: str | Path, *, vkey: str) -> Segment:
    """Prove that an archive holds what the key of `vkey` has signed, and say which entries these are.

    Raises ConfigurationError: LOG_DAMAGED with what is wrong, ENVIRONMENT_ERROR when it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return _checked(_lines(file, str(path)), str(path), vkey)
    except OSError as error:
        raise ConfigurationError("ENVIRONMENT_ERROR", f"{str(path)!r} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(str(path), "a line is not what it should be", detail=repr(error)) from error


def check_joined(segments: Sequence[Segment], reader: Reader | None = None) -> None:
    """Prove that segments follow each other without a gap, and that the log of `reader` goes on from the last.

    Raises ConfigurationError LOG_DAMAGED otherwise.
    """
    for one, following in pairwise(segments):
        if (one.origin, one.stop, one.stop_root) != (following.origin, following.start, following.start_root):
            raise _damaged(
                one.origin, f"what begins at {following.start} does not go on from what ends before {one.stop}"
            )
    if reader is None or not segments:
        return
    last = segments[-1]
    newest = parse_note(reader.checkpoint(last.tenant))[1]
    held = newest.size >= last.stop and verify_consistency(
        old_size=last.stop,
        old_root=last.stop_root,
        size=newest.size,
        root=newest.root,
        proof=reader.consistency(last.tenant, last.stop, newest.size) if last.stop < newest.size else [],
    )
    if not held:
        raise _damaged(last.origin, f"the log does not go on from the archive that ends before entry {last.stop}")


def _checked(lines: Iterator[dict[str, Any]], path: str, vkey: str) -> Segment:
    head, edge = next(lines, {}), next(lines, {})
    if head["altar_audit_archive"] != 1:
        raise _damaged(path, "it is of another format")
    start, stop = head["start"], head["stop"]
    if not (type(start) is type(stop) is int and isinstance(head["tenant"], str)):
        raise _damaged(path, "its first line is not what it should be")
    frontier = Frontier.from_bytes(start, _bytes(edge["edge"]))
    start_root, kept = frontier.root(), 0
    for members in lines:
        if "entry" not in members:
            break
        if members["seq"] != frontier.size:
            raise _damaged(path, f"entry {frontier.size} is missing")
        body = members["entry"].encode()
        frontier.append(leaf_hash(body))
        kept += any(mark in body for mark in KEPT)
    else:
        raise _damaged(path, "it is cut off")
    if next(lines, None) is not None:  # which also looks at the digest at the end
        raise _damaged(path, "something comes after its checkpoint")
    text, checkpoint, signatures = parse_note(members["checkpoint"].encode())
    if frontier.size != stop:
        raise _damaged(path, f"it ends before entry {frontier.size}, and says {stop}")
    if checkpoint.origin != head["origin"] or vkey.split("+", 1)[0] != checkpoint.origin:
        raise _damaged(path, f"its checkpoint is of the log {checkpoint.origin!r}")
    behind = log_origin("", head["tenant"])  # the name of a tenant's log ends in the tenant's
    if not checkpoint.origin.endswith(behind):
        raise _damaged(path, f"it says tenant {head['tenant'][:80]!r}, and is of the log {checkpoint.origin!r}")
    keys = [log_vkey(key, head["tenant"]) for key in _followed(vkey, head["tenant"], members.get("rotations", []))]
    if not any(is_signed_by(key, text, each.signature) for key in (vkey, *keys) for each in signatures):
        raise _damaged(path, "its checkpoint is not signed by this key")
    proof = _bytes(members["proof"])
    if not verify_consistency(
        old_size=stop,
        old_root=frontier.root(),
        size=checkpoint.size,
        root=checkpoint.root,
        proof=[proof[at : at + 32] for at in range(0, len(proof), 32)],
    ):
        raise _damaged(path, "its entries are not those that were signed")
    return Segment(checkpoint.origin, head["tenant"], start, stop, start_root, frontier.root(), checkpoint, kept)


def _followed(vkey: str, tenant: str, rotations: Sequence[str]) -> list[str]:
    """Give the host's keys that follow from the one of `vkey`, which is that of the log, by statements that hold."""
    public, keys = public_key_of(vkey), list[str]()
    for data in rotations[:MAX_ROTATIONS]:
        said = orjson.loads(data)
        each = Rotation(said["from"], said["to"], base64.b64decode(said["signature"], validate=True))
        fits = public_key_of(each.old) == public and log_vkey(each.old, tenant) == verifier_key(
            vkey.split("+", 1)[0], public
        )
        if fits and each.holds:
            keys.append(each.new)
            public = public_key_of(each.new)
    return keys


def _lines(file: BinaryIO, path: str) -> Iterator[dict[str, Any]]:
    """Give the members of each line but the last, which must be the digest of all before it."""
    seal = hashlib.sha256()
    while line := file.readline(LONGEST_LINE):
        members = orjson.loads(line)
        if "end" in members:
            if members["end"] != f"sha256:{seal.hexdigest()}" or file.read(1):
                raise _damaged(path, "its digest is not that of the bytes before it")
            return
        seal.update(line)
        yield members
    raise _damaged(path, "it is cut off")


def _texts(nodes: bytes) -> list[str]:
    return [base64.b64encode(nodes[at : at + 32]).decode() for at in range(0, len(nodes), 32)]


def _bytes(texts: Sequence[str]) -> bytes:
    nodes = [base64.b64decode(text, validate=True) for text in texts]
    if any(len(node) != 32 for node in nodes):
        raise ValueError("a node has 32 bytes")
    return b"".join(nodes)


def _damaged(path: str, what: str, *, detail: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        "LOG_DAMAGED",
        f"The archive {path!r} proves nothing: {what}",
        ran="no",
        hint="take another copy of it, and the verifier key from a place you trust",
        detail=detail,
    )
