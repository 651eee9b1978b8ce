"""How the tables came to be, step by step and forward only."""

from __future__ import annotations
