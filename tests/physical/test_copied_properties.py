"""Properties of one database that is copied out of a physical backup: it gets them, or each is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.single.into import look_into
from harness.physical.single.properties import Properties, properties_of
from harness.physical.single.restore import Loaded, One, restore_one
from harness.physical.target import read_target
from harness.postgres.roles.data import Label, inspect
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive
from tests.servers import DatabaseServer, start_database

PROPERTIES = (
    "ALTER DATABASE {} SET work_mem = '7MB'",
    "ALTER DATABASE {} SET search_path = app, public",
    "ALTER DATABASE {} SET session_preload_libraries = 'theirs'",
    "ALTER ROLE keeper IN DATABASE {} SET work_mem = '9MB'",
    "ALTER ROLE absent IN DATABASE {} SET work_mem = '9MB'",
    "REVOKE ALL ON DATABASE {} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {} TO reader",
    "GRANT CONNECT ON DATABASE {} TO absent",
    "COMMENT ON DATABASE {} IS 'of the shop'",
    "ALTER DATABASE {} CONNECTION LIMIT 5",
)
POWER = "it gives power over the server; make it there if it is wanted"
SET = """
SELECT string_agg(concat_ws(' ', s.setrole::regrole, c), ', ' ORDER BY s.setrole, c)
FROM pg_db_role_setting s, unnest(s.setconfig) AS c
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = 'copy')
"""
KEPT = """
SELECT concat_ws(' ', datacl::text, datconnlimit, shobj_description(oid, 'pg_database'),
    has_database_privilege('stranger', oid, 'CONNECT'), has_database_privilege('reader', oid, 'CONNECT'))
FROM pg_database WHERE datname = 'copy'
"""


@dataclass(frozen=True, slots=True)
class There:
    """A backed up server with the database `own`, which has properties, and another server with most of its roles."""

    archive: Archive
    other: DatabaseServer


@pytest.fixture
def closed(archive: Archive, substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> There:
    other = start_database(substrate.site("other"), tmp_path_factory.mktemp("other"))
    roles = (f"CREATE ROLE {name}" for name in ("keeper", "reader", "absent"))
    archive.db.execute("postgres", *roles, "CREATE DATABASE own OWNER keeper", "CREATE DATABASE apart")
    archive.db.execute("postgres", *(one.format("own") for one in PROPERTIES))
    other.execute("postgres", *(f"CREATE ROLE {name}" for name in ("keeper", "reader", "stranger")))
    take_physical(archive.source, MemoryJournal())
    return There(archive, other)


def newest(there: There, one: One) -> Loaded:
    wanted = Wanted(read_target("latest"))
    return restore_one(there.archive.repository, there.archive.keys.dr[0], wanted, one, MemoryJournal())


def test_a_new_database_gets_the_properties_of_the_other_and_the_rest_is_named(closed: There, tmp_path: Path) -> None:
    """They were lost in silence: one that was closed to PUBLIC was open again."""
    one = One("own", look_into(closed.other.sql, "copy"), tmp_path)
    lost = newest(closed, one).lost
    settings = "- search_path=app, public, - work_mem=7MB, keeper work_mem=9MB"
    assert closed.other.one("postgres", SET) == settings
    kept = str(closed.other.one("postgres", KEPT))
    assert kept == "{keeper=CTc/keeper,reader=c/keeper} 5 of the shop f t"
    assert lost == (
        "setting work_mem of role absent in the database: not restored: its server has no such role",
        "grant of CONNECT to absent: not restored: its server has no role absent",
        f"setting session_preload_libraries of role ALL in the database: not restored: {POWER}",
    )
    properties_are_named(closed, tmp_path)


def test_settings_that_a_killed_restore_left_are_made_again(server: DatabaseServer) -> None:
    """They counted as present, and were gone with the database that was dropped; no line said so."""
    power = "ALTER DATABASE {} SET session_preload_libraries = 'theirs'"
    server.execute("postgres", "CREATE DATABASE shop", "ALTER DATABASE shop SET work_mem = '7MB'")
    server.execute("postgres", power.format("shop"))
    data = inspect(server.sql)
    for left in (False, True):  # the first one is killed before it fills its database
        into = look_into(server.sql, "copy")
        found = properties_of(data, "shop", into, owners=True)
        assert into.left == left
        into.make(data.database("shop"), owner=True)
        into.begin()
        assert (found.begin(), len(found.lost)) == ((), 1)
        assert server.one("postgres", SET) == "- work_mem=7MB"
        server.execute("postgres", power.format("copy"))


def test_a_refused_label_is_named_alone(server: DatabaseServer) -> None:
    """Grants, comment and limit were made, and a line said that they were not."""
    server.execute("postgres", "CREATE DATABASE labelled CONNECTION LIMIT 5", "COMMENT ON DATABASE labelled IS 'kept'")
    server.execute("postgres", "REVOKE ALL ON DATABASE labelled FROM PUBLIC", "CREATE DATABASE copied")
    data = inspect(server.sql)
    into = look_into(server.sql, "copied")
    wanted = replace(data, databases=(replace(data.database("labelled"), name="copied"),))
    wanted = replace(wanted, grants=tuple(replace(one, on="copied") for one in data.grants if one.on == "labelled"))
    wanted = replace(wanted, labels=(Label("database", "copied", "dummy", "secret"),))
    (line,) = Properties(into, wanted, data, ()).end()
    assert line.startswith("security labels of the database: not restored: security labels at ")
    assert 'security label provider "dummy" is not loaded' in line
    kept = "SELECT concat_ws(' ', datconnlimit, datacl::text, shobj_description(oid, 'pg_database')) FROM pg_database"
    of_labelled = server.one("postgres", f"{kept} WHERE datname = 'labelled'")
    assert server.one("postgres", f"{kept} WHERE datname = 'copied'") == of_labelled


def properties_are_named(closed: There, tmp_path: Path) -> None:
    """Assert that each is a line where none is made."""
    closed.other.execute("postgres", "DROP DATABASE copy")
    one = One("own", look_into(closed.other.sql, "copy"), tmp_path, owners=False)
    named = newest(closed, one).lost
    assert closed.other.one("postgres", SET) is None
    assert "setting search_path of role ALL in the database: not restored: --no-owner was given" in named
    for what in ("comment on", "connection limit 5 of"):
        assert f"{what} the database: not restored: --no-owner was given" in named
    assert not [line for line in named if line.startswith("grants")]
    closed.other.execute("postgres", "DROP DATABASE copy", "CREATE DATABASE copy")
    named = newest(closed, replace(one, into=look_into(closed.other.sql, "copy"), owners=True)).lost
    why = "the database was there before; it is open to PUBLIC as every new one is"
    assert f"grants on the database: not restored: {why}" in named
    assert newest_of(closed, "apart", tmp_path).lost == ()


def newest_of(there: There, database: str, tmp_path: Path) -> Loaded:
    there.other.execute("postgres", "DROP DATABASE copy")
    return newest(there, One(database, look_into(there.other.sql, "copy"), tmp_path))
