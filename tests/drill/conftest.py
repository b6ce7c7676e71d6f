"""The estate in memory, and a drill of it."""

from __future__ import annotations

from tests.memory_drill import drill
from tests.memory_estate import memory_estate

__all__ = ["drill", "memory_estate"]
