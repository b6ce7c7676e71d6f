"""Restore of a physical backup into a scratch server, and the checks of its data there."""

from collections.abc import Iterable

import psycopg

from harness.core.contents import DatabaseNeeds, Needs, TableFacts
from harness.core.errors import (
    HarnessError,
    RestoreFailed,
    reason_of,
)
from harness.core.service import Sql
from harness.core.wal import show_lsn
from harness.physical.choice import Wanted
from harness.physical.installation.lacking import lacking
from harness.physical.installation.needs import read_libraries
from harness.physical.installation.offered import Here
from harness.physical.programs import Programs, programs_of
from harness.physical.restore import PointInTime, restore
from harness.physical.server import serving
from harness.physical.single.aside import roll_back_prepared
from harness.physical.single.restore import sql_at
from harness.physical.target import CONSISTENT, LATEST, Target
from harness.postgres.contents.rows import read_tables
from harness.postgres.facts import begin_reading
from harness.postgres.identity import PRISTINE, DatabaseEntry, catalogue
from harness.postgres.restoring.restorer import clerk
from harness.postgres.server import connect, one_line
from harness.recovery.assertions import run_assertions
from harness.repository.catalogue import CommittedBackup
from harness.restore_test.scratch.amcheck import REMEDY, TABLE, amcheck
from harness.restore_test.scratch.outcome import DAMAGES, OBSTACLES, SITE, Outcome, Scratch, some
from harness.substrate.common.filesystem import make_folder
from harness.substrate.embedded.process_tree import Owner


def check_physical(scratch: Scratch, entry: CommittedBackup, *, newest: bool, known: Iterable[str]) -> Outcome:
    """Restore a physical backup, start PostgreSQL on it, and check every database; nothing of it is left.

    The newest is restored up to the end of its WAL, another one until it is consistent. `known`: findings about the
    repository, which are told once. Raises HarnessError of the store.
    """
    base = entry.commit.base if entry.commit is not None else None
    if newest or base is None:
        wanted = Wanted(Target(LATEST), entry.backup_id)
    else:
        wanted = Wanted(Target(CONSISTENT), entry.backup_id, base.timeline)
    with scratch.made() as local:
        tags = Owner(local.run, f"{SITE}/replay").tags
        folder = make_folder(local.run / SITE) / "data"
        try:
            done = restore(
                scratch.repository, scratch.private_pem, wanted, folder, scratch.journal, scratch.progress,
                lambda _way: None, tags,
            )  # fmt: skip
            found = _checked(scratch, programs_of(done.major, tags), done, newest=newest)
        except OBSTACLES as error:
            return Outcome(unchecked=(f"could not be restored here: {error}",))
        except DAMAGES as error:
            return Outcome((f"cannot be restored: {reason_of(error)}",))
    lost = tuple(line for line in done.findings if line not in frozenset(known))
    return Outcome((*lost, *found.findings), found.unchecked, found.notes, found.said)


def _checked(scratch: Scratch, programs: Programs, done: PointInTime, *, newest: bool) -> Outcome:
    """Check pages and databases of a restored data folder. Raises RestoreFailed, HarnessError."""
    if done.checksums:
        programs.run("pg_checksums", "--check", "-D", str(done.folder))
    findings: list[str] = []
    unchecked: list[str] = []
    notes = [line for line in done.warnings if "REINDEX" in line]
    tables: list[TableFacts] = []
    with serving(programs, done.folder, done.superuser) as place:
        source = sql_at(place, done.superuser)
        notes += roll_back_prepared(source)
        entries = [one for one in catalogue(source) if one.name != PRISTINE and one.valid]
        for entry in entries:
            if not entry.connectable:
                unchecked.append(f"database {entry.name}: it allows no connections")
                continue
            found = amcheck(programs, source, entry.name, scratch.config.backup.parallel)
            damages = [*found.findings]
            unchecked += found.unchecked
            notes += found.notes
            try:
                tables += _read(source, entry.name)
            except RestoreFailed as error:
                damages.append(f"database {entry.name}: cannot be read: {error}; {REMEDY[TABLE]}")
            if damages and (lacks := _lacking_libraries(programs, source, entry.name)):
                unchecked += lacks  # what a type or an index of a missing library says is no damage
            else:
                findings += damages
        if newest:
            findings += _asserted(scratch, source, entries)
    rows = sum(one.rows for one in tables)
    at = f"{show_lsn(done.position)} on timeline {done.timeline}"
    what = f"{len(entries)} databases, {len(tables)} tables with {rows} rows read"
    said = f"restored to {at}; {what}; B-tree indexes agree with them"
    return Outcome(some(tuple(findings)), tuple(dict.fromkeys(unchecked)), tuple(notes), said)


def _lacking_libraries(programs: Programs, source: Sql, database: str) -> tuple[str, ...]:
    """Return a line for each library that functions of a database need and this machine lacks. Raises HarnessError."""
    with connect(source, database) as connection:
        libraries = read_libraries(connection)
    needs = Needs(databases=(DatabaseNeeds(database, "b", "C", "C", libraries),))
    return lacking(needs, Here(programs), database).libraries


def _read(source: Sql, database: str) -> tuple[TableFacts, ...]:
    """Read every table whole, and return the tables. Raises RestoreFailed for the first that cannot be."""
    try:
        with connect(source, database) as connection:
            begin_reading(connection)
            return read_tables(connection)
    except psycopg.Error as error:
        raise RestoreFailed(one_line(error)) from error
    except HarnessError as error:
        raise RestoreFailed(str(error)) from error


def _asserted(scratch: Scratch, source: Sql, entries: Iterable[DatabaseEntry]) -> list[str]:
    """Return the declared assertions that do not hold, of the databases that are there."""
    there = {one.name for one in entries}
    tables = {name: table for name, table in scratch.config.databases.items() if name in there}
    if not tables:
        return []
    with clerk(source) as sql:
        asked = run_assertions(scratch.config.model_copy(update={"databases": tables}), sql)
    return [one.line for one in asked if not one.passed]
