"""Expressions: what they read, what they give, and how a wrong one is refused in one sentence."""

from __future__ import annotations

import time
from typing import Any

import pytest

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.aesp.policy.cel import NUMBER, Expression, compile_expression

TYPES = {
    "args": "map<string, dyn>",
    "args.amount": NUMBER,
    "args.count": "int",
    "args.dry": "bool",
    "args.tags": "list<string>",
    "constants.limit": "int",
    "request.environment": "string",
    "request.principal.daily_invocations": "int",
    "has_args.amount": "bool",
    "has_args.dry": "bool",
}
VALUES: dict[str, Any] = {
    "args": {"amount": 250.0, "user-id": 7},
    "args.amount": 250.0,
    "args.count": 3,
    "args.dry": False,
    "args.tags": ["a", "b"],
    "constants.limit": 200,
    "request.environment": "development",
    "request.principal.daily_invocations": 1001,
    "has_args.amount": True,
    "has_args.dry": True,
}


def compiled(text: str) -> Expression:
    return compile_expression(text, variables=TYPES, line=10)


def given(text: str, **without: bool) -> Any:
    return compiled(text).evaluate({name: value for name, value in VALUES.items() if name not in without})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("args.amount > 100", True),  # a whole number beside a number
        ("-100 < args.amount && 249.5 < args.amount", True),
        ("args.amount > constants.limit", True),
        ("constants.limit <= args.amount", True),
        ("args.amount == 250 ? args.amount >= 1 : false", True),
        ("has(args.dry)", True),  # the engine alone would give the value, which is false
        ("has( args . dry ) && !args.dry", True),
        ("has((args.dry)) && has((args).dry) && has(.args.dry) && !args.dry", True),
        ('args["user-id"] == 7', True),
        ('"user-id" in args', True),
        ("args.tags.exists(t, t == 'b') && !args.tags.all(t, t == 'b')", True),
        ('ip_in_cidr("10.1.2.3", "10.0.0.0/8") && !ip_in_cidr("::ffff:192.0.2.1", "10.0.0.0/8")', True),
        ('clearance_rank("Secret") > clearance_rank("internal")', True),
        ("// a comment\ntrue // and another", True),
    ],
)
def test_what_is_true_is_true(text: str, value: object) -> None:
    assert given(text) == value


def test_what_an_expression_reads_is_known() -> None:
    made = compiled(
        'has(args.dry) && args["x"].y == "z" && args.tags.exists(args2, args2 == request.environment)'
        " && [{'amount': 7}].exists(args, args.amount == 7)"
    )

    assert made.reads == {("args", "dry"), ("args", "x", "y"), ("args", "tags"), ("request", "environment")}
    assert made.needs == {"has_args.dry", "args", "args.tags", "request.environment"}


def test_a_presence_is_asked_with_the_columns_of_all_else_unmoved() -> None:
    with pytest.raises(ValidationError, match=r"^line 11, column 18: There is no variable or function 'args2.x'"):
        compiled("has(args.dry) &&\nhas(args.dry) && args2.x")


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        (
            'request.enviroment == "a"',
            "column 1: There is no variable or function 'request.enviroment'",
            "did you mean",
        ),
        ("request.environment == 3", "'==' does not take a text", "a text and a number are never equal"),
        ("args.amount > 'x'", "'>' does not take a number", ""),
        ("7/2 < args.amount", "'<' does not take a whole number", "write the whole number with a point"),
        ("args.count", "gives a whole number", "compare it"),
        ("1 +", "Syntax error: the expression ends too early$", ""),
        ("1 ) 2", "Syntax error: '\\)' does not belong here$", ""),
        ("(" * 40 + "true" + ")" * 40, "nested deeper than 32 levels", "split"),
        ("true && " * 2_000 + "true", "4096 are the limit", "split"),
        ("args.tags.map(t, t + t).size() > 1", "cannot be joined with \\+ within a comprehension", ""),
        (" + ".join(["'a'"] * 12) + " == 'a'", "more than 8 times", ""),
        ("foo(1)", "There is no variable or function 'foo'", "there are"),
        ("\x00", "characters that are no text", ""),
        ("'\ud800' == 'a'", "characters that are no text", ""),
    ],
)
def test_a_wrong_expression_is_refused_in_one_sentence(text: str, said: str, hint: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        compiled(text)

    assert refused.value.code == "INVALID_POLICY"
    assert refused.value.message.startswith("line 10")
    assert "\n" not in refused.value.message
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("args.count / 0 == 1", "divide by zero"),
        ("args.count + 9223372036854775807 > 1", "integer overflow"),
        ('args["missing"] == 1', "no member 'missing'"),
        ("args.tags[5] == 'a'", "."),
        ('"x".matches("(")', "invalid regular expression"),
        ('ip_in_cidr("10.1.2.3", "x")', "does not appear to be"),
        ('clearance_rank("royal") > 1', "is no clearance"),
        ("args.tags.map(t, args.count).all(a, a / 0 == 1)", "divide by zero"),
    ],
)
def test_what_has_no_value_is_an_error_and_never_false(text: str, said: str) -> None:
    with pytest.raises(AuthorizationError, match=said) as refused:
        given(text)

    assert refused.value.code == "POLICY_ERROR"


def test_an_argument_that_is_not_given_is_an_error_unless_it_is_asked_for() -> None:
    with pytest.raises(AuthorizationError, match=r"'args\.amount' has no value in this call"):
        compiled("args.amount > 100").evaluate({})

    assert compiled("has(args.amount) && args.amount > 100").evaluate({"has_args.amount": False}) is False


def test_a_policy_that_loops_ends_with_its_budget() -> None:
    text = "args.tags.all(a, args.tags.all(b, args.tags.all(c, a == b || b == c || true)))"

    with pytest.raises(AuthorizationError, match="more than 10000 steps"):
        compiled(text).evaluate({"args.tags": ["a"] * 200})


def test_a_regular_expression_cannot_catastrophically_backtrack() -> None:
    began = time.process_time()

    assert (
        compile_expression('s.matches("(a+)+$")', variables={"s": "string"}).evaluate({"s": "a" * 60_000 + "!"})
        is False
    )
    assert time.process_time() - began < 2  # a backtracking engine would need longer than the universe has


@pytest.mark.parametrize(
    "value", ["a\x00b", {"k": "a\x00b"}, {"k\x00": 1}, ["a\x00"], b"a\x00b", {"k": [{"l": "\x00"}]}], ids=repr
)
def test_a_text_with_a_nul_is_refused_because_the_engine_would_cut_it(value: object) -> None:
    with pytest.raises(AuthorizationError, match="NUL"):
        compile_expression("x != 1", variables={"x": "dyn"}).evaluate({"x": value})


@pytest.mark.parametrize(
    "value", [2**70, "\ud800", object(), {"a": 2**70}, 1j], ids=["int", "text", "object", "map", "complex"]
)
def test_a_value_that_cel_does_not_have_is_an_error(value: object) -> None:
    with pytest.raises(AltarError) as refused:
        compile_expression("x == 1", variables={"x": "dyn"}).evaluate({"x": value})

    assert refused.value.code == "POLICY_ERROR"


def test_nothing_of_a_credential_can_be_named() -> None:
    from altar.aesp.policy.types import VOCABULARY

    for name in ("principal.proof", "request.principal.scopes", "principal.password", "request.principal.expires"):
        with pytest.raises(ValidationError, match=f"There is no variable or function '{name}'"):
            compile_expression(f"{name} == 'x'", variables=VOCABULARY)
