"""Notes in the witnesses of when each backup was last restored without a finding."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from harness.core.errors import HarnessError
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.witness import Seen


def last_restored(repository: Repository) -> Mapping[str, datetime]:
    """Return when each backup was last restored and passed, by the digest of its COMMIT; nothing where unknown.

    As the first witness says, which nobody else writes to.
    """
    for witness in repository.witnesses[:1]:
        with suppress(HarnessError):  # the catalogue names a witness that does not work
            return witness.read(repository.estate).restored
    return {}


def note_restored(repository: Repository, entry: CommittedBackup) -> None:
    """Note in every witness that a backup was restored now, and passed. Raises nothing of a witness."""
    for witness in repository.witnesses:
        with suppress(HarnessError):
            witness.write(repository.estate, Seen(restored={entry.digest: repository.clock.wall()}))
