"""Documents with anything at any place: each is read or refused with an error of ALTAR, and nothing else happens."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altar.adm.errors import AltarError
from altar.adm.formats import CALL_FORMATS, FORMATS, OPENAPI
from tests.unit.adm.formats.declarations import calls, declarations, objects, results, values
from tests.unit.adm.formats.test_foreign_documents import FOREIGN, SHOP

SPOILERS = st.one_of(
    values, st.sampled_from(({"$ref": "#"}, {"$ref": "#/a"}, [], {}, {"type": "object"}, 10**30, "\ud800"))
)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_spoiled_tool_is_read_or_refused(name: str, data: st.DataObject) -> None:
    document = spoiled(FORMATS[name].write(data.draw(declarations())).document, data)

    read = outcome(lambda: FORMATS[name].read(document))

    if isinstance(read, AltarError):
        assert "INVALID_DECLARATION" == read.code
    else:
        for format in FORMATS.values():
            format.read(format.write(read.declaration).document)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_spoiled_interface_that_others_wrote_is_read_or_refused(data: st.DataObject) -> None:
    document = spoiled(data.draw(st.sampled_from([SHOP, *(document for _, document in FOREIGN)])), data)

    for format in (FORMATS["mcp"], FORMATS["openai"], FORMATS["anthropic"], FORMATS["gemini"]):
        read = outcome(partial(format.read, document))
        assert not isinstance(read, AltarError) or "INVALID_DECLARATION" == read.code
    reads = outcome(lambda: OPENAPI.read_all(document))
    if isinstance(reads, AltarError):
        assert "INVALID_DECLARATION" == reads.code
    else:
        OPENAPI.write_all([read.declaration for read in reads], title="Spoiled")


@pytest.mark.parametrize("name", CALL_FORMATS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_spoiled_call_is_read_or_refused(name: str, data: st.DataObject) -> None:
    document = spoiled(CALL_FORMATS[name].write_call(data.draw(calls())).document, data)
    declaration = data.draw(st.one_of(st.none(), declarations()))

    call = outcome(lambda: CALL_FORMATS[name].read_call(document, declaration=declaration, call_id="c1"))

    assert not isinstance(call, AltarError) or call.code in {"MALFORMED_REQUEST", "INVALID_TOOL_ARGS"}


@pytest.mark.parametrize("name", CALL_FORMATS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_spoiled_result_is_read_or_refused(name: str, data: st.DataObject) -> None:
    call = data.draw(calls())
    document = spoiled(CALL_FORMATS[name].write_result(data.draw(results(call=call))).document, data)

    result = outcome(lambda: CALL_FORMATS[name].read_result(document, call=call))

    if isinstance(result, AltarError):
        assert "MALFORMED_REQUEST" == result.code
    else:
        assert (call.call_id, call.name) == (result.call_id, result.name)


@pytest.mark.parametrize("name", FORMATS)
@given(declaration=declarations(), kept=st.one_of(values, objects))
@settings(max_examples=20, deadline=None)
def test_what_a_declaration_says_it_kept_can_be_anything(name: str, declaration: Any, kept: Any) -> None:
    format = FORMATS[name]
    forged = type(declaration).from_adm(declaration.to_adm() | {format.own: kept})

    written = format.write(forged)

    assert forged.name == format.read(written.document).declaration.name


def outcome(read: Callable[[], Any]) -> Any:
    """Return what reading gives: its value, or the error of ALTAR that it raises."""
    try:
        return read()
    except AltarError as error:
        return error


def spoiled(document: dict[str, Any], data: st.DataObject) -> Any:
    """Return a document with one place replaced by anything, or taken away."""
    document = copy.deepcopy(document)
    places = list(containers(document))
    holder, key = places[data.draw(st.integers(0, len(places) - 1))]
    if isinstance(holder, dict) and data.draw(st.booleans()):
        del holder[key]
    else:
        holder[key] = data.draw(SPOILERS)
    return document


def containers(node: Any) -> Any:
    """Yield each container with each of its keys."""
    for key, held in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(held, dict | list):
            yield from containers(held)
