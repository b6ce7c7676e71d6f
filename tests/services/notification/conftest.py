"""PostgreSQL, an object store, a customers' side, and the notification service between them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from harness.alerts.receiver import Receiver
from harness.core.node import Address
from harness.core.service import S3, Place, Sql
from harness.parts.programs import program
from harness.postgres.server import connect
from harness.services.notification.app import Notification
from tests.services.notification.local import AS_NOBODY, Door, LocalNode, LocalSite, Process, ask, free_ports, run

PASSWORD, ACCESS, SECRET, KEY = "superuser-password", "site-access", "site-secret-key", "clients-key"
STORE_PORTS = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")
STORE_OFF = ("webdav=false", "admin.ui=false", "s3.port.iceberg=0", "s3.port.lance=0", "master.telemetry=false")


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("secrets")
    values = {"notification-db": "role-password", "s3-access": ACCESS, "s3-secret": SECRET}
    values |= {"postgres-superuser": PASSWORD, "gateway-key": KEY}
    for name, value in values.items():
        (folder / name).write_text(value + "\n")
    return {name: f"file:{folder / name}" for name in values}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, str]) -> Iterator[tuple[Process, Sql]]:
    folder, port = tmp_path_factory.mktemp("postgres"), free_ports(1)[0]
    data = str(folder / "data")
    pwfile = f"--pwfile={secrets['postgres-superuser'].removeprefix('file:')}"
    options = ("--auth=scram-sha-256", pwfile, "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C.UTF-8")
    run((*AS_NOBODY, program("initdb"), "-D", data, "-U", "postgres", *options))
    sql = Sql(Address("127.0.0.1", port), Address("127.0.0.1", port), "postgres", secrets["postgres-superuser"])

    def ready() -> None:
        with psycopg.connect(host="127.0.0.1", port=port, user="postgres", password=PASSWORD, dbname="postgres"):
            pass

    argv = (program("postgres"), "-D", data, "-p", str(port), "-k", "", "-c", "listen_addresses=127.0.0.1")
    server = Process(argv, {}, folder / "postgres.log", ready)
    server.start()
    yield server, sql
    server.stop_now()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, str]) -> Iterator[tuple[Process, S3]]:
    folder = tmp_path_factory.mktemp("store")
    (folder / "data").mkdir()
    names = [*STORE_PORTS, *(f"{name}.grpc" for name in STORE_PORTS)]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    address = Address("127.0.0.1", ports["s3.port"])
    where = (f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1")
    numbers = tuple(f"-{name}={port}" for name, port in ports.items())
    argv = (program("weed"), "mini", *where, *numbers, *(f"-{off}" for off in STORE_OFF))

    def ready() -> None:
        # Without a key the store answers 403 once it knows who may come in, 200 to all before that.
        if ask(address, "GET", "/").status != 403:
            raise OSError("not closed to strangers yet")

    keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
    server = Process(argv, keys, folder / "weed.log", ready)
    server.start()
    yield server, S3(address, address, secrets["s3-access"], secrets["s3-secret"])
    server.stop_now()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as customers:
        yield customers


@pytest.fixture
def place(
    postgres: tuple[Process, Sql],
    store: tuple[Process, S3],
    secrets: dict[str, str],
    receiver: Receiver,
    tmp_path: Path,
) -> Iterator[Place]:
    site = LocalSite(tmp_path)
    yield Place(site, postgres[1], store[1], secrets, sinks={"notifications": receiver.url})
    site.destroy()


@pytest.fixture
def seeded(place: Place) -> Iterator[Place]:
    """A site with twelve messages queued, in a database that no test before has used."""
    Notification().seed(place)
    yield place
    place.site.destroy()
    with connect(place.sql, "postgres") as connection:
        connection.execute("DROP DATABASE notification WITH (FORCE)")


Launch = Callable[[Place], LocalNode]


@pytest.fixture
def launch() -> Launch:
    """Starts the notification service at a place."""

    def start(place: Place) -> LocalNode:
        (spec,) = Notification().nodes(place)
        assert isinstance(place.site, LocalSite)
        return place.site.launch(spec)

    return start


@pytest.fixture
def service(seeded: Place, launch: Launch) -> LocalNode:
    """The notification service, started with twelve messages queued."""
    return launch(seeded)


@pytest.fixture
def door(service: LocalNode) -> Door:
    """The front door before it."""
    token = base64.b64encode(f"clients:{KEY}".encode()).decode()
    return Door(service.endpoint("http").outside, f"Basic {token}")
