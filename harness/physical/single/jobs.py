"""Jobs of pg_cron in a database that is copied: held from the moment that their rows are loaded, as a recovery does it.

The target would run them as soon as they are there, beside the server that was backed up.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.text import some
from harness.physical.single.into import Into
from harness.physical.single.left import REMOVE
from harness.postgres.restoring import quiet
from harness.postgres.server import connect, one_line

REMEDY = "where they are to run, UPDATE cron.job SET active = true WHERE jobid = NUMBER"
SHOWN = 10  # jobs that a line names
MAKE = f"CREATE EXTENSION IF NOT EXISTS {quiet.SCHEDULER}"


@dataclass(slots=True)
class Jobs:
    """The jobs of a database. `there`: whether pg_cron is in what is copied; `lines`: one for those that are held."""

    into: Into
    there: bool
    lines: tuple[str, ...] = ()
    _loaded: bool = False

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Make each job inactive that is loaded in the block. Raises RestoreFailed, HarnessError.

        After an error before all is loaded a database that was there is as it was.
        """
        if not self.there:
            yield
            return
        try:
            self._execute(MAKE, holding=True)
            yield
        except BaseException:
            if not (self.into.new or self._loaded):
                with suppress(HarnessError):  # what is raised is why the restore failed
                    self._execute(REMOVE)
            raise

    def hold(self) -> None:
        """Hold those that were loaded, and note them. Raises HarnessError."""
        self._loaded = True
        held = quiet.hold_jobs(self.into.sql, self.into.name) if self.there else ()
        if held:
            numbers = some([one.name for one in held], SHOWN)
            self.lines = (f"jobs of {quiet.SCHEDULER} are inactive: {numbers}; {REMEDY}",)

    def _execute(self, statements: str, *, holding: bool = False) -> None:
        """Run statements, and begin to hold jobs, in one transaction. Raises RestoreFailed, HarnessError."""
        try:
            with connect(self.into.sql, self.into.name) as connection, connection.transaction():
                connection.execute(statements.encode())
                if holding:
                    quiet.hold_each_job(connection)
        except psycopg.Error as error:
            raise RestoreFailed(f"{self.into.where}: extension {quiet.SCHEDULER}: {one_line(error)}") from error
