"""Restore of roles, then of every database from its dump in the spool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from harness.core.contents import DatabaseFacts
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.node import Completed, Site, Task
from harness.core.service import Sql
from harness.patience import PATIENCE
from harness.postgres.dump import client_task, conninfo, how_it_ended
from harness.postgres.identity import MAINTENANCE, ask

CREATE_ROLE = re.compile(rb'CREATE ROLE ("(?:[^"]|"")+"|[^\s;"]+);')
ALTER_ROLE = re.compile(rb'ALTER ROLE ("(?:[^"]|"")+"|[^\s;"]+) WITH ')

# A failed restore starts over on an empty server, so its commits need not wait for the disk. The server still writes
# them out within a second, and fsync stays on.
SESSION = "-c synchronous_commit=off -c maintenance_work_mem=256MB"


def restore_globals(site: Site, sql: Sql, text: bytes) -> None:
    """Restore the roles of `text`, from `pg_dumpall --globals-only`, in one transaction; raises RestoreFailed.

    The connected superuser keeps its attributes and password. Other existing roles get the attributes of the backup.
    """
    roles = frozenset(str(name) for (name,) in ask(sql, "SELECT rolname FROM pg_catalog.pg_roles"))
    kept = b"".join(_wanted(text, roles, sql.user))
    task = client_task(
        site,
        "psql",
        sql,
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        "--set=VERBOSITY=terse",  # do not echo the statement: it contains a password verifier
        "--set=SHOW_CONTEXT=never",
        f"--dbname={conninfo(MAINTENANCE)}",
        "--file=-",
        stdin=kept,
    )
    done = _run(site, task)
    if done.code:
        raise RestoreFailed(f"roles at {sql.outside}: {how_it_ended(done)}")


def _wanted(text: bytes, roles: frozenset[str], superuser: str) -> Iterator[bytes]:
    """Yield the statements to run, without creation of existing roles and changes of the superuser."""
    for line in text.splitlines(keepends=True):
        created, altered = CREATE_ROLE.match(line), ALTER_ROLE.match(line)
        if created and _name(created) in roles:
            continue
        if altered and _name(altered) == superuser:
            continue
        yield line


def _name(match: re.Match[bytes]) -> str:
    quoted = match.group(1).decode()
    return quoted[1:-1].replace('""', '"') if quoted.startswith('"') else quoted


def restore_database(site: Site, sql: Sql, facts: DatabaseFacts, spool_volume: str, spool_path: str, jobs: int) -> None:
    """Create the database of `facts` from its dump `spool_path` in volume `spool_volume`, with `jobs` in parallel.

    The dump contains owner, encoding, locale, grants and settings of the database. Raises RestoreFailed with the
    output of pg_restore at its first error.
    """
    # The maintenance database exists already; the restore creates every other.
    target = (
        (f"--dbname={conninfo(MAINTENANCE)}",)
        if facts.name == MAINTENANCE
        else ("--create", f"--dbname={conninfo(MAINTENANCE)}")
    )
    task = client_task(
        site,
        "pg_restore",
        sql,
        "--exit-on-error",
        "--no-tablespaces",
        f"--jobs={jobs}",
        *target,
        f"@{{volume:{spool_volume}}}/{spool_path}",
        volumes=(spool_volume,),
    )
    done = _run(site, replace(task, env={**task.env, "PGOPTIONS": SESSION}))
    if done.code:
        raise RestoreFailed(f"database {facts.name} at {sql.outside}: {how_it_ended(done)}")


def _run(site: Site, task: Task) -> Completed:
    """Run a client and return its result; raises RestoreFailed when it cannot be run."""
    try:
        with site.run(task) as running:
            running.stdout.read()
            return running.finish(PATIENCE.restore_database)
    except HarnessError as error:
        raise RestoreFailed(f"{task.name}: {error}") from error
