"""Clean-up in steps: every step is tried, and all errors are reported at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import make_folder

MARK = "engine"  # the file in a run folder that says: there is something on the engine


def mark(run: Path) -> None:
    """Note in a run folder that something of the run is on the engine. Raises OSError."""
    make_folder(run)
    (run / MARK).touch(mode=0o600)


@dataclass(slots=True)
class Steps:
    """Steps of a sweep: each is taken, whatever became of those before it; what failed is said at the end."""

    failed: list[HarnessError] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Take one step, which may fail: its error is kept."""
        try:
            yield
        except HarnessError as error:
            self.failed.append(error)
        except OSError as error:  # those of the engine are OSErrors too
            self.failed.append(HarnessError(" ".join(str(error).split())))

    def end(self, left: Path | None = None) -> None:
        """Do nothing when every step was done; else raise one HarnessError that names all that failed.

        `left`: a run folder, which was removed perhaps; it is marked, so that the next sweep looks at the engine again.
        """
        if self.failed and left is not None:
            with self.step():
                mark(left)
        if len(self.failed) == 1:
            raise self.failed[0]
        if self.failed:  # a site's sweep and that of its run may say the same
            raise HarnessError("; ".join(dict.fromkeys(map(str, self.failed))))
