"""Fixtures of all tests."""

from __future__ import annotations

from tests.servers import substrate

__all__ = ["substrate"]
