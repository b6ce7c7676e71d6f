"""Cases 23 and 24: a restore test leaves a DR site as it was; what it cannot remove it names."""

from __future__ import annotations

import pytest

from harness.core.errors import HarnessError, Refused
from harness.restore_test.cleanup import Snapshot, clear, take_snapshot
from harness.restore_test.preflight import require_empty
from tests.cases.estate import CaseEstate
from tests.cases.majors import understood

pytestmark = pytest.mark.cases

PRODUCTION = (
    "CREATE ROLE app LOGIN PASSWORD 'app'",
    "CREATE ROLE owner CREATEDB",
    "CREATE ROLE had NOLOGIN",
    "GRANT SET ON PARAMETER log_min_duration_statement TO app",
    "GRANT had TO app",
    "ALTER DATABASE postgres SET work_mem = '7MB'",
    "ALTER ROLE postgres SET work_mem = '8MB'",
    "ALTER ROLE postgres IN DATABASE postgres SET work_mem = '9MB'",
    "ALTER ROLE ALL SET my.setting = 'x'",
    "GRANT CREATE ON DATABASE postgres TO app",
    "COMMENT ON DATABASE postgres IS 'ours'",
    "CREATE TABLE notes (n serial)",
    'CREATE SCHEMA "odd "" schema" AUTHORIZATION app',
    "CREATE TYPE mood AS ENUM ('glad')",
    "CREATE DOMAIN small AS int",
    'CREATE FUNCTION "odd "" schema".f(int, text) RETURNS int LANGUAGE sql AS \'SELECT 1\'',
    "CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE EXTENSION hstore",
    "SELECT lo_from_bytea(4711, '\\xdeadbeef')",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'",
    "CREATE EVENT TRIGGER forbidden ON sql_drop EXECUTE FUNCTION no()",
    "ALTER SCHEMA public OWNER TO app",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app",
)
FEED = (
    "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = 'x')"
)


def restored(estate: CaseEstate) -> tuple[str, list[str]]:
    """Return the id of the newest backup and the names of its databases."""
    manifest = estate.newest.manifest
    return manifest.backup_id, [database.name for database in manifest.contents.databases]


def made(estate: CaseEstate) -> Snapshot:
    """Back up a production that has all that was ever left behind, and restore it; return what DR was before."""
    estate.run("postgres", *understood(PRODUCTION))
    estate.create("shop", "CREATE TABLE t (n int)", FEED, "ALTER DATABASE shop OWNER TO owner")
    estate.create("golden", "CREATE TABLE t (n int)")
    estate.run("postgres", "ALTER DATABASE golden IS_TEMPLATE true", "ALTER DATABASE golden CONNECTION LIMIT 0")
    estate.run("template1", "CREATE TABLE always (n int)", FEED.replace("feed", "other"))
    estate.back_up()
    estate.allowed += ["grant FUNCTION pg_catalog.pg_read_file(text)", "setting log_min_duration_statement"]
    before = take_snapshot(estate.dr.place, (estate.service,), estate.contents)
    estate.restore()
    return before


def test_case_23_24_a_site_is_as_it_was_after_a_restore_test(estate: CaseEstate) -> None:
    estate.run("postgres", "CREATE ROLE had LOGIN", "ALTER ROLE postgres SET work_mem = '5MB'", site="dr")
    estate.run("postgres", "ALTER DATABASE postgres SET temp_buffers = '2MB'", site="dr")
    before = made(estate)
    with pytest.raises(Refused, match='ALTER DATABASE "golden" IS_TEMPLATE false; DROP DATABASE "golden" WITH'):
        require_empty(estate.dr.place)
    removed = clear(estate.dr.place, *restored(estate), before)
    assert removed == ("databases: golden, shop; roles: app, owner",)
    assert take_snapshot(estate.dr.place, (estate.service,), estate.contents) == before
    require_empty_of_objects(estate)


def require_empty_of_objects(estate: CaseEstate) -> None:
    for name in ("postgres", "template1"):
        assert estate.rows(name, "SELECT oid FROM pg_class WHERE oid >= 16384") == []
    assert estate.value("postgres", "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'had'") is True
    assert estate.value("postgres", "SHOW work_mem") == "5MB"


def test_case_23_what_is_left_is_named_and_all_else_is_removed(estate: CaseEstate) -> None:
    before = made(estate)
    estate.run("postgres", "CREATE DATABASE of_another OWNER owner", site="dr")
    estate.run("golden", "BEGIN; CREATE TABLE late (n int); ROLLBACK", site="dr")
    with pytest.raises(HarnessError) as failed:
        clear(estate.dr.place, *restored(estate), before)
    said = str(failed.value)
    assert "site dr is not as it was before the test: " in said
    assert 'database of_another: remove it by DROP DATABASE "of_another" WITH (FORCE)' in said
    assert 'role owner (role "owner" cannot be dropped because some objects depend on it): remove it by' in said
    assert "golden" not in said
    assert "shop" not in said
    assert estate.rows("postgres", "SELECT rolname::text FROM pg_roles WHERE rolname IN ('app', 'owner')") == [
        ("owner",)
    ]
