"""Quick verification: signatures, chain, sizes and the continuity of WAL. Nothing is opened, so it needs no key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.backup.verify import INVALID, Verified, verify_chain, verify_wal
from harness.core.errors import Unreadable
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.lineage import lineage
from harness.repository.store.pieces import Pieces


@dataclass(slots=True)
class _Stored:
    """What the store has of a backup: number and bytes of its objects, bytes of its manifest, recipients."""

    objects: int = 0
    size: int = 0
    manifest: int = -1
    recipients: frozenset[str] = frozenset()


def verify_quick(repository: Repository) -> Iterator[Verified]:
    """Yield a line for each backup, for what contradicts the chain, and for WAL. Raises HarnessError of the store."""
    catalogue = repository.catalogue()
    stored = _listed(repository)
    problems = {one.backup_id: _problem(one, stored.get(one.backup_id, _Stored())) for one in catalogue.entries}
    for entry in catalogue.entries:
        if found := problems[entry.backup_id] or _of_parents(entry, catalogue.entries, problems):
            yield Verified(entry.backup_id, f"{INVALID}{found}", wrong=True)
        else:
            yield Verified(entry.backup_id, "signed, and its objects are stored with their sizes; not opened")
    yield from verify_chain(catalogue)
    yield from verify_wal(repository, catalogue.entries, None)


def _listed(repository: Repository) -> dict[str, _Stored]:
    """Return what the store has of each backup, by three listings for all of them."""
    found: dict[str, _Stored] = {}
    layout = repository.layout

    def of(key: str) -> _Stored:
        return found.setdefault(layout.id_in(key), _Stored())

    for one in Pieces(repository.store).list(layout.of("data")):
        place = of(one.key)
        place.objects, place.size = place.objects + 1, place.size + one.size
    for one in repository.store.list(layout.of("manifest")):
        of(one.key).manifest = one.size
    for one in repository.store.list(layout.of("keys")):
        place = of(one.key)
        place.recipients |= {one.key.rpartition("/")[2]}
    return found


def _problem(entry: CommittedBackup, stored: _Stored) -> str:
    """Return what a backup lacks, "" for nothing."""
    commit = entry.commit
    if commit is None:
        return entry.damaged or "not signed"
    if (stored.objects, stored.size) != (commit.objects, commit.stored_size):
        return (
            f"{stored.objects} objects of {stored.size} bytes are stored instead of {commit.objects} of "
            f"{commit.stored_size}; restore an earlier one, and take a new one"
        )
    if stored.manifest != commit.manifest_stored:
        return f"its manifest has {max(stored.manifest, 0)} bytes instead of {commit.manifest_stored}"
    if not stored.recipients & set(commit.recipients):
        return f"no data key of its recipients is stored ({', '.join(commit.recipients)}): nobody can open it"
    return ""


def _of_parents(entry: CommittedBackup, entries: Sequence[CommittedBackup], problems: dict[str, str]) -> str:
    try:
        parents = lineage(entry, entries)[:-1]
    except Unreadable as error:
        return str(error)
    bad = [one.backup_id for one in parents if problems[one.backup_id]]
    return f"builds on {bad[0]}: {problems[bad[0]]}" if bad else ""
