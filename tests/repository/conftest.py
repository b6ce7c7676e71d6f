"""Fixtures of the tests of the repository."""

from __future__ import annotations

from tests.repository.store_servers import directory, estate, launch, offsite, real_store, recipients, repository, store

__all__ = ["directory", "estate", "launch", "offsite", "real_store", "recipients", "repository", "store"]
