# pip install 'altar-ai[langchain]'
"""LangChain both ways: its tool under a contract of ALTAR, and ALTAR's tools in the hands of a LangChain agent."""

from __future__ import annotations

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool as langchain_tool

import altar
from altar.adapters.langchain import from_langchain, toolkit


@langchain_tool(parse_docstring=True)
def population(city: str) -> dict[str, str | int]:
    """Say how many people live in a city.

    Args:
        city: The English name of the city.
    """
    return {"city": city, "people": {"Oslo": 724_000, "Bergen": 294_000}[city]}


@altar.tool(read_only=True)
def share(part: int, whole: int) -> float:
    """Say how much of a whole a part is, in percent.

    Args:
        part: What is a part of it.
        whole: What there is in all.
    """
    return round(100 * part / whole, 1)


from_langchain(population, register=True)

with altar.session(tools=["population", "share"], source="later:") as session:
    print(session.call("population", city="Oslo").content)
    print(session.call("population", town="Oslo").text.splitlines()[0])

    tools = {tool.name: tool for tool in toolkit(session).get_tools()}
    print(sorted(tools))

    # what a chat model answers; an agent of LangChain invokes the tools like this
    asked = AIMessage(
        "",
        tool_calls=[
            {"name": "share", "args": {"part": 294_000, "whole": "724000"}, "id": "call_1"},
            {"name": "share", "args": {"part": 294_000, "whole": 724_000}, "id": "call_2"},
        ],
    )
    for call in asked.tool_calls:
        message: ToolMessage = tools[call["name"]].invoke(call)
        print(message.status, "-", message.content)
    print(message.artifact["content"])

# Prints:
# {'city': 'Oslo', 'people': 724000}
# Argument `city` is missing (and 1 more) (INVALID_TOOL_ARGS)
# ['population', 'share']
# error - Argument `whole` must be an integer, not a string (INVALID_TOOL_ARGS)
# hint: share(part: integer, whole: integer)
# success - 40.6
# 40.6
