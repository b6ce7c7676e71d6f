"""pg_amcheck on a database of a restored server: heap pages, and each B-tree index compared with its table.

What it prints of a damage: `heap table "DATABASE.SCHEMA.TABLE", block 0, offset 1:` or `btree index "...":`, and then
lines that are indented (PostgreSQL documentation, "pg_amcheck").
"""

import re
from collections.abc import Iterator, Sequence

from harness.core.service import Sql
from harness.physical.programs import Programs
from harness.postgres.client import conninfo, session_variables
from harness.postgres.identity import ask
from harness.restore_test.scratch.outcome import Outcome, some

NAME, DAMAGED = "pg_amcheck", 2  # its exit code when it found a damage
UNIQUE = 17  # first major that compares unique indexes as well
HEAD = re.compile(r'(heap table|btree index) "(.+?)"(?:, .*)?:')
AVAILABLE = "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'"
# Of other kinds than B-tree, for which pg_amcheck has no check, and those that PostgreSQL itself does not use.
OTHERS = """
SELECT CASE WHEN i.indisvalid THEN a.amname::text ELSE 'invalid' END, count(*)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE c.relkind = 'i' AND (a.amname <> 'btree' OR NOT i.indisvalid) GROUP BY 1 ORDER BY 1
"""
TABLE = "heap table"  # as pg_amcheck calls it
REMEDY = {
    TABLE: "restore the table from an earlier backup that passes, and take a new physical one",
    "btree index": "REINDEX INDEX on the primary, take a new physical backup, and REINDEX after a restore of this one",
}


def amcheck(programs: Programs, source: Sql, database: str, jobs: int) -> Outcome:
    """Check all tables and B-tree indexes of a database. Raises HarnessError when the server does not answer.

    The extension amcheck is made in the database, which is thrown away. `jobs`: connections at a time.
    """
    if not (programs.folder / NAME).is_file():
        return _unchecked(f"{NAME} of PostgreSQL {programs.major} is missing in {programs.folder}; install it")
    if not ask(source, AVAILABLE, database):
        return _unchecked(
            f"PostgreSQL {programs.major} in {programs.folder} lacks the extension amcheck; install its contrib modules"
        )
    others = ask(source, OTHERS, database)
    words = ["--heapallindexed", "--on-error-stop", "--install-missing", f"--jobs={jobs}", "--no-password"]
    if programs.major >= UNIQUE:
        words.append("--checkunique")
    # As in our own sessions, and no event trigger of the backup runs when the extension is made.
    own = {"session_replication_role": "replica"}
    done = programs.end(
        NAME, *words, conninfo(source, database),
        variables=session_variables(source, programs.major, reading=False, settings=own),
    )  # fmt: skip
    notes = [f"database {database}: no check exists for {count} indexes of kind {kind}" for kind, count in others]
    findings = tuple(_findings(database, done.stdout.splitlines()))
    if done.returncode not in (0, DAMAGED) or (done.returncode and not findings):
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        why = said[-1] if said else f"exit code {done.returncode}"
        return Outcome(findings, (f"database {database}: {why}",), tuple(notes))
    return Outcome(some(findings), (), tuple(notes))


def _unchecked(why: str) -> Outcome:
    return Outcome(unchecked=(f"tables and indexes were not checked: {why}",))


def _findings(database: str, lines: Sequence[str]) -> Iterator[str]:
    """Yield a line for each damaged table and index: the first that is said of it, how much more, and the remedy."""
    said: dict[tuple[str, str], list[str]] = {}
    under: list[str] | None = None
    for line in lines:
        if (head := HEAD.match(line)) is not None:
            under = said.setdefault((head[1], head[2].removeprefix(f"{database}.")), [])
        elif under is not None and line.startswith(" ") and not line.strip().startswith(("HINT:", "DETAIL:")):
            under.append(line.strip().removeprefix("ERROR:").strip())
    for (kind, name), found in said.items():
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        first = found[0] if found else "damaged"
        yield f"database {database}: {kind.split()[-1]} {name}: {first}{more}; {REMEDY[kind]}"
