"""Servers of an existing site, from the tests of the estate."""

from __future__ import annotations

from tests.estate.conftest import existing, servers

__all__ = ["existing", "servers"]
