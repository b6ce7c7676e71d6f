"""Faults of backups: in the source, the offsite store and the keys."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from threading import Thread

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.service import Tree
from harness.drill.environment import DrillEnvironment
from harness.estate.connections import BUCKET
from harness.estate.secrets import RECIPIENTS
from harness.estate.site import DATABASE
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.scenario.faults.database import lock_table
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import accepts, database_answers, digest_of, files_of, has_room

LARGEST, TABLE = "bulk", "entries"
SNAPSHOTS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'blackstart snapshot' AND wait_event_type = 'Lock'"
)
LOCKS = "SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL"
SLOW = 3.0  # seconds that a locked table stays locked
ESCROW = RECIPIENTS[1]


def during_dump(scene: Scene, work: Callable[[], object]) -> None:
    """Lock a table of the largest database; call `work` in a thread as soon as its dump waits for the table.

    Raises HarnessError when the table cannot be locked; `scene.undo` raises it when no dump waited or `work` failed.
    """
    sql = scene.environment.primary.place.sql
    failures: list[Exception] = []
    with ExitStack() as opened:
        # Before the dump can begin: a thread that took the lock itself could be later than a short dump.
        opened.enter_context(lock_table(sql, LARGEST, TABLE, PATIENCE.dump_begins))
        held = opened.pop_all()

    def dumping() -> None:
        if not column(sql, "postgres", SNAPSHOTS):
            raise NotYet("no dump waits for the table")

    def wait_and_do() -> None:
        with held:
            try:
                wait_until(dumping, patience=PATIENCE.dump_begins, what="a running dump")
                work()
            except Exception as error:  # noqa: BLE001 - raised again by `ended`
                failures.append(error)

    def ended() -> None:
        thread.join(PATIENCE.dump_begins)
        for error in failures:
            raise HarnessError(f"the fault during a dump was not injected: {error}") from error

    thread = Thread(target=wait_and_do, daemon=True)
    thread.start()
    scene.later(ended)


def kill_database(scene: Scene) -> None:
    """Kill the primary's database server."""
    scene.environment.primary.nodes[DATABASE].kill()


def database_up(scene: Scene) -> bool:
    """Return whether the primary's database server answers."""
    sql = scene.environment.primary.sql
    return sql is not None and database_answers(sql)


def kill_offsite(scene: Scene) -> None:
    """Kill the offsite store."""
    offsite = scene.environment.offsite
    if offsite is None:
        raise HarnessError("the offsite store was never started")
    offsite.kill()


def offsite_up(scene: Scene) -> bool:
    """Return whether the offsite store accepts a connection."""
    return accepts(scene.environment.offsite_s3.outside)


def revive_offsite(scene: Scene) -> None:
    """Restart the offsite store without its size limit."""
    scene.environment.revive_offsite()


def first_tree(environment: DrillEnvironment) -> Tree:
    """Return the first folder of files that a service declares; raises HarnessError without one."""
    for service in environment.services:
        for tree in service.sources().trees:
            return tree
    raise HarnessError("this estate declares no folder of files; use one with a service that stores files")


def remove_attachment(scene: Scene) -> None:
    """Remove one file that a database refers to."""
    tree, primary = first_tree(scene.environment), scene.environment.primary
    found = column(primary.place.sql, tree.database, tree.referenced)
    primary.site.volume(tree.volume).remove(f"{tree.folder}/{found[0]}")


def primary_files(scene: Scene) -> int:
    """Return the number of files in that folder on the primary."""
    return files_of(scene.environment.primary.site, first_tree(scene.environment))


def write_key(scene: Scene, text: bytes | None) -> None:
    """Replace the offline recipient's public key with `text`; None removes the key."""
    secrets = scene.environment.secrets
    path = secrets.root / "primary" / ESCROW
    scene.later(partial(secrets.put, "primary", ESCROW, path.read_bytes()))
    if text is None:
        path.unlink()
    else:
        secrets.put("primary", ESCROW, text)


def public_key(scene: Scene) -> str:
    """Return the digest of the offline recipient's public key, "" without one."""
    return digest_of(scene.environment.secrets.root / "primary" / ESCROW)


def lock_largest(scene: Scene) -> None:
    """Lock the largest table for three seconds, so that a dump waits."""
    lock = lock_table(scene.environment.primary.place.sql, LARGEST, TABLE, SLOW)
    lock.__enter__()
    scene.later(lambda: lock.__exit__(None, None, None))


def locks(scene: Scene) -> tuple[str, ...]:
    """Return the process ids of sessions with an exclusive table lock in the largest database."""
    return column(scene.environment.primary.place.sql, LARGEST, LOCKS)


FAULTS = (
    Fault(
        "a database killed before the dump", When.BEFORE_BACKUP, kill_database, None, database_up,
        named="PostgreSQL at .* is it running",
    ),
    Fault(
        "a database killed during the dump", When.DURING_BACKUP, lambda s: during_dump(s, lambda: kill_database(s)),
        None, database_up, named="dump: |cannot be counted|no snapshot",
    ),
    Fault("a missing attachment", When.NOW, remove_attachment, None, primary_files, target="the primary"),
    Fault(
        "an unreachable offsite store", When.BEFORE_BACKUP, kill_offsite, revive_offsite, offsite_up,
        named="store|offsite|refused",
    ),
    Fault(
        "an offsite store killed during the dump", When.DURING_BACKUP,
        lambda s: during_dump(s, lambda: kill_offsite(s)), revive_offsite, offsite_up, named="store|offsite|refused",
    ),
    Fault(
        "a full offsite store", When.BEFORE_BACKUP, lambda s: s.environment.refill_offsite(limit_mb=1),
        revive_offsite, lambda s: has_room(s.environment.offsite_s3, BUCKET), named="store|full|room|InternalError",
    ),
    Fault(
        "a missing recipient key", When.BEFORE_BACKUP, lambda s: write_key(s, None), None, public_key,
        named=f"{ESCROW}.*No such file",
    ),
    Fault(
        "a malformed recipient key", When.BEFORE_BACKUP,
        lambda s: write_key(s, b"-----BEGIN PUBLIC KEY-----\nnonsense\n"), None, public_key,
        named="recipient|public key",
    ),
    Fault("a table that is locked for three seconds", When.NOW, lock_largest, None, locks, target="the database"),
)  # fmt: skip
