"""Assertions on restored databases: those of the declaration, read-only queries, and those of services."""

import math
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from functools import partial

import psycopg

from harness.core.errors import HarnessError, reason_of
from harness.core.journal import Fact, Journal
from harness.core.parallel import in_parallel
from harness.core.service import Asserting, AssertionResult, Place, Service, Sql
from harness.estate.config import AssertionTable, Config
from harness.patience import PATIENCE
from harness.postgres.server import connect, one_line

SHOWN = 120  # characters of a result in the record
MOST_ROWS = 1000  # of a result that are read
READ_ONLY = "SET TRANSACTION READ ONLY"


def run_assertions(config: Config, sql: Sql) -> tuple[AssertionResult, ...]:
    """Ask every declared query of the restored databases of a server; return the results in declaration order.

    A query that fails, or that takes longer than its patience, is an assertion that failed.
    """
    asked = {name: partial(_of_database, sql, name, table.assertions) for name, table in config.databases.items()}
    return tuple(result for results in in_parallel(asked).values() for result in results)


def asserted_by(services: Sequence[Service], place: Place) -> tuple[AssertionResult, ...]:
    """Return what the services that look at their restored data found on a site."""
    asking = {
        service.name: partial(service.assertions, place) for service in services if isinstance(service, Asserting)
    }
    return tuple(result for results in in_parallel(asking).values() for result in results)


def note_results(journal: Journal, results: Sequence[AssertionResult]) -> None:
    """Journal each result; one that could neither pass nor fail has no fact `passed`."""
    for one in results:
        passed: dict[str, Fact] = {} if one.passed is None else {"passed": one.passed}
        journal.mark("assertion", one.name, database=one.database, message="", detail=one.detail, **passed)


def _of_database(sql: Sql, database: str, assertions: Sequence[AssertionTable]) -> tuple[AssertionResult, ...]:
    return tuple(_run(sql, database, one) for one in assertions)


def _run(sql: Sql, database: str, declared: AssertionTable) -> AssertionResult:
    passed = False
    try:
        rows = _ask(sql, database, declared.query)
        passed, detail = compare(declared, rows)
    except HarnessError as error:
        detail = reason_of(error)
    return AssertionResult(database, declared.name or " ".join(declared.query.split()), passed, detail)


def _ask(sql: Sql, database: str, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query in a read-only transaction. Raises HarnessError."""
    with connect(sql, database, application="blackstart assertion") as connection:
        try:
            with connection.transaction():
                connection.execute(READ_ONLY)
                connection.execute(f"SET LOCAL statement_timeout = {round(PATIENCE.assertion * 1000)}")
                # Prepared, because the server then refuses a second statement, which could end the transaction.
                cursor = connection.execute(query.encode(), prepare=True)
                rows = cursor.fetchmany(MOST_ROWS + 1) if cursor.description else []
        except psycopg.Error as error:
            raise HarnessError(f"the query cannot be answered: {one_line(error)}") from error
    if len(rows) > MOST_ROWS:
        raise HarnessError(f"returns more than {MOST_ROWS} rows; count them in the query")
    return rows


def compare(declared: AssertionTable, rows: Sequence[tuple[object, ...]]) -> tuple[bool, str]:
    """Return whether the rows are as declared, and what was found and expected."""
    if isinstance(declared.returns, tuple):
        wide = any(isinstance(row, list | tuple) for row in declared.returns)
        found = [list(row) if wide or len(row) != 1 else row[0] for row in rows]
        return _said(same(found, list(declared.returns)), found, repr(list(declared.returns)))
    if len(rows) != 1 or len(rows[0]) != 1:
        columns = f" of {len(rows[0])} columns" if rows else ""
        return False, f"returned {len(rows)} rows{columns}, not one value"
    ((value,),) = rows
    if declared.at_least is not None:
        number = value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else math.nan
        enough = not math.isnan(number) and number >= declared.at_least
        return _said(enough, value, f"at least {declared.at_least}")
    return _said(same(value, declared.returns), value, repr(declared.returns))


def same(found: object, expected: object) -> bool:
    """Return whether a value of PostgreSQL equals one of TOML. Types that TOML lacks are compared by their text."""
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(same(one, other) for one, other in zip(found, expected, strict=True))
        )
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, int | float | Decimal) and isinstance(expected, int | float):
        return float(found) == float(expected) if isinstance(expected, float) else found == expected
    if isinstance(expected, str):
        return found is not None and str(found) == expected
    return isinstance(expected, date | time) and found == expected


def _said(passed: bool, found: object, expected: str) -> tuple[bool, str]:
    text = str(found)[:SHOWN]
    return passed, f"returned {text}" if passed else f"returned {text}, expected {expected[:SHOWN]}"
