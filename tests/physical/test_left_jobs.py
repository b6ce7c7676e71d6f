"""What a restore that was killed left of the jobs of pg_cron is no obstacle to the next one, and no other thing is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.core.errors import RestoreFailed
from harness.physical.single.into import is_left, look_into
from harness.physical.single.jobs import Jobs
from harness.physical.single.left import clear
from harness.postgres.identity import is_empty
from harness.postgres.restoring import quiet
from harness.postgres.roles.data import inspect
from harness.postgres.server import connect
from tests.servers import DatabaseServer

NAME = "waiting"
NOT_EMPTY = "is not empty, and nothing is restored over it; name a new one"
# Another extension with the scheduler's name.
SCHEDULER = (
    "CREATE EXTENSION citext",
    "CREATE SCHEMA cron",
    "CREATE SEQUENCE cron.jobid_seq",
    "CREATE TABLE cron.job (jobid bigint PRIMARY KEY DEFAULT nextval('cron.jobid_seq'), note text, active bool)",
    "ALTER EXTENSION citext ADD SCHEMA cron",
    "ALTER EXTENSION citext ADD SEQUENCE cron.jobid_seq",
    "ALTER EXTENSION citext ADD TABLE cron.job",
    "UPDATE pg_extension SET extname = 'pg_cron' WHERE extname = 'citext'",
)


def left_by_a_killed_restore(server: DatabaseServer, name: str) -> None:
    """Make in a database what is committed before the load."""
    server.execute(name, *SCHEDULER)
    quiet.begin_to_hold_jobs(server.sql, name)


@pytest.fixture
def waiting(server: DatabaseServer) -> Iterator[DatabaseServer]:
    server.execute("postgres", f"CREATE DATABASE {NAME}")
    left_by_a_killed_restore(server, NAME)
    yield server
    server.execute("postgres", f"DROP DATABASE {NAME} WITH (FORCE)")


def obstacles(server: DatabaseServer) -> tuple[str, ...]:
    return look_into(server.sql, NAME).obstacles("shop", "of another server", 1)


def test_an_empty_database_takes_the_next_restore(waiting: DatabaseServer) -> None:
    """It was refused for ever as one that is not empty."""
    assert obstacles(waiting) == ()
    assert not is_empty(waiting.sql, NAME)
    clear(waiting.sql, NAME)
    assert is_empty(waiting.sql, NAME)


def test_a_new_database_is_made_anew(waiting: DatabaseServer) -> None:
    into = look_into(waiting.sql, NAME)
    assert not into.new
    into.begin()  # says that a restore made it
    into = look_into(waiting.sql, NAME)
    assert (into.left, into.new) == (True, True)
    into.make(inspect(waiting.sql).database("postgres"), owner=False)
    assert is_empty(waiting.sql, NAME)


@pytest.mark.parametrize(
    "made",
    [
        "INSERT INTO cron.job VALUES (1, '', false)",
        "CREATE TABLE cron.theirs (n int)",
        "CREATE VIEW theirs AS SELECT jobid FROM cron.job",
        "SELECT lo_create(4711)",
        "DROP SCHEMA blackstart_held_jobs CASCADE",
    ],
)
def test_what_somebody_made_is_an_obstacle_and_stays(waiting: DatabaseServer, made: str) -> None:
    waiting.execute(NAME, made)
    assert obstacles(waiting) == (NOT_EMPTY,)
    clear(waiting.sql, NAME)
    assert waiting.one(NAME, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_cron'") == 1


def test_a_restore_that_still_runs_is_an_obstacle(waiting: DatabaseServer) -> None:
    """What it has loaded is not committed yet."""
    with connect(waiting.sql, NAME):
        assert obstacles(waiting) == (NOT_EMPTY,)
        assert not is_left(waiting.sql, NAME)
    assert obstacles(waiting) == ()


def test_jobs_that_are_loaded_are_held_once_it_is_cleared(waiting: DatabaseServer) -> None:
    clear(waiting.sql, NAME)
    jobs = Jobs(look_into(waiting.sql, NAME), there=True)
    with pytest.raises(RestoreFailed, match=r"extension pg_cron: .*not available"), jobs.holding():
        pass  # this server lacks the extension
    assert is_empty(waiting.sql, NAME)
    waiting.execute(NAME, *SCHEDULER)
    with jobs.holding():
        waiting.execute(NAME, "INSERT INTO cron.job VALUES (7, '', true)")
        jobs.hold()
    assert jobs.lines[0].startswith("jobs of pg_cron are inactive: 7; ")
    assert waiting.one(NAME, "SELECT active FROM cron.job") is False
    assert waiting.one(NAME, "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'blackstart'") == 0
