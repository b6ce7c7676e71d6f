"""Error collection for cleanup: every step is tried, and all errors are reported at the end."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import make_folder

MARK = "engine"  # a file of this name in a run folder says that the run has something on the container engine


def mark(run: Path) -> None:
    """Note in a run folder that the run has something on the container engine. Raises OSError."""
    make_folder(run)
    (run / MARK).touch(mode=0o600)


@dataclass(slots=True)
class ErrorCollector:
    """Collects the errors of cleanup steps, so that a failed step does not prevent the next ones."""

    errors: list[HarnessError] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Run one step; a HarnessError or OSError of it is collected."""
        try:
            yield
        except HarnessError as error:
            self.errors.append(error)
        except OSError as error:  # those of the engine are OSErrors too
            self.errors.append(HarnessError(" ".join(str(error).split())))

    def raise_errors(self, run: Path | None = None) -> None:
        """Raise one HarnessError that names everything that failed; do nothing when nothing did.

        `run`: a run folder that is marked then, though it was removed: the next sweep looks at the engine again.
        """
        if self.errors and run is not None:
            with self.step():
                mark(run)
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:  # a site's sweep and that of its run may report the same
            raise HarnessError("; ".join(dict.fromkeys(map(str, self.errors))))
