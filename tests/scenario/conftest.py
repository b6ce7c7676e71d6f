"""Stores and servers for faults, from the tests of repository and PostgreSQL."""

from __future__ import annotations

from tests.postgres.conftest import primary
from tests.repository.conftest import estate, launch, offsite, real_store, recipients, repository, store

__all__ = ["estate", "launch", "offsite", "primary", "real_store", "recipients", "repository", "store"]
