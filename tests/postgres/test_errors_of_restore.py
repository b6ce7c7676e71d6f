"""The first error of a restore is read from what several processes of pg_restore print at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

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
    assert reason(Completed(1, "\n".join(lines))) == f"{SAID.replace('  ', ' ')} (exit code 1)"


def test_an_entry_is_that_of_its_own_error() -> None:
    other = "pg_restore: error: could not execute query"
    assert errors_in("\n".join((ABOUT, "pg_restore: warning: something", other))) == ("could not execute query",)
    assert errors_in("\n".join((ABOUT, ERROR, other)))[1] == "could not execute query"


def pieces(line: str) -> list[str]:
    """Return what pg_restore writes of a line, each with one call."""
    _, level, said = line.removeprefix("pg_restore: ").rpartition("error: ") if line == ERROR else ("", "", line)
    return ["pg_restore:", " ", *([level, said + "\n"] if level else [said.removeprefix("pg_restore: ") + "\n"])]


def interleaved(one: list[str], other: list[str]) -> Iterator[str]:
    """Return every order in which the pieces of two processes can be written."""
    for chosen in combinations(range(len(one) + len(other)), len(one)):
        mine, theirs = iter(one), iter(other)
        yield "".join(next(mine if n in chosen else theirs) for n in range(len(one) + len(other)))


def test_the_first_error_is_found_in_every_order_of_writes() -> None:
    failed = [*pieces(ABOUT), *pieces(ERROR)]
    working = [*pieces(LAUNCHED), *pieces("pg_restore: finished item 3460 TABLE DATA other_1")]
    texts = list(interleaved(failed, working))
    assert len(texts) == 1716
    assert [text for text in texts if errors_in(text)[:1] != (SAID,)] == []
