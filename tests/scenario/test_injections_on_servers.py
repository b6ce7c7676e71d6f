"""Faults of a real database server, store and front door: the witness of each sees it, and that it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from socket import create_server, socket
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import BackupFailed, HarnessError
from harness.core.journal import MemoryJournal
from harness.core.node import Address
from harness.estate.site import DATABASE
from harness.postgres.checks import column
from harness.postgres.dump import facts, open_snapshot
from harness.scenario.faults.backup import LARGEST, TABLE
from harness.scenario.faults.catalog import CATALOG
from harness.scenario.faults.fault import Scene, inject
from harness.substrate.embedded.substrate import Embedded
from harness.traffic.nginx import FrontDoor, front_spec
from tests.servers import DatabaseServer

pytestmark = pytest.mark.programs


@dataclass
class Listener:
    """A store as its witness sees it: something that accepts connections."""

    listening: socket = field(default_factory=lambda: create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        self.at = Address("127.0.0.1", self.listening.getsockname()[1])

    def kill(self) -> None:
        self.listening.close()

    def revive(self) -> None:
        self.kill()
        self.listening = create_server(("127.0.0.1", self.at.port))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not until so many connections wait that the listener takes no more."""
    monkeypatch.setattr("harness.patience.PATIENCE.fault_seen", 3.0)


@pytest.fixture
def store() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.kill()


@pytest.fixture
def largest(primary: DatabaseServer) -> Iterator[DatabaseServer]:
    """The server of the primary, with the table that faults lock."""
    primary.execute("postgres", f"CREATE DATABASE {LARGEST}")
    primary.execute(LARGEST, f"CREATE TABLE {TABLE} (n int)")
    yield primary
    if not primary.node.alive:
        primary.node.start()
    primary.execute("postgres", f"DROP DATABASE {LARGEST} WITH (FORCE)")


def scene_of(folder: Path, **environment: Any) -> Scene:
    """Return a scene whose environment has what a fault needs of it."""
    drill = SimpleNamespace(
        environment=SimpleNamespace(run=folder, **environment), journal=MemoryJournal(), struck=None
    )
    return Scene(drill)  # type: ignore[arg-type]


def primary_of(server: DatabaseServer) -> SimpleNamespace:
    return SimpleNamespace(place=SimpleNamespace(sql=server.sql), sql=server.sql, nodes={DATABASE: server.node})


def dump(server: DatabaseServer) -> None:
    """Count the rows of the largest database as a backup does. Raises BackupFailed when the server dies."""
    with open_snapshot(server.sql, LARGEST) as snapshot:
        facts(snapshot, "databases/1")


def test_a_locked_table_is_seen(largest: DatabaseServer, tmp_path: Path) -> None:
    scene = scene_of(tmp_path, primary=primary_of(largest))
    inject(CATALOG["a table that is locked for three seconds"], scene)
    scene.undo()
    assert column(largest.sql, LARGEST, "SELECT count(*)::text FROM entries") == ("0",)


def test_the_death_of_a_database_that_is_dumped_is_seen(largest: DatabaseServer, tmp_path: Path) -> None:
    scene = scene_of(tmp_path, primary=primary_of(largest))

    def dumped() -> None:
        with pytest.raises(BackupFailed):
            dump(largest)

    inject(CATALOG["a database killed during the dump"], scene, dumped)
    scene.undo()


def test_the_death_of_a_store_is_seen(store: Listener, tmp_path: Path) -> None:
    scene = scene_of(tmp_path, **offsite_of(store))
    inject(CATALOG["an unreachable offsite store"], scene)
    scene.undo()


def test_the_death_of_a_store_during_the_dump_is_seen(store: Listener, largest: DatabaseServer, tmp_path: Path) -> None:
    scene = scene_of(tmp_path, primary=primary_of(largest), **offsite_of(store))
    inject(CATALOG["an offsite store killed during the dump"], scene, partial(dump, largest))
    scene.undo()


def test_a_dump_that_never_waits_is_said(
    store: Listener, largest: DatabaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.dump_begins", 1.0)
    scene = scene_of(tmp_path, primary=primary_of(largest), **offsite_of(store))
    with pytest.raises(HarnessError, match="seen by its witness"):
        inject(CATALOG["an offsite store killed during the dump"], scene)
    with pytest.raises(HarnessError, match=r"not injected: .*a running dump"):
        scene.undo()


def offsite_of(store: Listener) -> dict[str, Any]:
    return {"offsite": store, "offsite_s3": SimpleNamespace(outside=store.at), "revive_offsite": store.revive}


def test_a_bad_configuration_is_seen(substrate: Embedded, tmp_path: Path) -> None:
    site = substrate.site("edge")
    front = FrontDoor(site, site.launch(front_spec(site, ("127.0.0.2",), Address("127.0.0.1", 9), "nowhere")))
    inject(CATALOG["a bad configuration"], scene_of(tmp_path, opened_edge=SimpleNamespace(front=front)))
