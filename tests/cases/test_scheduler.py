"""Jobs of pg_cron do nothing in a drill, and come back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.contents import TableFacts
from harness.core.journal import MemoryJournal
from harness.core.node import Stoppable
from harness.estate.site import DATABASE, EstateSite
from harness.physical.choice import Wanted
from harness.physical.private_server import Running, running_server
from harness.physical.private_server import connect as connect_to
from harness.physical.programs import programs_of
from harness.physical.restore import restore
from harness.physical.single.into import look_into
from harness.physical.single.restore import One, restore_one
from harness.physical.target import read_target
from harness.physical.unpack import AUTO, QUIET
from harness.postgres import server
from harness.postgres.contents.rows import read_tables
from harness.postgres.facts import begin_reading
from harness.postgres.server import connect
from harness.recovery.containment import release_all
from harness.vault import read_text_secret
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
AT_START = (
    "CREATE EXTENSION pg_cron",
    "CREATE TABLE ran (at timestamptz DEFAULT now(), by text)",
    "SELECT cron.schedule('at start', '@reboot', 'INSERT INTO ran (by) VALUES (current_user)')",
)


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
    release_all((), estate.dr.place, restored.held, estate.journal).require()
    assert estate.rows(NAME, JOBS) == jobs
    restart(estate.dr)
    wait_until(lambda: ran(estate, "dr"), patience=60.0)


def test_a_job_of_a_server_that_is_restored_as_a_whole_does_not_run(scheduled: CaseEstate) -> None:
    """The scheduler starts with DR's server: an active job of `@reboot` would run before anybody could hold it."""
    estate = scheduled
    estate.backup["mode"] = "physical"
    estate.declare(NAME)
    estate.create(NAME, *AT_START)
    restart(estate.primary)
    wait_until(lambda: ran(estate, "primary"), patience=60.0)
    estate.back_up()
    restored = estate.restore()
    assert restored.source["mode"] == "physical"
    of_primary = estate.value(NAME, "SELECT count(*) FROM ran", "primary")
    assert estate.value(NAME, "SELECT count(*) FROM pg_sleep(3), ran") == of_primary
    estate.run(NAME, "DELETE FROM ran", site="dr")
    release_all((), estate.dr.place, restored.held, estate.journal).require()
    restart(estate.dr)
    wait_until(lambda: ran(estate, "dr"), patience=60.0)


def runs_on(folder: Path, place: Path) -> int:
    """Start a server that loads pg_cron on a restored folder, and return how often its job ran in a few seconds."""
    place.mkdir(mode=0o700)
    loading = {"shared_preload_libraries": "pg_cron", "cron.database_name": NAME}
    programs = replace(programs_of(15), folder=debian_programs())
    with running_server(programs, folder, place, loading) as process:
        wait_until(Running(process, place, "postgres").promoted, patience=60.0)
        with connect_to(place, "postgres", NAME) as connection:
            connection.execute("SELECT pg_sleep(3)")
            ((count,),) = connection.execute("SELECT count(*) FROM public.ran").fetchall()
    return int(count)


def test_a_job_of_a_restored_copy_does_not_run_until_its_settings_are_removed(
    scheduled: CaseEstate, tmp_path: Path
) -> None:
    """It ran as soon as the copy was started, beside that of production."""
    estate = scheduled
    estate.backup["mode"] = "physical"
    estate.declare(NAME)
    estate.create(NAME, *AT_START, "ALTER SYSTEM SET cron.use_background_workers = on")
    wait_until(lambda: ran(estate, "primary"), patience=60.0)  # the scheduler starts with its extension
    before = estate.value(NAME, "SELECT count(*) FROM ran", "primary")
    estate.back_up()
    key = read_text_secret(estate.secrets.of("dr")["recipient.pem"]).encode()
    done = restore(estate.repository, key, Wanted(read_target("latest")), tmp_path / "data", MemoryJournal())
    (said,) = [line for line in done.warnings if "are off" in line]
    assert said.startswith("archiving, replication, subscriptions and jobs of pg_cron are off: see the end of ")
    assert runs_on(done.folder, tmp_path / "held") == before
    auto = done.folder / AUTO
    auto.write_bytes(auto.read_bytes().removesuffix(QUIET))
    assert runs_on(done.folder, tmp_path / "free") != before


def test_a_job_of_a_database_that_is_copied_alone_is_held_and_named(scheduled: CaseEstate, tmp_path: Path) -> None:
    estate = scheduled
    estate.backup["mode"] = "physical"
    estate.declare(NAME)
    estate.create(
        NAME,
        "CREATE EXTENSION pg_cron",
        "SELECT cron.schedule('each minute', '* * * * *', 'SELECT 1')",
        "SELECT cron.schedule('off', '* * * * *', 'SELECT 1')",
        "UPDATE cron.job SET active = false WHERE jobname = 'off'",
    )
    estate.back_up()
    key = read_text_secret(estate.secrets.of("dr")["recipient.pem"]).encode()
    for made in (False, True):
        if made:  # one that is there and empty
            estate.run("postgres", f"DROP DATABASE {NAME} WITH (FORCE)", f"CREATE DATABASE {NAME}", site="dr")
        one = One(NAME, look_into(estate.dr.place.sql, NAME), tmp_path)
        done = restore_one(estate.repository, key, Wanted(read_target("latest")), one, MemoryJournal())
        remedy = "where they are to run, UPDATE cron.job SET active = true WHERE jobid = NUMBER"
        assert done.lost == (f"jobs of pg_cron are inactive: 1; {remedy}",)
        assert estate.rows(NAME, "SELECT jobname, active FROM cron.job ORDER BY 1") == [
            ("each minute", False),
            ("off", False),
        ]
        assert estate.rows(NAME, "SELECT FROM pg_namespace WHERE nspname ~ 'blackstart'") == []
