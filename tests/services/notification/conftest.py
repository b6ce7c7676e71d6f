"""The notification service with a real database server, object store and receiver of its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.alerts.receiver import Receiver
from harness.core.node import Ready
from harness.core.service import Place
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.services.notification.app import Notification
from harness.substrate.embedded.node import ProcessNode
from harness.substrate.embedded.substrate import Embedded
from harness.traffic.door import basic_auth
from tests.servers import DatabaseServer, Store, secret_files, start_database, start_store
from tests.services.doors import DirectDoor

Launch = Callable[..., ProcessNode]


@pytest.fixture(scope="module")
def database(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("data"), tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
def store(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return start_store(substrate.site("data"), tmp_path_factory.mktemp("store"))


@pytest.fixture
def secrets(database: DatabaseServer, store: Store, tmp_path: Path) -> Mapping[str, str]:
    own = secret_files(tmp_path, {"notification-db": "role-password", "gateway-key": "clients-key"})
    return {**own, **store.secrets, SUPERUSER_PASSWORD: database.sql.password_ref}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as customers:
        yield customers


@pytest.fixture
def place(
    substrate: Embedded, database: DatabaseServer, store: Store, secrets: Mapping[str, str], receiver: Receiver
) -> Iterator[Place]:
    site = substrate.site("primary")
    yield Place(site, database.sql, store.s3, secrets, sinks={"notifications": receiver.url})
    site.destroy()


@pytest.fixture
def seeded(place: Place, database: DatabaseServer) -> Iterator[Place]:
    """A site with twelve queued messages in a new database."""
    Notification().seed(place)
    yield place
    place.site.destroy()
    database.execute("postgres", "DROP DATABASE notification WITH (FORCE)")


@pytest.fixture
def launch() -> Launch:
    """Return a function that starts the notification service at a place."""

    def start(place: Place, ready: Ready | None = None) -> ProcessNode:
        (spec,) = Notification().nodes(place)
        node = place.site.launch(replace(spec, ready=ready or spec.ready))
        assert isinstance(node, ProcessNode)
        return node

    return start


@pytest.fixture
def service(seeded: Place, launch: Launch) -> ProcessNode:
    """The notification service, started with twelve queued messages."""
    return launch(seeded)


@pytest.fixture
def door(service: ProcessNode, secrets: Mapping[str, str]) -> DirectDoor:
    """The public door of the service."""
    return DirectDoor(service, "/notify", basic_auth(secrets["gateway-key"])["Authorization"])
