"""Everything that a run left, wherever it is: clusters, containers, volumes, networks, processes, files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.folders import make_folder
from harness.substrate.started import Swept as SweptMachine
from harness.substrate.started import sweep as sweep_machine

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


@dataclass(frozen=True, slots=True)
class SweptRun:
    """How many of each a sweep found and cleared."""

    processes: int
    files: int
    clusters: int = 0
    containers: int = 0
    volumes: int = 0
    networks: int = 0

    def __str__(self) -> str:
        counted = (
            (self.clusters, "clusters"),
            (self.containers, "containers"),
            (self.volumes, "volumes"),
            (self.networks, "networks"),
        )
        more = "".join(f", {number} {what} removed" for number, what in counted if number)
        return f"{self.processes} processes ended, {self.files} files removed{more}"


def lost_runs() -> tuple[Path, ...]:
    """Return the folders of runs that have something on the engine and are not there; none without an engine.

    They may be another machine's, or another container's, that use the same engine.
    """
    from harness.substrate.engine_objects import labelled_runs  # noqa: PLC0415 - as below

    return tuple(run for run in labelled_runs() if not run.is_dir())


def sweep_run(run: Path) -> SweptRun:
    """Clear a run from its folder alone, in another process too, and return what was there.

    Raises HarnessError for what cannot be ended or removed, once all the rest is cleared; what is on an engine goes
    first, so that the folder that knows of it is the last to go.
    """
    run = run.resolve()
    if not (run / MARK).exists():
        done = sweep_machine(run)
        return SweptRun(done.processes, done.files)
    # Clients of engines take a second to import, and most runs have nothing there.
    from harness.substrate.engine_objects import Swept, sweep_engine  # noqa: PLC0415
    from harness.substrate.kind import sweep_clusters  # noqa: PLC0415

    steps, clusters, engine, done = Steps(), 0, Swept(), SweptMachine(0, 0)
    with steps.step():
        clusters = sweep_clusters(run)
    with steps.step():
        engine = sweep_engine(run)
    with steps.step():
        done = sweep_machine(run)
    steps.end(run)
    return SweptRun(done.processes, done.files, clusters, engine.containers, engine.volumes, engine.networks)
