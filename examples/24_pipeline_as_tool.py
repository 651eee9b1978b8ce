# pip install altar-ai
"""A pipeline is a tool: it has a contract, other tools and pipelines call it, and a model may be offered it."""

from __future__ import annotations

import altar
from altar.ai.pipelines import map, pipeline, tool, transform

PRICES = {"tea": 3.5, "rice": 1.8}


@altar.tool(read_only=True)
def price_of(item: str) -> float:
    """What a piece of an item costs, in euros.

    Args:
        item: What is bought.
    """
    if item not in PRICES:
        raise altar.ExecutionError(
            "TOOL_EXECUTION_FAILED", f"Nobody sells {item!r}", hint=f"there is {', '.join(PRICES)}"
        )
    return PRICES[item]


@altar.tool(read_only=True)
def discount_of(customer: str) -> float:
    """What a customer gets off, as a share of one.

    Args:
        customer: Who buys.
    """
    return 0.1 if customer == "Ann" else 0.0


def net(price: float, discount: float, pieces: int) -> float:
    """What is to be paid."""
    return round(price * pieces * (1 - discount), 2)


quote = pipeline(
    "quote",
    [
        tool("price_of", output="price"),
        tool("discount_of", output="discount"),
        transform(net, takes=["price", "discount", "pieces"], gives=["euros"]),
    ],
    inputs={"item": str, "customer": str, "pieces": int},
    outputs=["euros"],
    description="Say what a customer pays for some pieces of an item.",
).as_tool()

print(quote.declaration.signature)
print(quote.declaration.annotations.read_only, (quote.declaration.metadata or {})["altar.calls"])

order = pipeline(
    "order",
    [map(tool(quote), over="items", item="item", output="lines")],
    inputs={"items": list[str], "customer": str, "pieces": int},
    outputs=["lines"],
)

with altar.session(source="later:") as session:
    print(session.call("quote", item="tea", customer="Ann", pieces=4).content)
    print(session.call("quote", item="tea", customer="Ann", pieces="four").text.splitlines()[0])
    print(session.call("quote", item="salt", customer="Ann", pieces=4).text)
    print(order.run(session, items=["tea", "rice"], customer="Bob", pieces=2).outputs)

# Prints:
# quote(item: string, customer: string, pieces: integer)
# True ['discount_of', 'price_of']
# {'euros': 12.6}
# Argument `pieces` must be an integer, not a string (INVALID_TOOL_ARGS)
# Step 'price_of' of 'quote': Nobody sells 'salt' (TOOL_EXECUTION_FAILED)
# hint: there is tea, rice
# {'lines': [{'euros': 7}, {'euros': 3.6}]}
