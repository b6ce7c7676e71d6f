"""The servers of an existing site, as tests of the estate have them, and the estate in memory."""

from __future__ import annotations

from tests.cases.production import laptop, operator, there
from tests.estate.conftest import existing, servers
from tests.memory_estate import memory_estate
from tests.restore_test.in_memory import gateway

__all__ = ["existing", "gateway", "laptop", "memory_estate", "operator", "servers", "there"]
