"""What an installation lacks of a base backup: what PostgreSQL would refuse stops a restore, all else is told."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.contents import DatabaseNeeds, Needs, PhysicalFacts
from harness.core.errors import UsageError
from harness.core.journal import MemoryJournal
from harness.parts.programs import client_programs
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.installation.collations import other_collations
from harness.physical.installation.lacking import lacking
from harness.physical.installation.offered import Here, Offered, There
from harness.physical.programs import Programs, programs_of
from harness.physical.restore import PointInTime, restore
from harness.physical.target import read_target
from harness.postgres.server import connect
from harness.recovery.restorable import require_restorable
from harness.repository.format.manifest import read_manifest
from harness.restore_test.scratch.outcome import Scratch
from harness.restore_test.scratch.verify import verify_restored
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.restore_test.test_scratch import config
from tests.servers import DatabaseServer, start_database

NOWHERE = "xx_XX.UTF-8"
DATABASES = ("shop", "far", "german")
SHOP = (
    "CREATE EXTENSION pg_trgm",
    "UPDATE pg_proc SET probin = '$libdir/postgis-3' WHERE proname = 'similarity'",
    "CREATE COLLATION own (PROVIDER = builtin, LOCALE = 'C.UTF-8')",
    "CREATE TABLE item (name text COLLATE own PRIMARY KEY)",
)
# As if the machine, or the build, of the primary had more than this one.
OTHERS = (
    f"UPDATE pg_database SET datcollate = '{NOWHERE}', datctype = '{NOWHERE}' WHERE datname = 'far'",  # noqa: S608
    "UPDATE pg_database SET datlocprovider = 'i', datlocale = 'de' WHERE datname = 'german'",
    "ALTER ROLE auditor SET local_preload_libraries = 'auditing'",
)


@pytest.fixture(scope="module")
def server(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    made = start_database(substrate.site("primary"), tmp_path_factory.mktemp("primary"))
    made.execute("postgres", *(f"CREATE DATABASE {name}" for name in DATABASES), "CREATE ROLE auditor")
    made.execute("shop", *SHOP)
    made.execute("postgres", *OTHERS)
    return made


@pytest.fixture(scope="module")
def tracing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library that every session of the primary loads, and that is gone after the backups."""
    libraries = Here(programs_of(18)).libraries
    assert libraries is not None
    return Path(shutil.copy(libraries / "btree_gin.so", tmp_path_factory.mktemp("libraries") / "tracing.so"))


@pytest.fixture(scope="module")
def taken(server: DatabaseServer, tracing: Path, recipients: Recipients) -> Archive:
    loaded = f"auto_explain, '{tracing.with_suffix('')}'"
    server.execute("postgres", f"ALTER SYSTEM SET session_preload_libraries = {loaded}", "SELECT pg_reload_conf()")
    archive = Archive(server, recipients.repository(MemoryStore()), recipients)
    take_physical(archive.source, MemoryJournal())
    # By an exchange of the library after the backup.
    server.execute("postgres", "UPDATE pg_database SET datcollversion = '0.9' WHERE datname IN ('shop', 'postgres')")
    server.execute("shop", "UPDATE pg_collation SET collversion = '0.8' WHERE collname = 'own'", "CHECKPOINT")
    with archive.receiving(archive.receiver(slot=archive.source.slot)):
        server.execute("shop", "SELECT pg_switch_wal()")
        take_physical(archive.source, MemoryJournal())
    tracing.unlink()
    return archive


def facts(archive: Archive) -> PhysicalFacts:
    found = archive.repository.open(archive.repository.committed()[-1], archive.keys.dr[0]).manifest.contents.physical
    assert found is not None
    return found


def restored(archive: Archive, folder: Path, **more: object) -> PointInTime:
    wanted = Wanted(read_target("latest"), archive.repository.committed()[-1].backup_id)
    return restore(archive.repository, archive.keys.dr[0], wanted, folder, MemoryJournal(), **more)  # type: ignore[arg-type]


def test_a_base_backup_says_what_its_databases_need(taken: Archive, tracing: Path) -> None:
    needs = facts(taken).needs
    found = {one.name: one for one in needs.databases}
    assert set(found) == {"postgres", "template1", *DATABASES}
    assert found["shop"].libraries == (("$libdir/pg_trgm", "pg_trgm"), ("$libdir/postgis-3", "pg_trgm"))
    assert ("of the database", "1") in found["shop"].collations
    assert found["far"].collate == NOWHERE
    assert "is incompatible with" in found["far"].unread or "locale" in found["far"].unread
    assert found["german"].provider == "i"
    assert needs.library_path == "$libdir"
    assert needs.preloaded == (
        ("session_preload_libraries", "auto_explain"),
        ("session_preload_libraries", str(tracing.with_suffix(""))),
        ("local_preload_libraries of role auditor", "auditing"),
    )


def test_what_postgresql_would_refuse_is_named_with_all_else_before_anything_is_read(
    taken: Archive, tracing: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/kept").touch()
    read: list[int] = []
    with pytest.raises(UsageError) as refused:
        restored(taken, tmp_path / "data", progress=read.append)
    said = str(refused.value)
    assert "data: is not empty" in said
    assert f"database far: PostgreSQL 18 in {programs_of(18).folder} refuses connections: its machine lacks" in said
    assert f"the locale {NOWHERE}; generate it" in said
    assert "database german: " in said
    assert "was built without ICU, by which they sort, and refuses connections; install a build with ICU" in said
    assert "session_preload_libraries: " in said
    assert f"lacks the library {tracing.with_suffix('')}; install it, or take it out of the setting" in said
    assert said.endswith("if it will run on another machine, or with another configuration, give --elsewhere")
    assert "auto_explain" not in said
    assert "postgis" not in said
    assert read == []


def test_elsewhere_it_is_told_and_so_are_collations_of_other_versions(taken: Archive, tmp_path: Path) -> None:
    said = "\n".join(restored(taken, tmp_path / "data", elsewhere=True).warnings)
    assert f"lacks the locale {NOWHERE}" in said
    assert "database german: PostgreSQL 18 in" in said
    assert "tracing; install it, or take it out of the setting" in said
    assert "local_preload_libraries of role auditor: " in said
    assert "database shop: PostgreSQL 18 in" in said
    assert "lacks the library $libdir/postgis-3 of the extension pg_trgm, and what needs it fails" in said
    assert "databases postgres, shop: text was sorted by version 0.9 of its collation, and is by 1 here" in said
    assert "REINDEX DATABASE NAME, then ALTER DATABASE NAME REFRESH COLLATION VERSION" in said
    assert "database shop: collation public.own sorted by version 0.8, and by 1 here" in said
    assert "then ALTER COLLATION public.own REFRESH VERSION" in said
    assert "database far: refuses the connection" in said


def test_of_one_database_what_it_needs_alone_matters(taken: Archive, tmp_path: Path) -> None:
    done = restored(taken, tmp_path / "data", aside=lambda _way: None, database="shop")
    assert any("postgis-3" in line for line in done.warnings)
    assert not any(NOWHERE in line for line in done.warnings if "refuses the connection" not in line)
    with pytest.raises(UsageError, match=f"database far: .* lacks the locale {NOWHERE}; generate it$"):
        restored(taken, tmp_path / "other", aside=lambda _way: None, database="far")


def test_the_version_by_which_the_primary_sorted_counts_beside_that_of_the_catalogue(taken: Archive) -> None:
    then = (("of the database", "0.7"), ("public.own", "1"))
    needs = Needs(databases=(DatabaseNeeds("shop", "b", "C", "C", (), then),))
    said = "\n".join(other_collations(partial(connect, taken.db.sql), needs))
    assert "database shop: text was sorted by version 0.9 and 0.7 of its collation, and is by 1 here" in said
    assert "collation public.own sorted by version 0.8, and by 1 here" in said


def test_a_manifest_that_was_written_before_says_nothing_of_it(taken: Archive) -> None:
    manifest = taken.repository.open(taken.repository.committed()[-1], taken.keys.dr[0]).manifest
    written = json.loads(manifest.to_json())
    del written["contents"]["physical"]["needs"]
    before = read_manifest(json.dumps(written).encode()).contents.physical
    assert before is not None
    assert before.needs == Needs()


@pytest.mark.parametrize("asked", ["here", "there"])
def test_an_installation_is_looked_at_by_its_files_or_by_its_server(server: DatabaseServer, asked: str) -> None:
    offered: Offered = Here(programs_of(18)) if asked == "here" else There(server.sql)
    assert [offered.has_library(name, "") for name in ("$libdir/pg_trgm", "pg_trgm", "$libdir/none", "/none")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert [offered.has_locale(name) for name in ("C", "POSIX", "C.utf8", NOWHERE)] == [True, True, True, False]
    assert not offered.has_icu()
    assert lacking(Needs(), offered).lines == ()


def test_a_build_with_icu_is_recognised() -> None:
    found = [Here(Programs(Path(one.folder), one.major)) for one in client_programs() if one.major < 18]
    if not found:
        pytest.skip("no other PostgreSQL is on this machine")
    assert all(one.has_icu() for one in found)
    assert all(one.has_library("plpgsql", "") and not one.has_library("none", "$libdir:/none") for one in found)


def test_what_a_dr_site_lacks_is_named_with_all_else(server: DatabaseServer) -> None:
    shop = DatabaseNeeds("shop", "b", "C", "C", (("$libdir/postgis-3", "postgis"), ("$libdir/pg_trgm", "pg_trgm")))
    whole = Needs("$libdir", (("shared_preload_libraries", "pg_cron"),), (shop,))
    way: Any = SimpleNamespace(facts=SimpleNamespace(needs=whole, tablespaces=()))
    (line,) = require_restorable(way, lambda: programs_of(18), server.sql)
    assert line.startswith(f"database shop: PostgreSQL at {server.sql} lacks the library $libdir/postgis-3 of the ext")
    way.facts.tablespaces = (("16384", "/fast"),)
    way.facts.needs = Needs(databases=(DatabaseNeeds("far", "c", NOWHERE, NOWHERE), DatabaseNeeds("de", "i", "C", "C")))
    with pytest.raises(UsageError) as refused:
        require_restorable(way, lambda: programs_of(18), server.sql)
    said = str(refused.value)
    assert said.startswith("tablespaces are not restored onto a DR site")
    for one in (f"in {programs_of(18).folder}", f"at {server.sql}"):
        assert f"database far: PostgreSQL 18 {one} refuses" in said or f"database far: PostgreSQL {one} refuses" in said
    assert said.count("was built without ICU") == 2


def test_a_table_that_needs_a_missing_library_is_not_checked_and_not_damaged(
    substrate: Embedded, tmp_path: Path, recipients: Recipients
) -> None:
    """Of a primary with a type whose library is not here."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "runs").mkdir()
    source = start_database(substrate.site("typed"), tmp_path / "secrets")
    libraries = Here(programs_of(18)).libraries
    assert libraries is not None
    there = Path(shutil.copy(libraries / "isn.so", tmp_path / "isbn.so"))
    source.execute("postgres", "CREATE DATABASE shop")
    source.execute(
        "shop", "CREATE EXTENSION isn", f"UPDATE pg_proc SET probin = '{there}' WHERE probin = '$libdir/isn'",  # noqa: S608
    )  # fmt: skip
    source.execute("shop", "CREATE TABLE book AS SELECT isbn('978-0-393-04002-9') AS number")
    archive = Archive(source, recipients.repository(MemoryStore()), recipients)
    take_physical(archive.source, MemoryJournal())
    there.unlink()
    place = Scratch(
        archive.repository, archive.keys.dr[0], config(), tmp_path / "runs", tmp_path / "logs", MemoryJournal(),
        lambda _count: None,
    )  # fmt: skip
    said = [one.said for one in verify_restored(place, every=True)]
    assert any(one.startswith("NOT CHECKED: database shop: ") and "of the extension isn" in one for one in said), said
    assert not any(one.startswith("NOT VALID") for one in said), said
