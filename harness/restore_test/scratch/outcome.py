"""What came of the restore of one backup, and the scratch place that it was restored into."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import Finding, MissingPart, Refused, TookTooLong, Unreadable, UsageError
from harness.core.journal import Journal
from harness.estate.config import Config
from harness.estate.existing import new_run
from harness.repository.catalogue import Repository
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.undo_journal import UndoJournal

SITE = "scratch"  # its programs reach no other address, where this machine allows it
OBSTACLES = (UsageError, MissingPart, TookTooLong)  # of this machine; they say nothing about the backup
DAMAGES = (Finding, Unreadable, Refused)  # of the backup
SHOWN = 10  # lines of a kind about one backup; the others are a number


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found. `findings`: damages, each by its object with a remedy; `unchecked`: why it is not known to pass.

    `notes`: what no check exists for; `said`: what was done, of a backup that passes.
    """

    findings: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    said: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was checked and nothing was found."""
        return not self.findings and not self.unchecked


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where backups are restored, each in a new run folder of `runs`."""

    repository: Repository
    private_pem: bytes = field(repr=False)
    config: Config
    runs: Path
    logs: Path
    journal: Journal
    progress: Callable[[int], None]

    @contextmanager
    def made(self) -> Iterator[Embedded]:
        """Yield a substrate for one backup; everything but its logs is removed, whatever happens. Raises UsageError.

        What a killed command left is removed by `blackstart sweep`.
        """
        local = Embedded(new_run(self.runs, "verify"), self.logs, walled=(SITE,))
        UndoJournal(local.run).note_harness()  # nobody sweeps the run of a living harness
        try:
            yield local
        finally:
            local.sweep()


def some(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first of some lines, and how many more there are."""
    return (*lines[:SHOWN], f"{len(lines) - SHOWN} more") if len(lines) > SHOWN else lines
