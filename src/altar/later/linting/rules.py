"""The rules of `altar lint`, as a table.

Each row joins a question about a declared function with a stable id, a severity and words for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from altar.later.linting import facts
from altar.later.linting.facts import Found

if TYPE_CHECKING:
    from altar.later.tool import ToolFunction

__all__ = ["RULES", "Found", "Rule", "Severity"]

Severity = Literal["error", "warning", "info"]
"""An error can never work, a warning misleads models or peers, an info is worth knowing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A stable `id`, a `name` for people, one `sentence` on what it finds and why, and a `hint` what to do."""

    id: str
    name: str
    severity: Severity
    sentence: str
    hint: str
    find: Callable[[ToolFunction[..., Any]], Iterator[Found]]


RULES: Final = (
    Rule(
        "A001",
        "short-description",
        "warning",
        "A description of one or two words does not tell a model when to use the tool.",
        "say in a sentence what the tool does and when it is the right one",
        facts.short,
    ),
    Rule(
        "A002",
        "long-description",
        "warning",
        f"A description of more than {facts.LONGEST} characters is refused by OpenAI and read by nobody.",
        "keep what decides whether and how to call; move the rest to your documentation",
        facts.long,
    ),
    Rule(
        "A003",
        "undescribed-parameter",
        "warning",
        "A parameter without a description is filled in by its name alone.",
        "describe it in the docstring under `Args:`, in Annotated[…, Field(description='…')] or InputField(desc='…')",
        facts.undescribed,
    ),
    Rule(
        "A004",
        "says-nothing",
        "warning",
        "A description that repeats the name tells a model nothing that it does not know.",
        "say what is meant, in which unit, and what values make sense",
        facts.says_nothing,
    ),
    Rule(
        "A005",
        "documented-and-absent",
        "warning",
        "A docstring that describes a parameter there is not was written for another one, and describes that no more.",
        "write the name as it is in the signature, or take the entry away",
        facts.documented_and_absent,
    ),
    Rule(
        "A101",
        "open-object",
        "warning",
        "An object with any members leaves a model to invent them, and no check can refuse what it invents.",
        "name the members: a dataclass, a TypedDict or a pydantic model",
        facts.open_objects,
    ),
    Rule(
        "A102",
        "any-value",
        "warning",
        "A parameter that takes any value is no contract: nothing can be checked before the function runs.",
        "give it a type, or a union of the types that the function can take",
        facts.anything,
    ),
    Rule(
        "A103",
        "unbounded-text",
        "info",
        "A text without a limit may be as long as a message can hold.",
        "limit it: Annotated[str, Field(max_length=…)], a Literal or an Enum",
        facts.unbounded_text,
    ),
    Rule(
        "A104",
        "unbounded-list",
        "info",
        "A list without a limit may be as long as a message can hold.",
        "limit it: Annotated[list[…], Field(max_length=…)]",
        facts.unbounded_lists,
    ),
    Rule(
        "A105",
        "inexact-number",
        "warning",
        "An integer beyond 2⁵³ is rounded by readers that keep numbers as floating point, such as JavaScript.",
        "send such a number as text, or choose a smaller limit",
        facts.inexact,
    ),
    Rule(
        "A106",
        "unseen-default",
        "warning",
        "A default that JSON cannot hold is not in the contract, so no caller knows what leaving it out means.",
        "take None as the default and make the value inside the function, or say in the description what it is",
        facts.unseen_default,
    ),
    Rule(
        "A107",
        "mutable-default",
        "warning",
        "A default that can be changed is shared by all calls, and changes with the first function that changes it.",
        "take None or a tuple as the default, and make the list or dict inside the function",
        facts.mutable_default,
    ),
    Rule(
        "A201",
        "undeclared-result",
        "warning",
        "A function that does not say what it returns promises nothing, so no result is ever checked.",
        "annotate the result: -> list[str], a dataclass, or None",
        facts.no_result,
    ),
    Rule(
        "A202",
        "open-result",
        "warning",
        "A result that may be anything is not checked, and a caller cannot rely on any part of it.",
        "name the members of the result: a dataclass, a TypedDict or a pydantic model",
        facts.open_result,
    ),
    Rule(
        "A301",
        "tool-name",
        "warning",
        "Semantic Kernel and DSPy refuse a tool whose name is no Python identifier.",
        "use letters, digits and '_' only",
        facts.tool_name,
    ),
    Rule(
        "A302",
        "parameter-name",
        "warning",
        "Anthropic refuses a parameter whose name is not up to 64 ASCII letters, digits, '_', '.' and '-'.",
        "choose another alias",
        facts.parameter_names,
    ),
    Rule(
        "A303",
        "context-in-contract",
        "warning",
        "A parameter that is named like a context and is not annotated as one is part of the contract.",
        "annotate it as altar.ToolContext, or give it another name",
        facts.like_a_context,
    ),
    Rule(
        "A401",
        "openai-strict",
        "warning",
        "OpenAI's strict mode cannot hold the parameters as they are, so a model fills in something else.",
        "use lists of named members instead of maps and tuples, or do without the strict mode",
        facts.in_format("openai_strict"),
    ),
    Rule(
        "A402",
        "anthropic-strict",
        "warning",
        "Anthropic's strict mode cannot hold the parameters as they are, so a model fills in something else.",
        "use lists of named members instead of maps and tuples, or do without the strict mode",
        facts.in_format("anthropic_strict"),
    ),
    Rule(
        "A501",
        "contradiction",
        "error",
        "A tool that changes nothing cannot destroy anything; a host retries the one and asks before the other.",
        "say only what is true",
        facts.contradiction,
    ),
    Rule(
        "A502",
        "read-only-name",
        "error",
        "A tool that is declared read_only is run again after a lost connection, whatever its name says.",
        "take read_only away, or give the tool a name for what it does",
        facts.read_only_name,
    ),
    Rule(
        "A503",
        "destructive-unsaid",
        "warning",
        "A tool whose name says that it deletes is not declared destructive, so no host asks before it runs.",
        "declare @altar.tool(destructive=True)",
        facts.destructive_unsaid,
    ),
    Rule(
        "A504",
        "no-annotations",
        "info",
        "A tool that says nothing of its effects is treated as one that may change anything.",
        "declare read_only, idempotent, destructive or open_world where it is true",
        facts.no_annotations,
    ),
    Rule(
        "A601",
        "program-itself",
        "error",
        "A runtime imports modules; what a program declares while it runs as `__main__` is not there.",
        "move the function to a module, and import it in the program",
        facts.of_main,
    ),
    Rule(
        "A602",
        "inside-a-function",
        "warning",
        "A function inside another one that no import calls is declared only while its program runs, and a runtime "
        "imports modules.",
        "move it to the top level of its module, or call what makes it there",
        facts.inside_a_function,
    ),
    Rule(
        "A603",
        "not-isolable",
        "error",
        "A child process must find an isolated function by its module and name, and cannot find this one.",
        "define it with `def` at the top level of its module, or leave isolate='process' out",
        facts.not_isolable,
    ),
)
"""All rules, by id."""
