"""Everything that a run left, wherever it is: clusters, containers, volumes, networks, processes, files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.substrate.started import sweep as sweep_machine


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


def sweep_run(run: Path) -> SweptRun:
    """Clear a run from its folder alone, in another process too, and return what was there.

    Raises HarnessError for what cannot be ended or removed; what is on an engine goes first, so that the folder that
    knows of it is the last to go.
    """
    mark = run.resolve() / "engine"
    if not mark.exists():
        done = sweep_machine(run)
        return SweptRun(done.processes, done.files)
    # Clients of engines take a second to import, and most runs have nothing there.
    from harness.substrate.engine_objects import sweep_engine  # noqa: PLC0415
    from harness.substrate.kind import sweep_clusters  # noqa: PLC0415

    clusters = sweep_clusters(run)
    engine = sweep_engine(run)
    done = sweep_machine(run)
    return SweptRun(done.processes, done.files, clusters, engine.containers, engine.volumes, engine.networks)
