"""What a runtime in the environment of Semantic Kernel serves."""

from __future__ import annotations

from datetime import date

from semantic_kernel import Kernel
from semantic_kernel.functions import kernel_function

from altar.adapters.semantic_kernel import from_semantic_kernel


class Hotel:
    @kernel_function(name="price", description="What a room costs for a night.")
    def price(self, night: date) -> int:
        return 80 + 20 * (night.weekday() >= 5)


kernel = Kernel()
kernel.add_plugin(Hotel(), "hotel")
tools = from_semantic_kernel(kernel, register=True)
