# pip install altar-ai
"""A step that fails late: a fallback takes its place, or what was done before it is undone."""

from __future__ import annotations

import altar
from altar.ai.pipelines import pipeline, tool

SEATS: list[str] = []


@altar.tool
def reserve_seat(guest: str) -> dict[str, str]:
    """Reserve a seat in a train.

    Args:
        guest: Who will sit there.
    """
    SEATS.append(guest)
    return {"seat": f"7{'abcd'[len(SEATS) - 1]}"}


@altar.tool
def free_seat(guest: str) -> bool:
    """Give a seat back.

    Args:
        guest: Who will not sit there.
    """
    SEATS.remove(guest)
    return True


@altar.tool
def pay_by_card(guest: str) -> dict[str, str]:
    """Take the money from a card.

    Args:
        guest: Whose card it is.
    """
    if guest != "Ann":
        raise altar.ExecutionError("TOOL_EXECUTION_FAILED", f"The card of {guest} was refused", ran="no")
    return {"receipt": "card"}


@altar.tool
def pay_by_account(guest: str) -> dict[str, str]:
    """Take the money from an account.

    Args:
        guest: Whose account it is.
    """
    if guest == "Cleo":
        raise altar.ExecutionError("TOOL_EXECUTION_FAILED", f"{guest} has no account")
    return {"receipt": "account"}


trip = pipeline(
    "trip",
    [
        tool("reserve_seat", compensate=tool("free_seat")),
        tool("pay_by_card", fallback=tool("pay_by_account")),
    ],
    inputs={"guest": str},
    outputs=["seat", "receipt"],
)

with altar.session(source="later:") as session:
    for guest in ("Ann", "Bob", "Cleo"):
        result = trip.run(session, guest=guest)
        print(result.outputs or result.text)
        print(*(f"   {step.path} {step.status}" for step in result.steps), sep="\n")

print("seats are taken by", SEATS)

# Prints:
# {'seat': '7a', 'receipt': 'card'}
#    reserve_seat done
#    pay_by_card done
# {'seat': '7b', 'receipt': 'account'}
#    reserve_seat done
#    pay_by_card failed
#    pay_by_card (fallback) done
# Step 'pay_by_card (fallback)' of 'trip': Cleo has no account (TOOL_EXECUTION_FAILED)
#    reserve_seat compensated
#    pay_by_card failed
#    pay_by_card (fallback) failed
#    reserve_seat (compensation) done
# seats are taken by ['Ann', 'Bob']
