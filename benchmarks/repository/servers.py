"""The servers of the benchmark: PostgreSQL with its data, and an S3 store over TLS, both on loopback."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.repository.measure import AS_USER, USER
from benchmarks.rows import ROOT
from harness.core.clock import NotYet, wait_until
from harness.parts.programs import program

RIVALS = Path(os.environ.get("BLACKSTART_CACHE", "~/.cache/blackstart")).expanduser() / "rivals"
FETCH = Path(__file__).with_name("fetch_rivals.sh")
KEY, SECRET, PASSPHRASE = "bench", "benchbench", "correct horse battery staple"
BUCKET = "bench"
SEGMENTS = 50
ROW = 1110  # bytes of a row, with its index entry
HIGHEST = 55_000  # ports: SeaweedFS adds 10,000 to one of them
OWNER = {
    "name": "owner",
    "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
    "actions": ["Admin", "Read", "List", "Tagging", "Write"],
}
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{work}/socket'
shared_buffers = 256MB
max_wal_size = 4GB
wal_level = replica
summarize_wal = on
archive_mode = on
archive_command = '{work}/pgbackrest-archive.sh %p'
autovacuum = off
synchronous_commit = off
checkpoint_timeout = 1h
"""
# pgBackRest refuses a backup when `archive_command` does not contain its name.
ARCHIVE = """#!/bin/bash
# Before the first backup the first segments are put aside. Later they go where pgBackRest looks for them.
if [ -e {work}/push ]; then exec {rivals}/pgbackrest --stanza=main archive-push "$1"; fi
[ "$(ls {work}/keep | wc -l)" -ge {segments} ] || cp "$1" "{work}/keep/"
"""
WEED = (
    "-logtostderr=true mini -dir={work}/s3 -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.port={p[0]} -s3.port.grpc={p[1]} "
    "-filer.port={p[2]} -filer.port.grpc={p[3]} -volume.port={p[4]} -volume.port.grpc={p[5]} -master.port={p[6]} "
    "-master.port.grpc={p[7]} -admin.port={p[8]} -admin.port.grpc={admin} -s3.config=owner.json "
    "-s3.localSocket=s3.sock "
    "-filer.localSocket=filer.sock -master.volumeSizeLimitMB=256 -volume.max=0 -idleTimeout=5 -disableHttp=true "
    "-webdav=false -admin.ui=false -s3.port.iceberg=0 -s3.port.lance=0 -s3.iam=false -master.telemetry=false "
    "-master.volumePreallocate=false -s3.cert.file=cert.pem -s3.key.file=key.pem"
)


class Servers:
    """A work folder with the running servers. All of it belongs to `USER`."""

    def __init__(self, work: Path, rivals: Path) -> None:
        self.work, self.rivals = work, rivals
        self.data = work / "pgdata"
        self.ports = _free_ports(11)
        self.sql_port, self.store_port = self.ports[9], self.ports[0]
        self.endpoint = f"https://localhost:{self.store_port}"
        self.rows = 0
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        folders = (Path(program(name)).parent for name in ("postgres", "rclone", "weed"))
        self.env = {
            "PATH": ":".join([*map(str, folders), "/usr/bin", "/bin"]), "HOME": str(work / "home"), "LC_ALL": "C.UTF-8",
            "PGHOST": "127.0.0.1", "PGPORT": str(self.sql_port), "PGUSER": "postgres", "PGDATABASE": "postgres",
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CA_BUNDLE": str(work / "cert.pem"), "AWS_EC2_METADATA_DISABLED": "true",
            "RCLONE_CONFIG": "/dev/null", "RCLONE_S3_PROVIDER": "SeaweedFS", "RCLONE_S3_ENDPOINT": self.endpoint,
            "RCLONE_S3_ACCESS_KEY_ID": KEY, "RCLONE_S3_SECRET_ACCESS_KEY": SECRET,
            "RCLONE_CA_CERT": str(work / "cert.pem"), "RCLONE_S3_FORCE_PATH_STYLE": "true",
            "RCLONE_S3_NO_CHECK_BUCKET": "true", "PGBACKREST_CONFIG": str(work / "pgbackrest.conf"),
            "PGBACKREST_CONFIG_INCLUDE_PATH": str(work / "none"),
        }  # fmt: skip

    def sh(self, command: str, *, check: bool = True) -> str:
        """Run a shell command as `USER` and return its output. Raises SystemExit with its errors."""
        argv = [*AS_USER, "bash", "-c", f"set -o pipefail; {command}"]
        done = subprocess.run(argv, env=self.env, cwd=self.work, text=True, capture_output=True, check=False)
        if check and done.returncode:
            raise SystemExit(f"{command[:300]}: exit code {done.returncode}: {(done.stderr + done.stdout)[-2000:]}")
        return done.stdout.strip()

    def sql(self, text: str) -> str:
        """Return what psql prints for a statement."""
        return self.sh(f"psql -XAtq -v ON_ERROR_STOP=1 -c {shlex.quote(text)}")

    def start(self, name: str, command: str) -> subprocess.Popen[bytes]:
        """Start a program as `USER`; its output goes to a log in the work folder."""
        with (self.work / f"{name}.log").open("ab") as log:
            self._started[name] = subprocess.Popen(
                [*AS_USER, *shlex.split(command)], env=self.env, cwd=self.work, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        return self._started[name]

    def pid(self, name: str) -> int:
        """Return the process id of a started program."""
        return self._started[name].pid

    def set_up(self, gigabytes: float) -> None:
        """Start both servers and fill the database: half of each row compresses well, half not at all."""
        for name in ("home", "socket", "keep", "out", "s3", "none", "log", "lock", "spool"):
            (self.work / name).mkdir(parents=True)
        (self.work / "pass").write_text(PASSPHRASE + "\n")
        (self.work / "owner.json").write_text(json.dumps({"identities": [OWNER]}))
        archive = self.work / "pgbackrest-archive.sh"
        archive.write_text(ARCHIVE.format(work=self.work, rivals=self.rivals, segments=SEGMENTS))
        archive.chmod(0o755)
        names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
        argv = f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 {names} -keyout key.pem -out cert.pem"
        subprocess.run(shlex.split(argv), cwd=self.work, check=True, capture_output=True)
        self.own(self.work)
        admin = self.ports[8] + 10_000  # its worker connects to this port whatever is said
        self.start("weed", f"{program('weed')} {WEED.format(work=self.work, p=self.ports, admin=admin)}")
        made = (
            f"rclone mkdir --s3-no-check-bucket=false :s3:{BUCKET} && echo hi | rclone rcat :s3:{BUCKET}/hi && echo ok"
        )
        until(lambda: self.sh(made, check=False).endswith("ok"), 60, "the S3 store")
        self.sh(f"initdb -D {self.data} -U postgres -A trust --no-sync -E UTF8 --locale=C")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS.format(port=self.sql_port, work=self.work))
        self.start("postgres", f"{program('postgres')} -D {self.data}")
        until(lambda: self.sh("psql -XAtc 'select 1'", check=False) == "1", 60, "PostgreSQL")
        self._fill(gigabytes)

    def _fill(self, gigabytes: float) -> None:
        self.rows = int(gigabytes * 1e9 / ROW)
        self.sql("SELECT pg_create_physical_replication_slot('keeps_wal', true)")  # each round receives it again
        self.sql("CREATE TABLE item (id bigint PRIMARY KEY, n int, note text, blob bytea)")
        values = f"SELECT i, 0, {note('i')}, {blob('i', 'first')} FROM generate_series(1, {self.rows}::bigint) i"  # noqa: S608 - of this file
        self.sql(f"INSERT INTO item {values}")
        self.sql("VACUUM (FREEZE, ANALYZE) item")
        self.sql("SELECT pg_switch_wal()")
        self.sql("CHECKPOINT")
        self.settle()
        (self.work / "push").touch()

    def change(self, number: int) -> None:
        """Change one per cent of the rows, those of one range of keys."""
        first = self.rows // 3 + number * self.rows // 50
        where = f"id > {first} AND id <= {first + self.rows // 100}"
        self.sql(f"UPDATE item SET n = n + 1, blob = {blob('id', str(number))} WHERE {where}")  # noqa: S608 - of this file
        self.sql("SELECT pg_switch_wal()")
        self.sql("CHECKPOINT")
        self.settle()

    def settle(self) -> None:
        """Return once everything is archived. Raises SystemExit."""
        status = self.data / "pg_wal/archive_status"
        until(lambda: not any(one.name.endswith(".ready") for one in status.iterdir()), 120, "archiving")

    def stored(self, prefix: str) -> int:
        """Return the bytes below a bucket and prefix."""
        said = self.sh(f"rclone size --json :s3:{prefix}", check=False)
        return int(json.loads(said)["bytes"]) if said else 0

    def own(self, folder: Path) -> None:
        """Give a folder with all that is in it to `USER`."""
        for at, _, names in os.walk(folder):
            for one in (at, *(os.path.join(at, name) for name in names)):  # noqa: PTH118
                os.chown(one, USER, USER, follow_symlinks=False)

    def end(self) -> None:
        """End the servers and remove the work folder."""
        for name, sign in (("postgres", signal.SIGINT), ("weed", signal.SIGTERM)):
            started = self._started.get(name)
            if started is not None and started.poll() is None:
                started.send_signal(sign)
                try:
                    started.wait(60)
                except subprocess.TimeoutExpired:
                    started.kill()
        shutil.rmtree(self.work, ignore_errors=True)


@contextmanager
def running(gigabytes: float) -> Iterator[Servers]:
    """Yield the servers with a database of that size; after the block they are ended and their folder is removed."""
    servers = Servers(Path(tempfile.mkdtemp(prefix="blackstart-bench-")), rivals())
    try:
        servers.work.chmod(0o755)
        servers.set_up(gigabytes)
        yield servers
    finally:
        servers.end()


def rivals() -> Path:
    """Return the folder of the other tools' programs, which are fetched where they are missing."""
    if not (RIVALS / "bin/pgbackrest").exists():
        subprocess.run([str(FETCH), str(RIVALS)], check=True)
    return RIVALS / "bin"


def write_bytecode() -> None:
    """Write the bytecode of blackstart and its packages, as an installation has it and as the other tools have it."""
    folders = (str(ROOT / "harness"), sysconfig.get_path("purelib"))
    # A package may have files for other versions of Python, which cannot be compiled.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", *folders], capture_output=True, check=False)


def note(key: str) -> str:
    """Return SQL for some 500 bytes of text as applications store it: it compresses well."""
    line = (
        f"""'{{"sku":"A-' || ({key} * %d %% 9973) || '","quantity":' || ({key} * %d %% 7) || ',"price":"' """
        f"""|| ({key} * %d %% 499) || '.99","currency":"EUR"}}'"""
    )
    lines = " || ',' || ".join(line % (31 + k, 3 + k, 17 + k) for k in range(6))
    head = f"""'{{"order":' || {key} || ',"customer":' || ({key} * 7919 % 100003) || ',"status":"shipped","lines":['"""
    return f"""({head} || {lines} || ']}}')"""


def blob(key: str, salt: str) -> str:
    """Return SQL for 448 bytes that do not compress, the same in every run."""
    return " || ".join(f"sha512(('{salt}{k}-' || {key})::bytea)" for k in range(7))


def until(check: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once a check holds. Raises TookTooLong."""

    def ready() -> None:
        if not check():
            raise NotYet("not ready")

    wait_until(ready, patience=seconds, what=what)


def _free_ports(count: int) -> list[int]:
    held: list[socket.socket] = []
    ports: list[int] = []
    while len(ports) < count:
        one = socket.socket()
        held.append(one)
        one.bind(("127.0.0.1", 0))
        if (port := one.getsockname()[1]) < HIGHEST:
            ports.append(port)
    for one in held:
        one.close()
    return ports
