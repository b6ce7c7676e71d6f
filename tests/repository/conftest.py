"""Fixtures of the tests of the repository."""

from __future__ import annotations

from tests.repository.store_servers import estate, launch, offsite, real_store, recipients, repository, store

__all__ = ["estate", "launch", "offsite", "real_store", "recipients", "repository", "store"]
