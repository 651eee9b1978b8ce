"""What a type checker must refuse, each line with the error we expect there."""

from __future__ import annotations

import altar


@altar.tool(register=False)
def add(left: int, right: int = 0) -> int:
    """Add two numbers."""
    return left + right


add("1")  # error: arg-type
add(1, wrong=2)  # error: call-arg
add()  # error: call-arg
answer: str = add(1)  # error: assignment


with altar.session("add", sauce="later:") as session:  # error: call-arg
    session.call()  # error: call-arg
    session.call(len)  # error: arg-type
    session.call("add", "1")  # error: arg-type
    session.call("add", {"left": 1}, {"right": 2})  # error: call-arg
    session.stream(None)  # error: arg-type

altar.session([len])  # error: list-item
altar.session(None)  # error: arg-type

altar.tool(name=1)  # error: call-overload
