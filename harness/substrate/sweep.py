"""Sweep of a run: removes its clusters, containers, volumes, networks, processes and files."""

from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.substrate.common.error_collector import MARK, ErrorCollector
from harness.substrate.embedded.sweep import Swept as SweptMachine
from harness.substrate.embedded.sweep import sweep as sweep_machine
from harness.substrate.embedded.undo_journal import JOURNAL


@dataclass(frozen=True, slots=True)
class SweptRun:
    """Result of a sweep: how many of each kind it removed."""

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
    """Return the missing folders of runs that have objects on the engine; none without an engine.

    These runs may be of another machine, or of another container, that uses the same engine.
    """
    from harness.substrate.docker.ownership import labelled_runs  # noqa: PLC0415 - as below

    return tuple(run for run in labelled_runs() if not run.is_dir())


def require_run(folder: Path, home: Path) -> None:
    """Refuse a folder that no run of blackstart made: a sweep removes all that is in it. Raises UsageError.

    `home`: the folder of the folders of runs, whose children are runs even before they have a journal.
    """
    found = folder.resolve()
    made_here = found.parent == home.resolve()
    if folder.is_symlink() or not (made_here or any((found / name).is_file() for name in (JOURNAL, MARK))):
        raise UsageError(f"{folder}: no folder of a run: it has no {JOURNAL}; nothing was removed")


def sweep_run(run: Path, *, resumed: bool = False) -> SweptRun:
    """Remove everything of a run, found from its folder alone, in any process; return how much that was.

    Its journal stays where it is to be `resumed`.
    Raises HarnessError for what cannot be ended or removed, once all the rest is cleared; what is on an engine goes
    first, so that the folder that knows of it is the last to go.
    """
    run = run.resolve()
    if not (run / MARK).exists():
        done = sweep_machine(run, resumed=resumed)
        return SweptRun(done.processes, done.files)
    # The clients of engine and clusters take a second to import, and most runs have nothing there.
    from harness.substrate.docker.ownership import Swept, sweep_engine  # noqa: PLC0415
    from harness.substrate.kind.substrate import sweep_clusters  # noqa: PLC0415

    cleanup, clusters, engine, done = ErrorCollector(), 0, Swept(), SweptMachine(0, 0)
    with cleanup.step():
        clusters = sweep_clusters(run)
    with cleanup.step():
        engine = sweep_engine(run)
    with cleanup.step():
        done = sweep_machine(run, resumed=resumed)
    cleanup.raise_errors(run)
    return SweptRun(done.processes, done.files, clusters, engine.containers, engine.volumes, engine.networks)
