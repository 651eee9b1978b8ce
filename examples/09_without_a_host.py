# pip install 'altar-ai[grid]'
"""Go on when no host can be reached: a tool whose author allows it runs here, and the journal remembers that."""

from __future__ import annotations

from pathlib import Path

import altar
from altar.later.options import Options
from altar.later.session import Session
from altar.testing import LocalGrid


@altar.tool(read_only=True, fallback=True)
def price_of(article: str, count: int = 1) -> int:
    """Say what some articles cost, in cents.

    Args:
        article: What is bought.
        count: How many of it.
    """
    return {"tea": 250, "rice": 180}[article] * count


@altar.tool(read_only=True)
def discount_of(customer: str) -> int:
    """Say what a customer gets off, in percent.

    Args:
        customer: Who buys.
    """
    return 10 if customer == "Ann" else 5


def asked(source: str, **options: object) -> None:
    """Ask both tools; in earnest: `with altar.session(source="grid://…", fallback=["price_of"]) as session`."""
    try:
        with Session(Options(source=source, source_options=options)) as session:
            for result in (session.call("price_of", article="tea", count=2), session.call("discount_of", customer="A")):
                print(result.error.type if result.error else result.content, result.metadata or "")
    except altar.TransportError as error:
        print(error.code)


if __name__ == "__main__":
    with LocalGrid([__file__], runtimes=1) as grid:
        journal = Path(grid.directory) / "journal"
        options = {**grid.options, "fallback": ["price_of"], "journal": journal}

        print("- with the host")
        asked(grid.source, **options)

        grid.stop()
        print("- without it")
        asked(grid.source, **options)
        print(grid.altar("journal", "show", str(journal)).strip())

# Prints:
# - with the host
# 500
# 5
# - without it
# 500 {'fallback': True}
# UNSUPPORTED_TOOL
# …  price_of  …  ended SUCCESS  client-1  …
