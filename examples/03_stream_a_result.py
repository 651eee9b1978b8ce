# pip install altar-ai
"""Read the values of a tool as they come, stop early, and see what was recorded."""

from __future__ import annotations

from collections.abc import Iterator

import altar


@altar.tool(read_only=True)
def primes(below: int) -> Iterator[int]:
    """Find the prime numbers below a number, smallest first.

    Args:
        below: The first number that is not looked at.
    """
    try:
        for number in range(2, below):
            if all(number % divisor for divisor in range(2, number)):
                yield number
    finally:
        print("(no more primes)")


with altar.session(["primes"], source="later:") as session:
    print(session.call("primes", below=12).content)

    stream = session.stream("primes", below=12)
    for prime in stream:
        print(prime, end=" ")
    print(stream.result.status, stream.result.to_adm()["metadata"]["chunks"], "values")

    with session.stream("primes", below=10**9) as stream:
        for prime in stream:
            if prime > 50:
                break
    print(prime, stream.result.to_adm()["error"]["type"])

# Prints:
# (no more primes)
# [2, 3, 5, 7, 11]
# 2 3 5 7 11 (no more primes)
# SUCCESS 5 values
# (no more primes)
# 53 CANCELLED
