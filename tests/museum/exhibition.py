"""The repository of the museum: three logical backups, a physical one with an incremental, and WAL on two timelines."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from harness.core.clock import SYSTEM, Clock
from harness.core.contents import Parent, PhysicalFacts
from harness.core.wal import Switch
from harness.repository.catalogue import Repository, Trust
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.writer import WalWriter, begin_wal
from harness.repository.witness import MemoryWitness
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, contents

SIZE = 1 << 20  # bytes of a segment of WAL here
SERVER = "7391"
BEGUN = datetime(2026, 3, 1, 2, tzinfo=UTC)
NEWEST = 2  # number of the newest logical backup, whose larger object has three segments of ciphertext
SWITCH = 6  # segment in which timeline 2 begins
HISTORY = b"1\t0/600100\tno recovery target specified\n"


@dataclass
class Time:
    """A clock that goes on by a minute with each look."""

    now: datetime = BEGUN

    def wall(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    @property
    def clock(self) -> Clock:
        return replace(SYSTEM, wall=self.wall)


def noise(mark: int, size: int) -> bytes:
    """Return bytes that do not compress, the same in every run."""
    return Random(mark).randbytes(size)  # noqa: S311 - data of a test


@dataclass
class Exhibition:
    """The repository, what the writer has, and the names of what is in it. `objects`: as they were made.

    `made`: nothing is to be written: this is a copy.
    """

    keys: Recipients = field(default_factory=Recipients)
    store: MemoryStore = field(default_factory=MemoryStore)
    time: Time = field(default_factory=Time)
    logical: list[str] = field(default_factory=list)
    full: str = ""
    incremental: str = ""
    run: str = ""
    planted: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    made: bool = False
    repository: Repository = field(init=False)

    def __post_init__(self) -> None:
        if self.made:
            return
        trust = replace(self.keys.trust, systems=(SERVER,))
        self.repository = Repository(self.store, "shop", self.time.clock, trust, (MemoryWitness(),))
        for number in range(NEWEST + 1):
            self.logical.append(self.back_up(number))
        self.full = self.physical("")
        self.ship()
        self.incremental = self.physical(self.full)
        self.objects = {key: self.read(key) for key in self.all_keys()}

    def back_up(self, mark: int, estate: str = "shop", cluster: str = SERVER) -> str:
        """Take a logical backup."""
        repository = replace(self.repository, estate=estate, witnesses=())
        writer = repository.begin(cluster, self.keys.public, self.keys.writer[0])
        writer.add("server.json", (b'{"roles": []}',))
        writer.add("databases/0001", (noise(mark + 1, (2 << 20) + 4321 if mark == NEWEST else 4321),))
        inside = contents()
        system = replace(inside.system, identifier=cluster)
        return writer.commit(replace(inside, system=system)).backup_id

    def physical(self, parent: str) -> str:
        """Take a physical backup, an incremental one where it has a parent."""
        found = next((one for one in self.repository.committed() if one.backup_id == parent), None)
        named = Parent(found.commit.sequence, parent, found.digest) if found is not None and found.commit else None
        now = self.time.wall()
        facts = PhysicalFacts(1, 2 * SIZE + 40, 4 * SIZE - 1, SIZE, now, now, "postgres", True, (), named)
        writer = self.keys.begin(self.repository)
        writer.add("base/base.tar", (noise(40 if parent else 41, 70_000),))
        writer.add("base/backup_manifest", (b"{}",))
        return writer.commit(replace(contents(), databases=(), trees=(), physical=facts)).backup_id

    def wal(self, system: str = SERVER, keys: Recipients | None = None) -> WalWriter:
        """Return a writer that follows the newest batch."""
        keys = keys or self.keys
        head = read_wal(self.repository, SERVER).head
        return begin_wal(self.repository, system, SIZE, keys.public, keys.writer[0], head)

    def ship(self) -> None:
        """Ship segments 2 to 6 of timeline 1, then the history and segments 6 to 8 of timeline 2."""
        writer = self.wal()
        self.run = writer.run
        for number in range(2, SWITCH):
            writer.commit([writer.put(1, number * SIZE, noise(number, SIZE))], self.time.wall())
        writer.commit([writer.put_history("00000002.history", 2, HISTORY, (Switch(1, SWITCH * SIZE + 0x100),))], None)
        for number in range(SWITCH, SWITCH + 3):
            writer.commit([writer.put(2, number * SIZE, noise(number + 50, SIZE))], self.time.wall())

    # what a visitor does to it

    def all_keys(self) -> list[str]:
        return [one.key for one in self.store.list("")]

    def of(self, kind: str, name: str = "") -> list[str]:
        """Return the keys of one kind of object, those of a backup or a run."""
        return [one.key for one in self.store.list(f"{self.repository.layout.of(kind)}{name}")]

    def read(self, key: str) -> bytes:
        return b"".join(self.store.get(key))

    def write(self, key: str, body: bytes) -> None:
        self.store.put(key, (body,))

    def restore(self) -> None:
        """Put everything back as it was made, the witness and the clock included."""
        for key in self.all_keys():
            self.store.delete(key)
        for key, body in self.objects.items():
            self.write(key, body)

    @property
    def newest(self) -> str:
        return self.logical[-1]

    @property
    def trust(self) -> Trust:
        return self.repository.trust
