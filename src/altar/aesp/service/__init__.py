"""The administration of an AESP host over gRPC: five services on the host's own port."""

from __future__ import annotations
