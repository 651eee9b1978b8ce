"""Asking a host for variables over streams that break, without a host: what is asked again and what is unknown."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from altar.adm.errors import AltarError, ExecutionError, TransportError, ValidationError
from altar.grid import wire
from altar.grid.remote_variables import RemoteVariables, tool_variables
from altar.later.context import ToolContext
from altar.later.invocation import Invocation
from altar.later.variable_table import Delete, Read, Record, Request, Update, VariableConflictError, Watcher


class Place:
    """The requests that were sent, and what came of each."""

    def __init__(self) -> None:
        self.sent: list[wire.VariableRequest] = []
        self.has_stream = True
        self.remote = RemoteVariables(self._send)
        self.told: dict[str, tuple[tuple[Record, ...], AltarError | None]] = {}

    def _send(self, message: wire.VariableRequest) -> bool:
        if self.has_stream:
            self.sent.append(message)
        return self.has_stream

    def ask(self, name: str, request: Request) -> None:
        self.remote.ask(
            wire.variable_request(request), request, lambda records, error: self.told.update({name: (records, error)})
        )

    def answer(self, request: int, *records: Record, complete: bool = False, error: AltarError | None = None) -> None:
        answer = wire.VariableAnswer(tag=self.sent[request].tag, complete=complete)
        wire.add_variables(answer, records, error)
        self.remote.answered([answer])


A = Record("a", 1, b'{"type":"INTEGER"}', b"1")


async def test_an_answer_belongs_to_the_request_of_its_tag() -> None:
    place = Place()
    place.ask("read", Read())
    place.ask("change", Update({"a": b"2"}))

    place.answer(1, error=VariableConflictError("VARIABLE_CONFLICT", "No.", current={"a": 4}, ran="no"))
    place.answer(0, A)
    place.answer(0, A)

    assert place.told["read"] == ((A,), None)
    conflict = place.told["change"][1]
    assert isinstance(conflict, VariableConflictError)
    assert (conflict.current, conflict.ran) == ({"a": 4}, "no")
    assert not place.remote.needs_stream


async def test_after_a_stream_is_lost_only_what_may_be_asked_twice_is_asked_again() -> None:
    place = Place()
    place.ask("read", Read())
    place.ask("change", Delete("a"))
    place.ask("queued", Update({"a": b"2"}))

    place.remote.lost([place.sent[2]])
    place.has_stream = False
    place.ask("late", Update({"a": b"3"}))
    assert place.remote.needs_stream
    place.has_stream, place.sent = True, []
    place.remote.resume(again=lambda message: setattr(message, "session_id", "session-2"))

    assert [message.WhichOneof("operation") for message in place.sent] == ["read", "update", "update"]
    assert {message.session_id for message in place.sent} == {"session-2"}
    error = place.told["change"][1]
    assert isinstance(error, TransportError)
    assert (error.code, error.ran) == ("CONNECTION_FAILED", "unknown")
    assert list(place.told) == ["change"]


async def test_when_no_stream_comes_everything_ends() -> None:
    place = Place()
    watcher = Watcher((), lambda: None)
    place.remote.watch(wire.VariableRequest(), watcher)
    place.ask("read", Read())

    place.remote.fail(ValidationError("INVALID_SESSION", "Gone.", ran="no"))

    error = place.told["read"][1]
    assert error is not None
    assert error.code == "INVALID_SESSION"
    assert (watcher.ended, watcher.error) == (True, error)
    assert not place.remote.needs_stream


async def test_a_watch_is_begun_again_on_the_next_stream_and_told_what_it_missed() -> None:
    place = Place()
    watcher = Watcher(("b", "a"), lambda: None)
    place.remote.watch(wire.VariableRequest(session_id="s"), watcher)
    place.answer(0, A, complete=True)
    assert watcher.take() == A

    place.remote.lost([])
    place.remote.resume(again=lambda _: None)
    place.answer(1, complete=True)

    assert [list(message.watch.names) for message in place.sent] == [["a", "b"], ["a", "b"]]
    assert watcher.take() == Record("a", 2)


async def test_a_watch_that_nobody_holds_any_more_is_not_begun_again() -> None:
    place = Place()
    watcher = Watcher((), lambda: None)
    place.remote.watch(wire.VariableRequest(session_id="s"), watcher)
    del watcher
    gc.collect()

    assert not place.remote.needs_stream
    place.remote.resume(again=lambda _: None)
    assert len(place.sent) == 1


async def test_a_watch_can_be_ended_from_another_thread() -> None:
    place = Place()
    watcher = Watcher((), lambda: None)
    place.remote.watch(wire.VariableRequest(session_id="s"), watcher)

    await asyncio.to_thread(place.remote.unwatch, watcher)
    await asyncio.sleep(0)

    assert [message.WhichOneof("operation") for message in place.sent] == ["watch", "unwatch"]
    assert place.sent[1].session_id == "s"


async def test_a_tool_that_watches_is_let_go_when_its_time_is_up_though_nothing_changes() -> None:
    place = Place()
    call = Invocation("look", b"{}", "call-1", session_id="session-1", tag=7, deadline=time.monotonic() + 0.01)
    given = tool_variables(ToolContext(call), place.remote, asyncio.get_running_loop())

    with pytest.raises(ExecutionError) as raised:
        async with given.variables.watch("a") as watch:
            await anext(watch)
    assert raised.value.code == "TIMEOUT"
    await asyncio.sleep(0)
    assert [(each.WhichOneof("operation"), each.call_tag) for each in place.sent] == [("watch", 7), ("unwatch", 7)]
