"""Jobs of pg_cron do nothing in a drill, and come back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.contents import TableFacts
from harness.core.node import Stoppable
from harness.estate.site import DATABASE, EstateSite
from harness.postgres import server
from harness.postgres.contents.rows import read_tables
from harness.postgres.facts import begin_reading
from harness.postgres.server import connect
from harness.recovery.containment import release_all
from tests.cases.estate import CaseEstate, other_server
from tests.cases.majors import OWN, asked_major, debian_programs, served_by

pytestmark = [
    pytest.mark.cases,
    pytest.mark.night,
    pytest.mark.skipif(asked_major() != OWN, reason="the server with pg_cron is of one major"),
]
RUNNING = (
    "INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status)"
    " VALUES (1, 1000000, 'shop', 'postgres', 'SELECT 1', 'running')"
)
JOBS = "SELECT jobname, schedule, command, database, username, active FROM cron.job ORDER BY jobid"
NAME = "shop"


@pytest.fixture
def scheduled(estate: CaseEstate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaseEstate]:
    """The estate with servers that run the jobs of one database."""
    own = ("shared_preload_libraries=pg_cron", f"cron.database_name={NAME}", "cron.use_background_workers=on")
    monkeypatch.setattr(server, "SETTINGS", (*server.SETTINGS, *own))
    with (
        served_by(debian_programs(), 15),
        other_server(estate, "primary", tmp_path),
        other_server(estate, "dr", tmp_path),
    ):
        yield estate


def restart(site: EstateSite) -> None:
    """Restart the server: an active job of `@reboot` runs then."""
    node = site.nodes[DATABASE]
    assert isinstance(node, Stoppable)
    node.stop(30.0)
    node.start()


def ran(estate: CaseEstate, site: str) -> None:
    if not estate.value(NAME, "SELECT count(*) FROM ran", site):
        raise NotYet("no job ran")


def details(estate: CaseEstate) -> TableFacts:
    """Return what a check compares of the scheduler's runs on DR."""
    with connect(estate.dr.place.sql, NAME) as connection:
        begin_reading(connection)
        (found,) = (one for one in read_tables(connection) if one.name == "cron.job_run_details")
    assert found.rows
    return found


def test_a_restored_job_runs_after_its_release_and_not_before(scheduled: CaseEstate) -> None:
    estate = scheduled
    estate.run("postgres", "CREATE ROLE app LOGIN PASSWORD 'app'")
    estate.create(
        NAME,
        "CREATE EXTENSION pg_cron",
        "CREATE TABLE ran (at timestamptz DEFAULT now(), by text)",
        "GRANT INSERT ON ran TO app",
        "GRANT USAGE ON SCHEMA cron TO app",
        "SELECT cron.schedule('at start', '@reboot', 'INSERT INTO ran (by) VALUES (current_user)')",
        "SELECT cron.schedule('each minute', '* * * * *', 'INSERT INTO ran (by) VALUES (current_user)')",
        "SELECT cron.schedule('off', '@reboot', 'INSERT INTO ran (by) VALUES (''off'')')",
        "UPDATE cron.job SET active = false WHERE jobname = 'off'",
        "SET SESSION AUTHORIZATION app",
        "SELECT cron.schedule('of app', '@reboot', 'INSERT INTO ran (by) VALUES (current_user)')",
    )
    restart(estate.primary)
    wait_until(lambda: ran(estate, "primary"), patience=60.0)
    estate.run(NAME, "DELETE FROM ran", site="primary")
    jobs = estate.rows(NAME, JOBS, "primary")
    estate.run(NAME, RUNNING)
    estate.back_up()
    estate.run(NAME, "DELETE FROM ran", site="primary")
    restored = estate.restore()
    assert restored.findings == ()
    # The scheduler of DR calls a run failed that its server ended, once it finds it: before the check, or after it.
    found = details(estate)
    estate.run(NAME, "UPDATE cron.job_run_details SET status = 'failed', return_message = 'restarted'", site="dr")
    assert details(estate) == found
    before = estate.value(NAME, "SELECT count(*) FROM ran")
    assert [job[:-1] for job in estate.rows(NAME, JOBS)] == [job[:-1] for job in jobs]
    assert estate.rows(NAME, "SELECT DISTINCT active FROM cron.job") == [(False,)]
    restart(estate.dr)
    seconds = "SELECT count(*) FROM pg_sleep(3), ran"
    assert estate.value(NAME, seconds) == before
    release_all((), estate.dr.place, restored.held, estate.journal)
    assert estate.rows(NAME, JOBS) == jobs
    restart(estate.dr)
    wait_until(lambda: ran(estate, "dr"), patience=60.0)


def test_a_job_of_a_server_that_is_restored_as_a_whole_does_not_run(scheduled: CaseEstate) -> None:
    """The scheduler starts with DR's server: an active job of `@reboot` would run before anybody could hold it."""
    estate = scheduled
    estate.backup["mode"] = "physical"
    estate.declare(NAME)
    estate.create(
        NAME,
        "CREATE EXTENSION pg_cron",
        "CREATE TABLE ran (at timestamptz DEFAULT now(), by text)",
        "SELECT cron.schedule('at start', '@reboot', 'INSERT INTO ran (by) VALUES (current_user)')",
    )
    restart(estate.primary)
    wait_until(lambda: ran(estate, "primary"), patience=60.0)
    estate.back_up()
    restored = estate.restore()
    assert restored.source["mode"] == "physical"
    of_primary = estate.value(NAME, "SELECT count(*) FROM ran", "primary")
    assert estate.value(NAME, "SELECT count(*) FROM pg_sleep(3), ran") == of_primary
    estate.run(NAME, "DELETE FROM ran", site="dr")
    release_all((), estate.dr.place, restored.held, estate.journal)
    restart(estate.dr)
    wait_until(lambda: ran(estate, "dr"), patience=60.0)
