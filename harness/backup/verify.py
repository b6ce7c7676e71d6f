"""Verification of backups: every object of every committed backup is opened, each once in a period."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import Unreadable
from harness.estate.config import Config
from harness.estate.existing import reader_secrets, repository_to_read, writers_in
from harness.estate.secrets import PRIVATE_KEY, Secrets
from harness.estate.state_file import connect, read_state
from harness.repository.catalogue import Catalogue, CommittedBackup, Repository
from harness.repository.committed import newest_system
from harness.repository.lineage import lineage
from harness.repository.wal.catalogue import Shipped, WalCatalogue, missing_objects, newest_of, read_systems
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.heads import known_heads, remember_wal
from harness.repository.wal.reader import WalReader
from harness.vault import read_secret

INVALID = "NOT VALID: "
NOT_UP = "start an estate with `blackstart up`, or name its state file with --live"


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of one backup, or of the chain (`backup` is "chain" then)."""

    backup: str
    said: str
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Where:
    """Where a repository is found. `at`: state file of the running estate, where none is declared.

    `secrets`: folder of the DR site's secrets; `reports`: folder of the records, with the witness.
    """

    at: Path
    secrets: Path
    reports: Path
    unsigned: bool = False


def reader_of(config: Config, where: Where) -> tuple[Repository, bytes | None]:
    """Return the declared repository, which is only read, else that of the running estate; and DR's key if it is here.

    Raises UsageError.
    """
    if config.existing is not None and config.existing.offsite is not None:
        secrets, unsigned = reader_secrets(config, where.secrets), where.unsigned
        trusted = writers_in(secrets, where.secrets, allow_unsigned=unsigned)
        witness = where.reports.resolve() / "drills" / "witness.json"
        repository = repository_to_read(config, trusted, allow_unsigned=unsigned, witness=witness)
    else:
        state = read_state(where.at, NOT_UP)
        repository, secrets = connect(config, state).repository, Secrets(Path(state.secrets)).of("dr")
    return repository, read_secret(secrets[PRIVATE_KEY]) if PRIVATE_KEY in secrets else None


def verify_wal(
    repository: Repository, entries: Sequence[CommittedBackup], private_pem: bytes | None
) -> Iterator[Verified]:
    """Yield what `_verify_system` does of each database system that is declared, or that the newest backup is of.

    A backup of another one, such as the server before it was made anew, is compared with the WAL of its own.
    """
    bases = [entry for entry in entries if entry.physical]
    systems = read_systems(repository, (*(entry.system for entry in bases), *known_heads(repository).systems))
    newest = newest_system(bases) or newest_of(systems)
    for wal in sorted(systems, key=lambda wal: wal.cluster != newest):
        own = [entry for entry in bases if entry.system == wal.cluster]
        if wal.cluster in (newest, *repository.trust.systems):
            yield from _verify_system(repository, wal, own, private_pem)
        else:
            yield from (Verified("WAL", line, wrong=True) for line in _lacking(wal, own))


def _lacking(wal: WalCatalogue, bases: Sequence[CommittedBackup]) -> Iterator[str]:
    for entry in bases:
        base = entry.commit.base if entry.commit is not None else None
        if base is not None and (lacking := wal.lacking(base.timeline, base.start, base.stop)) != "":
            yield f"backup {entry.backup_id} cannot be restored: {lacking}"


def _verify_system(
    repository: Repository, wal: WalCatalogue, bases: Sequence[CommittedBackup], private_pem: bytes | None
) -> Iterator[Verified]:
    """Yield a line for each contradiction in the WAL of a system, and for each backup that lacks some.

    `private_pem`: opens all of it; None: the objects are compared with the signed lists by size. Raises HarnessError.
    """
    found = [*wal_findings(repository, wal), *missing_objects(repository, wal), *_lacking(wal, bases)]
    if not bases and not wal.lists and not found:
        return
    files = [*(one for place in wal.segments.values() for one in place[:1]), *wal.histories.values()]
    if private_pem is not None:
        found += _unopened(WalReader(repository, private_pem), files)
    yield from (Verified("WAL", line, wrong=True) for line in found)
    if not found:
        yield Verified("WAL", f"{len(files)} files are there" + (" and were opened" if private_pem else ""))
    remember_wal(repository, wal)


def _unopened(reader: WalReader, files: Sequence[Shipped]) -> Iterator[str]:
    """Open files of WAL, and yield why one does not open."""
    for one in files:
        try:
            reader.read(one)
        except Unreadable as error:
            yield str(error)


def _verified(
    repository: Repository,
    entry: CommittedBackup,
    entries: Sequence[CommittedBackup],
    private_pem: bytes,
    found: dict[str, Verified],
    *,
    every: bool,
) -> Verified:
    """Return what came of a backup, and add it to `found`. An incremental one is as valid as all that it builds on."""
    if entry.backup_id in found:
        return found[entry.backup_id]
    try:
        last = repository.shown(entry, private_pem, again=every)
        parents = lineage(entry, entries)[:-1]
    except Unreadable as error:
        done = Verified(entry.backup_id, f"{INVALID}{error}", wrong=True)
    else:
        judged = [_verified(repository, one, entries, private_pem, found, every=every) for one in parents]
        said = f"opened {last:%Y-%m-%d %H:%M} UTC; its objects are there" if last else ""
        said = said or f"valid: {entry.size} bytes were opened"
        if bad := [one for one in judged if one.wrong]:
            reason = bad[0].said.removeprefix(INVALID)
            done = Verified(entry.backup_id, f"{INVALID}builds on {bad[0].backup}: {reason}", wrong=True)
        elif parents:
            names = ", ".join(one.backup_id for one in reversed(parents))
            done = Verified(entry.backup_id, f"{said}; incremental, builds on {names}")
        else:
            done = Verified(entry.backup_id, said)
    found[entry.backup_id] = done
    return done


def verify_chain(catalogue: Catalogue) -> Iterator[Verified]:
    """Yield a line for each contradiction in the chain of backups, and one where hidden ones cannot be looked for."""
    yield from (Verified("chain", line, wrong=True) for line in catalogue.findings)
    if catalogue.unseen:
        yield Verified("chain", f"NOTE: {catalogue.unseen}")


def verify_all(repository: Repository, private_pem: bytes, *, every: bool) -> Iterator[Verified]:
    """Open every backup that was not opened within the period, or all; yield a line for each. Raises HarnessError."""
    catalogue = repository.catalogue()
    found: dict[str, Verified] = {}
    for entry in catalogue.entries:
        yield _verified(repository, entry, catalogue.entries, private_pem, found, every=every)
    yield from verify_chain(catalogue)
    yield from verify_wal(repository, catalogue.entries, private_pem if every else None)
    if catalogue.head is not None:
        repository.remember(catalogue.head)
