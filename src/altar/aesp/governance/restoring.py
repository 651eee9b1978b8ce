"""What the log says of approvals and break-glasses, read once when a host starts.

Who asked and who decided stand there by pseudonym, the call by commitments; the call itself is beside the log.
A request whose call is gone, or is not the one the log commits to, is not taken up: nobody could know what to approve.
A vote whose voter was forgotten is no vote any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from altar.adm.canonical import digest
from altar.aesp.governance.kept import opened
from altar.aesp.governance.requests import PREFIX, Need, Request, State, Vote
from altar.ledger.entry import entry_members
from altar.ledger.reader import LogReader
from altar.ledger.subjects import commitment

if TYPE_CHECKING:
    from altar.ledger.claims import RecordedClaim
    from altar.ledger.places import Place
    from altar.ledger.reader import Row
    from altar.ledger.subjects import Subjects

__all__ = ["MARKS", "Told", "account_mark", "requests_in", "told_in"]

NOBODY = -2
"""No account was made then."""

MARKS = (b'"event":"approval.', b'"event":"breakglass.')
"""Inside a JSON string every quote is escaped, so these bytes can only be the member itself."""

_ENDS = {"approval.withdrawn": State.WITHDRAWN, "approval.expired": State.EXPIRED}

Told = tuple[int, str, Mapping[str, Any]]
"""The place of an event in the order of commits, the tenant in whose log it is, and its members."""


def told_in(place: Place, *, floor: int) -> list[Told]:
    """The events of approvals and break-glasses from commit `floor` on, in order.

    Raises ConfigurationError LOG_DAMAGED for an entry that is not what its leaf hash says.
    """
    reader = LogReader.open(place)
    try:
        return [_told(row) for row in reader.marked(MARKS, floor)]
    finally:
        reader.close()


def requests_in(
    events: Iterable[Told],
    claims: Iterable[RecordedClaim],
    kept: Mapping[str, bytes],
    *,
    subjects: Subjects,
    now_ms: int,
    longest_ms: int,
    account_of: Callable[[str], int],
) -> list[Request]:
    """The requests that are not long over, the oldest first, as the log and the calls beside it say.

    ``claims`` say which were used; ``kept`` are the encrypted calls; what ended longer than ``longest_ms`` ago is left
    out.
    ``account_of`` says when the account of an id was made, in ms since 1970.
    """
    found: dict[str, Request] = {}
    for place, tenant, said in events:
        name, request_id = str(said["event"]), str(said["subject"])
        if name == "approval.requested":
            request = _requested(place, tenant, said, kept.get(request_id, b""), subjects)
            if request is not None:
                found[request_id] = request
        elif request_id in found:
            _apply(found[request_id], name, said, subjects, account_of)
    for claim in claims:
        used = found.get(claim.key[2]) if claim.key[2].startswith(PREFIX) else None
        if used is not None and claim.ran != "no":
            used.end(State.CONSUMED, now_ms=claim.ended_ms)
    return [one for one in found.values() if one.ended is None or now_ms - one.ended_ms < longest_ms]


def account_mark(salt: bytes, principal_id: str, account: int) -> str:
    """What the record says of the account of a voter: a commitment, because the time it was made tells whose it is."""
    return commitment(salt, digest(f"{principal_id} {account}".encode()))


def _told(row: Row) -> Told:
    return row.seq, row.tenant, entry_members(row.body)


def _requested(place: int, tenant: str, said: Mapping[str, Any], body: bytes, subjects: Subjects) -> Request | None:
    request_id, who = str(said["subject"]), subjects.name_of(str(said["principal"]))
    if who is None or who[0] != tenant:
        return None
    subject = subjects.of(*who)
    text = opened(subject, request_id, body)
    data = orjson.loads(str(said["data"]))
    if text is None or commitment(subject.salt(request_id), digest(text)) != data["asked"]:
        return None
    asked = orjson.loads(text)
    arguments = digest(str(asked["arguments"]).encode())
    return Request(
        request_id,
        tenant=tenant,
        principal=who[1],
        tool=str(said["resource"]).removeprefix("tools/"),
        version=str(data["version"]),
        contract=str(data["contract"]),
        arguments=arguments,
        bundle=str(data["bundle"]),
        needs=tuple(map(Need.from_json, asked["needs"])),
        created_ms=int(said["time"]),
        expires_ms=int(data["expires"]),
        correlation=str(said.get("correlation", "")),
        durable=True,
        place=place,
        variables=str(asked.get("variables", "")),
        account=int(asked.get("account", -1)),
    )


def _apply(
    request: Request, name: str, said: Mapping[str, Any], subjects: Subjects, account_of: Callable[[str], int]
) -> None:
    """Let an event of a request hold; what comes after its end holds no more."""
    if request.ended is not None:
        return
    now_ms = int(said["time"])
    if name in _ENDS:
        request.end(_ENDS[name], now_ms=now_ms)
    if name != "approval.decided":
        return
    who = subjects.name_of(str(said["principal"]))
    data = orjson.loads(str(said["data"]))
    if who is not None:
        account = account_of(who[1])
        salt = subjects.of(request.tenant, request.principal).salt(request.id)
        if data.get("account") != account_mark(salt, who[1], account):
            account = NOBODY  # the id was given to somebody else since
        request.votes.append(Vote(who[1], data["approve"] is True, str(data["reason"]), now_ms, account))
    if data["approve"] is not True:
        request.end(State.REFUSED, now_ms=now_ms)
