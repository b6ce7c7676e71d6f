"""The stores and servers that faults are injected into, as other tests have them, and a drill in memory."""

from __future__ import annotations

from tests.memory_drill import drill
from tests.memory_estate import memory_estate
from tests.postgres.conftest import primary
from tests.repository.conftest import directory, estate, launch, offsite, real_store, recipients, repository, store

__all__ = [
    "directory",
    "drill",
    "estate",
    "launch",
    "memory_estate",
    "offsite",
    "primary",
    "real_store",
    "recipients",
    "repository",
    "store",
]
