"""Source of physical backups: the declared primary, else that of the running example estate, and its repository."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from harness.core.errors import HarnessError, UsageError
from harness.core.service import Sql
from harness.estate.config import Config
from harness.estate.connections import Connections, Offsite
from harness.estate.existing import (
    connect_offsite,
    declared_site,
    references,
    sql_at,
    witness_of,
    witness_store,
)
from harness.estate.secrets import RECIPIENTS, SIGNING_KEY, verify_keys
from harness.estate.state_file import connect, read_state
from harness.physical.receive import Keys
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.repository.catalogue import Repository
from harness.repository.store.port import Lockable
from harness.signing import read_signing_key
from harness.vault import read_text_secret

CONTROL = "global/pg_control"  # begins with the identifier of the database system, then two version numbers, the state
IDENTIFIER = 8  # bytes
STATE = slice(16, 20)
IN_PRODUCTION = 6  # DB_IN_PRODUCTION in src/include/catalog/pg_control.h
STARTED = 2  # line of postmaster.pid: seconds since 1970


@dataclass(frozen=True, slots=True)
class PhysicalSource:
    """A server, the repository as its writer reads it, and the keys.

    `lock`: for how long the store keeps backups from being deleted; None: not at all, or it has no object lock.
    """

    estate: str
    sql: Sql
    repository: Repository = field(repr=False)
    keys: Keys = field(repr=False)
    lock: timedelta | None

    @property
    def slot(self) -> str:
        """Return the name of the replication slot of the continuous archive."""
        return slot_name(self.estate)


def slot_name(estate: str) -> str:
    """Return the name of the replication slot of an estate's continuous archive."""
    return f"blackstart_{re.sub(r'[^a-z0-9_]', '_', estate.lower())}"[:63]


def source_of(config: Config, live: Path, not_up: str) -> PhysicalSource:
    """Return the primary declared under [existing], else that of the state file `live`. Raises UsageError.

    `not_up`: what to do where neither is there.
    """
    if config.existing is not None and config.existing.primary is not None:
        table = declared_site(config, "primary")
        secrets = references(table.secrets, SUPERUSER_PASSWORD, SIGNING_KEY, *RECIPIENTS)
        offsite, sql = connect_offsite(config), sql_at(table, secrets)
        recipients = tuple(secrets[name] for name in RECIPIENTS)
        return _source(config, sql, _connections(config, offsite, secrets), recipients, secrets[SIGNING_KEY])
    return source_at(connect(config, read_state(live, not_up)))


def source_at(connections: Connections) -> PhysicalSource:
    """Return the primary site of an estate as a source, else its DR site: after a take-over. Raises UsageError."""
    site = connections.primary or connections.recovered
    if SIGNING_KEY not in site.secrets:
        raise UsageError(f"site {site.site.name}: no secret {SIGNING_KEY}; make it with `blackstart keys new writer`")
    signing_key = site.secrets[SIGNING_KEY]
    return _source(connections.config, site.place.sql, connections, connections.recipients, signing_key)


def _connections(config: Config, offsite: Offsite, secrets: Mapping[str, str]) -> Connections:
    if offsite.read_only:
        raise UsageError("existing.offsite.read_only: nothing can be written; set it to false for backups")
    second, witness = witness_store(config), witness_of(config)
    return Connections(config, (), offsite, trusted=verify_keys(secrets), witness=witness, second=second)


def _source(
    config: Config, sql: Sql, connections: Connections, recipients: tuple[str, ...], signing_key: str
) -> PhysicalSource:
    keys = Keys(tuple(map(read_text_secret, recipients)), read_text_secret(signing_key))
    repository = connections.repository.trusting(read_signing_key(keys.signing_key).public_key())
    days = config.backup.lock_days
    store = repository.store
    can = bool(days) and isinstance(store, Lockable) and store.locks
    return PhysicalSource(config.estate.name, sql, repository, keys, timedelta(days=days) if can else None)


def system_beside(segment: Path) -> str:
    """Return the identifier of the database system whose WAL file this is, from the control file beside it.

    PostgreSQL runs `archive_command` in its data directory, also while nobody can connect. Raises HarnessError.
    """
    for folder in (segment.absolute().parent.parent, Path.cwd()):
        found = _control(folder)[:IDENTIFIER]
        if len(found) == IDENTIFIER:
            return str(int.from_bytes(found, "little"))
    raise HarnessError(f"{segment}: no {CONTROL} beside its folder; give %p, a path in pg_wal")


def served_since(segment: Path) -> float | None:
    """Return since when the primary runs whose WAL file this is, in seconds since 1970; None: it is none."""
    folder = segment.absolute().parent.parent
    if int.from_bytes(_control(folder)[STATE], "little") != IN_PRODUCTION:
        return None
    try:
        return float((folder / "postmaster.pid").read_text().splitlines()[STARTED])
    except (OSError, ValueError, IndexError):
        return None


def _control(folder: Path) -> bytes:
    """Return the beginning of a data directory's control file, b"" if it is none."""
    try:
        with (folder / CONTROL).open("rb") as file:
            return file.read(STATE.stop)
    except OSError:
        return b""
