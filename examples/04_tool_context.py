# pip install altar-ai
"""A tool that says how far it is, calls another tool, and stops when its time is up."""

from __future__ import annotations

import altar


@altar.tool(read_only=True)
def length(text: str) -> int:
    """Count the letters of a text.

    Args:
        text: What is counted, in any language.
    """
    return len(text)


@altar.tool(read_only=True)
def total_length(texts: list[str], context: altar.ToolContext) -> int:
    """Count the letters of many texts.

    Args:
        texts: What is counted, one after another.
    """
    total = 0
    for done, text in enumerate(texts, start=1):
        context.check_cancelled()
        total += context.sync.call("length", text=text).unwrap()
        context.progress(done, len(texts), text)
    context.log("counted", texts=len(texts))
    return total


with altar.session(source="later:") as session:
    print(total_length.declaration.signature)

    heard = session.options(
        on_progress=lambda told: print(f"{told.done:g} of {told.total:g}: {told.message}"),
        on_log=lambda told: print(told.message, dict(told.facts)),
    )
    print(heard.call("total_length", texts=["north", "sea"]).content)

    results = session.batch([("length", {"text": "a" * size}) for size in (3, 1, 2)], concurrency=2)
    print([result.content for result in results])

# Prints:
# total_length(texts: string[])
# 1 of 2: north
# 2 of 2: sea
# counted {'texts': 2}
# 8
# [3, 1, 2]
