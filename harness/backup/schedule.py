"""Scheduler of the daily backup, message 1.1: runs in the foreground on the cron expression of estate.toml."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from threading import Thread

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from harness.core.errors import REPORTED, reason_of
from harness.core.journal import Journal
from harness.estate.backup_config import CRON_FIELDS


def run_schedule(
    expression: str, job: Callable[[], object], journal: Journal, stop: Flag, *, runs: int | None = None
) -> None:
    """Call `job` whenever the six-field cron (UTC) fires, never twice at once, until `stop` or after `runs` runs."""
    done = 0

    def fire() -> None:
        nonlocal done
        with suppress(OSError):  # on a full disk the job is to run all the same, and to alert its failure
            journal.mark("fired", "schedule", message="1.1", cron=expression)
        try:
            job()
        except REPORTED as error:
            with suppress(OSError):
                journal.mark("log", "scheduled run failed", error=reason_of(error))
        finally:
            done += 1
            if runs is not None and done >= runs:
                stop.set()

    trigger = CronTrigger(**dict(zip(CRON_FIELDS, expression.split(), strict=True)), timezone="UTC")
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(fire, trigger, max_instances=1, coalesce=True, misfire_grace_time=None)
    scheduler.add_listener(
        lambda _event: journal.mark("dropped", "schedule", reason="the previous run has not ended"),
        EVENT_JOB_MAX_INSTANCES,
    )
    scheduler.start()
    try:
        stop.wait()
    finally:
        scheduler.shutdown(wait=True)


def fire_once(expression: str, job: Callable[[], object], journal: Journal, patience: float) -> None:
    """Run the scheduler in a thread until it has fired once, at most `patience` seconds."""
    stop = Flag()
    thread = Thread(target=run_schedule, args=(expression, job, journal, stop), kwargs={"runs": 1})
    thread.start()
    thread.join(patience)
    stop.set()
