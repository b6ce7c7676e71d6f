"""Databases of initdb with another encoding and locale than DR's: `postgres` is where many keep their first tables."""

from __future__ import annotations

import pytest
from psycopg import sql as compose

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.node import Stoppable
from harness.estate.site import DATABASE
from harness.postgres.server import connect
from harness.restore_test.cleanup import clear, take_snapshot
from tests.cases.estate import CaseEstate
from tests.cases.majors import asked_major
from tests.cases.test_cleanup import restored

pytestmark = [pytest.mark.cases, pytest.mark.night]

FORM = "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = '{}'"
NOTES = ('CREATE TABLE notes (t text COLLATE "C")', "INSERT INTO notes VALUES (chr(233))", "CREATE SCHEMA own")


def made_anew(estate: CaseEstate, name: str, site: str = "primary") -> None:
    """Make a database of initdb anew as it is in Western Europe since long ago."""
    provider = "LOCALE_PROVIDER libc" if asked_major() >= 15 else ""
    create = f"CREATE DATABASE {{}} TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' {provider}"
    with connect(estate.site(site).place.sql, "template1" if name == "postgres" else "postgres") as connection:
        for statement in ("ALTER DATABASE {} WITH IS_TEMPLATE false", "DROP DATABASE {} WITH (FORCE)", create):
            connection.execute(compose.SQL(statement).format(compose.Identifier(name)))
        if name == "template1":
            connection.execute("ALTER DATABASE template1 WITH IS_TEMPLATE true")


def test_databases_of_initdb_of_another_locale_come_back_and_are_put_back(estate: CaseEstate) -> None:
    for name in ("postgres", "template1"):
        made_anew(estate, name)
        estate.run(name, *NOTES, f"ALTER DATABASE {name} SET work_mem = '7MB'")
    estate.create("shop", "CREATE TABLE t (n int)")
    estate.back_up()
    before = take_snapshot(estate.dr.place, (estate.service,), estate.contents)
    were = [estate.rows("postgres", FORM.format(name)) for name in ("postgres", "template1")]
    done = estate.restore()
    for name in ("postgres", "template1"):
        assert estate.rows("postgres", FORM.format(name)) == [("LATIN1", "C")]
        assert estate.rows(name, "SELECT t, octet_length(t) FROM notes") == [("\u00e9", 1)]
        assert [line for line in done.notes if line.startswith(f"database {name}: made anew as LATIN1 libc C C, as in")]
    assert estate.value("postgres", "SELECT datistemplate FROM pg_database WHERE datname = 'template1'") is True
    assert clear(estate.dr.place, *restored(estate), before) == ("databases: shop; roles: none",)
    assert take_snapshot(estate.dr.place, (estate.service,), estate.contents) == before
    assert [estate.rows("postgres", FORM.format(name)) for name in ("postgres", "template1")] == were


def test_one_that_cannot_be_put_back_is_named(estate: CaseEstate, monkeypatch: pytest.MonkeyPatch) -> None:
    made_anew(estate, "postgres")
    estate.run("postgres", *NOTES)
    estate.back_up()
    before = take_snapshot(estate.dr.place, (estate.service,), estate.contents)
    estate.restore()

    def refused(*_of: object, **_more: object) -> None:
        raise RestoreFailed("the server refuses")

    monkeypatch.setattr("harness.restore_test.server_cleanup.remake", refused)
    said = r"encoding and locale of database postgres \(the server refuses\): make that database anew by hand"
    with pytest.raises(HarnessError, match=said):
        clear(estate.dr.place, *restored(estate), before)


def test_what_dr_has_of_its_own_in_such_a_database_is_not_removed(estate: CaseEstate) -> None:
    made_anew(estate, "postgres")
    estate.run("postgres", *NOTES, "CREATE ROLE writer")
    estate.back_up()
    estate.run("postgres", "CREATE EXTENSION hstore", site="dr")
    with pytest.raises(
        RestoreFailed, match=r"database postgres at .*: is UTF8 .*, and LATIN1 .* in the backup; it is not"
    ):
        estate.restore()
    assert estate.value("postgres", "SELECT count(*) FROM pg_extension WHERE extname = 'hstore'") == 1
    assert not estate.rows("postgres", "SELECT 1 FROM pg_roles WHERE rolname = 'writer'")  # nothing was begun


def test_one_that_cannot_be_dropped_leaves_nothing_of_ours(estate: CaseEstate) -> None:
    made_anew(estate, "template1")
    estate.run("template1", *NOTES)
    estate.back_up()
    estate.run("postgres", "ALTER SYSTEM SET max_prepared_transactions = 10", site="dr")
    node = estate.dr.nodes[DATABASE]
    assert isinstance(node, Stoppable)
    node.stop(30.0)
    node.start()
    estate.run("template1", "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'kept'", site="dr")
    with pytest.raises(RestoreFailed, match=r"database template1 at .*: cannot be made anew as LATIN1 .*prepared"):
        estate.restore()
    names = "SELECT datname, datistemplate FROM pg_database WHERE datname NOT IN ('template0', 'postgres')"
    assert estate.rows("postgres", names) == [("template1", True)]
    estate.run("template1", "ROLLBACK PREPARED 'kept'", site="dr")


def test_a_locale_that_dr_lacks_leaves_its_database_as_it_was(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_anew(estate, "postgres")
    estate.run("postgres", *NOTES)
    estate.back_up()
    was = estate.rows("postgres", FORM.format("postgres"))
    lacking = compose.SQL("CREATE DATABASE nothing TEMPLATE template0 LC_COLLATE 'xx_XX' LC_CTYPE 'xx_XX'")
    monkeypatch.setattr("harness.postgres.roles.initial.creation_of", lambda *_of: lacking)
    with pytest.raises(
        RestoreFailed, match=r"database postgres at .*: cannot be made anew as LATIN1 libc C C: .*locale"
    ):
        estate.restore()
    assert estate.rows("postgres", FORM.format("postgres")) == was
