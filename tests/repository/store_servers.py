"""Object stores, recipients and example backups for tests of the repository, and the fixtures that make them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.core.contents import (
    Contents,
    DatabaseFacts,
    Gap,
    Missing,
    SequenceFacts,
    SystemFacts,
    TableFacts,
    TreeFacts,
)
from harness.repository.catalogue import Receipt, Repository, Trust, Writer
from harness.repository.format.recipients import new_pair
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.directory.marker import mark
from harness.repository.store.http.connections import patience_of
from harness.repository.store.port import ObjectStore
from harness.repository.store.s3 import S3Store
from harness.s3.client import ensure_bucket
from harness.signing import new_signing_pair, read_verify_key
from harness.substrate.embedded.substrate import Embedded
from harness.vault import read_text_secret
from tests.repository.memory_store import MemoryStore
from tests.servers import Store, start_store

BUCKET = "backups"
Launch = Callable[..., Store]


@dataclass(frozen=True, slots=True)
class Recipients:
    """Key pairs of the DR site, of an offline recipient and of the writer: private key, public key."""

    dr: tuple[bytes, bytes] = field(default_factory=new_pair)
    escrow: tuple[bytes, bytes] = field(default_factory=new_pair)
    writer: tuple[bytes, bytes] = field(default_factory=new_signing_pair)

    @property
    def public(self) -> tuple[str, str]:
        return self.dr[1].decode(), self.escrow[1].decode()

    @property
    def trust(self) -> Trust:
        return Trust((read_verify_key(self.writer[1]),))

    def repository(self, store: ObjectStore, estate: str = "shop", clock: Clock = SYSTEM) -> Repository:
        """Return a repository that trusts the writer, with a witness of its own."""
        return Repository(store, estate, clock, self.trust)

    def begin(self, repository: Repository) -> Writer:
        """Begin a backup of database system 7391, signed by the writer."""
        return repository.begin("7391", self.public, self.writer[0])


def connect(store: Store, bucket: str = BUCKET) -> S3Store:
    s3 = store.s3
    access, secret = read_text_secret(s3.access_key_ref), read_text_secret(s3.secret_key_ref)
    return S3Store.connect(s3.outside.host, s3.outside.port, access, secret, bucket, patience=patience_of(short=True))


def contents() -> Contents:
    """Return facts of every kind, with names that need escaping in JSON."""
    tables = (TableFacts("public.bestellung", 3, "ab" * 8), TableFacts("public.Größe", 0, ""))
    shop = DatabaseFacts(
        'shop "ü"', "odoo", "UTF8", "C.UTF-8", 8_000_000, datetime(2026, 3, 1, 2, 3, 4, 567, UTC), 1234.5678901,
        tables, (SequenceFacts("orders_id_seq", 9_007_199_254_740_993, called=False),), "databases/0001", "12" * 32,
        (("extension hstore", "1.8"),), ("unlogged table x",), template=True, limit=3,
    )  # fmt: skip
    trees = (TreeFacts("filestore", 12, 3456, "cd" * 32, "trees/0001", (Missing("a", "gone"),), found=True),)
    gaps = (Gap("database c", "no connections", "not needed"),)
    return Contents(SystemFacts("7391", "18.1", 1), (shop,), trees, (("n8n-key", "ef" * 32),), gaps)


def back_up(repository: Repository, recipients: Recipients, **objects: bytes) -> Receipt:
    """Take a small backup with one object for each keyword; `__` in a keyword stands for `/`."""
    writer = recipients.begin(repository)
    for name, data in (objects or {"globals": b"CREATE ROLE odoo;", "databases__shop": b"rows " * 400_000}).items():
        writer.add(name.replace("__", "/"), (data,))
    return writer.commit(contents())


def keys_of(store: ObjectStore, estate: str) -> list[str]:
    return [entry.key for entry in store.list(f"{estate}/")]


@pytest.fixture(scope="session")
def recipients() -> Recipients:
    return Recipients()


@pytest.fixture(scope="module")
def launch(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """Return a function that starts a store with a bucket, on the site of that name."""

    def start(name: str, limit_mb: int | None = None) -> Store:
        store = start_store(substrate.site(name), tmp_path_factory.mktemp(name), limit_mb=limit_mb)
        ensure_bucket(store.s3, BUCKET, versioning=False)
        return store

    return start


@pytest.fixture(scope="module")
def offsite(launch: Launch) -> Store:
    return launch("offsite")


@pytest.fixture(scope="module")
def real_store(offsite: Store) -> S3Store:
    return connect(offsite)


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    folder = tmp_path / "repository"
    folder.mkdir(0o700)
    mark(folder)
    return DirectoryStore(folder)


@pytest.fixture(params=["memory", "directory", pytest.param("s3", marks=pytest.mark.programs)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Each test with this fixture runs with all three stores."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        found: DirectoryStore = request.getfixturevalue("directory")
        return found
    real: S3Store = request.getfixturevalue("real_store")
    return real


@pytest.fixture
def estate() -> str:
    return f"estate-{secrets.token_hex(4)}"


@pytest.fixture
def repository(store: ObjectStore, estate: str, recipients: Recipients) -> Repository:
    return recipients.repository(store, estate)
