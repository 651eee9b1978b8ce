"""There and back: a declaration is the same again, but for the places that were reported as lost."""

from __future__ import annotations

import copy
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.formats import CALL_FORMATS, FORMATS
from tests.unit.adm.formats.declarations import calls, declarations, results
from tests.unit.adm.formats.places import differences, idle, unreported

EXAMPLES = int(os.environ.get("ALTAR_FORMAT_EXAMPLES", "25"))


@pytest.mark.parametrize("name", FORMATS)
@given(declaration=declarations())
@settings(max_examples=EXAMPLES, deadline=None)
def test_there_and_back_changes_exactly_what_was_reported(name: str, declaration: FunctionDeclaration) -> None:
    written = FORMATS[name].write(declaration)
    back = FORMATS[name].read(over_the_wire(written.document))

    assert set() == unreported(declaration, back.declaration, written.losses)
    assert [] == idle(declaration, back.declaration, written.losses)
    assert () == back.losses


@given(declaration=declarations())
@settings(max_examples=EXAMPLES, deadline=None)
def test_mcp_has_a_place_for_everything(declaration: FunctionDeclaration) -> None:
    written = FORMATS["mcp"].write(declaration)

    assert () == written.losses
    assert declaration.digest == FORMATS["mcp"].read(over_the_wire(written.document)).declaration.digest


@given(declaration=declarations())
@settings(max_examples=EXAMPLES, deadline=None)
def test_openapi_has_a_place_for_everything_but_addresses_of_schemas(declaration: FunctionDeclaration) -> None:
    written = FORMATS["openapi"].write(declaration)

    assert {loss.path.rpartition("/")[2] for loss in written.losses} <= {"$id", "$ref"}
    if not written.losses:
        assert declaration.digest == FORMATS["openapi"].read(over_the_wire(written.document)).declaration.digest


@pytest.mark.parametrize("name", ["gemini", "json_schema", "openai", "anthropic"])
@given(declaration=declarations())
@settings(max_examples=EXAMPLES, deadline=None)
def test_parameters_stay_as_they_are_in_the_order_they_were_declared(
    name: str, declaration: FunctionDeclaration
) -> None:
    written = FORMATS[name].write(declaration)
    back = FORMATS[name].read(over_the_wire(written.document)).declaration

    if not any(loss.path.startswith("/parameters") for loss in written.losses):
        assert declaration.parameters == back.parameters
        order = list(declaration.parameters.json_schema.get("properties", {}))
        assert order == list(back.parameters.json_schema.get("properties", {}))


@pytest.mark.parametrize("name", FORMATS)
@given(declaration=declarations())
@settings(max_examples=EXAMPLES // 2, deadline=None)
def test_what_came_back_goes_there_again_without_a_change(name: str, declaration: FunctionDeclaration) -> None:
    format = FORMATS[name]
    once = format.read(format.write(declaration).document).declaration

    again = format.write(once)

    assert once.digest == format.read(again.document).declaration.digest
    assert format.write(once).document == again.document


@pytest.mark.parametrize("name", FORMATS)
@given(declaration=declarations())
@settings(max_examples=EXAMPLES // 2, deadline=None)
def test_writing_and_reading_leave_their_argument_alone(name: str, declaration: FunctionDeclaration) -> None:
    before = declaration.to_adm()
    document = FORMATS[name].write(declaration).document
    copied = copy.deepcopy(document)

    FORMATS[name].read(document)

    assert before == declaration.to_adm()
    assert copied == document


@pytest.mark.parametrize("name", CALL_FORMATS)
@given(call=calls())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_call_comes_back_but_for_what_was_reported(name: str, call: FunctionCall) -> None:
    written = CALL_FORMATS[name].write_call(call)
    back = CALL_FORMATS[name].read_call(over_the_wire(written.document))

    changed = differences(call.to_adm(), back.to_adm())
    assert {loss.path for loss in written.losses} == {"/" + path.split("/")[1] for path in changed}


@pytest.mark.parametrize("name", CALL_FORMATS)
@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_result_comes_back_but_for_what_was_reported(name: str, data: st.DataObject) -> None:
    call = data.draw(calls())
    result: ToolResult = data.draw(results(call=call))

    written = CALL_FORMATS[name].write_result(result)
    back = CALL_FORMATS[name].read_result(over_the_wire(written.document), call=call)

    changed = differences(result.to_adm(), back.to_adm())
    assert {loss.path for loss in written.losses} == {"/" + path.split("/")[1] for path in changed}


def over_the_wire(document: dict[str, object]) -> dict[str, object]:
    """Return a document as the other side gets it: as JSON text, with every member in its order."""
    read = json.loads(json.dumps(document))
    assert isinstance(read, dict)
    return read
