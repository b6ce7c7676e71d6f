"""What each side runs: blackstart, pgBackRest, Barman's cloud programs, and a pipe of standard programs."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.repository.servers import BUCKET, KEY, PASSPHRASE, SECRET, SEGMENTS, Servers
from harness.estate.secrets import Secrets
from harness.s3.server import ACCESS
from harness.s3.server import SECRET as SECRET_KEY

ROOT = Path(__file__).resolve().parents[2]
OURS, PGBACKREST, BARMAN, PIPE = "blackstart", "pgBackRest", "Barman", "pipe"
BLACKSTART = f"{sys.executable} -c 'from harness.cli import main; main()'"
START = (
    'pg_ctl -w -t 120 -s -D {out} -l {out}.log -o "-c port={port} -c archive_mode=off -c unix_socket_directories='
    '{work}/socket -c listen_addresses=127.0.0.1 {more}" start && '
    "until [ \"$(psql -p {port} -XAtc 'select not pg_is_in_recovery()')\" = t ]; do sleep 0.05; done && "
    "psql -p {port} -XAtc 'select count(*) from item' >{out}.rows && pg_ctl -w -s -m immediate -D {out} stop"
)
DECLARATION = """
[estate]
name = "bench"
zone = "bench.test"
[sites.primary]
edge = "127.0.0.2"
[sites.dr]
edge = "127.0.0.3"
[services.gateway]
kind = "gateway"
[existing.offsite]
bucket = "{bucket}"
secrets = "secrets/offsite"
read_only = false
[existing.offsite.s3]
endpoint = "{endpoint}"
ca = "{work}/cert.pem"
path_style = true
[existing.primary]
s3 = "{endpoint}"
secrets = "secrets/primary"
[existing.primary.sql]
host = "127.0.0.1"
port = {port}
sslmode = "disable"
"""
PGBACKREST_CONF = """
[global]
repo1-type=s3
repo1-path=/pgbackrest/r{n}
repo1-s3-bucket={bucket}
repo1-s3-endpoint=localhost
repo1-storage-port={store}
repo1-storage-ca-file={work}/cert.pem
repo1-s3-region=us-east-1
repo1-s3-uri-style=path
repo1-s3-key={key}
repo1-s3-key-secret={secret}
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={passphrase}
repo1-bundle=y
repo1-block=y
repo1-retention-full=9
compress-type=zst
compress-level=3
process-max={processors}
start-fast=y
expire-auto=n
log-level-console=warn
log-level-file=off
log-path={work}/log
lock-path={work}/lock
spool-path={work}/spool
cmd={rivals}/pgbackrest

[main]
pg1-path={data}
pg1-socket-path={work}/socket
pg1-port={port}
pg1-user=postgres
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One thing that a side does. `prefix`: where in the store it puts what it stores, as rclone names it."""

    side: str
    what: str
    command: str
    prefix: str = ""


@dataclass(slots=True)
class Sides:
    """The commands of one round. Each round has repositories of its own."""

    servers: Servers
    number: int
    port: int
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        servers, work = self.servers, self.servers.work
        self.folder = work / f"blackstart{self.number}"
        secrets = Secrets(self.folder / "secrets")
        for name, value in ((ACCESS, KEY), (SECRET_KEY, SECRET)):
            secrets.put("offsite", name, value.encode())
            secrets.put("primary", name, value.encode())
        secrets.put("primary", "postgres-superuser", b"not asked for")
        text = DECLARATION.format(bucket=self._bucket, endpoint=servers.endpoint, work=work, port=servers.sql_port)
        (self.folder / "estate.toml").write_text(text)
        servers.own(self.folder)
        servers.sh(f"rclone mkdir --s3-no-check-bucket=false :s3:{self._bucket}")
        servers.sh(f"{self._blackstart} keys new")
        settings = PGBACKREST_CONF.format(
            n=self.number, bucket=BUCKET, store=servers.store_port, work=work, key=KEY, secret=SECRET,
            passphrase=PASSPHRASE, processors=os.cpu_count() or 1, rivals=servers.rivals, data=servers.data,
            port=servers.sql_port,
        )  # fmt: skip
        (work / "pgbackrest.conf").write_text(settings)
        (work / "pgbackrest.conf").chmod(0o644)
        servers.settle()
        servers.sh(f"{self._pgbackrest} stanza-create")

    @property
    def _bucket(self) -> str:
        return f"ours{self.number}"

    @property
    def _blackstart(self) -> str:
        runs = f"BLACKSTART_RUNS={self.folder}/runs"
        return f"cd {self.folder} && PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1 {runs} {BLACKSTART}"

    @property
    def _pgbackrest(self) -> str:
        return f"{self.servers.rivals}/pgbackrest --stanza=main"

    @property
    def _barman(self) -> str:
        return f"--endpoint-url {self.servers.endpoint} --addressing-style path"

    def _crypt(self, flag: str) -> str:
        return f"openssl enc {flag} -aes-256-ctr -pbkdf2 -pass file:{self.servers.work}/pass"

    @property
    def _piped(self) -> str:
        return f":s3:{BUCKET}/pipe/r{self.number}.tar.zst.enc"

    def full(self) -> list[Work]:
        """Return the full backups."""
        n, rivals = self.number, self.servers.rivals
        base = "pg_basebackup -Ft -X fetch -c fast -D -"
        pipe = f"{base} | zstd -3 -T2 -q | {self._crypt('-e')} | rclone rcat {self._piped}"
        barman = f"{rivals}/barman-cloud-backup {self._barman} --zstd -J 2 --immediate-checkpoint -q"
        return [
            Work(OURS, "full", f"{self._blackstart} backup --mode physical", self._bucket),
            Work(PGBACKREST, "full", f"{self._pgbackrest} --type=full backup", f"{BUCKET}/pgbackrest/r{n}/backup"),
            Work(BARMAN, "full", f"{barman} -n full s3://{BUCKET}/barman r{n}", f"{BUCKET}/barman"),
            Work(PIPE, "full", pipe, f"{BUCKET}/pipe"),
        ]

    def restore(self) -> list[Work]:
        """Return the restores. blackstart's ends with a server that was promoted and stopped: it replays the WAL."""
        n, rivals = self.number, self.servers.rivals
        out = {side: self.out(side) for side in (OURS, PGBACKREST, BARMAN, PIPE)}
        pipe = f"mkdir -m 700 {out[PIPE]} && rclone cat {self._piped} | {self._crypt('-d')} | zstd -d -q"
        barman = f"{rivals}/barman-cloud-restore {self._barman} -q s3://{BUCKET}/barman r{n} full {out[BARMAN]}"
        ours = f"{self._blackstart} restore --into {out[OURS]}"
        backrest = f"mkdir -m 700 {out[PGBACKREST]} && {self._pgbackrest} --pg1-path={out[PGBACKREST]} restore"
        return [
            Work(OURS, "restore", ours),
            Work(PGBACKREST, "restore", backrest),
            Work(BARMAN, "restore", f"{barman} && chmod 700 {out[BARMAN]} && sync -f {out[BARMAN]}"),
            Work(PIPE, "restore", f"{pipe} | tar -x -C {out[PIPE]} && sync -f {out[PIPE]}"),
        ]

    def start(self) -> list[Work]:
        """Return how the restored servers are started, up to their first answer, and stopped."""
        rivals, more = self.servers.rivals, {OURS: "", PIPE: "", PGBACKREST: "-c recovery_target_action=promote"}
        out = self.out(BARMAN)
        get = f"{rivals}/pgbackrest --stanza=main --pg1-path={out} archive-get %f %p"  # there is no WAL in Barman's
        more[BARMAN] = f"-c restore_command='{get}' -c recovery_target=immediate -c recovery_target_action=promote"
        before = {BARMAN: f"touch {out}/recovery.signal && "}
        return [Work(side, "start", before.get(side, "") + self._start(side, words)) for side, words in more.items()]

    def _start(self, side: str, more: str) -> str:
        return START.format(out=self.out(side), port=self.port, work=self.servers.work, more=more)

    def out(self, side: str) -> Path:
        """Return the folder into which a side restores."""
        return self.servers.work / "out" / side

    def verify(self) -> list[Work]:
        """Return the checks of the repository. pgBackRest's reads what is stored, and opens nothing."""
        return [
            Work(OURS, "verify", f"{self._blackstart} verify --all"),
            Work(PGBACKREST, "verify", f"{self._pgbackrest} verify"),
        ]

    def incremental(self) -> list[Work]:
        """Return the incremental backups after one per cent of the rows changed."""
        prefix = f"{BUCKET}/pgbackrest/r{self.number}/backup"
        return [
            Work(OURS, "incremental", f"{self._blackstart} backup --mode incremental", self._bucket),
            Work(PGBACKREST, "incremental", f"{self._pgbackrest} --type=incr backup", prefix),
        ]

    def wal(self, first: str, last: str) -> list[Work]:
        """Return how the segments that were put aside are shipped, one after the other."""
        servers, n = self.servers, self.number
        at = servers.work / f"wal{n}"
        names = sorted(one.name for one in (servers.work / "keep").iterdir())[:SEGMENTS]
        # As in a data directory: archive-push looks into its control file.
        (at / "pg_wal/archive_status").mkdir(parents=True)
        (at / "global").mkdir()
        shutil.copy(servers.data / "global/pg_control", at / "global")
        for name in names:
            os.link(servers.work / "keep" / name, at / "pg_wal" / name)
        servers.own(at)
        loop = f"cd {at} && for f in {' '.join(names)}; do %s || exit 1; done"
        pipe = f"zstd -3 -q -c pg_wal/$f | {self._crypt('-e')} | rclone rcat :s3:{BUCKET}/wal{n}/$f"
        barman = (
            f"{servers.rivals}/barman-cloud-wal-archive {self._barman} --zstd -q s3://{BUCKET}/barman r{n} pg_wal/$f"
        )
        receive = f"{sys.executable} -m benchmarks.repository.receive estate.toml {first} {last}"
        ours = f"cd {self.folder} && PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1 {receive}"
        push = f"{self._pgbackrest} --pg1-path={at} archive-push pg_wal/$f"
        return [
            Work(OURS, "WAL", ours, self._bucket),
            Work(PGBACKREST, "WAL", loop % push, f"{BUCKET}/pgbackrest/r{n}/archive"),
            Work(BARMAN, "WAL", loop % barman, f"{BUCKET}/barman/r{n}/wals"),
            Work(PIPE, "WAL", loop % pipe, f"{BUCKET}/wal{n}"),
        ]
