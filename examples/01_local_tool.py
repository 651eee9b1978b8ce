# pip install altar-ai
"""Declare a tool, call it rightly and wrongly, and see that a failed call is a value."""

from __future__ import annotations

import altar


@altar.tool(read_only=True)
def add(left: int, right: int = 1) -> int:
    """Add two whole numbers.

    Args:
        left: The number to begin with.
        right: The number that is added to it.
    """
    return left + right


with altar.session() as session:
    print(session.call("add", left=2, right=3).content)

    refused = session.call("add", left="two")
    print(refused.status, refused.error)

    try:
        session.call("ad", left=2).unwrap()
    except altar.ValidationError as error:
        print(error.code, "-", error.hint)

# Prints:
# 5
# ERROR ErrorObject(message='Argument `left` must be an integer, not a string', type='INVALID_TOOL_ARGS', …)
# UNSUPPORTED_TOOL - did you mean 'add'?
