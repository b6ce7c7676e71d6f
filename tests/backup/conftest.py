"""The estate in memory."""

from __future__ import annotations

from tests.memory_estate import memory_estate

__all__ = ["memory_estate"]
