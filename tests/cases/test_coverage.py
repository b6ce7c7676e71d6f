"""Everything that is declared or found on the primary is in the backup, or is named as not covered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

import pytest

from harness.backup import plan
from harness.backup.plan import Plan
from harness.backup.work import Work
from harness.core.contents import Contents, SystemFacts
from harness.core.errors import BackupFailed
from harness.core.node import Address
from harness.core.service import Objects, Sql, Tree
from harness.estate.site import DATABASE
from harness.postgres.contents.undumped import undumped as asked
from harness.postgres.dump import Snapshot
from harness.recovery.recovery import Activated
from tests.cases.estate import CaseEstate
from tests.cases.test_files import root

pytestmark = [pytest.mark.cases, pytest.mark.programs]

INVALID = "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half_dropped'"


def test_a_database_goes_to_dr_and_back_unchanged(estate: CaseEstate) -> None:
    estate.create("app", "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1), (2)")
    estate.declare("app")
    estate.back_up()
    assert estate.contents.covered == ("database app: 1 tables, 2 rows",)
    assert estate.contents.gaps == ()
    assert estate.restore().rows == 2
    assert estate.value("app", "SELECT count(*) FROM orders") == 2


def test_case_2_a_declared_database_that_is_missing_fails_the_backup(estate: CaseEstate) -> None:
    estate.create("app")
    estate.declare("app", "billing")
    with pytest.raises(BackupFailed, match=r"service app: database billing does not exist on .*; there are: app"):
        estate.back_up()
    assert estate.facts("1.7.1")
    assert estate.facts("1.7.2")[0]["sent"] is True
    assert "billing" in estate.sink.received[0].body
    assert not estate.repository.committed()


def test_case_2_of_a_bucket(estate: CaseEstate) -> None:
    estate.create("app")
    estate.put_object("invoices", "a", b"1")
    estate.declare("app", objects=[Objects("receipts")])
    with pytest.raises(BackupFailed, match=r"service app: bucket receipts does not exist at .*; there are: invoices"):
        estate.back_up()


def test_case_3_templates_are_backed_up_and_closed_databases_are_named(estate: CaseEstate) -> None:
    rows = ("CREATE TABLE kept (id int)", "INSERT INTO kept SELECT generate_series(1, 500)")
    estate.create("golden", *rows)
    estate.create("closed", *rows)
    estate.create("app")
    estate.run("postgres", "ALTER DATABASE golden IS_TEMPLATE true", "ALTER DATABASE closed ALLOW_CONNECTIONS false")
    estate.declare("app")
    receipt = estate.back_up()
    assert [database.name for database in estate.contents.databases] == ["app", "golden"]
    (gap,) = estate.contents.uncovered
    assert gap.startswith("database closed: it allows no connections")
    assert gap in str(estate.facts("1.6")[0]["not_covered"])
    assert receipt.contents.uncovered == (gap,)
    recovery = estate.recovery
    selected = recovery.select(Activated(()))
    assert selected.uncovered == (gap,)  # which leaves the verdict UNKNOWN
    recovery.restore(selected)
    assert estate.value("golden", "SELECT count(*) FROM kept") == 500


def test_what_is_excluded_stands_in_every_backup_with_its_reason(estate: CaseEstate) -> None:
    estate.create("app")
    estate.create("scratch")
    estate.put_object("logs", "a", b"1")
    estate.put_file("cache", "a", b"1")
    reasons = {"database scratch": "made anew each night", "bucket logs": "kept elsewhere", "volume cache": "a cache"}
    estate.backup = {"exclude": reasons}
    estate.declare("app", volumes=["cache"])
    estate.back_up()
    contents = estate.contents
    assert contents.covered == ("database app: 0 tables, 0 rows",)
    assert contents.uncovered == ()
    assert [(gap.what, gap.excluded) for gap in contents.gaps] == list(reasons.items())


def test_case_22_a_half_dropped_database_is_left_out_by_name(estate: CaseEstate) -> None:
    estate.create("app")
    estate.create("half_dropped")
    estate.run("postgres", INVALID)
    estate.declare("app")
    estate.back_up()
    (gap,) = estate.contents.gaps
    assert (gap.what, gap.why) == ("database half_dropped", "invalid (datconnlimit -2)")
    assert estate.contents.uncovered == ()  # nothing in it can be read ever again
    estate.restore()


def test_a_database_a_bucket_and_a_volume_that_nobody_declares_are_backed_up_and_named(estate: CaseEstate) -> None:
    estate.create("app")
    estate.create("forgotten", "CREATE TABLE t (id int)", "INSERT INTO t VALUES (7)")
    estate.put_object("attic", "deep/key", b"an object")
    estate.put_file("uploads", "media/a.txt", b"an upload")
    estate.declare("app", volumes=["uploads"])
    estate.back_up()
    covered = "; ".join(estate.contents.covered)
    assert "database forgotten: 1 tables, 1 rows" in covered
    assert "attic: 1 files, 9 bytes; found on the primary, declared by no service" in covered
    (gap,) = estate.contents.uncovered
    assert gap.startswith("volume uploads: no service declares its 1 files")
    estate.restore()
    assert estate.value("forgotten", "SELECT id FROM t") == 7
    assert estate.content("attic", "deep/key") == b"an object"
    assert estate.file("uploads", "media/a.txt") == b"an upload"


def test_case_8_files_outside_the_declared_folder_are_named(estate: CaseEstate) -> None:
    estate.create("app")
    estate.put_file("uploads", "media/a.txt", b"declared")
    estate.declare("app", trees=[Tree("media", "uploads", "media")], volumes=["uploads"])
    estate.back_up()
    assert not estate.contents.uncovered
    estate.put_file("uploads", "mail/b.txt", b"nobody declared this folder")
    estate.back_up()
    (gap,) = estate.contents.uncovered
    assert gap.startswith("rest of volume uploads: no service declares its 1 files outside media")


def test_the_rest_of_a_volume_is_excluded_without_what_a_service_declares_of_it(estate: CaseEstate) -> None:
    estate.create("app")
    estate.put_file("uploads", "media/a.txt", b"declared")
    estate.put_file("uploads", "mail/b.txt", b"nobody declared this folder")
    estate.declare("app", trees=[Tree("media", "uploads", "media")], volumes=["uploads"])
    estate.back_up()
    (gap,) = estate.contents.uncovered
    assert gap.endswith("or exclude 'rest of volume uploads'")
    estate.backup = {"exclude": {"rest of volume uploads": "mail is kept by its server"}}
    estate.back_up()
    assert (estate.contents.uncovered, [gap.what for gap in estate.contents.gaps]) == ((), ["rest of volume uploads"])
    estate.restore()
    assert estate.file("uploads", "media/a.txt") == b"declared"
    assert list(estate.dr.site.volume("uploads").walk()) == ["media/a.txt"]


def test_what_a_program_makes_anew_is_no_reason_to_pass_over_the_rest_of_its_volume(estate: CaseEstate) -> None:
    estate.create("app")
    for path in ("media/a", "sessions/x/1", ".app/log-1.txt", ".app/kept", "sessions.old/2", "filestore/other/3"):
        estate.put_file("data", path, path.encode())
    estate.declare(
        "app",
        trees=[Tree("media", "data", "media")],
        volumes=["data"],
        disposable=[("data", "sessions"), ("data", ".app/log*.txt"), ("elsewhere", "filestore")],
    )
    estate.back_up()
    (gap,) = estate.contents.uncovered
    assert gap.startswith("rest of volume data: no service declares its 3 files outside media")
    estate.restore()
    found = set(estate.dr.site.volume("data").walk())
    assert found == {"media/a", ".app/kept", "sessions.old/2", "filestore/other/3"}


def test_the_store_of_the_primary_is_asked_although_no_service_has_a_bucket(estate: CaseEstate) -> None:
    estate.create("app")
    estate.declare("app")
    assert estate.primary.s3 is not None
    nowhere = Address("127.0.0.1", 9)
    estate.primary.s3 = replace(estate.primary.s3, outside=nowhere)
    with pytest.raises(BackupFailed, match=r"127.0.0.1:9: buckets cannot be listed"):
        estate.back_up()


def test_what_is_declared_after_the_backup_is_named_at_selection(estate: CaseEstate) -> None:
    estate.create("app")
    estate.declare("app")
    estate.back_up()
    estate.declare("app", "billing", objects=[Objects("receipts")])
    assert estate.recovery.select(Activated(())).uncovered == (
        "database billing: declared by app, and not in this backup",
        "bucket receipts: declared by app, and not in this backup",
    )


def test_case_12_a_backup_of_many_databases_leaves_production_its_connections(estate: CaseEstate) -> None:
    for number in range(30):
        estate.create(f"tenant_{number}", "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    estate.backup = {"parallel": 4}
    ended, seen = Event(), [0]
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"

    def watch() -> None:
        while not ended.wait(0.01):
            seen.append(int(str(estate.value("postgres", query, "primary"))))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        estate.back_up()
    finally:
        ended.set()
        watcher.join()
    assert len(estate.contents.databases) == 30
    assert 1 < max(seen) <= 6


@pytest.mark.parametrize(
    ("statement", "said", "verdict"),
    [
        ("DROP DATABASE passing", "dropped while the backup ran; excluded: nobody can read it any more", "kept"),
        ("ALTER DATABASE passing RENAME TO other", "dropped or renamed while the backup ran, in which these are new: "
         "other; take another backup", "unknown"),
    ],
)  # fmt: skip
def test_a_database_that_goes_while_the_backup_runs_is_named_and_fails_nothing(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch, statement: str, said: str, verdict: str
) -> None:
    """A server on which programs make databases and drop them again had no backup."""
    for name in ("app", "passing"):
        estate.create(name, "CREATE TABLE t AS SELECT 1 AS n")
    estate.declare("app")
    begun = Work.contents

    def contents(work: Work, system: SystemFacts, plan: Plan) -> Contents:
        estate.run("postgres", statement)
        return begun(work, system, plan)

    monkeypatch.setattr(Work, "contents", contents)
    found = estate.back_up().contents
    assert [database.name for database in found.databases] == ["app"]
    lines = {"kept": found.excluded, "unknown": found.uncovered}
    assert lines.pop(verdict) == (f"database passing: {said}",)
    assert list(lines.values()) == [()]
    assert estate.restore().findings == ()


def test_a_database_that_goes_while_the_backup_is_planned_is_named_and_fails_nothing(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("app", "passing"):
        estate.create(name, "CREATE TABLE t AS SELECT 1 AS n")
    estate.declare("app")

    def undumped(sql: Sql, name: str) -> Iterator[tuple[str, str]]:
        estate.run("postgres", "DROP DATABASE IF EXISTS passing")
        yield from asked(sql, name)

    monkeypatch.setattr(plan, "undumped", undumped)
    found = estate.back_up().contents
    assert ([one.name for one in found.databases], found.uncovered) == (["app"], ())
    assert [line.partition(";")[0] for line in found.excluded] == ["database passing: dropped while the backup ran"]


def test_a_server_that_dies_with_its_database_is_no_database_that_goes(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is that of the snapshot, and not that the server cannot be asked for its databases any more."""
    estate.create("found", "CREATE TABLE t AS SELECT 1 AS n")
    estate.declare()
    server = estate.primary.nodes[DATABASE]

    @contextmanager
    def dies(_sql: Sql, name: str, **_: object) -> Iterator[Snapshot]:
        server.kill()
        raise BackupFailed(f"database {name}: no snapshot: the server is gone")
        yield

    monkeypatch.setattr("harness.backup.work.dump.open_snapshot", dies)
    try:
        with pytest.raises(BackupFailed, match="database found: no snapshot: the server is gone"):
            estate.back_up()
    finally:
        server.start()


def test_a_link_or_an_unreadable_folder_counts_as_more_than_one_missing_file(estate: CaseEstate) -> None:
    """It counted as one, which a promise may allow: all files below it were lost, and the promise was kept."""
    estate.create("app", "CREATE TABLE doc (path text)", "INSERT INTO doc VALUES ('link')")
    for volume in ("uploads", "listed"):
        estate.put_file(volume, "kept", b"1")
        (root(estate, volume) / "link").symlink_to("/usr/share")
    referred = Tree("documents", "listed", "", database="app", referenced="SELECT path FROM doc")
    estate.declare("app", trees=[Tree("uploads", "uploads", ""), referred])
    estate.back_up()
    assert [gap for gap in estate.contents.uncovered if gap.startswith(("uploads:", "documents:"))] == [
        "uploads: link: is a symbolic link; put the files themselves there, where backups can read them"
    ]
