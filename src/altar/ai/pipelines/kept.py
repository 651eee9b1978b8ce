"""One run as its file of checkpoints has it: what has ended, what has begun, and what is to be called anew."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.canonical import canonical, is_within_depth, parse
from altar.adm.errors import AltarError, ExecutionError, ValidationError, error_of
from altar.ai.pipelines.checkpoint_rows import RunRow, StepRow
from altar.ai.pipelines.flow import fallback_of
from altar.ai.pipelines.places import is_undoing
from altar.ai.pipelines.replay import Replay
from altar.ai.pipelines.trying import is_interruption
from altar.ai.pipelines.written_rows import WrittenRows

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.ai.pipelines.checkpoint_file import CheckpointWriter
    from altar.later.session import Session

__all__ = ["AGAIN", "Again", "Begun", "Kept", "Restored", "Unknown", "now_ms", "written"]


class Again(Enum):
    """Said of a step whose outcome is unknown: call it again, its effect may then be there twice."""

    AGAIN = "again"


AGAIN: Final = Again.AGAIN
"""For one step of several: ``unknown={"pay": AGAIN, "mail": {"sent": True}}``."""

Unknown = Literal["again"] | Again | Mapping[str, Any] | None
"""What a person says of steps whose outcome is unknown: all again, or the result of each by its path."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A step that ended in an earlier process: the fields that it gave, and its record as JSON."""

    fields: Mapping[str, Any]
    record: Mapping[str, Any]


class Begun:
    """A step that is about to be called, once or several times in a row."""

    __slots__ = ("_kept", "_row", "answer")

    def __init__(self, kept: Kept | None = None, row: StepRow | None = None, answer: ToolResult | None = None) -> None:
        """``row`` is there for a step that must not happen twice, ``answer`` where a person gave the result."""
        self._kept = kept
        self._row = row
        self.answer = answer

    async def call(self, session: Session, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call the tool of the step as ``session.call`` does, under its idempotency key where a host keeps keys.

        Raises ExecutionError OUTCOME_UNKNOWN for a step that an earlier process began and nobody knows the end of.
        """
        if self.answer is not None:
            return self.answer
        if self._kept is None or self._row is None or not self._row.place:
            return await session.call(name, arguments)
        key = self._kept.key_of(self._row)
        result = await session.options(idempotency_key=key).call(name, arguments)
        if self._row.ours or not _tells_nothing(result):
            return result
        self._row = await self._kept.unknown_to_host(self._row)
        return await session.options(idempotency_key=self._kept.key_of(self._row)).call(name, arguments)


_FREE: Final = Begun()


class Kept:
    """One run, as its file has it, held by this process until the run ends or the process does."""

    def __init__(
        self,
        writer: CheckpointWriter,
        run: RunRow,
        steps: Mapping[str, StepRow],
        *,
        place: str,
        last: str = "",
    ) -> None:
        """``place`` is the host that keeps keys and the session there, or empty.

        ``last`` is the step after which the run is over, if all goes well.
        """
        self._rows = WrittenRows(writer, run.run_id)
        self._run = run
        self._last = last
        self._steps = dict(steps)
        self._place = place
        self.replay = Replay() if steps else None
        """Of a run that goes on; None for one that begins."""
        self._given: dict[str, ToolResult] = {}
        self._again = False
        self._marked = {path for path, row in self._steps.items() if row.state == "begun"}

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run.run_id

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that it began with."""
        inputs: dict[str, Any] = _value(self._run.inputs)
        return inputs

    @property
    def result(self) -> dict[str, Any] | None:
        """The JSON form of the result of a run that is over; None while it is not."""
        return _value(self._run.result) if self._run.status else None

    def restored(self, path: str) -> Restored | None:
        """What a step gave that ended, done or failed; None for one that has not."""
        row = self._steps.get(path)
        if row is None or row.state != "ended":
            return None
        return Restored(_value(row.fields), _value(row.record))

    async def turn(self, path: str) -> None:
        """Wait until a step may be carried out: one that is new does so when all that has ended was gone over.

        What undoes a step waits for nothing, and so does one that an earlier process began.
        """
        replay = self.replay
        if replay is None or replay.is_over or path in self._steps or path in self._given or is_undoing(path):
            return
        await replay.new()

    def begun(self, begins: Iterable[tuple[str, FunctionDeclaration | None]]) -> list[StepRow]:
        """The steps of those that are about to be called which have to be written down before."""
        rows = [
            self._new_step(path)
            for path, contract in begins
            if path not in self._steps and path not in self._given and not _may_repeat(contract)
        ]
        self._steps.update((row.path, row) for row in rows)
        self._marked.update(row.path for row in rows)
        return rows

    async def begin(self, path: str, contract: FunctionDeclaration | None) -> Begun:
        """A step is about to be called: write that down, unless its contract says that it may happen twice.

        A step that ends is never begun again; the caller asks :meth:`restored` first.
        """
        if path in self._given:
            return Begun(answer=self._given[path])
        row = self._steps.get(path)
        if row is None:
            if _may_repeat(contract):
                return _FREE
            row = self._steps[path] = self._new_step(path)
            self._marked.add(path)
            await self._rows.write([row])
        return Begun(self, row)

    async def ended(
        self,
        path: str,
        fields: Mapping[str, Any],
        record: Mapping[str, Any],
        *,
        begins: Iterable[tuple[str, FunctionDeclaration | None]] = (),
    ) -> None:
        """A step has ended: what it gave, its record, and the steps that begin now, in one transaction.

        That is waited for where one of them must not happen twice. What may is on its way to the disk: if it does not
        arrive, it runs again, and nothing that must not happen twice has begun after it.
        """
        before = self._steps.get(path) or self._new_step(path)
        row = replace(
            before, state="ended", ended_ms=now_ms(), fields=written(path, fields), record=written(path, record)
        )
        rows = [row, *self.begun(begins)]
        self._steps[path] = row
        if path == self._last and record.get("status") == "done":
            self._rows.hold(row)  # the end of the run is written with it
        elif len(rows) > 1 or path in self._marked:
            await self._rows.write(rows)
        else:
            await self._rows.write_soon(rows)

    async def over(self, status: str, result: Mapping[str, Any]) -> None:
        """The run has ended; who resumes it from now on is given this result.

        One that failed because nothing could be reached is left as it is: it can be resumed.
        """
        if _may_go_on(result):
            await self._reopen()
            return
        run = replace(self._run, status=status, ended_ms=now_ms(), result=written("result", result))
        await self._rows.write(run=run)
        self._run = run

    async def all_written(self) -> None:
        """Wait for what a step that was cancelled has left to be written, which the next to hold the run reads."""
        with contextlib.suppress(AltarError):
            await self._rows.write()

    def key_of(self, row: StepRow) -> str:
        """The idempotency key of a step of this run."""
        of = f"{self._run.salt}\n{row.path}\n{row.round}"
        return f"{self._run.run_id}.{hashlib.sha256(of.encode()).hexdigest()[:32]}"

    async def unknown_to_host(self, row: StepRow) -> StepRow:
        """The host does not know how a step ended that an earlier process began: call it again, if a person said so.

        Raises ExecutionError OUTCOME_UNKNOWN otherwise.
        """
        if not self._again:
            raise _outcome_unknown(self.run_id, [row.path])
        await self._next_round(row)
        return self._steps[row.path]

    async def settle(
        self,
        unknown: Unknown,
        contract_of: Callable[[str], FunctionDeclaration | None],
        is_here: Callable[[str], Awaitable[bool]],
    ) -> None:
        """Take what a person says of steps whose outcome is unknown; ``contract_of`` tells the contract of each.

        ``is_here`` tells whether the host at the place of a row can be asked.

        Raises OUTCOME_UNKNOWN for those of which nothing is said, MALFORMED_REQUEST for what is said of another step,
        and for a result that its contract does not allow; nothing is written then.
        """
        said = unknown if isinstance(unknown, Mapping) else {}
        self._again = unknown in ("again", AGAIN)
        if not (unknown is None or self._again or isinstance(unknown, Mapping)):
            raise _no_word(unknown)
        begun = {path: row for path, row in self._steps.items() if row.state == "begun"}
        strange = sorted(str(path) for path in set(said) - set(begun))
        if strange:
            raise _not_unknown(self.run_id, strange[0], sorted(begun))
        hosts = {row.place for row in begun.values() if _holds_keys(row)}
        here = {place for place in hosts if await is_here(place)}
        lost = {path for path, row in begun.items() if row.place not in here or not _holds_keys(row)}
        open_ones = [path for path in begun if path in lost and path not in said and not self._again]
        if open_ones:
            raise _outcome_unknown(self.run_id, open_ones)
        given = {path: result for path, result in said.items() if result is not AGAIN}
        self._given = {path: _given(path, contract_of(path), result) for path, result in given.items()}
        anew = [row for path, row in begun.items() if said.get(path) is AGAIN or (self._again and path in lost)]
        await self._next_round(*anew)

    def _new_step(self, path: str) -> StepRow:
        return StepRow(self.run_id, path, begun_ms=now_ms(), place=self._place)

    async def _next_round(self, *rows: StepRow) -> None:
        """Steps anew, under other keys."""
        if rows:
            again = [replace(row, round=row.round + 1, begun_ms=now_ms(), place=self._place, ours=True) for row in rows]
            self._steps.update((row.path, row) for row in again)
            await self._rows.write(again)

    async def _reopen(self) -> None:
        """Let the steps whose failure ended the run be as they were: begun, where they may have run, or not even that.

        One that another step stood in for stays as it is.
        """
        failed = [row for row in self._steps.values() if row.state == "ended" and self._is_open(row)]
        again = [
            replace(row, state="begun", ended_ms=0, fields=b"", record=b"")
            for row in failed
            if row.path in self._marked and _value(row.record)["error"].get("ran") != "no"
        ]
        kept = {row.path for row in again}
        await self._rows.write(again, gone=[row.path for row in failed if row.path not in kept])

    def _is_open(self, row: StepRow) -> bool:
        """Whether a step failed in a way that says nothing of itself, and nothing was done in its place."""
        if not _may_go_on(_value(row.record)):
            return False
        whole = row.path.replace("[", "/[").split("/")
        above = ["/".join(whole[: end + 1]).replace("/[", "[") for end in range(len(whole))]
        return not any(other.startswith(fallback_of(path)) for path in above for other in self._steps)


def written(what: str, value: Any) -> bytes:
    """The JSON of a value; raises SERIALIZATION_ERROR, or MESSAGE_TOO_LARGE, naming what it is of."""
    try:
        text = _quickly(value) or canonical(value)
    except AltarError as unfit:
        raise error_of(
            "SERIALIZATION_ERROR", f"The checkpoint of {what!r} cannot be written: {unfit}", ran="yes", hint=unfit.hint
        ) from unfit
    if len(text) > _LARGEST:
        raise error_of(
            "MESSAGE_TOO_LARGE",
            f"The checkpoint of {what!r} would have {len(text)} bytes, and may have {_LARGEST}",
            ran="yes",
            hint="let the step give a name of what it made, such as a path, in place of its bytes",
        )
    return text


def now_ms() -> int:
    """Milliseconds since 1970, by the clock of this machine."""
    return time.time_ns() // 1_000_000


def _quickly(value: Any) -> bytes | None:
    """The JSON of a value that reads back as what it is; None for one of which the careful writer has to decide."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        return None
    return text if orjson.loads(text) == value and is_within_depth(value) else None


def _may_repeat(contract: FunctionDeclaration | None) -> bool:
    """Whether a step may happen twice; one whose contract is not known must not."""
    return contract is not None and (contract.annotations.read_only or contract.annotations.idempotent)


def _holds_keys(row: StepRow) -> bool:
    """Whether a host holds the key of a step still, if it is the same host."""
    return bool(row.place) and 0 <= now_ms() - row.begun_ms < _KEYS_HOLD_MS


def _tells_nothing(result: ToolResult) -> bool:
    """Whether the answer to a call that is made once more under its key leaves open how the first one ended.

    IDEMPOTENCY_CONFLICT says that another version of the tool would be called now.
    """
    error = result.error
    return error is not None and (error.ran == "unknown" or error.type == "IDEMPOTENCY_CONFLICT")


def _may_go_on(document: Mapping[str, Any]) -> bool:
    """Whether the failure in the JSON of a result, or of a record, says nothing about the step itself."""
    found = document.get("error")
    error = None if found is None else ErrorObject.read(found, mode="lenient")[0]
    return error is not None and is_interruption(error)


def _given(path: str, contract: FunctionDeclaration | None, result: Any) -> ToolResult:
    """The result that a person gave for a step; raises MALFORMED_REQUEST for one that its contract does not allow."""
    name = path if contract is None else contract.name
    if contract is not None:
        try:
            contract.check_result(result)
        except AltarError as unfit:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"The result given for step {path!r} is none of {name!r}: {unfit}",
                ran="no",
                hint="give what the tool would have returned; the run is as it was",
            ) from unfit
    return ToolResult(f"given-{secrets.token_hex(6)}", name, ResultStatus.SUCCESS, result, metadata={"given": True})


def _value(text: bytes) -> Any:
    return parse(text, max_bytes=_LARGEST)


def _outcome_unknown(run_id: str, paths: Sequence[str]) -> ExecutionError:
    several = len(paths) > 1
    named = ", ".join(repr(path) for path in paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ExecutionError(
        "OUTCOME_UNKNOWN",
        f"{'Steps' if several else 'Step'} {named}{more} of run {run_id!r} had begun when its process ended, and "
        f"nobody knows what became of {'them' if several else 'it'}",
        hint="look at the effect; then resume with unknown='again' to call it again, "
        f"or with unknown={{{paths[0]!r}: result}} to go on with its result",
    )


def _not_unknown(run_id: str, path: str, unknown: Sequence[str]) -> ValidationError:
    listed = ", ".join(repr(one) for one in unknown[:_SHOWN])
    return ValidationError(
        "MALFORMED_REQUEST",
        f"Step {path[:200]!r} of run {run_id!r} is not one whose outcome is unknown",
        ran="no",
        hint=f"unknown are: {listed}" if listed else "no outcome is unknown; resume without `unknown`",
    )


def _no_word(unknown: object) -> ValidationError:
    return ValidationError(
        "MALFORMED_REQUEST",
        f"unknown is {str(unknown)[:80]!r}, and says nothing of steps whose outcome is unknown",
        ran="no",
        hint="give 'again', or the result of each step by its path",
    )


_KEYS_HOLD_MS: Final = 9 * 60 * 1000
"""A host keeps keys for ten minutes after their calls have ended, unless it is set otherwise."""
_LARGEST: Final = 64 * 1024 * 1024
_SHOWN: Final = 5
