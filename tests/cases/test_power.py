"""Attack R1: what gives power over the server comes back from a backup only where the declaration says so by name."""

from __future__ import annotations

import re

import pytest

from harness.core.errors import RestoreFailed
from harness.postgres.server import connect
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.attacks("R1"), pytest.mark.programs]
PRODUCTION = (
    "CREATE ROLE backdoor SUPERUSER LOGIN PASSWORD 'known'",
    "CREATE ROLE app LOGIN PASSWORD 'app'",
    "GRANT pg_execute_server_program TO app",
    "ALTER ROLE app SET session_preload_libraries = 'evil'",
    "ALTER ROLE app SET work_mem = '7MB'",
)
KEYS = ("role backdoor", "role app", "setting session_preload_libraries")
ROLES = """
SELECT rolname::text, rolsuper, pg_has_role(rolname, 'pg_execute_server_program', 'MEMBER') FROM pg_roles
WHERE rolname IN ('app', 'backdoor') ORDER BY 1
"""


def production(estate: CaseEstate) -> None:
    estate.run("postgres", *PRODUCTION, "CREATE DATABASE shop OWNER app")
    estate.run("shop", "CREATE TABLE t AS SELECT 1 AS n", "ALTER TABLE t OWNER TO app")
    estate.declare("shop")
    estate.back_up()


def test_power_that_nothing_allows_is_left_out_and_is_a_finding_each(estate: CaseEstate) -> None:
    production(estate)
    restored = estate.restore()
    assert [line.partition(" is not restored; ")[0] for line in restored.findings] == [
        "role backdoor: SUPERUSER",
        "role app: member of pg_execute_server_program",
        "setting session_preload_libraries: of role app",
    ]
    assert all("[restore.allow] " in line for line in restored.findings)
    assert estate.rows("postgres", ROLES) == [("app", False, False), ("backdoor", False, False)]
    assert estate.rows("postgres", "SELECT setconfig FROM pg_db_role_setting") == [(["work_mem=7MB"],)]
    assert estate.value("shop", "SELECT relowner::regrole::text FROM pg_class WHERE relname = 't'") == "app"
    assert estate.value("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'blackstart%'") == 0


def test_power_that_is_left_out_on_purpose_is_named_and_no_finding(estate: CaseEstate) -> None:
    production(estate)
    estate.left_out += KEYS
    restored = estate.restore()
    assert restored.findings == ()
    assert "role backdoor: SUPERUSER: left out: the test says so" in restored.notes
    assert estate.rows("postgres", ROLES) == [("app", False, False), ("backdoor", False, False)]


def test_power_that_is_allowed_comes_back_and_is_named(estate: CaseEstate) -> None:
    production(estate)
    estate.allowed += KEYS
    restored = estate.restore()
    assert restored.findings == ()
    assert "role backdoor: SUPERUSER: restored, as [restore.allow] says" in restored.notes
    assert estate.rows("postgres", ROLES) == [("app", False, True), ("backdoor", True, True)]


def test_what_a_superuser_made_of_a_dump_is_named(estate: CaseEstate) -> None:
    estate.create("shop", "CREATE EXTENSION dblink", "CREATE EXTENSION citext", "CREATE PUBLICATION p FOR ALL TABLES")
    estate.declare("shop")
    estate.back_up()
    assert estate.restore().notes == ("database shop: made by a superuser: extension dblink, publication p",)


def test_a_function_in_an_untrusted_language_stops_the_restore_and_is_named(estate: CaseEstate) -> None:
    estate.create("shop", "CREATE FUNCTION minus(int) RETURNS int LANGUAGE internal AS 'int4um'")
    estate.declare("shop")
    estate.back_up()
    with pytest.raises(
        RestoreFailed, match=r"FUNCTION minus\(integer\).*permission denied for language internal"
    ) as said:
        estate.restore()
    assert re.search(r'\[restore\.allow\] "language internal"', str(said.value))


def test_an_allowed_language_comes_back(estate: CaseEstate) -> None:
    estate.create("shop", "CREATE FUNCTION minus(int) RETURNS int LANGUAGE internal AS 'int4um'")
    estate.declare("shop")
    estate.back_up()
    estate.allowed += ["language internal"]
    assert estate.restore().notes == ("database shop: made by a superuser: function public.minus(integer)",)
    assert estate.value("shop", "SELECT minus(3)") == -3


def test_a_foreign_table_of_files_comes_back_where_it_is_allowed(estate: CaseEstate) -> None:
    """Any role may make one of another wrapper."""
    estate.run("postgres", "CREATE ROLE app")
    estate.create(
        "shop",
        "CREATE EXTENSION file_fdw",
        "CREATE EXTENSION postgres_fdw",
        'CREATE SERVER "log; files" FOREIGN DATA WRAPPER file_fdw',
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw",
        'CREATE FOREIGN TABLE "Log" (line text OPTIONS (force_null \'true\')) SERVER "log; files"'
        " OPTIONS (filename '/no/such;\nfile', format 'csv')",
        "CREATE FOREIGN TABLE there (line text) SERVER far",
        'ALTER FOREIGN TABLE "Log" OWNER TO app',
        'CREATE VIEW lines AS SELECT line FROM "Log"',
    )
    estate.declare("shop")
    estate.back_up()
    key = re.escape('[restore.allow] "foreign table public.Log"')
    with pytest.raises(RestoreFailed, match=rf"FOREIGN TABLE public.Log: it reads a file or runs a program; .*{key}"):
        estate.restore()
    with connect(estate.dr.place.sql) as connection:
        connection.execute("DROP DATABASE shop")
    estate.allowed += ["foreign table public.Log"]
    restored = estate.restore()
    assert restored.findings == ()
    assert "foreign table public.Log" in restored.notes[0]
    assert "there" not in restored.notes[0]
    assert estate.value("shop", "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'Log'") == "app"
