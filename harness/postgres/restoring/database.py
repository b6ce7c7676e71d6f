"""Restore of one database from its dump in the spool, by pg_restore."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.contents import DatabaseFacts
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.node import Completed, Site, Task
from harness.core.service import Sql
from harness.patience import PATIENCE
from harness.postgres.client import client_task
from harness.postgres.restoring import quiet
from harness.postgres.server import major

# A restore that fails is begun again from nothing, so its commits need not wait for the disk one by one; the
# server writes them out within a second all the same, and fsync stays on.
SESSION = {"synchronous_commit": "off", "maintenance_work_mem": "256MB", "client_min_messages": "error"}
STATISTICS = 18  # the first server that takes planner statistics
TIMEOUT = 17  # the first server that knows transaction_timeout, which pg_restore sets since that version
UNKNOWN = 'unrecognized configuration parameter "transaction_timeout"'
HIDES = "a worker process died unexpectedly"  # follows the reason
# Constraints that are not valid come after the data. Of a domain's, pg_restore does not know which tables use it, and
# several connections would make it while the data are loaded.
# The jobs of pg_cron come last: they are held at once.
LATE = ("CHECK CONSTRAINT", "TABLE DATA cron job")
VIEW_DATA = "MATERIALIZED VIEW DATA"
SCHEDULER = f"EXTENSION - {quiet.SCHEDULER}"
# With one of these, functions are held before any data are loaded: what is evaluated then may call them.
OUTWARD = ("SERVER", "FOREIGN DATA WRAPPER", *(f"EXTENSION - {name}" for name in quiet.CALLERS))
ENTRY = re.compile(rb"^(\d+); \d+ \d+ (.*)$")


@dataclass(frozen=True, slots=True)
class Spooled:
    """A dump in a volume of the site, and how many connections its restore may open."""

    site: Site
    volume: str
    path: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the table of contents of a dump. `what`: kind, schema, name and owner, separated by spaces."""

    number: str
    what: bytes  # of the database's encoding

    def is_a(self, *kinds: str) -> bool:
        """Whether it is of one of the kinds."""
        return self.what.startswith(tuple(f"{kind} ".encode() for kind in kinds))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A restored database. `views`: materialised views to fill, in order; `held`: what was held meanwhile."""

    views: tuple[bytes, ...]
    held: tuple[quiet.Held, ...]


def restore_database(sql: Sql, facts: DatabaseFacts, dump: Spooled) -> Loaded:
    """Restore the contents of a database, which is there and empty; raises RestoreFailed at the first error.

    Materialised views stay empty. Nothing that is restored reaches another system.
    """
    entries = contents(sql, facts, dump)
    views = [entry for entry in entries if entry.is_a(VIEW_DATA)]
    old = major(sql) < STATISTICS
    left_out = {*views, *(entry for entry in entries if old and entry.is_a("STATISTICS DATA"))}
    late = [entry for entry in entries if entry.is_a(*LATE)]
    most = [entry for entry in entries if entry not in left_out and entry not in late]
    if any(entry.is_a(*OUTWARD) for entry in entries):
        _run_restore(sql, facts, dump, most, "pre-data")
        quiet.hold_functions(sql, facts.name)
        _run_restore(sql, facts, dump, most, "data", "post-data")
    else:
        _run_restore(sql, facts, dump, most)
    if late:
        _run_restore(sql, facts, dump, late)
    held = quiet.hold_jobs(sql, facts.name) if any(entry.is_a(SCHEDULER) for entry in entries) else ()
    return Loaded(tuple(entry.what.removeprefix(f"{VIEW_DATA} ".encode()) for entry in views), held)


def contents(sql: Sql, facts: DatabaseFacts, dump: Spooled) -> tuple[Entry, ...]:
    """Return the table of contents of a dump; raises RestoreFailed."""
    source = f"@{{volume:{dump.volume}}}/{dump.path}"
    task = client_task(dump.site, "pg_restore", sql, "--list", source, database=facts.name, volumes=(dump.volume,))
    text, done = _run(dump.site, task)
    if done.code:
        raise RestoreFailed(f"database {facts.name} at {sql.outside}: its dump cannot be listed: {reason(done)}")
    found = (ENTRY.match(line) for line in text.splitlines())
    return tuple(Entry(match.group(1).decode(), match.group(2)) for match in found if match)


def _run_restore(sql: Sql, facts: DatabaseFacts, dump: Spooled, entries: Sequence[Entry], *sections: str) -> None:
    chosen = f"{dump.path}.list"
    with dump.site.volume(dump.volume).open(chosen, "wb") as file:
        file.write("".join(f"{entry.number};\n" for entry in entries).encode())
    folder = f"@{{volume:{dump.volume}}}"
    old = major(sql) < TIMEOUT
    task = client_task(
        dump.site,
        "pg_restore",
        sql,
        "--verbose",  # names the entry that an error is about
        *(() if old else ("--exit-on-error",)),
        "--no-tablespaces",
        f"--jobs={dump.jobs}",
        *(f"--section={section}" for section in sections),
        f"--use-list={folder}/{chosen}",
        f"{folder}/{dump.path}",
        database=facts.name,
        volumes=(dump.volume,),
        settings=SESSION,
        reading=False,
    )
    _, done = _run(dump.site, task)
    if done.code == 1 and old and UNKNOWN in done.errors and not errors_in(done.errors):
        return
    if done.code:
        raise RestoreFailed(f"database {facts.name} at {sql.outside}: {reason(done)}")


def _run(site: Site, task: Task) -> tuple[bytes, Completed]:
    """Run a client to its end and return its output; raises RestoreFailed when it cannot be run."""
    try:
        with site.run(task) as running:
            text = running.stdout.read()
            return text, running.finish(PATIENCE.restore_database)
    except HarnessError as error:
        raise RestoreFailed(f"{task.name}: {error}") from error


def errors_in(text: str) -> tuple[str, ...]:
    """Return the errors in what pg_restore said, each with the entry of the dump that it is about, oldest first."""
    found, entry = [], ""
    for line in text.splitlines():
        _, known, rest = line.partition("from TOC entry ")
        if known:
            entry = rest.partition("; ")[2].partition(" ")[2].partition(" ")[2]
            continue
        _, failed, said = line.partition("pg_restore: error: ")
        if failed and UNKNOWN not in said:
            found.append(f"{entry}: {said}" if entry else said)
        entry = ""
    return tuple(found)


def reason(done: Completed) -> str:
    """Return the first error of pg_restore, its last line without one, and how it ended, in one line."""
    code = f"ended by signal {-done.code}" if done.code < 0 else f"exit code {done.code}"
    errors = errors_in(done.errors)
    lines = [line.strip() for line in done.errors.splitlines() if line.strip()] or ["no message"]
    first = next((line for line in errors if HIDES not in line), (*errors, lines[-1])[0])
    return f"{first} ({code})"
