"""Functions of an extension that a user changed come back as they were, or are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.errors import RestoreFailed, Unreadable
from harness.postgres.extensions.changes import change_functions
from harness.postgres.extensions.functions import CHANGED, parse_functions
from tests.cases.estate import CaseEstate

pytestmark = pytest.mark.cases
PROPERTIES = """
SELECT provolatile, proparallel, proisstrict, proleakproof, procost, prorows FROM pg_proc
WHERE oid = '{}'::regprocedure
"""
UNACCENT = "public.unaccent(pg_catalog.text)"


def changed(estate: CaseEstate) -> list[str]:
    """Return the functions that the newest backup says may have been changed."""
    return [name for name, _ in estate.contents.databases[0].properties if name.startswith(CHANGED)]


def notes(estate: CaseEstate) -> list[str]:
    return [str(event.facts["note"]) for event in estate.journal.events if "note" in event.facts]


def test_an_index_on_a_changed_function_is_restored(estate: CaseEstate) -> None:
    """Such a backup could not be restored: "functions in index expression must be marked IMMUTABLE"."""
    estate.create(
        "app",
        "CREATE SCHEMA tools",
        "CREATE EXTENSION pg_trgm",
        "CREATE EXTENSION unaccent",
        "CREATE EXTENSION hstore SCHEMA tools",
        "ALTER FUNCTION unaccent(text) IMMUTABLE LEAKPROOF",
        "ALTER FUNCTION tools.hstore(text[]) CALLED ON NULL INPUT PARALLEL RESTRICTED COST 7.5",
        "ALTER FUNCTION tools.each(tools.hstore) ROWS 7",
        "CREATE TABLE p (id int, name text)",
        "CREATE INDEX p_name ON p USING gin (unaccent(name) gin_trgm_ops)",
        "INSERT INTO p VALUES (1, 'Hôtel')",
    )
    estate.declare("app")
    estate.back_up()
    assert changed(estate) == [
        f"{CHANGED}hstore: tools.each(tools.hstore)",
        f"{CHANGED}hstore: tools.hstore(pg_catalog._text)",
        f"{CHANGED}unaccent: {UNACCENT}",
    ]
    assert estate.restore().findings == ()
    for function in ("unaccent(text)", "tools.hstore(text[])", "tools.each(tools.hstore)", "tools.hstore(text,text)"):
        asked = PROPERTIES.format(function)
        assert estate.rows("app", asked) == estate.rows("app", asked, "primary")
    assert estate.value("app", "SELECT name FROM p WHERE unaccent(name) LIKE '%otel%'") == "Hôtel"
    (made,) = [line for line in notes(estate) if "made by a superuser" in line]
    assert f"changes of function {UNACCENT}" in made
    assert not [line for line in notes(estate) if "not restored" in line]


def test_a_change_that_no_restore_makes_is_named(estate: CaseEstate) -> None:
    estate.create(
        "app",
        "CREATE EXTENSION unaccent",
        "CREATE EXTENSION citext",
        "ALTER FUNCTION unaccent(text) SET search_path = public",
        "ALTER FUNCTION unaccent(text) SECURITY DEFINER",
        "ALTER FUNCTION unaccent(regdictionary, text) RENAME TO other",
        "CREATE OR REPLACE FUNCTION texticlike(citext, citext) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
    )
    estate.declare("app")
    estate.back_up()
    assert estate.restore().findings == ()
    of_unaccent = "database app: extension unaccent: functions"
    for line in (
        f"{of_unaccent} that are not there, their changes are not restored: "
        "public.other(pg_catalog.regdictionary, pg_catalog.text)",
        f"{of_unaccent} with other settings (SET) in the backup, not restored: {UNACCENT} (search_path)",
        f"{of_unaccent} with another SECURITY in the backup, not restored: {UNACCENT}",
        "database app: extension citext: functions with another body in the backup, not restored: "
        "public.texticlike(public.citext, public.citext)",
    ):
        assert line in notes(estate)


def test_a_function_whose_body_was_another_one_gets_only_its_volatility(estate: CaseEstate) -> None:
    """SELECT unaccent(NULL) ended the server: the function in C was made CALLED ON NULL INPUT as the user's in SQL."""
    estate.create(
        "app",
        "CREATE EXTENSION unaccent",
        "CREATE OR REPLACE FUNCTION unaccent(text) RETURNS text LANGUAGE sql IMMUTABLE LEAKPROOF PARALLEL UNSAFE COST 7"
        " AS $$ SELECT coalesce(translate($1, 'ô', 'o'), 'none') $$",
        "CREATE TABLE p (name text)",
        "CREATE INDEX p_name ON p (unaccent(name))",
    )
    estate.declare("app")
    estate.back_up()
    assert estate.restore().findings == ()
    asked = PROPERTIES.format("unaccent(text)")
    assert estate.rows("app", asked) == [("i", "s", True, False, 1.0, 0.0)]
    assert estate.value("app", "SELECT unaccent(NULL)") is None
    assert estate.value("app", "SELECT unaccent('Hôtel')") == "Hotel"
    of_unaccent = "database app: extension unaccent: functions"
    words = "PARALLEL UNSAFE, CALLED ON NULL INPUT, LEAKPROOF, COST 7.0"
    for line in (
        f"{of_unaccent} with another body in the backup, not restored: {UNACCENT}",
        f"{of_unaccent} with properties of another body or version in the backup, not restored: {UNACCENT} ({words})",
    ):
        assert line in notes(estate)


def test_functions_of_another_version_get_only_their_volatility(estate: CaseEstate) -> None:
    estate.create(
        "app",
        "CREATE EXTENSION citext",
        "UPDATE pg_extension SET extversion = '1.1' WHERE extname = 'citext'",
        "ALTER FUNCTION citext_eq(citext, citext) VOLATILE CALLED ON NULL INPUT",
        "ALTER FUNCTION texticlike(citext, citext) COST 9",
        "CREATE OR REPLACE FUNCTION texticnlike(citext, citext) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    )
    estate.declare("app")
    estate.back_up()
    assert estate.restore().findings == ()
    asked = PROPERTIES.format("citext_eq(citext, citext)")
    assert estate.rows("app", asked) == [("v", "s", True, False, 1.0, 0.0)]
    of_citext, of = "database app: extension citext: functions", "(public.citext, public.citext)"
    compared = f"{of_citext} of another version in the backup, whose bodies cannot be compared: public.texticnlike{of}"
    assert f"{compared} (1.1)" in notes(estate)
    (line,) = [one for one in notes(estate) if "with properties of another body or version in the backup" in one]
    assert f"public.citext_eq{of} (CALLED ON NULL INPUT), public.texticlike{of} (COST 9.0), public.texticnlike" in line


def test_functions_of_an_upgraded_server_are_compared_and_left_alone(estate: CaseEstate) -> None:
    """pg_upgrade makes each function and its membership by two statements, perhaps of one transaction."""
    estate.create(
        "app",
        "CREATE EXTENSION unaccent",
        "BEGIN; ALTER EXTENSION unaccent DROP FUNCTION unaccent(text); DROP FUNCTION unaccent(text);"
        " CREATE FUNCTION unaccent(text) RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE"
        " AS '$libdir/unaccent', 'unaccent_dict'; ALTER EXTENSION unaccent ADD FUNCTION unaccent(text); COMMIT",
        "GRANT EXECUTE ON FUNCTION unaccent_init(internal) TO PUBLIC",
        "CREATE TABLE p (name text)",
        "CREATE INDEX p_name ON p (unaccent(name))",
    )
    estate.declare("app")
    estate.back_up()
    assert changed(estate) == [
        f"{CHANGED}unaccent: {UNACCENT}",
        f"{CHANGED}unaccent: public.unaccent_init(pg_catalog.internal)",
    ]
    assert estate.restore().findings == ()
    assert estate.value("app", "SELECT provolatile FROM pg_proc WHERE oid = 'unaccent(text)'::regprocedure") == "i"
    assert not [line for line in notes(estate) if "not restored" in line or "unaccent_init" in line]


def test_properties_that_are_no_functions_are_refused_and_a_role_without_rights_is_told(estate: CaseEstate) -> None:
    estate.create("app", "CREATE EXTENSION unaccent", "ALTER FUNCTION unaccent(text) IMMUTABLE")
    estate.declare("app")
    estate.back_up()
    (facts,) = estate.contents.databases
    ((name, value),) = [one for one in facts.properties if one[0].startswith(CHANGED)]
    for wrong in (value.replace('"i"', '"IMMUTABLE; DROP"'), value.replace("unaccent", "other"), "[", "[" * 9999):
        with pytest.raises(Unreadable, match="its properties are"):
            parse_functions([(name, wrong)])
    estate.create("app", "CREATE EXTENSION unaccent", site="dr")
    estate.run("postgres", "CREATE ROLE plain LOGIN PASSWORD 'plain'", site="dr")
    estate.secrets.put("dr", "plain", b"plain")
    password = estate.secrets.of("dr")["plain"]
    plain = replace(estate.dr.place.sql, user="plain", superuser=False, password_ref=password)
    said = (
        rf"function {UNACCENT} of extension unaccent: must be owner of function public.unaccent; restore as a superuser"
    )
    with pytest.raises(RestoreFailed, match=said.replace("(", r"\(").replace(")", r"\)")):
        change_functions(plain, facts, ["unaccent"])
    assert change_functions(estate.dr.place.sql, facts, ["unaccent"]) == ([f"changes of function {UNACCENT}"], ())
    assert change_functions(estate.dr.place.sql, facts, ["unaccent"]) == ([], ())
