"""What can befall a backup or a restore, by the word that the features use; each is done to the real thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.drill.environment import World
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.postgres.server import connect
from harness.recovery.restore import Restored
from harness.scenario.faults.database import lock_table

LARGEST = "bulk"
TABLE = "entries"
DUMPS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pg_dump'"


@contextmanager
def held_up(sql: Sql, seconds: float) -> Iterator[None]:
    """Hold a lock that a dump must wait for, for so many seconds, while the block runs."""
    with lock_table(sql, LARGEST, TABLE, seconds):
        yield


def during_dump(world: World, work: Callable[[], None]) -> Thread:
    """Do `work` as soon as a dump is under way; a lock keeps it from being over before."""

    def wait_and_do() -> None:
        with lock_table(world.primary.place.sql, LARGEST, TABLE, 60.0) as lock:

            def dumping() -> None:
                if not column(world.primary.place.sql, "postgres", DUMPS):
                    raise NotYet("no dump is under way")

            wait_until(dumping, patience=PATIENCE.dump_begins, what="a dump under way")
            work()
            lock.release()

    thread = Thread(target=wait_and_do, daemon=True)
    thread.start()
    return thread


def database_gone(world: World) -> None:
    """Kill the primary's database server."""
    world.primary.nodes["postgres"].kill()


def database_gone_midway(world: World) -> None:
    """Kill it as soon as a dump is under way."""
    during_dump(world, world.primary.nodes["postgres"].kill)


def attachment_missing(world: World) -> None:
    """Remove one file that the shop's database refers to."""
    for service in world.services:
        for tree in service.sources().trees:
            volume = world.primary.site.volume(tree.volume)
            found = column(world.primary.place.sql, tree.database, tree.referenced)
            volume.remove(f"{tree.folder}/{found[0]}")
            return
    raise HarnessError("this estate has no files to lose")


def offsite_refuses(world: World) -> None:
    """Kill the offsite store."""
    if world.offsite is None:
        raise HarnessError("the offsite store was never started")
    world.offsite.kill()


def offsite_dies_midway(world: World) -> None:
    """Kill it as soon as a dump is under way."""
    during_dump(world, lambda: offsite_refuses(world))


def offsite_full(world: World) -> None:
    """Replace the store by one that has room for very little."""
    world.refill_offsite(limit_mb=1)


def recipient_missing(world: World) -> None:
    """Take the offline recipient's public key away from the primary."""
    (world.secrets.root / "primary" / "recipient-escrow.pub").unlink()


def recipient_malformed(world: World) -> None:
    """Put nonsense in the place of the offline recipient's public key."""
    world.secrets.put("primary", "recipient-escrow.pub", b"-----BEGIN PUBLIC KEY-----\nnonsense\n")


BACKUP_TROUBLE: Mapping[str, Callable[[World], None]] = {
    "the database gone before the dump": database_gone,
    "the database gone during the dump": database_gone_midway,
    "a missing attachment": attachment_missing,
    "the offsite store refusing": offsite_refuses,
    "the offsite store dying midway": offsite_dies_midway,
    "the offsite store full": offsite_full,
    "a missing recipient key": recipient_missing,
    "a malformed recipient key": recipient_malformed,
}


def dr_database_dies(world: World, _backup_id: str) -> None:
    """Kill the DR database server after selection."""
    world.dr.nodes["postgres"].kill()


def backup_vanishes(world: World, backup_id: str) -> None:
    """Remove the selected backup's largest object after selection."""
    store, prefix = world.repository.store, f"{world.config.estate.name}/data/{backup_id}/"
    largest = max(store.list(prefix), key=lambda entry: entry.size)
    store.delete(largest.key)


def dr_database_not_empty(world: World, _backup_id: str) -> None:
    """Put somebody else's database on the DR server."""
    with connect(world.dr.place.sql) as connection:
        connection.execute("CREATE DATABASE somebody_elses")


RESTORE_TROUBLE: Mapping[str, Callable[[World, str], None]] = {
    "the DR database server dies": dr_database_dies,
    "the selected backup vanishes": backup_vanishes,
    "the DR database server is not empty": dr_database_not_empty,
}


def lose_files(world: World, _restored: Restored) -> None:
    """Remove the shop's files on the DR site after the restore."""
    for service in world.services:
        for tree in service.sources().trees:
            world.dr.site.volume(tree.volume).remove(tree.folder)


def change_key(world: World, _restored: Restored) -> None:
    """Put another key where the DR site keeps n8n's."""
    world.secrets.put("dr", "n8n-key", b"another key than the one that was backed up")


START_TROUBLE: Mapping[str, Callable[[World, Restored], None]] = {
    "the shop's files are lost": lose_files,
    "the DR site holds another automation key": change_key,
}
