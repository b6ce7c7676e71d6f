"""PostgreSQL on a restored data folder: replay of WAL to a target, check that it was reached, promotion."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from harness.core.clock import wait_until
from harness.core.errors import RestoreFailed
from harness.patience import PATIENCE
from harness.physical.place import private_place
from harness.physical.private_server import Connect, Running, connect, raising_limits, running_server
from harness.physical.programs import Programs

NAMED = "recovery_target_name"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to. `position`: up to which WAL was replayed; `last_commit`: of the last transaction in it."""

    position: int
    last_commit: datetime | None


def replay(
    programs: Programs,
    folder: Path,
    superuser: str,
    common: Mapping[str, str],
    target: Mapping[str, str],
    promoted: Callable[[Connect], None] = lambda _connect: None,
) -> Replayed:
    """Replay WAL to a target, check that it was reached, promote, and stop the server.

    `common`, `target`: settings; without a target the replay goes to the end of the WAL. Limits that the primary raised
    meanwhile, such as max_connections, are raised for it. `promoted`: changes the databases before anybody else can
    connect. Raises Unreached when the WAL ends before the target, RestoreFailed when the server does not start or
    stop.
    """
    (folder / "recovery.signal").touch(mode=0o600)
    done = raising_limits(
        programs,
        folder,
        lambda limits: _replay(programs, folder, superuser, {**limits, **common}, target, promoted),
    )
    if "\n" in (name := target.get(NAMED, "")):
        _write_on_one_line(folder, name)
    return done


def _write_on_one_line(folder: Path, name: str) -> None:
    """Write the name of a restore point on one line of the history of the timeline that began at it.

    PostgreSQL writes it there as it is, and then does not start on a history whose lines it cannot read.
    """
    newest = max((folder / "pg_wal").glob("*.history"))
    newest.write_bytes(newest.read_bytes().replace(name.encode(), name.replace("\n", " ").encode()))


def _replay(
    programs: Programs,
    folder: Path,
    superuser: str,
    common: Mapping[str, str],
    target: Mapping[str, str],
    promoted: Callable[[Connect], None],
) -> Replayed:
    with (
        private_place(programs.tags) as place,
        running_server(programs, folder, place, {**common, **target}) as process,
    ):
        running = Running(process, place, superuser)
        at = wait_until(running.reached, patience=PATIENCE.restore_database, what="replay of WAL")
        if target and not at.recovering:
            raise RestoreFailed("the server was promoted before the target was known to be reached")
        with connect(place, superuser) as connection:
            if at.recovering:
                connection.execute("SELECT pg_catalog.pg_wal_replay_resume()")
        wait_until(running.promoted, patience=PATIENCE.postgres_ready, what="promotion")
        promoted(partial(connect, place, superuser))
    return Replayed(at.position, at.last_commit)


@contextmanager
def serving(programs: Programs, folder: Path, superuser: str) -> Iterator[Path]:
    """Run a server on a restored folder as the replay does; yield the folder of its socket. Raises RestoreFailed."""
    with private_place(programs.tags) as place, running_server(programs, folder, place, {}) as process:
        wait_until(Running(process, place, superuser).promoted, patience=PATIENCE.postgres_ready)
        yield place
