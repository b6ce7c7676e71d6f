"""Restores: roles first, then every database from its dump in the spool."""

import re
from collections.abc import Iterator

from harness.core.contents import DatabaseFacts
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.node import Site, Task
from harness.core.service import Sql
from harness.patience import PATIENCE
from harness.postgres.client import client_task, how_it_ended
from harness.postgres.identity import MAINTENANCE, ask
from harness.postgres.server import maintenance

CREATE_ROLE = re.compile(rb'CREATE ROLE ("(?:[^"]|"")+"|[^\s;"]+);')
ALTER_ROLE = re.compile(rb'ALTER ROLE ("(?:[^"]|"")+"|[^\s;"]+) WITH ')

# A restore that fails is begun again from nothing, so its commits need not wait for the disk one by one; the
# server writes them out within a second all the same, and fsync stays on.
SESSION = {"synchronous_commit": "off", "maintenance_work_mem": "256MB"}


def restore_globals(site: Site, sql: Sql, text: bytes) -> None:
    """Make the roles of `text`, which `pg_dumpall --globals-only` wrote. All of them or, with RestoreFailed, none.

    The superuser we come as keeps the attributes and the password that it has on this server; of other roles
    that are already there, the attributes become those of the backup.
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
        "--set=VERBOSITY=terse",  # no echo of the statement: it holds a password's verifier
        "--set=SHOW_CONTEXT=never",
        "--file=-",
        database=maintenance(sql),
        stdin=kept,
    )
    _run(site, task, f"roles at {sql.outside}")


def _wanted(text: bytes, roles: frozenset[str], superuser: str) -> Iterator[bytes]:
    """Yield the lines to run: a role that exists is not created, our superuser is not altered."""
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
    """Restore a database from its dump in the spool volume, `jobs` at once. Raises RestoreFailed at the first error."""
    # The maintenance database is there from the first day; every other is made by the restore.
    create = () if facts.name == MAINTENANCE else ("--create",)
    task = client_task(
        site,
        "pg_restore",
        sql,
        "--exit-on-error",
        "--no-tablespaces",
        f"--jobs={jobs}",
        *create,
        f"@{{volume:{spool_volume}}}/{spool_path}",
        database=facts.name if facts.name == MAINTENANCE else maintenance(sql),
        volumes=(spool_volume,),
        settings=SESSION,
        reading=False,
    )
    _run(site, task, f"database {facts.name} at {sql.outside}")


def _run(site: Site, task: Task, what: str) -> None:
    """Run a client to its end; raises RestoreFailed when it fails or cannot even be run."""
    try:
        with site.run(task) as running:
            running.stdout.read()
            done = running.finish(PATIENCE.restore_database)
    except HarnessError as error:
        raise RestoreFailed(f"{task.name}: {error}") from error
    if done.code:
        raise RestoreFailed(f"{what}: {how_it_ended(done)}")
