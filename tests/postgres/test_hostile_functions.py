"""Functions of a dump: none runs as a superuser, unless the declaration allows it by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.errors import HarnessError, RestoreFailed
from harness.postgres.checks import column
from harness.postgres.restoring.restorer import clerk
from harness.postgres.restoring.views import refresh_all
from harness.postgres.server import transaction
from tests.postgres.attack import DATABASE, EVIL, Attack, evil
from tests.postgres_archive import Made

pytestmark = [pytest.mark.programs, pytest.mark.attacks("R1")]


def test_functions_that_a_restore_evaluates_run_as_no_superuser(attack: Attack) -> None:
    """A default, a CHECK, an index on an expression, a generated column: whatever pg_restore makes the server call."""
    body = EVIL.format(attack.proof, "RETURN 1;")
    create = f"CREATE FUNCTION public.evil() RETURNS int {body};\n"
    create += (
        "CREATE FUNCTION public.calls() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.evil(); END';"
    )
    function = Made("FUNCTION", "evil()", create, "public")
    for table in (
        "CREATE TABLE public.t AS SELECT public.evil() AS n;\n",
        "CREATE TABLE public.t (n int);\nINSERT INTO public.t VALUES (public.evil());\n",
        "CREATE TABLE public.t (n int DEFAULT public.evil(), m int);\nINSERT INTO public.t (m) VALUES (1);\n",
        "CREATE TABLE public.t (n int CHECK (public.evil() = 1));\nINSERT INTO public.t VALUES (1);\n",
        "CREATE TABLE public.t AS SELECT 1 AS n;\nCREATE INDEX ON public.t ((n + public.calls()));",
        "CREATE MATERIALIZED VIEW public.t AS SELECT public.evil();\n",
    ):
        with pytest.raises(RestoreFailed, match="permission denied"):
            attack.restore(function, Made("TABLE", "t", table, "public"))


def test_a_materialised_view_of_a_superuser_is_filled_by_none(attack: Attack) -> None:
    view = "CREATE MATERIALIZED VIEW public.v AS SELECT public.evil() AS n WITH NO DATA;\n"
    loaded = attack.restore(
        evil(attack, "int", "RETURN 1;"),
        Made("MATERIALIZED VIEW", "v", view, "public"),
        Made("MATERIALIZED VIEW DATA", "v", "REFRESH", "public", section=4),
    )
    (stale,) = refresh_all(attack.dr.sql, DATABASE, loaded.views)
    assert "permission denied to COPY" in stale.reason
    assert not attack.proof.exists()
    assert attack.dr.one(DATABASE, "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'v'") == "postgres"
    attack.dr.execute(DATABASE, "CREATE OR REPLACE FUNCTION evil() RETURNS int LANGUAGE sql AS 'SELECT 7'")
    assert refresh_all(attack.dr.sql, DATABASE, loaded.views) == ()
    assert attack.dr.one(DATABASE, "SELECT n FROM v") == 7
    assert attack.dr.one("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'blackstart%'") == 0


def test_an_event_trigger_does_not_run_at_our_statements(attack: Attack) -> None:
    trigger = "CREATE EVENT TRIGGER et ON {} EXECUTE FUNCTION public.evil();\n\nALTER EVENT TRIGGER et ENABLE ALWAYS;\n"
    for event in ("ddl_command_start", "ddl_command_end", "sql_drop"):
        loaded = attack.restore(
            evil(attack, "event_trigger", ""),
            Made("EVENT TRIGGER", "et", trigger.format(event), section=4),
            Made("COMMENT", "EVENT TRIGGER et", "COMMENT ON EVENT TRIGGER et IS 'bad';\n", section=1),
            Made("TABLE", "t", "CREATE TABLE public.t (n int);\n", "public"),
        )
        assert loaded.by_superuser == ("event trigger et",)
        assert attack.dr.one(DATABASE, "SELECT evtenabled::text FROM pg_event_trigger") == "A"


def test_a_function_that_runs_as_a_superuser_needs_an_allowance(attack: Attack) -> None:
    made = evil(attack, "int", "RETURN 1;")
    function = replace(made, text=made.text.replace("LANGUAGE", "SECURITY DEFINER LANGUAGE"))
    with pytest.raises(
        RestoreFailed, match=r'public.evil\(\) of postgres; .*\[restore.allow\] "function public.evil\(\)"'
    ):
        attack.restore(function)
    attack.restore(function, allow=("function public.evil()",))
    assert attack.dr.one(DATABASE, "SELECT prosecdef AND proowner = 10 FROM pg_proc WHERE proname = 'evil'") is True
    attack.dr.execute("postgres", "CREATE ROLE shopkeeper")
    try:
        attack.restore(replace(function, owner="shopkeeper"))  # it runs as nobody with power
    finally:
        attack.dr.execute("postgres", f"DROP DATABASE {DATABASE}", "DROP ROLE shopkeeper")


@pytest.mark.parametrize(
    "clause", ["LANGUAGE c", "language C", "LANGUAGE/**/c", "LANGUAGE 'c'", 'LANGUAGE "c"', "LANGUAGE internal"]
)
@pytest.mark.parametrize(
    "more", ["", " LEAKPROOF", "\n    SET work_mem TO '1MB'", " COST 1 /*\n    LANGUAGE sql */ LEAKPROOF"]
)
def test_a_function_in_an_untrusted_language_needs_an_allowance(attack: Attack, clause: str, more: str) -> None:
    text = f"CREATE FUNCTION public.c_code(int) RETURNS int\n    {clause}{more}\n    AS 'int4um';\n"
    with pytest.raises(RestoreFailed, match=r"FUNCTION.*(permission denied for language|leakproof)"):
        attack.restore(Made("FUNCTION", "c_code(integer)", text, "public"))


def test_an_allowed_language_is_made_by_the_superuser_and_named(attack: Attack) -> None:
    text = (
        "CREATE FUNCTION public.minus(integer) RETURNS integer\n    LANGUAGE internal IMMUTABLE\n    AS $$int4um$$;\n"
    )
    loaded = attack.restore(
        Made("FUNCTION", "minus(integer)", text, "public"),
        Made(
            "COMMENT",
            "FUNCTION minus(integer)",
            "COMMENT ON FUNCTION public.minus(integer) IS 'x';\n",
            "public",
            section=1,
        ),
        allow=("language internal",),
    )
    assert loaded.by_superuser == ("function public.minus(integer)",)
    assert attack.dr.one(DATABASE, "SELECT public.minus(3)") == -3


def test_a_leakproof_function_in_a_trusted_language_is_made_and_named(attack: Attack) -> None:
    text = "CREATE FUNCTION public.f() RETURNS integer\n    LANGUAGE sql LEAKPROOF\n    AS $$ SELECT 1 $$;\n"
    assert attack.restore(Made("FUNCTION", "f()", text, "public")).by_superuser == ("function public.f()",)


def test_a_foreign_data_wrapper_that_no_extension_brings_needs_an_allowance(attack: Attack) -> None:
    """Its validator is a function of the dump, and a superuser would call it."""
    validator = "CREATE FUNCTION public.evil(text[], oid) RETURNS void\n    " + EVIL.format(attack.proof, "") + ";\n"
    wrapper = "CREATE FOREIGN DATA WRAPPER bad VALIDATOR public.evil OPTIONS (a 'b');\n"
    with pytest.raises(RestoreFailed, match=r'\[restore.allow\] "foreign data wrapper bad"'):
        attack.restore(
            Made("FUNCTION", "evil(text[], oid)", validator, "public"), Made("FOREIGN DATA WRAPPER", "bad", wrapper)
        )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hstore", "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;\n"),
        ("hstore", "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public CASCADE;\n"),
        ("hstore", "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public VERSION '1.4';\n"),
        ("nothing", "CREATE EXTENSION IF NOT EXISTS nothing WITH SCHEMA public;\n"),
    ],
)
def test_an_extension_is_made_from_its_name(attack: Attack, name: str, text: str) -> None:
    with pytest.raises(RestoreFailed, match=f"EXTENSION {name}: "):
        attack.restore(Made("EXTENSION", name, text))


def test_extensions_are_made_before_anything_that_their_scripts_could_call(attack: Attack) -> None:
    """A function of the dump, earlier in it, is not there yet when the script of the extension runs."""
    loaded = attack.restore(
        Made("FUNCTION", "f()", "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1';\n", "public"),
        Made("EXTENSION", "hstore", "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\n"),
        Made("EXTENSION", "dblink", "CREATE EXTENSION IF NOT EXISTS dblink WITH SCHEMA public;\n"),
    )
    assert loaded.by_superuser == ("extension dblink",)  # hstore is trusted
    query = "SELECT (SELECT oid FROM pg_proc WHERE proname = 'f') > (SELECT max(oid) FROM pg_extension)"
    assert attack.dr.one(DATABASE, query) is True


def test_what_is_asked_of_restored_tables_runs_as_no_superuser(attack: Attack) -> None:
    """A view in the place of a table, a rule, a trigger: our own queries call functions of the backup through them."""
    trigger = "CREATE TRIGGER t BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.fired();\n"
    fired = EVIL.format(attack.proof, "RETURN NEW;")
    attack.restore(
        evil(attack, "int", "RETURN 1;"),
        Made("FUNCTION", "fired()", f"CREATE FUNCTION public.fired() RETURNS trigger\n    {fired};\n", "public"),
        Made("TABLE", "t", "CREATE TABLE public.t AS SELECT 1 AS n;\n", "public"),
        Made("VIEW", "v", "CREATE VIEW public.v AS SELECT public.evil() AS n;\n", "public"),
        Made("TRIGGER", "t t", f"{trigger}ALTER TABLE public.t ENABLE ALWAYS TRIGGER t;\n", "public", section=4),
    )
    with clerk(attack.dr.sql) as sql:
        assert column(sql, DATABASE, "SELECT n FROM public.t") == ("1",)
        with pytest.raises(HarnessError, match="permission denied to COPY"):
            column(sql, DATABASE, "SELECT n FROM public.v")
        with pytest.raises(HarnessError, match="permission denied to COPY"), transaction(sql, DATABASE, "x") as session:
            session.execute("UPDATE public.t SET n = 2")
        with pytest.raises(HarnessError, match="permission denied to set role"):
            column(sql, DATABASE, "SELECT set_config('role', 'postgres', false)")
        assert not attack.proof.exists()
        attack.dr.execute(DATABASE, "ALTER TABLE t DISABLE TRIGGER t")
        with transaction(sql, DATABASE, "x") as session:
            session.execute("UPDATE public.t SET n = 2")
    assert attack.dr.one(DATABASE, "SELECT n FROM t") == 2
    assert attack.dr.one("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'blackstart%'") == 0
    column(attack.dr.sql, DATABASE, "SELECT n FROM public.v")
    assert attack.proof.exists()  # as a superuser it would have run
