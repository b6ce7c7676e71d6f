"""Dumps that somebody wrote to run programs on the server: no entry runs as a superuser."""

from __future__ import annotations

import re

import pytest

from harness.core.errors import RestoreFailed
from harness.postgres.dump import chunks, dump_task, open_snapshot
from tests.postgres.attack import DATABASE, Attack, rows
from tests.postgres_archive import Made
from tests.servers import DatabaseServer

pytestmark = [pytest.mark.programs, pytest.mark.attacks("R1")]


def test_the_program_of_the_attacks_runs_for_a_superuser(attack: Attack) -> None:
    """Else the other tests would show nothing."""
    attack.dr.execute("postgres", attack.program)
    assert attack.proof.exists()


KINDS = (
    *("TABLE", "VIEW", "SEQUENCE", "DEFAULT", "SEQUENCE OWNED BY", "TABLE ATTACH", "DOMAIN", "COLLATION", "OPERATOR"),
    *("TEXT SEARCH DICTIONARY", "FOREIGN TABLE", "CONVERSION", "STATISTICS", "INDEX", "CONSTRAINT", "TRIGGER"),
    *("RULE", "POLICY", "ROW SECURITY", "FK CONSTRAINT", "MATERIALIZED VIEW", "INVENTED KIND", "SEQUENCE SET"),
    *("STATISTICS DATA", "CHECK CONSTRAINT", "INDEX ATTACH"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_an_entry_runs_as_no_superuser(attack: Attack, kind: str) -> None:
    with pytest.raises(
        RestoreFailed, match=rf"{kind} .*permission denied to COPY to or from an external program"
    ) as said:
        attack.restore(Made(kind, "bad", f"{attack.program};\n", "public", section=4))
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("before", ["RESET ROLE", "RESET SESSION AUTHORIZATION", "SET ROLE postgres", "ROLLBACK"])
def test_no_text_gets_the_power_back(attack: Attack, before: str) -> None:
    with pytest.raises(RestoreFailed, match="permission denied"):
        attack.restore(Made("TABLE", "bad", f"{before};\n{attack.program};\n", "public"))


SUPERUSERS = (
    ("EVENT TRIGGER", "CREATE EVENT TRIGGER bad ON ddl_command_start EXECUTE FUNCTION f()"),
    ("SERVER", "CREATE SERVER bad FOREIGN DATA WRAPPER f"),
    ("CAST", "CREATE CAST (text AS int) WITH INOUT"),
    ("PUBLICATION", "CREATE PUBLICATION bad"),
    ("PUBLICATION TABLE", "ALTER PUBLICATION bad ADD TABLE t"),
    ("OPERATOR FAMILY", "CREATE OPERATOR FAMILY bad USING btree"),
    ("COMMENT", "COMMENT ON SCHEMA public IS 'bad'"),
    ("DEFAULT ACL", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC"),
    ("SECURITY LABEL", "SECURITY LABEL ON TABLE t IS 'bad'"),
    ("USER MAPPING", "CREATE USER MAPPING FOR PUBLIC SERVER bad"),
    ("TRANSFORM", "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))"),
    ("ACL", "GRANT ALL ON SCHEMA public TO PUBLIC"),
    ("EXTENSION", "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public"),
    ("SUBSCRIPTION", "CREATE SUBSCRIPTION bad CONNECTION '' PUBLICATION p WITH (connect = false, slot_name = 'x')"),
)


@pytest.mark.night
@pytest.mark.parametrize(("kind", "good"), SUPERUSERS)
def test_what_a_superuser_makes_is_one_statement_of_its_kind(attack: Attack, kind: str, good: str) -> None:
    name = {"COMMENT": "SCHEMA public", "ACL": "SCHEMA public", "EXTENSION": "hstore"}.get(kind, "bad")
    for text in (
        f"{attack.program};\n",
        f"{good};\n{attack.program};\n",
        f"{attack.program};\n{good};\n",
        f"/* {good} */ {attack.program};\n",
        f"{good}; {attack.program};\n",
        f"{good}\n;{attack.program}",
        f"{good} -- '\n;\n{attack.program}; -- '",
    ):
        with pytest.raises(RestoreFailed, match=rf"{kind} ") as said:
            attack.restore(Made(kind, name, text, section=4), anew=False)
        assert "\n" not in str(said.value)


@pytest.mark.parametrize("kind", ["SCHEMA", "MATERIALIZED VIEW DATA", "DATABASE", "DATABASE PROPERTIES"])
def test_the_text_of_what_is_composed_from_its_name_is_not_sent_at_all(attack: Attack, kind: str) -> None:
    attack.restore(Made(kind, "bad", f"{attack.program};\n"))


@pytest.mark.parametrize(
    "name", ["x\"; COPY (SELECT 1) TO PROGRAM 'true'; --", "-x", "--help", "two\nlines", "a b", "%s", "{}", "n" * 63]
)
def test_a_schema_may_have_any_name(attack: Attack, name: str) -> None:
    attack.restore(Made("SCHEMA", name, "never sent"))
    with_name = [row[0] for row in rows(attack.dr, DATABASE, "SELECT nspname FROM pg_namespace")]
    assert name in with_name


@pytest.mark.parametrize(
    "text",
    [
        "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p WITH (connect = true);\n",
        "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p;\n",
        "CREATE SUBSCRIPTION s CONNECTION ' WITH (connect = false);' PUBLICATION p WITH (connect = true);\n",
    ],
)
def test_a_subscription_that_would_connect_is_refused(attack: Attack, text: str) -> None:
    with pytest.raises(RestoreFailed, match="SUBSCRIPTION s: its text is not what pg_dump writes"):
        attack.restore(Made("SUBSCRIPTION", "s", text, section=4))


@pytest.mark.parametrize(
    "text",
    [
        "GRANT postgres TO PUBLIC;\n",
        "GRANT pg_execute_server_program TO app;\n",
        'GRANT pg_execute_server_program TO "a ON TABLE public.t TO b";\n',
        "GRANT SELECT ON TABLE t TO PUBLIC;\n",
        "GRANT SELECT ON TABLE public.t, pg_catalog.pg_authid TO PUBLIC;\n",
        "GRANT SET ON PARAMETER session_preload_libraries TO PUBLIC;\n",
        "GRANT ALL ON DATABASE postgres TO PUBLIC;\n",
        "GRANT CREATE ON TABLESPACE pg_default TO PUBLIC;\n",
        "SET ROLE postgres;\n",
        "grant all on schema public to public;\n",
    ],
)
def test_a_grant_of_another_form_is_refused(attack: Attack, text: str) -> None:
    with pytest.raises(RestoreFailed, match=r"ACL TABLE public.t: it is no grant as pg_dump writes them"):
        attack.restore(Made("ACL", "TABLE t", text, "public", section=1))


def test_a_grant_on_what_postgresql_brings_needs_an_allowance(attack: Attack) -> None:
    entry = Made(
        *("ACL", "FUNCTION pg_read_file(text)", "GRANT ALL ON FUNCTION pg_catalog.pg_read_file(text) TO pg_monitor;\n"),
        schema="pg_catalog",
        section=1,
    )
    key = "grant FUNCTION pg_catalog.pg_read_file(text)"
    with pytest.raises(RestoreFailed, match=re.escape(f'[restore.allow] "{key}"')):
        attack.restore(entry)
    attack.restore(entry, allow=(key,))
    query = "SELECT has_function_privilege('pg_monitor', 'pg_read_file(text)', 'EXECUTE')"
    assert attack.dr.one(DATABASE, query) is True


def test_a_real_dump_with_an_altered_text_runs_nothing(attack: Attack, primary: DatabaseServer) -> None:
    """The TOC of a dump of pg_dump, where the definition of a view is replaced by a program of the same length."""
    program = attack.program
    long = "x" * len(program)
    primary.execute("postgres", "DROP DATABASE IF EXISTS victim", "CREATE DATABASE victim")
    primary.execute("victim", f"CREATE VIEW v AS SELECT '{long}'::text AS n", "CREATE TABLE t (n int)")
    with open_snapshot(primary.sql, "victim") as snapshot:
        dump = b"".join(chunks(primary.site.run(dump_task(primary.site, primary.sql, snapshot)), 60))
    (found,) = re.findall(rb"CREATE VIEW public\.v AS\n SELECT 'x+'::text AS n;\n", dump)
    altered = f"{program};\n".encode().ljust(len(found) - 1) + b"\n"
    attack.restore(dump=dump)
    assert attack.dr.one(DATABASE, "SELECT count(*) FROM v, t") == 0
    with pytest.raises(RestoreFailed, match=r"VIEW v postgres: .*permission denied to COPY") as said:
        attack.restore(dump=dump.replace(found, altered))
    assert "\n" not in str(said.value)


def test_the_role_of_the_restore_is_gone_afterwards_and_owns_nothing(attack: Attack) -> None:
    attack.dr.execute("postgres", "CREATE ROLE shopkeeper")
    try:
        attack.restore(
            Made("SCHEMA", "mine", owner="shopkeeper"),
            Made("TABLE", "t", "CREATE TABLE mine.t (n int);\n", "mine", "shopkeeper"),
            Made("TABLE", "u", "CREATE TABLE mine.u (n int);\n", "mine", "nobody there"),
            Made("ACL", "TABLE t", "GRANT SELECT ON TABLE mine.t TO PUBLIC;\n", "mine", "shopkeeper", 1),
        )
        owners = "SELECT string_agg(relname || ' ' || relowner::regrole, ', ' ORDER BY relname) FROM pg_class"
        owners += " WHERE relnamespace = 'mine'::regnamespace"
        assert attack.dr.one(DATABASE, owners) == "t shopkeeper, u postgres"
        assert attack.dr.one(DATABASE, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'mine'") == (
            "shopkeeper"
        )
        assert attack.dr.one(
            DATABASE, "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
        )
        assert attack.dr.one("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'blackstart%'") == 0
    finally:
        attack.dr.execute("postgres", f"DROP DATABASE {DATABASE}", "DROP ROLE shopkeeper")
