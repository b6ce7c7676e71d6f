"""The servers of an existing site, as tests of the estate have them."""

from __future__ import annotations

from tests.estate.conftest import existing, servers

__all__ = ["existing", "servers"]
