"""Restore of one database from its dump in the spool, by pg_restore."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from harness.core.contents import DatabaseFacts
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.node import Completed, Site, Task
from harness.core.service import Sql
from harness.patience import PATIENCE
from harness.postgres.allowed import NOTHING, Allowed, remedy
from harness.postgres.client import client_task
from harness.postgres.contents.properties import NO_PUBLIC
from harness.postgres.extensions.changes import change_functions
from harness.postgres.restoring import quiet
from harness.postgres.restoring.owners import align_owners, grant_all, refused_grants
from harness.postgres.restoring.restorer import PREFIX, restorer
from harness.postgres.restoring.superuser import FORMS, LAST, LENT, UNSAID, Superuser, refused
from harness.postgres.restoring.toc import Entry, read_contents
from harness.postgres.server import major

# A restore that fails is begun again from nothing, so its commits need not wait for the disk one by one; the
# server writes them out within a second all the same, and fsync stays on.
SESSION = {"synchronous_commit": "off", "maintenance_work_mem": "256MB", "client_min_messages": "error"}
STATISTICS = 18  # the first server that takes planner statistics
TIMEOUT = 17  # the first server that knows transaction_timeout, which pg_restore sets since that version
UNKNOWN = 'unrecognized configuration parameter "transaction_timeout"'
PROGRESS = re.compile("(?:connecting|creating|entering|executing|finished|launching|processing|skipping) ")
PIECES = re.compile("^(?:pg_restore:| |error: )+")  # of lines of other processes, written before a message
HIDES = "a worker process died unexpectedly"  # follows the reason
# Constraints that are not valid come after the data. Of a domain's, pg_restore does not know which tables use it, and
# several connections would make it while the data are loaded.
# The jobs of pg_cron come last: they are held at once.
LATE = ("CHECK CONSTRAINT", "TABLE DATA cron job")
FULL = re.compile(r"could not extend file .*: wrote only|No space left on device")
REFUSED_LANGUAGE = re.compile(r"permission denied for language (\w+)")
NO_ENTRY = "pg_hba.conf"  # in the refusal of a connection
VIEW_DATA = "MATERIALIZED VIEW DATA"
SCHEDULER = f"EXTENSION - {quiet.SCHEDULER}"
# With one of these, functions are held before any data are loaded: what is evaluated then may call them.
OUTWARD = ("SERVER", "FOREIGN DATA WRAPPER", *(f"EXTENSION - {name}" for name in quiet.CALLERS))
GRANTS = "ACL"
COMPOSED = ("SCHEMA", "EXTENSION")  # made from their names alone
TEXTS = frozenset((*FORMS, GRANTS, "EXTENSION", "BLOB METADATA"))  # kinds of entries whose texts are looked at
SHOWN = 5  # entries that a refusal names


@dataclass(frozen=True, slots=True)
class Spooled:
    """A dump in a volume of the site, and how many connections its restore may open."""

    site: Site
    volume: str
    path: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A restored database.

    `views`: materialised views to fill, in order; `held`: what was held meanwhile; `by_superuser`: what of the dump a
    superuser had to make; `unlabelled`: providers of security labels that the server has not loaded, and the objects
    that have their labels; `unchanged`: changes of functions of extensions that were not made, a line each.
    """

    views: tuple[bytes, ...]
    held: tuple[quiet.Held, ...]
    by_superuser: tuple[str, ...] = ()
    unlabelled: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unchanged: tuple[str, ...] = ()


def restore_database(sql: Sql, facts: DatabaseFacts, dump: Spooled, allowed: Allowed = NOTHING) -> Loaded:
    """Restore the contents of a database, which is there and empty; raises RestoreFailed at the first error.

    A role that is no superuser restores it; what a superuser has to make is made entry by entry. Materialised views
    stay empty. Nothing that is restored reaches another system.
    """
    entries = contents(sql, facts, dump)
    if wrong := [*refused(entries, allowed), *refused_grants(entries, allowed)]:
        raise RestoreFailed(f"database {facts.name} at {sql.outside}: {'; '.join(wrong[:SHOWN])}")
    superuser = Superuser(sql, facts.name, allowed)
    last = [entry for entry in entries if entry.kind == LAST]
    described = [entry for entry in entries if entry.kind in UNSAID and superuser.makes(entry)]
    with restorer(sql, facts.name) as own:
        unchanged = _Load(own, facts, dump, superuser).load(entries)
        held = quiet.hold_jobs(sql, facts.name) if any(entry.is_a(SCHEDULER) for entry in entries) else ()
        align_owners(sql, facts.name, [entry for entry in entries if entry.kind != LAST], allowed)
        grant_all(sql, facts.name, [entry for entry in entries if entry.kind == GRANTS])
        superuser.make([entry for entry in described if not entry.name.startswith(LAST.encode())])
    superuser.make(last)
    superuser.make([entry for entry in described if entry.name.startswith(LAST.encode())])
    if last:
        align_owners(sql, facts.name, last, allowed)
    views = tuple(entry.line.removeprefix(f"{VIEW_DATA} ".encode()) for entry in entries if entry.kind == VIEW_DATA)
    return Loaded(views, held, tuple(superuser.made), superuser.unlabelled, unchanged)


@dataclass(frozen=True, slots=True)
class _Load:
    """The contents of a database without owners and privileges. `sql`: the connection of the role that restores."""

    sql: Sql
    facts: DatabaseFacts
    dump: Spooled
    superuser: Superuser

    def load(self, entries: Sequence[Entry]) -> tuple[str, ...]:
        """Make schemas and extensions, then what is before the data, the data, what is after them.

        Return a line for each kind of change of extensions' functions that was not made.
        """
        public = NO_PUBLIC not in dict(self.facts.properties)
        self.superuser.prepare(entries, self.sql.user, public=public)
        extensions = (entry.name.decode(errors="replace") for entry in entries if entry.kind == "EXTENSION")
        changed, unchanged = change_functions(self.superuser.sql, self.facts, extensions)
        self.superuser.made += changed
        old = major(self.sql) < STATISTICS
        kept = [
            entry
            for entry in entries
            if entry.kind not in (VIEW_DATA, GRANTS, LAST, *UNSAID[1:], *COMPOSED)
            and not (old and entry.kind == "STATISTICS DATA")
            and not (entry.kind in UNSAID and self.superuser.makes(entry))
        ]
        before = [entry for entry in kept if entry.before_data]
        late = [entry for entry in kept if entry.is_a(*LATE)]
        rest = [entry for entry in kept if not entry.before_data and entry not in late]
        for by_superuser, group in groupby((e for e in before if e not in late), self.superuser.makes):
            self._some(list(group), by_superuser=by_superuser)
        if any(entry.is_a(*OUTWARD) for entry in entries):
            quiet.hold_functions(self.superuser.sql, self.facts.name)
        if any(entry.is_a(SCHEDULER) for entry in entries):
            quiet.begin_to_hold_jobs(self.superuser.sql, self.facts.name)
        _run_restore(self.sql, self.facts, self.dump, [entry for entry in rest if not self.superuser.makes(entry)])
        self._some([entry for entry in rest if self.superuser.makes(entry)], by_superuser=True)
        if late:
            self._some(late, by_superuser=False)
        return unchanged

    def _some(self, entries: Sequence[Entry], *, by_superuser: bool) -> None:
        if by_superuser:
            self.superuser.make(entries)
            lent = [replace(entry, owner=self.sql.user.encode()) for entry in entries if entry.kind in LENT]
            if lent:
                align_owners(self.superuser.sql, self.facts.name, lent, NOTHING)
        else:
            _run_restore(self.sql, self.facts, self.dump, entries)


def contents(sql: Sql, facts: DatabaseFacts, dump: Spooled) -> tuple[Entry, ...]:
    """Return the table of contents of a dump; raises RestoreFailed."""
    try:
        with dump.site.volume(dump.volume).open(dump.path, "rb") as source:
            return read_contents(f"database {facts.name} at {sql.outside}", source, TEXTS)
    except (HarnessError, OSError) as error:
        raise RestoreFailed(f"database {facts.name} at {sql.outside}: its dump cannot be read: {error}") from error


def _run_restore(sql: Sql, facts: DatabaseFacts, dump: Spooled, entries: Sequence[Entry]) -> None:
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
        "--no-owner",
        "--no-privileges",
        f"--jobs={dump.jobs}",
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
        raise RestoreFailed(f"database {facts.name} at {sql.outside}: {reason(done)}{_hint(done.errors)}")


def _hint(errors: str) -> str:
    """Return what to do about a refusal of the role that restores or a full disk, "" for any other error."""
    if FULL.search(errors):
        return "; the disk of the database server is full"
    if language := REFUSED_LANGUAGE.search(errors):
        return f"; {remedy(f'language {language.group(1)}')}"
    return f"; let roles {PREFIX}* in as the superuser is" if NO_ENTRY in errors else ""


def _run(site: Site, task: Task) -> tuple[bytes, Completed]:
    """Run a client to its end and return its output; raises RestoreFailed when it cannot be run."""
    try:
        with site.run(task) as running:
            text = running.stdout.read()
            return text, running.finish(PATIENCE.restore_database)
    except HarnessError as error:
        raise RestoreFailed(f"{task.name}: {error}") from error


def errors_in(text: str) -> tuple[str, ...]:
    """Return the errors in what pg_restore said, each with the entry of the dump that it is about, oldest first.

    Its processes write at the same time, and each writes a line in pieces: the program's name with a colon, a space,
    the level, the message with the end of the line. Pieces of other processes stand anywhere between them.
    """
    found, entry, failed = [], "", False
    for line in text.splitlines():
        _, known, rest = line.partition("from TOC entry ")
        if known:
            entry = rest.partition("; ")[2].partition(" ")[2].partition(" ")[2]
            continue
        before, level, said = line.partition("error: ")
        if level and (entry or not PIECES.sub("", before)):
            failed = True
        said = PIECES.sub("", said if failed and level else line)
        if failed and said and not PROGRESS.match(said):
            if UNKNOWN not in said:
                found.append(f"{entry}: {said}" if entry else said)
            entry, failed = "", False
        elif "warning: " in line:
            entry = ""
    return tuple(found)


def reason(done: Completed) -> str:
    """Return the first error of pg_restore, its last line without one, and how it ended, in one line."""
    code = f"ended by signal {-done.code}" if done.code < 0 else f"exit code {done.code}"
    errors = errors_in(done.errors)
    lines = [line.strip() for line in done.errors.splitlines() if line.strip()] or ["no message"]
    first = next((line for line in errors if HIDES not in line), (*errors, lines[-1])[0])
    return f"{' '.join(first.split())} ({code})"
