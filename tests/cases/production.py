"""A production of its own: running servers and a repository that only a declaration names, and the command line."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.service import S3, Sql
from harness.estate.connections import BUCKET
from harness.estate.secrets import Secrets, make_site_secrets
from harness.estate.site import EstateSite
from harness.postgres.server import connect, make_database
from harness.s3.client import client, ensure_bucket
from harness.s3.server import ACCESS, SECRET, s3_of, server_spec
from harness.substrate.embedded.substrate import Embedded
from tests.forks import COMMAND, ROOT, run

PROGRAM = """
import contextlib, json, os, socket
from http.server import BaseHTTPRequestHandler, HTTPServer
import psycopg

HERE = {k: os.environ["DB_" + k.upper()] for k in ("host", "port", "user", "password")}
with contextlib.suppress(OSError):  # an address that nobody has: TEST-NET-1
    socket.create_connection(("192.0.2.7", 443), timeout=10).close()
CONNECTION = psycopg.connect(dbname=os.environ["DB_NAME"], autocommit=True, **HERE)

class Guestbook(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps([line for (line,) in CONNECTION.execute("SELECT line FROM entry")]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass

HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Guestbook).serve_forever()
"""
DECLARATION = """
[estate]
name = "guests"
zone = "guests.test"
[sites.primary]
edge = "127.0.0.2"
[sites.dr]
edge = "127.0.0.3"
[services.guestbook]
kind = "http"
command = ["python3", "guestbook.py"]
image = "notifier"
ready = "/"
databases = ["guestbook"]
prefix = "/guestbook"
keys = [{{ path = "/guestbook/entries", status = 200, contains = "hello" }}]
[services.gateway]
kind = "gateway"
needs = ["guestbook"]
[existing.offsite]
s3 = "{offsite}"
secrets = "secrets/offsite"
tls = false
read_only = {read_only}
"""
PRIMARY = """
[existing.primary]
sql = "{sql}"
s3 = "{s3}"
secrets = "secrets/primary"
"""
LINE = "hello from a guest"


@dataclass(frozen=True)
class Production:
    """The servers and their secrets. `primary`: its database server and store; `offsite`: the repository's store."""

    secrets: Secrets
    primary: EstateSite
    offsite: S3

    @property
    def sql(self) -> Sql:
        return self.primary.place.sql

    def folder(self, at: Path, *, primary: bool = True, read_only: bool = False) -> Path:
        """Make a folder with the declaration, the program and the secrets of the repository, and of the primary."""
        place = self.primary.place
        text = DECLARATION.format(offsite=self.offsite.outside, read_only=str(read_only).lower())
        if primary:
            text += PRIMARY.format(sql=place.sql.outside, s3=place.s3.outside)
            shutil.copytree(self.secrets.root / "primary", at / "secrets/primary")
        shutil.copytree(self.secrets.root / "offsite", at / "secrets/offsite")
        (at / "estate.toml").write_text(text)
        (at / "guestbook.py").write_text(PROGRAM)
        return at

    def stored(self) -> tuple[str, ...]:
        """Return the keys of all objects of the repository."""
        return tuple(str(entry.object_name) for entry in client(self.offsite).list_objects(BUCKET, recursive=True))

    def put(self, key: str, data: bytes) -> None:
        client(self.offsite).put_object(BUCKET, key, io.BytesIO(data), len(data))


@contextmanager
def production(home: Path) -> Iterator[Production]:
    """Start a primary with one database of one role, and an empty repository; end them afterwards."""
    substrate, secrets = Embedded(home / "run", home / "logs"), Secrets(home / "secrets")
    make_site_secrets(secrets, "primary")
    for name in (ACCESS, SECRET):
        secrets.put("offsite", name, f"offsite-{name}".encode())
    secrets.put("roles", "guestbook", b"production's own")
    try:
        primary = EstateSite(substrate.site("primary"), secrets.of("primary"), {})
        primary.activate()
        make_database(primary.place.sql, "guestbook", "guestbook", secrets.of("roles")["guestbook"])
        with connect(primary.place.sql, "guestbook") as connection:
            connection.execute("SET ROLE guestbook")
            connection.execute("CREATE TABLE entry (id int PRIMARY KEY, line text)")
            connection.execute("INSERT INTO entry SELECT n, %s FROM generate_series(1, 500) n", (LINE,))
        node = substrate.site("offsite").launch(
            server_spec(substrate.site("offsite"), "offsite", secrets=secrets.of("offsite"))
        )
        offsite = s3_of(node, secrets.of("offsite")[ACCESS], secrets.of("offsite")[SECRET])
        ensure_bucket(offsite, BUCKET, versioning=False)
        yield Production(secrets, primary, offsite)
    finally:
        substrate.sweep()


def blackstart(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with its runs below it; return how it ended."""
    return run(folder, *words, **({"BLACKSTART_RUNS": str(folder / "runs")} | env))


def begun(folder: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    """Start a command in a folder, with its runs below it; return its process."""
    command = [*COMMAND, *words]
    env = os.environ | {"PYTHONPATH": str(ROOT), "BLACKSTART_RUNS": str(folder / "runs")} | env
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdin=nothing, stdout=pipe, stderr=pipe)


def last(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """Return the last line of a command's output, which is JSON."""
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    with production(tmp_path_factory.mktemp("production")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(there: Production, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's folder, after `keys new` and one `backup`: nothing was renamed."""
    folder = there.folder(tmp_path_factory.mktemp("operator"))
    for words in (("keys", "new"), ("backup",)):
        done = blackstart(folder, *words)
        assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture
def laptop(there: Production, operator: Path, tmp_path: Path) -> Path:
    """A folder with the declaration, keys that read the repository, and the DR key: nothing of the primary."""
    folder = there.folder(tmp_path / "my läptop", primary=False, read_only=True)
    (folder / "secrets/dr").mkdir(parents=True)
    for key in (operator / "secrets/dr").iterdir():  # recipient.pem, and the writer's public key
        shutil.copy2(key, folder / "secrets/dr" / key.name)
    return folder
