"""What others offer for the same work, each on the fastest path that it documents.

Every module here knows one library, ALTAR among them, and has the same names:

- ``TITLE``, and ``NAME``, the distribution whose version is printed;
- ``calls()``, a context in which the probe of `bench.tools` can be called: ways by name, each a coroutine function
  that takes the arguments as a dict, validates them and gives the answer as a dict;
- ``declare(functions)``, which makes tools of plain functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bench.tools import Given

__all__ = ["Functions", "Ways"]

Ways = dict[str, Callable[[Given], Awaitable[object]]]
"""Ways to call, by the name that is printed."""

Functions = Sequence[Callable[..., Any]]
"""Plain functions with types and docstrings."""
