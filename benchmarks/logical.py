"""A logical backup of one large database beside a pipe of standard programs: `python -m benchmarks.logical`.

The pipes are `pg_dump -Fc | zstd | openssl | rclone rcat`, once as it stands (pg_dump compresses too) and once with
`--compress=none`. Both sides read the same database and write to the same store. Each round runs all of them, in an
order that turns, so that a slow minute of the machine meets all. The backup also takes facts of every row and the
schema, for the check after a restore, and authenticates what it wrote; a pipe does neither. A row a run is added to
`results/logical.jsonl`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page
from benchmarks.rows import add
from harness.alerts.alerts import Alerts
from harness.backup.orchestrator import BackupOrchestrator
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.core.service import S3
from harness.estate.secrets import SIGNING_KEY, Secrets, make_secrets, verify_keys
from harness.estate.site import EstateSite
from harness.parts.programs import program
from harness.postgres.bulk import seed_bulk
from harness.repository.catalogue import Repository, Trust
from harness.repository.store.s3 import S3Store
from harness.s3 import server as objects
from harness.s3.client import client, ensure_bucket
from harness.s3.replication import remote
from harness.signing import read_verify_key
from harness.substrate.embedded.substrate import Embedded
from harness.vault import read_secret, read_text_secret

BUCKET, DATABASE = "backups", "bulk"
PIPES = {"pipe": "", "pipe, dump not compressed": "--compress=none"}
PIPE = (
    "set -o pipefail; {pg_dump} --format=custom {option} --dbname={database} | {zstd} -q -3 "
    "| {openssl} enc -aes-256-ctr -pbkdf2 -pass file:{passphrase} "
    "| {rclone} --config {config} rcat target:{bucket}/{key}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `wall`: seconds; `cpu`: seconds of this process and its children; `stored`: bytes in the store."""

    at: str
    processors: int
    load: float
    round: int
    what: str
    megabytes: int
    wall: float
    cpu: float
    stored: int


@dataclass(slots=True)
class Bench:
    """The running servers, and a folder for the files of the pipe."""

    primary: EstateSite
    secrets: Secrets
    offsite: S3
    folder: Path

    def back_up(self) -> int:
        """Take a backup; return its stored bytes."""
        return self._orchestrator().back_up().size

    @property
    def repository(self) -> Repository:
        """The repository, which trusts the primary's key."""
        address = self.offsite.outside
        keys = (read_text_secret(self.offsite.access_key_ref), read_text_secret(self.offsite.secret_key_ref))
        trusted = [read_verify_key(read_secret(one)) for one in verify_keys(self.secrets.of("dr"))]
        store = S3Store.connect(address.host, address.port, *keys, BUCKET)
        return Repository(store, "benchmark", trust=Trust(tuple(trusted)))

    def _orchestrator(self) -> BackupOrchestrator:
        repository = self.repository
        recipients, key = self.secrets.recipients, self.secrets.of("primary")[SIGNING_KEY]
        return BackupOrchestrator(
            "benchmark", self.primary, (), repository, recipients, key, Alerts(()), MemoryJournal()
        )

    def pipe(self, option: str) -> int:
        """Run the pipe of standard programs; return its stored bytes."""
        sql, key = self.primary.place.sql, f"pipe-{SYSTEM.monotonic()}"
        words = {name: shutil.which(name) or name for name in ("zstd", "openssl")}
        words |= {name: program(name) for name in ("pg_dump", "rclone")}
        files = {"passphrase": self.folder / "passphrase", "config": self.folder / "rclone.conf"}
        files["passphrase"].write_text("a benchmark\n")
        access, secret = self.offsite.access_key_ref, self.offsite.secret_key_ref
        text = remote("target", "a", "s", self.offsite)
        text = text.replace("@{secret:a}", read_text_secret(access)).replace("@{secret:s}", read_text_secret(secret))
        files["config"].write_text(text)
        command = PIPE.format(option=option, database=DATABASE, bucket=BUCKET, key=key, **words, **files)
        env = {**os.environ, "PGHOST": sql.outside.host, "PGPORT": str(sql.outside.port), "PGUSER": sql.user}
        env["PGPASSWORD"] = read_text_secret(sql.password_ref)
        subprocess.run([shutil.which("bash") or "bash", "-c", command], env=env, check=True)
        return client(self.offsite).stat_object(BUCKET, key).size or 0


@contextmanager
def bench(folder: Path, megabytes: int) -> Iterator[Bench]:
    """Start the servers and fill the database; end everything afterwards."""
    secrets = make_secrets(folder / "secrets", ())
    substrate = Embedded(folder / "run", folder / "logs")
    try:
        primary = EstateSite(substrate.site("primary"), secrets.of("primary"), {})
        primary.activate()
        seed_bulk(primary.site, primary.place.sql, DATABASE, megabytes=megabytes)
        site, references = substrate.site("offsite"), secrets.of("offsite")
        node = site.launch(objects.server_spec(site, "offsite", secrets=references))
        offsite = objects.s3_of(node, references[objects.ACCESS], references[objects.SECRET])
        ensure_bucket(offsite, BUCKET, versioning=False)
        yield Bench(primary, secrets, offsite, folder)
    finally:
        substrate.sweep()


def measured(what: str, run: Callable[[], int], number: int, megabytes: int) -> Row:
    """Run one side and return its row."""
    load, before, began = os.getloadavg()[0], os.times(), SYSTEM.monotonic()
    stored = run()
    wall, after = SYSTEM.monotonic() - began, os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    at = SYSTEM.wall().isoformat(timespec="seconds")
    return Row(at, os.cpu_count() or 0, round(load, 1), number, what, megabytes, round(wall, 2), round(cpu, 2), stored)


def main() -> None:
    """Run the rounds, print a line for each run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if lacking := [name for name in ("zstd", "openssl") if shutil.which(name) is None]:
        raise HarnessError(f"no program {', '.join(lacking)} on PATH; apt-get install it")
    with tempfile.TemporaryDirectory(prefix="blackstart-benchmark-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        with bench(folder, asked.megabytes) as running:
            sides: list[tuple[str, Callable[[], int]]] = [("backup", running.back_up)]
            sides += [(name, lambda option=option: running.pipe(option)) for name, option in PIPES.items()]  # type: ignore[misc]
            for number in range(asked.rounds + 1):  # the first warms the caches and is not recorded
                turn = number % len(sides)
                for what, run in (*sides[turn:], *sides[:turn]):
                    row = measured(what, run, number, asked.megabytes)
                    print(f"round {number}: {what}: {row.wall} s, {row.cpu} s of CPU, {row.stored} bytes", flush=True)
                    if number:
                        add("logical", row)
    page.write()


if __name__ == "__main__":
    main()
