"""A production whose repository is reached through the counting proxy, and what its repository holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.estate.config import load_config
from harness.estate.connections import BUCKET
from harness.estate.existing import references, repository_to_write, writers_in
from harness.postgres.server import connect
from harness.repository.catalogue import Repository
from harness.repository.store.s3 import S3Store
from harness.repository.upkeep.reaper import reap
from harness.repository.upkeep.wal import reap_wal
from harness.s3.client import ensure_bucket
from harness.vault import read_text_secret
from tests.cases.production import Production, production
from tests.forks import Forks, forks
from tests.kills.store.proxy import Proxy, proxy

DIRECT, WITNESS, PREFIX = "direct.toml", "witness.json", "kills"
TABLES = f"""
witness = "{WITNESS}"
[backup]
wal_seconds = 0.5
[backup.retention]
last = 1
day = 0
week = 0
month = 0
verified = 1
"""


@dataclass(frozen=True, slots=True)
class State:
    """What a repository holds: key -> etag and contents; and what its writer's witness knows."""

    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    witness: bytes | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A command that ended: what it called, and whether it was killed at the call that was asked for."""

    code: int
    output: str
    calls: tuple[str, ...]
    killed: bool


@dataclass(frozen=True, slots=True)
class Bench:
    """The operator's folder, in which commands reach the repository through `proxy`; `store` is that without it."""

    there: Production
    folder: Path
    proxy: Proxy
    forks: Forks
    store: S3Store

    def run(
        self,
        words: Sequence[str],
        moment: str = "",
        number: int = 0,
        meanwhile: Callable[[Bench, int], None] | None = None,
    ) -> Run:
        """Run a command, killed at a call or not. `meanwhile`: is given its number, and works while it runs."""
        self.proxy.arm(moment, number)

        def begun(pid: int) -> None:
            self.proxy.aim(pid)
            if meanwhile is not None:
                meanwhile(self, pid)

        env = self.forks.environment | {"BLACKSTART_RUNS": str(self.folder / "runs")}
        done = self.forks.run(self.folder, words, env, begun)
        self.proxy.quiet()
        return Run(done.returncode, done.stdout + done.stderr, tuple(self.proxy.calls), self.proxy.hit.is_set())

    def done(self, *words: str) -> Run:
        """Run a command that must end well."""
        run = self.run(words)
        assert run.code == 0, f"{words}: {run.code}: {run.output[-2000:]}"
        return run

    def repository(self) -> Repository:
        """Return the repository as its writer has it, without the proxy."""
        folder = self.folder / "secrets/primary"
        return repository_to_write(load_config(self.folder / DIRECT), writers_in(references(folder), folder))

    @property
    def key(self) -> bytes:
        """DR's private key."""
        return (self.folder / "secrets/dr/recipient.pem").read_bytes()

    def reap(self) -> int:
        """Remove what was left, at once and not after a day; return how many backups and files of WAL that were."""
        repository = self.repository()
        found = reap(repository, 0)
        assert not found.alarm, found.alarm
        return len(found.removed) + len(reap_wal(repository, 0))

    def state(self) -> State:
        """Return what the repository holds now."""
        kept = {one.key: (one.etag, b"".join(self.store.get(one.key))) for one in self.store.list("")}
        witness = self.folder / WITNESS
        return State(kept, witness.read_bytes() if witness.exists() else None)

    def reset(self, to: State) -> None:
        """Put the repository back to a state, and drop the replication slot."""
        self.store.abandon("")
        versions = list(self.store.versions(""))
        good = {one.key for one in versions if one.newest and one.etag == to.objects.get(one.key, ("", b""))[0]}
        good -= {one.key for one in versions if not one.newest or one.marker}
        for key in {one.key for one in versions} - good:
            self.store.expunge(key)
        for key, (_, data) in to.objects.items():
            if key not in good:
                self.store.put(key, (data,))
        witness = self.folder / WITNESS
        witness.unlink(missing_ok=True)
        if to.witness is not None:
            witness.write_bytes(to.witness)
        self.write("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
        shutil.rmtree(self.folder / "runs", ignore_errors=True)

    def write(self, *statements: str, data: bytes | None = None) -> None:
        """Run statements in the production's database, each committed. `data`: their parameter."""
        with connect(self.there.sql, "guestbook") as connection:
            for statement in statements:
                connection.execute(statement.encode(), None if data is None else (data,))

    def ask(self, query: str) -> object:
        """Return the only value of a query's result."""
        with connect(self.there.sql, "guestbook") as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def bench(home: Path) -> Iterator[Bench]:
    """Yield a production with an empty repository, in a bucket that keeps versions."""
    with (
        production(home / "production") as there,
        proxy(there.offsite.outside) as between,
        forks(BLACKSTART_PATIENCE_STORE_SILENCE="60") as started,
    ):
        ensure_bucket(there.offsite, BUCKET)
        (home / "operator").mkdir()
        folder = there.folder(home / "operator")
        declared = (folder / "estate.toml").read_text()
        for name, address in (("estate.toml", between.address), (DIRECT, there.offsite.outside)):
            table = f's3 = {{ endpoint = "{address}", tls = false, prefix = "{PREFIX}" }}'
            text = declared.replace(f's3 = "{there.offsite.outside}"\n', f"{table}\n", 1)
            text = text.replace("read_only = false\n", f"read_only = false{TABLES}", 1)
            (folder / name).write_text(text)
        access, secret = (read_text_secret(f"file:{folder}/secrets/offsite/s3-{one}") for one in ("access", "secret"))
        where = there.offsite.outside
        store = S3Store.connect(where.host, where.port, access, secret, BUCKET, prefix=PREFIX)
        made = Bench(there, folder, between, started, store)
        made.write("ALTER SYSTEM SET summarize_wal = on", "SELECT pg_reload_conf()")
        made.done("keys", "new")
        yield made
