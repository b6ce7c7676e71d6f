"""Continuous archive of a running estate in a process of its own: `python -m harness.physical.continuous`.

It ends with the site that it archives: what it had received and not shipped by then is lost, as on a real primary.
"""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag

from harness.alerts.alerts import Alerts
from harness.core.errors import HarnessError
from harness.core.journal import Journal
from harness.estate.config import Config
from harness.estate.saved_config import read_saved
from harness.evidence.journal import JournalFile
from harness.physical.receive import Receiver, follow
from harness.physical.source import PhysicalSource, source_of


def archive(config: Config, source: PhysicalSource, journal: Journal) -> None:
    """Receive and ship WAL until SIGINT or SIGTERM; each outage is alerted once. Raises nothing of an outage."""
    stop, alerts = Flag(), Alerts(config.backup.alerts)

    def failed(reason: str) -> None:
        with suppress(HarnessError):  # the journal has the failure
            alerts.send(f"WAL of {source.estate} is not shipped", reason)

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
