# pip install altar-ai
"""Write docstrings as you always did: Google, NumPy and Sphinx style give the very same contract."""

from __future__ import annotations

from typing import Literal

import altar


@altar.tool(name="book", register=False)
def google(hotel: str, nights: int = 1, board: Literal["none", "half", "full"] = "none") -> str:
    """Book a room.

    Args:
        hotel: Where to stay.
        nights: How long to stay.
        board: Which meals.

    Returns:
        What was booked, in words.
    """
    return f"{nights} nights in {hotel}, board: {board}"


@altar.tool(name="book", register=False)
def numpy(hotel: str, nights: int = 1, board: Literal["none", "half", "full"] = "none") -> str:
    """Book a room.

    Parameters
    ----------
    hotel : str
        Where to stay.
    nights : int, optional
        How long to stay.
    board : {"none", "half", "full"}
        Which meals.

    Returns
    -------
    str
        What was booked, in words.
    """
    return f"{nights} nights in {hotel}, board: {board}"


@altar.tool(name="book", register=False)
def sphinx(hotel: str, nights: int = 1, board: Literal["none", "half", "full"] = "none") -> str:
    """Book a room.

    :param hotel: Where to stay.
    :param nights: How long to stay.
    :param board: Which meals.
    :returns: What was booked, in words.
    """
    return f"{nights} nights in {hotel}, board: {board}"


print(google.declaration.signature)
for name, schema in google.declaration.parameters.json_schema["properties"].items():
    print(name, schema)
print(google.declaration.returns.json_schema if google.declaration.returns else None)

print(google.digest == numpy.digest == sphinx.digest)

# Prints:
# book(hotel: string, board: "none" | "half" | "full" = "none", nights: integer = 1)
# hotel {'description': 'Where to stay.', 'type': 'string'}
# nights {'description': 'How long to stay.', 'type': 'integer', 'default': 1}
# board {'description': 'Which meals.', 'enum': ['none', 'half', 'full'], 'type': 'string', 'default': 'none'}
# {'type': 'string', 'description': 'What was booked, in words.'}
# True
