"""Definitions that made a good backup one that could not be restored, or whose restore was called wrong."""

from __future__ import annotations

import pytest

from tests.cases.estate import CaseEstate
from tests.cases.majors import OWN, asked_major

pytestmark = [
    pytest.mark.cases,
    pytest.mark.night,
    pytest.mark.skipif(asked_major() != OWN, reason="the options of its subscription are of that major"),
]
NAMES = ('"o\'hara"', '"it\'s;\nodd"')
# Kind of what was refused or called wrong -> statements, and a query that must have the same rows on DR.
DEFINITIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "a subscription without a slot": (
        (
            "CREATE SUBSCRIPTION \"odd sub\" CONNECTION 'host=127.0.0.1 port=9 password=''a b''' PUBLICATION \"p x\", q"
            " WITH (connect = false, slot_name = NONE, binary, streaming = parallel, two_phase, failover,"
            " password_required = false, run_as_owner, origin = none, synchronous_commit = remote_apply)",
            "CREATE SUBSCRIPTION other CONNECTION 'host=127.0.0.1 port=9' PUBLICATION p WITH (connect = false)",
        ),
        "SELECT subname, subslotname, subconninfo, subpublications, suborigin, subtwophasestate, subsynccommit"
        " FROM pg_subscription ORDER BY 1",
    ),
    "several statements, and a quote in a name": (
        (
            *(f"ALTER DEFAULT PRIVILEGES FOR ROLE {NAMES[0]} GRANT SELECT ON TABLES TO {to}" for to in ("one", "two")),
            "CREATE FUNCTION handle() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
            f"CREATE EVENT TRIGGER {NAMES[1]} ON sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION handle()",
            f"ALTER EVENT TRIGGER {NAMES[1]} DISABLE",
            f"CREATE OPERATOR FAMILY {NAMES[1]} USING btree",
            f"ALTER OPERATOR FAMILY {NAMES[1]} USING btree ADD FUNCTION 1 (int, int) btint4cmp(int, int)",
        ),
        "SELECT defaclrole::regrole::text, ARRAY(SELECT unnest(defaclacl)::text ORDER BY 1), evtname,"
        " evtenabled::text, opfname"
        " FROM pg_default_acl, pg_event_trigger, pg_opfamily f WHERE f.oid > 16384",
    ),
    "types of their own": (
        (
            "CREATE TYPE base",
            "CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal STRICT IMMUTABLE AS 'int4in'",
            "CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal STRICT IMMUTABLE AS 'int4out'",
            "CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = int4)",
            "CREATE TABLE of_base (v base)",
            "INSERT INTO of_base VALUES ('5')",
            'CREATE TYPE "odd (shell"',
            'ALTER TYPE "odd (shell" OWNER TO one',
        ),
        "SELECT typname, typowner::regrole::text, (SELECT v::text FROM of_base) FROM pg_type"
        " WHERE typname IN ('base', 'odd (shell') ORDER BY 1",
    ),
    "functions that speak of languages": (
        (
            "CREATE FUNCTION f(language text DEFAULT E'\\\\') RETURNS text LANGUAGE sql LEAKPROOF AS 'SELECT $1'",
            "CREATE FUNCTION g() RETURNS TABLE (language text) LANGUAGE plpgsql SET log_min_messages = 'error'"
            " AS $$ BEGIN RETURN QUERY SELECT 'a language'; END $$",
            "CREATE FUNCTION h() RETURNS text LANGUAGE sql LEAKPROOF BEGIN ATOMIC SELECT language FROM g(); END",
        ),
        "SELECT proname, proleakproof, proconfig, f('x'), h() FROM pg_proc WHERE proname IN ('f', 'g', 'h') ORDER BY 1",
    ),
    "operators of which one names the other": (
        (
            "CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2'",
            "CREATE FUNCTION not_same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 <> $2'",
            "CREATE OPERATOR ==# (LEFTARG = int, RIGHTARG = int, FUNCTION = same, COMMUTATOR = ==#, NEGATOR = <>#,"
            " RESTRICT = eqsel, HASHES)",
            "CREATE OPERATOR <># (LEFTARG = int, RIGHTARG = int, FUNCTION = not_same)",
        ),
        "SELECT oprname, oprcode::text, oprrest::text, oprcanhash, 1 ==# 1, 1 <># 1 FROM pg_operator"
        " WHERE oid > 16384 ORDER BY 1",
    ),
}


def test_odd_definitions_come_back_as_they_were(estate: CaseEstate) -> None:
    estate.run("postgres", *(f"CREATE ROLE {name}" for name in ("one", "two", NAMES[0])))
    statements = [statement for some, _ in DEFINITIONS.values() for statement in some]
    estate.create("app", *statements)
    estate.declare("app")
    assert estate.back_up().contents.uncovered == ()
    estate.allowed += ["language internal"]
    assert estate.restore().findings == ()
    found = {what: estate.rows("app", query) for what, (_, query) in DEFINITIONS.items()}
    assert found == {what: estate.rows("app", query, "primary") for what, (_, query) in DEFINITIONS.items()}
