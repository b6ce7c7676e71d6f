"""Case 8: what a user declares of his own estate is backed up and restored, and what nothing shows is named."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest

from harness.core.errors import Finding
from harness.estate.config import Config
from harness.patience import PATIENCE
from harness.postgres.server import connect
from harness.recovery.assertions import run_assertions
from harness.recovery.key_functions import unread
from harness.recovery.recovery import Activated
from harness.recovery.start import find_connections, require_connections
from harness.services.http.app import HttpService
from harness.services.http.table import HttpTable
from harness.services.n8n.app import N8n
from harness.services.odoo.app import Odoo
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.programs]


def own(**table: object) -> HttpService:
    """Return a declared service `app` with a database of that name."""
    key = {"path": "/app", "contains": "x"}
    given = {"kind": "http", "command": ["python3"], "databases": ["app"], "prefix": "/app", "keys": [key], **table}
    return HttpService("app", HttpTable.model_validate(given))


def declared(estate: CaseEstate, service: HttpService | N8n | Odoo) -> None:
    estate.service.declared = service.sources()


def test_folders_and_buckets_of_a_declared_program_come_back(estate: CaseEstate) -> None:
    """Case 8, the first of its kinds: an http service with files on a volume and objects in a bucket."""
    estate.create("app", "CREATE TABLE papers (path text, key text)", "INSERT INTO papers VALUES ('in/a', 'k/1')")
    files = {"2026/whole.txt": b"all of it", "inner/in/a": b"referenced", "inner/in/b": b"not referenced"}
    for path, data in files.items():
        estate.put_file("uploads", path, data)
    for bucket in ("scans", "drafts"):
        estate.put_object(bucket, "k/1", bucket.encode())
        estate.put_object(bucket, "k/2", b"no row refers to it")
    inner = {"volume": "uploads", "folder": "inner", "database": "app", "referenced": "SELECT path FROM papers"}
    scans = {"name": "scans", "database": "app", "referenced": "SELECT key FROM papers"}
    service = own(files=[{"volume": "uploads"}, inner], buckets=[scans, {"name": "drafts"}])
    declared(estate, service)
    estate.back_up()
    estate.restore()
    assert estate.file("uploads", "2026/whole.txt") == b"all of it"
    assert estate.file("uploads", "inner/in/a") == b"referenced"
    with pytest.raises(OSError, match=r"inner/in/b|No such file"):
        estate.file("uploads", "inner/in/b")
    assert estate.content("scans", "k/1") == b"scans"
    assert {estate.content("drafts", key) for key in ("k/1", "k/2")} == {b"drafts", b"no row refers to it"}
    assert [tree.files for tree in estate.contents.trees if tree.name == "app/uploads/inner"] == [1]


def test_files_that_no_key_function_reads_are_named(estate: CaseEstate) -> None:
    """Case 8: the key function reads rows only, and the users' files are seen by nobody."""
    estate.create("app")
    estate.put_file("uploads", "a", b"1")
    estate.put_object("scans", "b", b"2")
    keys = [{"path": "/app", "contains": "x"}, {"path": "/app/scan", "contains": "x", "reads": ["scans"]}]
    files = {"files": [{"volume": "uploads"}, {"volume": "empty"}], "buckets": [{"name": "scans"}]}
    declared(estate, own(**files))
    estate.back_up()
    contents = estate.contents
    assert unread([own(**files)], contents) == (
        "files: app: no key function reads volume uploads, which has 1 files",
        "files: app: no key function reads bucket scans, which has 1 files",
    )
    assert unread([own(**files, keys=keys)], contents) == (
        "files: app: no key function reads volume uploads, which has 1 files",
    )


def test_files_of_n8n_on_its_volume_come_back(estate: CaseEstate) -> None:
    """Case 8: n8n with binary data on disk (`filesystem-v2:...`)."""
    estate.create("n8n")
    paths = ("storage/workflows/1/executions/2/binary_data/x", "binaryData/workflows/1/x", "custom/node.js")
    for path in paths:
        estate.put_file("n8n", f".n8n/{path}", path.encode())
    for path in ("config", "crash.journal"):
        estate.put_file("n8n", f".n8n/{path}", b"of this site")
    service = N8n(binary_data="filesystem")
    estate.service.declared = service.sources()
    estate.primary.secrets = {**estate.primary.secrets, "n8n-key": estate.primary.secrets["recipient-dr.pub"]}
    estate.back_up()
    estate.restore()
    for path in paths:
        assert estate.file("n8n", f".n8n/{path}") == path.encode()
    for path in ("config", "crash.journal"):
        with pytest.raises(OSError, match=r"config|crash|No such file"):
            estate.file("n8n", f".n8n/{path}")


def test_each_of_several_odoo_databases_gets_its_own_files(estate: CaseEstate) -> None:
    """Case 8, of its kind: an Odoo with two databases, whose filestores are folders of one volume."""
    odoo = Odoo(databases=("odoo", "second"))
    stored = {}
    for database in odoo.databases:
        name = hashlib.sha1(database.encode(), usedforsecurity=False).hexdigest()
        stored[database] = f"{name[:2]}/{name}"
        table = "CREATE TABLE ir_attachment (id int, store_fname text)"
        row = f"INSERT INTO ir_attachment VALUES (1, '{stored[database]}')"  # noqa: S608 - a digest
        estate.create(database, table, row)
        estate.put_file("odoo", f"filestore/{database}/{stored[database]}", database.encode())
    declared(estate, odoo)
    estate.back_up()
    estate.restore()
    for database, path in stored.items():
        assert estate.file("odoo", f"filestore/{database}/{path}") == database.encode()


def test_a_program_that_connects_at_its_first_request_is_connected(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lazy connection is no finding, also one that is closed again, and of a role that does not own the database."""
    estate.create("app")
    service = own(role="guest")
    declared(estate, service)
    estate.back_up()
    contents = estate.restore().contents
    sql = estate.dr.place.sql
    estate.run("postgres", "CREATE ROLE guest LOGIN PASSWORD 'guest'", site="dr")
    waiting = find_connections(sql, [service], contents, estate.journal, {})
    assert [(one.service, one.database, one.role) for one in waiting] == [("app", "app", "guest")]
    monkeypatch.setattr(PATIENCE, "service_connected", 0.2)
    with pytest.raises(Finding, match="app is not connected to database app on the DR server as guest, and did not"):
        require_connections(sql, waiting, estate.journal, {})
    monkeypatch.setattr(PATIENCE, "service_connected", 5.0)
    estate.secrets.put("dr", "guest-db", b"guest")
    with connect(sql, "app", user="guest", password_ref=estate.secrets.of("dr")["guest-db"]) as connection:
        connection.execute("SELECT 1")
    require_connections(sql, waiting, estate.journal, {})
    (event,) = [event for event in estate.journal.events if event.kind == "connected"]
    assert event.facts["backends"] == "1 sessions, closed again"


def test_assertions_are_asked_of_the_restored_database(estate: CaseEstate) -> None:
    """The user's own queries are asked after the restore: a line each, and a finding for one that fails."""
    estate.create("app", "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1), (2)")
    declared(estate, own())
    estate.back_up()
    estate.run("app", "INSERT INTO orders VALUES (3)")  # on the primary, after the backup
    asked = [
        {"query": "SELECT count(*) FROM orders", "returns": 2},
        {"query": "SELECT max(id) FROM orders", "returns": 3},
    ]
    config = Config.model_validate({**estate.config.model_dump(), "databases": {"app": {"assertions": asked}}})
    recovery = estate.recovery
    recovery.assertions = partial(run_assertions, config)
    restored = recovery.restore(recovery.select(Activated(())))
    failed = "database app: SELECT max(id) FROM orders: FAILED: returned 2, expected 3"
    assert restored.assertions == ("database app: SELECT count(*) FROM orders: returned 2", failed)
    assert restored.findings == (f"assertion failed: {failed}",)
    noted = [event.facts["reason"] for event in estate.journal.events if event.kind == "finding"]
    assert noted == list(restored.findings)  # a resumed test that restores a newer backup judges it too
