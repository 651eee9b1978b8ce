"""The demonstration: an application on real input, and a driver that runs it here, on a grid, and through a crash.

`package_audit` is the application, `added_time` measures one call, `driver` does it all, `account` says how it went.
"""

from __future__ import annotations

__all__: list[str] = []
