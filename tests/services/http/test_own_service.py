from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import Finding, HarnessError, MissingPart, UsageError
from harness.core.node import Address, Ready, Site
from harness.core.service import S3, Objects, Place, Seedable, Service, Sql, Tree
from harness.patience import PATIENCE
from harness.postgres import server as postgres
from harness.services.http.app import HttpService
from harness.services.http.table import BucketTable, FilesTable, HttpTable
from harness.traffic.declared import KeyTable
from tests.servers import embedded, secret_files, start_database
from tests.services.doors import door_of
from tests.substrate.fake import Fake

PROGRAM = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Own(BaseHTTPRequestHandler):
    def do_GET(self):
        told = {k: v for k, v in os.environ.items() if k.startswith(("DB_", "S3_", "OWN_"))}
        told |= {"args": sys.argv[1:], "key": self.headers.get("Authorization"), "extra": self.headers.get("X-Extra")}
        body = json.dumps(told).encode()
        self.send_response(200 if self.path != "/gone" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass

HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Own).serve_forever()
"""
PLAIN = HttpTable(
    kind="http",
    command=("python3", "own.py", "--fast"),
    secrets={"token": "env:NONE"},
    environment={"OWN_TOKEN": "@{secret:token}", "OWN_FOLDER": "@{volume:papers}", "DB_NAME": "chosen"},
    ready="/ready",
    databases=("own",),
    volumes=("papers",),
    needs=("notification",),
    prefix="/own",
    keys=(KeyTable(path="/own/entries", contains="--fast", headers={"X-Extra": "yes"}),),
)


def changed(table: HttpTable, **more: object) -> HttpTable:
    """Return the table with other values, of its own keys and of its key function's."""
    own = {name: value for name, value in more.items() if name in HttpTable.model_fields}
    asked = {name: value for name, value in more.items() if name not in own}
    return table.model_copy(update={**own, "keys": (table.keys[0].model_copy(update=asked),)})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with embedded(tmp_path) as substrate:
        yield substrate.site("dr")


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HttpTable:
    (tmp_path / "own.py").write_text(PROGRAM)
    (tmp_path / "token").write_text("a token\n")
    monkeypatch.chdir(tmp_path)  # the folder of estate.toml, to which its paths are relative
    return changed(PLAIN, secrets={"token": f"file:{tmp_path / 'token'}"})


@pytest.fixture
def place(site: Site, tmp_path: Path) -> Place:
    sql = Sql(Address("10.0.0.1", 5433), Address("127.0.0.1", 1), "postgres", "env:NONE")
    nowhere = Address("127.0.0.1", 9)
    secrets = secret_files(tmp_path, {"own-db": "value of own-db"})
    return Place(site, sql, S3(nowhere, nowhere, "env:NONE", "env:NONE"), secrets)


@pytest.fixture
def clients(tmp_path: Path) -> dict[str, str]:
    return secret_files(tmp_path, {"gateway-key": "value of gateway-key"})


@pytest.mark.programs
def test_a_declared_program_runs_and_passes_its_key_function(
    declared: HttpTable, place: Place, clients: dict[str, str]
) -> None:
    service: Service = HttpService("own", declared)
    node = place.site.launch(service.nodes(place)[0])
    door = door_of(node)
    (function,) = service.key_functions(clients)
    assert (function.name, function.service, function.message) == ("GET /own/entries", "own", "2.8")
    assert function.check(door).startswith("GET /own/entries: answered 200, ")
    told = door.request("GET", "/").body.decode()
    for known in ('"10.0.0.1"', '"5433"', '"own"', '"value of own-db"', '"a token"', "volumes/papers", '"chosen"'):
        assert known in told


@pytest.mark.programs
def test_an_answer_other_than_declared_is_a_finding(declared: HttpTable, place: Place, clients: dict[str, str]) -> None:
    node = place.site.launch(HttpService("own", declared).nodes(place)[0])
    door = door_of(node)
    for other, said in (
        (changed(declared, path="/gone"), "GET /gone: answered 404, not 200"),
        (changed(declared, contains="nowhere in it"), "'nowhere in it' is not in the answer"),
        (changed(declared, method="POST", json_body={"a": 1}, status=201), "POST /own/entries: answered 200, not 201"),
    ):
        with pytest.raises(Finding, match=said):
            HttpService("own", other).key_functions(clients)[0].check(door)


@pytest.mark.programs
def test_the_key_is_sent_only_where_the_declaration_asks_for_it(
    declared: HttpTable, place: Place, clients: dict[str, str]
) -> None:
    node = place.site.launch(HttpService("own", declared).nodes(place)[0])
    door = door_of(node)
    with_key = changed(declared, contains='"key": "Basic ')
    HttpService("own", with_key).key_functions(clients)[0].check(door)
    without = changed(declared, auth=False, contains='"key": null')
    HttpService("own", without).key_functions({})[0].check(door)


@pytest.mark.programs
def test_its_databases_are_created_once_and_owned_by_its_role(place: Place, tmp_path: Path) -> None:
    sql = start_database(place.site, tmp_path).sql
    service: Seedable = HttpService("own", changed(PLAIN, databases=("own", "second")))
    for _ in range(2):
        service.seed(replace(place, sql=sql))
    for database in ("own", "second"):
        with postgres.connect(sql, database, user="own", password_ref=place.secrets["own-db"]) as connection:
            connection.execute("CREATE TABLE entries (said text)")
    with postgres.connect(sql, "own", user="own", password_ref=place.secrets["own-db"]) as connection:
        (count,) = connection.execute("SELECT count(*) FROM entries").fetchone() or (None,)
    assert count == 0


def test_a_program_that_connects_as_our_superuser_is_refused(place: Place) -> None:
    """It got the program's password, and nothing could connect any longer."""
    service: Seedable = HttpService("own", changed(PLAIN, role="postgres"))
    given = replace(place, secrets={**place.secrets, "postgres-db": "env:NONE"})
    with pytest.raises(UsageError, match=r"role postgres is the superuser .* give the service another `role`"):
        service.seed(given)


def test_its_needs_and_backup_sources_are_declared() -> None:
    files = (
        FilesTable(volume="papers"),
        FilesTable(volume="papers", folder="a/b"),
        FilesTable(volume="scans", folder="in", database="own", referenced="SELECT path FROM scans"),
    )
    buckets = (BucketTable(name="covers"), BucketTable(name="maps", database="own", referenced="SELECT key FROM maps"))
    key = KeyTable(path="/own", contains="x", reads=("covers", "papers"))
    table = changed(PLAIN, files=files, buckets=buckets, volumes=("cache",), role="app").model_copy(
        update={"keys": (key,)}
    )
    service = HttpService("own", table)
    assert (service.name, service.needs) == ("own", ("notification",))
    sources = service.sources()
    assert sources.databases == ("own",)
    assert sources.volumes == ("papers", "scans", "cache")
    assert sources.trees == (
        Tree("own/papers", "papers", "", without=("a/b",)),
        Tree("own/papers/a/b", "papers", "a/b"),
        Tree("own/scans/in", "scans", "in", "own", "SELECT path FROM scans"),
    )
    assert sources.objects == (Objects("covers"), Objects("maps", "own", "SELECT key FROM maps"))
    assert (sources.role, sources.read) == ("app", ("covers", "papers"))


def test_buckets_and_role_reach_the_program_in_its_environment(place: Place, tmp_path: Path) -> None:
    table = changed(PLAIN, buckets=(BucketTable(name="covers"),), role="app", environment={})
    given = replace(place, secrets=secret_files(tmp_path, {"app-db": "of app"}))
    (spec,) = HttpService("own", table).nodes(given)
    assert spec.env["S3_ENDPOINT"] == "http://127.0.0.1:9"
    assert (spec.env["S3_BUCKET"], spec.env["S3_REGION"]) == ("covers", "us-east-1")
    assert (spec.env["S3_ACCESS_KEY"], spec.env["S3_SECRET_KEY"]) == ("@{secret:s3-access}", "@{secret:s3-secret}")
    assert (spec.secrets["s3-access"], spec.env["DB_USER"]) == ("env:NONE", "app")
    assert spec.secrets["db-password"] == given.secrets["app-db"]


def test_its_patience_is_how_long_it_may_take_to_get_ready() -> None:
    assert HttpService("own", changed(PLAIN, patience=3.0)).ready == Ready("http", "/ready", patience=3.0)
    assert HttpService("own", PLAIN).ready.patience == PATIENCE.http_ready


def test_a_missing_program_is_named(place: Place) -> None:
    missing = changed(PLAIN, command=("no-such-program",))
    with pytest.raises(MissingPart, match=r"services\.own\.command: no program 'no-such-program'"):
        HttpService("own", missing).nodes(place)


def test_programs_beside_the_running_python_come_first(place: Place) -> None:
    (spec,) = HttpService("own", PLAIN).nodes(place)
    assert Path(spec.argv[0]).parent == Path(sys.executable).parent


def test_in_a_container_its_command_is_as_declared_and_its_files_are_taken_along(place: Place, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("print()")
    declared = changed(PLAIN, command=("python3", str(tmp_path / "own.py"), "--fast"))
    in_containers = replace(place, site=Fake(runs_images=True).site("dr"))
    (spec,) = HttpService("own", declared).nodes(in_containers)
    assert spec.argv == ("python3", "@{file:own.py}", "--fast")
    assert spec.files == {"own.py": "print()"}


def test_missing_secrets_are_named(place: Place) -> None:
    with pytest.raises(HarnessError, match="site dr has no secret 'own-db'"):
        HttpService("own", PLAIN).nodes(replace(place, secrets={}))
    with pytest.raises(HarnessError, match="no secret 'gateway-key'"):
        HttpService("own", PLAIN).key_functions({})
