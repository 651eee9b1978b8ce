"""Layer 4: governance. Who asks, in which tenant, in which role, and what is kept of it.

A `ControlPlane` is a gate that holds an ordered tuple of checks; a tier of AESP is such a tuple.
"""

from __future__ import annotations
