"""Everything that a run left, wherever it is: clusters, containers, volumes, networks, processes, files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.substrate.common.cleanup import MARK, Steps
from harness.substrate.embedded.start_journal import Swept as SweptMachine
from harness.substrate.embedded.start_journal import sweep as sweep_machine


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
    from harness.substrate.docker.ownership import labelled_runs  # noqa: PLC0415 - as below

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
    from harness.substrate.docker.ownership import Swept, sweep_engine  # noqa: PLC0415
    from harness.substrate.kind.substrate import sweep_clusters  # noqa: PLC0415

    steps, clusters, engine, done = Steps(), 0, Swept(), SweptMachine(0, 0)
    with steps.step():
        clusters = sweep_clusters(run)
    with steps.step():
        engine = sweep_engine(run)
    with steps.step():
        done = sweep_machine(run)
    steps.end(run)
    return SweptRun(done.processes, done.files, clusters, engine.containers, engine.volumes, engine.networks)
