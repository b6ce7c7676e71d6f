"""Changes of functions of extensions, made again after CREATE EXTENSION and before anything depends on them.

An index on an expression needs a function that is IMMUTABLE. What is made is one ALTER FUNCTION of names and of words
from a closed set: no text of a backup is a statement. Body, settings and SECURITY DEFINER are named and not made.

What a user said of another body is not true of the one that is here: a function in C that is called on NULL, as one in
SQL may be, reads from address zero and ends the server. There only the volatility is made, for an index.
"""

from collections.abc import Iterable, Iterator, Sequence

import psycopg
from psycopg import sql as compose

from harness.core.contents import DatabaseFacts
from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.core.text import some
from harness.postgres.extensions.functions import Function, functions_of, parse_functions
from harness.postgres.server import connect, one_line, said
from harness.postgres.session import Connection, speak_bytes

VOLATILE = {"i": "IMMUTABLE", "s": "STABLE", "v": "VOLATILE"}
PARALLEL = {"s": "PARALLEL SAFE", "r": "PARALLEL RESTRICTED", "u": "PARALLEL UNSAFE"}
SHOWN = 5  # functions that a line names


def change_functions(sql: Sql, facts: DatabaseFacts, extensions: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """Give functions of these extensions the properties that they had.

    Return which were changed, and a line for each kind of change that was not made. Raises RestoreFailed, Unreadable.
    """
    there = set(extensions)
    wanted = [one for one in parse_functions(facts.properties) if one.extension in there]
    if not wanted:
        return [], ()
    try:
        with connect(sql, facts.name, application="blackstart restore", reading=False) as connection:
            speak_bytes(connection)
            connection.execute("SET search_path = ''")
            here = {one.key: one for one in functions_of(connection, sorted({one.extension for one in wanted}))}
            pairs = [(one, here[one.key]) for one in wanted if one.key in here]
            made = [f"changes of function {one.label}" for one, now in pairs if _change(connection, one, now)]
    except (psycopg.Error, HarnessError) as error:
        raise RestoreFailed(f"database {facts.name} at {sql.outside}: {said(error)}") from error
    return made, tuple(_lines(wanted, pairs))


def _change(connection: Connection, wanted: Function, here: Function) -> bool:
    """Change a function where it differs, and return whether it did. Raises HarnessError that names it."""
    clauses = list(_clauses(wanted, here))
    if not clauses:
        return False
    types = (compose.Identifier(*names) for names in zip(wanted.schemas, wanted.types, strict=True))
    statement = compose.SQL("ALTER FUNCTION {}({}) {}").format(
        compose.Identifier(wanted.schema, wanted.name), compose.SQL(", ").join(types), compose.SQL(" ").join(clauses)
    )
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        remedy = "; restore as a superuser" if isinstance(error, psycopg.errors.InsufficientPrivilege) else ""
        raise HarnessError(
            f"function {wanted.label} of extension {wanted.extension}: {one_line(error)}{remedy}"
        ) from error
    return True


def _clauses(wanted: Function, here: Function) -> Iterator[compose.Composable]:
    if wanted.volatile != here.volatile:
        yield compose.SQL(VOLATILE[wanted.volatile])
    if _same_body(wanted, here):
        yield from _of_body(wanted, here)


def _same_body(wanted: Function, here: Function) -> bool:
    """Return whether both run the same. Of a function in C its body is a name, by which each version has its own."""
    return wanted.body == here.body and wanted.version == here.version


def _of_body(wanted: Function, here: Function) -> Iterator[compose.Composable]:
    """Yield what differs of the properties that are true of one body alone."""
    if wanted.parallel != here.parallel:
        yield compose.SQL(PARALLEL[wanted.parallel])
    if wanted.strict != here.strict:
        yield compose.SQL("STRICT" if wanted.strict else "CALLED ON NULL INPUT")
    if wanted.leakproof != here.leakproof:
        yield compose.SQL("LEAKPROOF" if wanted.leakproof else "NOT LEAKPROOF")
    if wanted.cost != here.cost and wanted.cost:
        yield compose.SQL("COST {}").format(compose.Literal(wanted.cost))
    if wanted.rows != here.rows and wanted.rows and here.rows:  # 0 where it returns no set
        yield compose.SQL("ROWS {}").format(compose.Literal(wanted.rows))


def _lines(wanted: Sequence[Function], pairs: Sequence[tuple[Function, Function]]) -> Iterator[str]:
    """Yield a line for each kind of change that is not made, with the functions of an extension."""
    there = {one.key for one, _ in pairs}
    others = [(one, now) for one, now in pairs if one.body != now.body]
    differing = {
        "functions that are not there, their changes are not restored": [
            (one, "") for one in wanted if one.key not in there
        ],
        "functions with another body in the backup, not restored": [
            (one, "") for one, now in others if one.version == now.version
        ],
        "functions of another version in the backup, whose bodies cannot be compared": [
            (one, one.version) for one, now in others if one.version != now.version
        ],
        "functions with properties of another body or version in the backup, not restored": [
            (one, _words(one, now)) for one, now in pairs if not _same_body(one, now) and _words(one, now)
        ],
        "functions with other settings (SET) in the backup, not restored": [
            (one, ", ".join(one.settings)) for one, now in pairs if one.configured != now.configured
        ],
        "functions with another SECURITY in the backup, not restored": [
            (one, "") for one, now in pairs if one.definer != now.definer
        ],
    }
    for what, functions in differing.items():
        for extension in dict.fromkeys(one.extension for one, _ in functions):
            named = [f"{one.label}{f' ({why})' * bool(why)}" for one, why in functions if one.extension == extension]
            yield f"extension {extension}: {what}: {some(named, SHOWN)}"


def _words(wanted: Function, here: Function) -> str:
    return ", ".join(clause.as_string() for clause in _of_body(wanted, here))
