"""Continuous archive of a running estate in a process of its own: `python -m harness.physical.continuous`.

It ends with the site that it archives: what it had received and not shipped by then is lost, as on a real primary.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag

from harness.alerts.alerts import Alerts, mark_alert
from harness.core.errors import BackupFailed, HarnessError, reason_of
from harness.core.journal import Journal
from harness.estate.config import Config
from harness.estate.saved_config import read_saved
from harness.evidence.journal import JournalFile
from harness.physical.receive import Receiver
from harness.physical.source import PhysicalSource, source_of

PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before another try
AGAIN = 60.0  # seconds before another alert of what nobody was told: each target that does not answer takes its time


def follow(receiver: Receiver, stop: Flag, failed: Callable[[str], bool]) -> None:
    """Run a receiver until `stop`, again after each failure. `failed`: tells one of each outage; returns if it could.

    What it could not tell is told again with a failure after AGAIN seconds; tries in between wait for no target. Raises
    BrokenPipeError, after it was told, when nobody reads the events any more: another try would not change that.
    """
    attempts, told, untold = 0, False, -AGAIN
    while not stop.is_set():
        began = receiver.clock.monotonic()
        try:
            receiver.run(stop)
        except (HarnessError, BackupFailed, OSError) as error:
            reason = reason_of(error)
            if receiver.clock.monotonic() - began > PAUSES[-1]:  # another outage
                attempts, told = 0, False
            attempts += 1
            last = isinstance(error, BrokenPipeError)
            if not told and (last or receiver.clock.monotonic() - untold >= AGAIN):
                told = failed(reason)
                untold = -AGAIN if told else receiver.clock.monotonic()
            with suppress(OSError):  # the disk of the journal may be what failed
                receiver.journal.mark("log", "WAL receiver failed", error=reason, attempt=attempts)
            if last:
                raise
            stop.wait(PAUSES[min(attempts, len(PAUSES)) - 1])


def archive(config: Config, source: PhysicalSource, journal: Journal) -> None:
    """Receive and ship WAL until SIGINT or SIGTERM; each outage is alerted, until a target has it.

    Raises nothing of an outage, but BrokenPipeError as `follow`.
    """
    stop, alerts = Flag(), Alerts(config.backup.alerts)

    def failed(reason: str) -> bool:
        told = alerts.try_send(f"WAL of {source.estate} is not shipped", reason)
        with suppress(OSError):
            mark_alert(journal, "WAL is not shipped", told)
        return told.sent or not alerts.urls

    for number in (signal.SIGINT, signal.SIGTERM):  # what was received is shipped before it ends
        signal.signal(number, lambda *_: stop.set())
    budget = config.backup.wal_seconds
    follow(
        Receiver(source.sql, source.repository, source.keys, source.slot, journal, budget, source.lock), stop, failed
    )


def main(declared: str, state: str, journal: str) -> None:
    """Archive the estate of a state file. `declared`: file of `saved_config`; `journal`: a new file."""
    config = read_saved(Path(declared).read_bytes())
    archive(config, source_of(config, Path(state), "start the estate"), JournalFile(Path(journal)))


if __name__ == "__main__":
    main(*sys.argv[1:])
