"""Functions of extensions in a manifest: after an upgrade all of them may have been changed, and they must fit."""

from __future__ import annotations

import json

import pytest

from harness.postgres.contents.properties import read_not_compared, read_properties
from harness.postgres.extensions import functions
from harness.postgres.extensions.functions import CHANGED, Function, parse_functions
from harness.postgres.facts import begin_reading
from harness.postgres.server import connect
from harness.repository.format.commit import LARGEST_MANIFEST
from tests.servers import DatabaseServer

pytestmark = pytest.mark.programs
NUMBER, BYTES = 800, 400  # functions of PostGIS; what one of them may take in a manifest
DATABASES = 600
# As pg_upgrade does it: each function, and its membership by another statement.
UPGRADED = f"""
DO $$ BEGIN
    FOR n IN 1..{NUMBER} LOOP
        EXECUTE format('CREATE FUNCTION st_function_%s(text, int) RETURNS bool LANGUAGE sql IMMUTABLE STRICT'
                       ' PARALLEL SAFE COST 50 AS ''SELECT true''', n);
        EXECUTE format('ALTER EXTENSION unaccent ADD FUNCTION st_function_%s(text, int)', n);
    END LOOP;
END $$
"""
OF_BEFORE = (
    '{"body":"1","configured":"0","cost":1.0,"definer":false,"extension":"unaccent","leakproof":false,"name":"f",'
    '"parallel":"s","rows":0.0,"schema":"public","schemas":["pg_catalog"],"settings":[],"strict":true,'
    '"types":["text"],"version":"1.1","volatile":"i"}'
)


def read(server: DatabaseServer, database: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the functions that may have been changed, and the lines of those that are left out."""
    with connect(server.sql, database) as connection:
        begin_reading(connection)
        found = [one for one in read_properties(connection) if one[0].startswith(CHANGED)]
        return found, [line for line in read_not_compared(connection) if "functions of extensions" in line]


@pytest.fixture(scope="module")
def upgraded(dr: DatabaseServer) -> DatabaseServer:
    dr.execute("postgres", "CREATE DATABASE upgraded")
    dr.execute(
        "upgraded",
        "CREATE EXTENSION unaccent",
        UPGRADED,
        "CREATE OPERATOR === (FUNCTION = st_function_4, LEFTARG = text, RIGHTARG = int)",
        "CREATE OPERATOR ==== (FUNCTION = st_function_5, LEFTARG = text, RIGHTARG = int)",
        "ALTER EXTENSION unaccent ADD OPERATOR === (text, int)",
        "ALTER EXTENSION unaccent ADD OPERATOR ==== (text, int)",
        "CREATE TABLE t (name text, n int, CHECK (name === n))",
        "CREATE INDEX t_name ON t (st_function_1(name, n))",
        "CREATE VIEW v AS SELECT st_function_2('', 1)",
        "ALTER TABLE t ADD COLUMN made bool GENERATED ALWAYS AS (st_function_3(name, n)) STORED",
    )
    return dr


def test_of_many_functions_those_are_kept_on_which_something_depends(upgraded: DatabaseServer) -> None:
    found, lines = read(upgraded, "upgraded")
    assert [one.name for one in parse_functions(found)] == [f"st_function_{n}" for n in (1, 2, 3, 4)]
    assert lines == [
        f"{NUMBER - 4} functions of extensions on which nothing depends: their changes, if any, are in no dump"
    ]


def test_a_function_takes_some_hundred_bytes_of_a_manifest(
    upgraded: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = functions.MOST
    monkeypatch.setattr(functions, "MOST", NUMBER)
    found, lines = read(upgraded, "upgraded")
    assert (len(found), lines) == (NUMBER, [])
    assert len(json.dumps(found, separators=(",", ":"))) < NUMBER * BYTES
    assert most * BYTES * DATABASES < LARGEST_MANIFEST // 3
    one = parse_functions(found)[0]
    assert (one.volatile, one.parallel, one.strict, one.cost, one.definer) == ("i", "s", True, 50.0, False)


def test_functions_of_a_backup_of_before_are_read() -> None:
    """They have each property, at its default too."""
    (one,) = parse_functions([(f"{CHANGED}unaccent: public.f(pg_catalog.text)", OF_BEFORE)])
    assert one == Function("unaccent", "1.1", "public", "f", "1", ("pg_catalog",), ("text",), "i", "s", strict=True)
