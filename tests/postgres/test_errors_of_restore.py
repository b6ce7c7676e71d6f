"""The first error of a restore is read from what several processes of pg_restore print at the same time."""

from __future__ import annotations

import pytest

from harness.core.node import Completed
from harness.postgres.restoring.database import errors_in, reason

ABOUT = "pg_restore: from TOC entry 3456; 0 16389 TABLE DATA prices postgres"
ERROR = 'pg_restore: error: COPY failed for table "prices": ERROR:  relation "rates" does not exist'
DIED = "pg_restore: error: a worker process died unexpectedly"
LAUNCHED = "pg_restore: launching item 3470 TABLE DATA other_3"
SAID = 'TABLE DATA prices postgres: COPY failed for table "prices": ERROR:  relation "rates" does not exist'


@pytest.mark.parametrize(
    "lines",
    [
        (ABOUT, ERROR, DIED),
        (ABOUT, LAUNCHED, ERROR, DIED),
        (ABOUT, "pg_restore: " + LAUNCHED, ERROR.removeprefix("pg_restore: "), DIED),
        (LAUNCHED, ABOUT, ERROR, LAUNCHED, DIED),
        (ABOUT, f"pg_restore: error: {LAUNCHED}", ERROR.removeprefix("pg_restore: error: "), DIED),
        (ABOUT, f"pg_restore: {LAUNCHED}{ERROR.removeprefix('pg_restore: ')}", DIED),
    ],
)
def test_the_first_error_is_found_whatever_stands_between_its_lines(lines: tuple[str, ...]) -> None:
    assert errors_in("\n".join(lines))[0] == SAID
    assert reason(Completed(1, "\n".join(lines))) == f"{SAID} (exit code 1)"


def test_an_entry_is_that_of_its_own_error() -> None:
    other = "pg_restore: error: could not execute query"
    assert errors_in("\n".join((ABOUT, "pg_restore: warning: something", other))) == ("could not execute query",)
    assert errors_in("\n".join((ABOUT, ERROR, other)))[1] == "could not execute query"
