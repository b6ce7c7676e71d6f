"""Faults are injected into an estate in memory where it can have them, and the witness of each sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import NotYet, wait_until
from harness.drill.drill import Drill
from harness.estate.state_file import WITNESS
from harness.physical.standby.folder import StandbyFolder
from harness.scenario.faults.catalog import CATALOG
from harness.scenario.faults.fault import Fault, Scene, When, inject
from harness.scenario.foreign_repository import ForeignRepository
from harness.signing import new_signing_pair
from harness.substrate.embedded.process_tree import Owner
from tests.memory_drill import MemoryEnvironment, start
from tests.memory_estate import MemoryEstate

# They need a real front door, store or database server: test_injections_on_servers.py.
ON_SERVERS = {
    "a database killed during the dump",
    "an unreachable offsite store",
    "an offsite store killed during the dump",
    "a table that is locked for three seconds",
    "a bad configuration",
}
# Something of the estate has to be there first.
PREPARED = {
    "a full offsite store",
    "a missing segment of WAL",
    "ransom: all that is newer is encrypted",
    "the loss of all that it has seen",
    "the death of its follower",
    "a flipped bit in its data",
}
LATE = (When.BEFORE_RECOVERY, When.AFTER_SELECTION, When.AFTER_RESTORE)
HERE = [
    fault
    for fault in CATALOG.values()
    if "embedded" in fault.substrates
    and fault.when is not When.BEFORE_RESTORE_TEST
    and fault.phrase not in ON_SERVERS | PREPARED
]
FOLLOW = "import fcntl, sys, time; lock = open(sys.argv[1], 'ab'); fcntl.flock(lock, fcntl.LOCK_EX); time.sleep(60)"
OF_RESTORE_TESTS = [fault for fault in CATALOG.values() if fault.when is When.BEFORE_RESTORE_TEST]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.fault_seen", 0.3)


@pytest.mark.parametrize("fault", HERE, ids=lambda fault: fault.phrase)
def test_a_fault_is_seen_by_its_witness(drill: Drill, fault: Fault) -> None:
    start(drill)
    drill.back_up()
    if fault.when in LATE:
        drill.strike()
        selected = drill.select()
        if fault.when is When.AFTER_RESTORE:
            drill.restore(selected)
    scene = Scene(drill)
    inject(fault, scene)
    scene.undo()
    drill.close()


class OfThisEstate(ForeignRepository):
    """The repository of another estate, which is that of the drill: its DR site is the existing one."""

    def __init__(self, drill: Drill) -> None:
        self.drill, self.other = drill, drill.environment
        self._production, self._keys, self._signer = None, drill.environment.secrets.root / "dr", new_signing_pair()


@pytest.mark.parametrize("fault", OF_RESTORE_TESTS, ids=lambda fault: fault.phrase)
def test_a_fault_of_an_existing_site_is_seen_by_its_witness(drill: Drill, fault: Fault) -> None:
    start(drill)
    foreign = OfThisEstate(drill)
    foreign.prepare_existing_site()
    inject(fault, Scene(drill, foreign))
    drill.close()


def injected(drill: Drill, phrase: str) -> None:
    """Inject a fault. Its witness must see it, and that it is gone after its undo."""
    scene = Scene(drill)
    inject(CATALOG[phrase], scene)
    scene.undo()
    drill.close()


def test_ransom_is_seen(drill: Drill) -> None:
    start(drill)
    drill.back_up()
    drill.back_up()
    injected(drill, "ransom: all that is newer is encrypted")


def test_a_lost_segment_of_wal_is_seen(drill: Drill) -> None:
    start(drill)
    repository = drill.environment.repository
    repository.store.put(repository.layout.of("wal") + "7391/" + "0" * 23 + "1", (b"a segment",))
    injected(drill, "a missing segment of WAL")


def test_a_lost_witness_is_seen(drill: Drill) -> None:
    start(drill)
    (drill.environment.run / WITNESS).touch()
    injected(drill, "the loss of all that it has seen")


def test_a_full_store_is_seen(drill: Drill, memory_estate: MemoryEstate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of the primary stands for the offsite one: its client is of minio."""
    start(drill)
    objects = memory_estate.servers.objects["primary"]
    objects.buckets["backups"], refused = {}, objects.refused
    environment: Any = drill.environment
    monkeypatch.setattr(MemoryEnvironment, "offsite_s3", environment.primary.place.s3)
    environment.refill_offsite = lambda limit_mb: refused.update(put_object=f"more than {limit_mb} MB")
    environment.revive_offsite = refused.clear
    injected(drill, "a full offsite store")


def test_damage_to_a_standby_is_seen(drill: Drill) -> None:
    start(drill)
    folder = StandbyFolder(drill.environment.run / "standby")
    folder.make()
    table = folder.data / "base/4/1249"
    table.parent.mkdir(parents=True)
    table.write_bytes(bytes(5 * 8192))
    drill.environment.standby = SimpleNamespace(folder=folder)  # type: ignore[assignment]
    injected(drill, "a flipped bit in its data")
    assert [at for at, byte in enumerate(table.read_bytes()) if byte] == [2 * 8192 + 4096]


def test_the_death_of_a_follower_is_seen(drill: Drill) -> None:
    start(drill)
    folder, owner = StandbyFolder(drill.environment.run / "standby"), Owner(drill.environment.run, "standby")
    folder.make()
    command = [sys.executable, "-c", FOLLOW, str(folder.root / "lock")]
    held = subprocess.Popen(command, env=os.environ | owner.tags, start_new_session=True)
    wait_until(lambda: _require(folder.followed), patience=10, what="a follower")
    drill.environment.standby = SimpleNamespace(folder=folder, owner=owner)  # type: ignore[assignment]
    try:
        injected(drill, "the death of its follower")
    finally:
        held.kill()
        held.wait()


def _require(found: bool) -> None:
    if not found:
        raise NotYet("nobody has the lock")
