"""Security labels of a provider whose library DR's server has not loaded: all else comes back, and they are named."""

from __future__ import annotations

import pytest

from harness.core.errors import Finding
from harness.postgres.contents.labels import loaded
from tests.cases.estate import CaseEstate
from tests.cases.test_sign_off import sign_off

pytestmark = [pytest.mark.cases, pytest.mark.night]
# As a server has them that is without its library, after an upgrade for example.
LABELLED = """
SET allow_system_table_mods = on;
INSERT INTO pg_seclabel VALUES
    ('t'::regclass, 'pg_class'::regclass, 0, 'masks', E'a;\\nSECURITY LABEL FOR x ON y'),
    ('t'::regclass, 'pg_class'::regclass, 1, 'masks', E'with \\'quotes\\' and \\\\'),
    ('t'::regclass, 'pg_class'::regclass, 1, 'odd "one"', 'x'),
    ('f()'::regprocedure, 'pg_proc'::regclass, 0, 'masks', 'x'),
    (9, 'pg_largeobject'::regclass, 0, 'masks', 'x');
INSERT INTO pg_shseclabel
    SELECT oid, 'pg_authid'::regclass, 'masks', 'x' FROM pg_authid WHERE rolname = 'reader'
    UNION ALL SELECT oid, 'pg_database'::regclass, 'masks', 'x' FROM pg_database WHERE datname = 'app'
"""
OBJECTS = "security label masks: of 3 objects of database app (FUNCTION public.f(), TABLE public.t, LARGE OBJECT 9)"
ODD = 'security label odd "one": of 1 object of database app (TABLE public.t)'
SHARED = "security label masks: of database app, role reader"
NOT = (
    "not restored: this server has no such provider; add its library to shared_preload_libraries, "
    'or name it in [restore.exclude] "security label '
)


def labelled(estate: CaseEstate) -> None:
    estate.run("postgres", "CREATE ROLE reader")
    estate.create("app", "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)", "SELECT lo_create(9)")
    estate.run("app", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", LABELLED)
    estate.back_up()


def test_they_are_a_finding_each_and_all_else_comes_back(estate: CaseEstate) -> None:
    """The whole restore was refused."""
    labelled(estate)
    restored = estate.restore()
    assert restored.findings == (f'{SHARED}: {NOT}masks"', f'{OBJECTS}: {NOT}masks"', f'{ODD}: {NOT}odd "one""')
    assert estate.rows("app", "SELECT n FROM t") == [(1,)]
    assert estate.rows("app", "SELECT FROM pg_seclabel UNION ALL SELECT FROM pg_shseclabel") == []


def test_no_event_trigger_of_the_backup_runs_when_the_server_is_asked_for_a_provider(estate: CaseEstate) -> None:
    estate.create("app", "CREATE TABLE fired ()")
    estate.run(
        "app",
        "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no DDL here'; END$$",
        "CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION no_ddl()",
        "ALTER EVENT TRIGGER no_ddl ENABLE ALWAYS",
    )
    assert loaded(estate.site("primary").place.sql, ["masks", "sepgsql"], "app") == frozenset()


def test_they_are_left_out_on_purpose(estate: CaseEstate) -> None:
    """The check before sign-off of a database that no service declares knows it as well."""
    labelled(estate)
    estate.left_out += ["security label masks", 'security label odd "one"']
    restored = estate.restore()
    assert restored.findings == ()
    for what in (SHARED, OBJECTS, ODD):
        assert f"{what}: left out: the test says so" in restored.notes
    assert sign_off(estate, restored).databases == 1
    estate.run("app", "COMMENT ON FUNCTION f() IS 'x'", site="dr")
    with pytest.raises(Finding, match=r"before sign-off: app: schema: comment on function public\.f\(\): not in"):
        sign_off(estate, restored)
