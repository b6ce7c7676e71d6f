"""Databases with what is seldom seen: each comes back as it was, or what does not is named."""

from __future__ import annotations

import pytest

from tests.cases.estate import CaseEstate
from tests.cases.majors import OWN, asked_major

pytestmark = [
    pytest.mark.cases,
    pytest.mark.night,
    pytest.mark.skipif(asked_major() != OWN, reason="several of them are new in that major"),
]
# Database -> statements, and queries that must have the same rows on DR.
STRANGERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "keys": (
        (
            "CREATE EXTENSION btree_gist",
            "CREATE TABLE price (item int, during daterange, n numeric, PRIMARY KEY (item, during WITHOUT OVERLAPS))",
            "CREATE TABLE sold (item int, during daterange, FOREIGN KEY (item, PERIOD during)"
            " REFERENCES price (item, PERIOD during))",
            "INSERT INTO price VALUES (1, '[2026-01-01,2026-02-01)', 5), (1, '[2026-02-01,)', 6)",
            "INSERT INTO sold VALUES (1, '[2026-01-15,2026-02-15)')",
            "CREATE TABLE loose (n int CONSTRAINT positive CHECK (n > 0) NOT ENFORCED, m int)",
            "INSERT INTO loose VALUES (-1, NULL)",
            "ALTER TABLE loose ADD CONSTRAINT old CHECK (m > 0) NOT VALID",
            "ALTER TABLE loose ADD CONSTRAINT filled NOT NULL m NOT VALID",
            "CREATE TABLE parent (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, UNIQUE NULLS NOT DISTINCT (id))",
            "CREATE TABLE child (id int, CONSTRAINT far FOREIGN KEY (id) REFERENCES parent (id) NOT ENFORCED)",
            "INSERT INTO child VALUES (99)",
        ),
        (
            "SELECT * FROM price ORDER BY 1, 2",
            "SELECT conname, contype, convalidated, conenforced, condeferrable, condeferred, conperiod,"
            " pg_get_constraintdef(oid) FROM pg_constraint WHERE oid > 16384 ORDER BY 1, 2",
            "SELECT * FROM child",
        ),
    ),
    "columns": (
        (
            "CREATE TYPE pair AS (a int, gone text, b text)",
            "CREATE TABLE typed (p pair, q pair[])",
            "ALTER TYPE pair DROP ATTRIBUTE gone CASCADE",
            "INSERT INTO typed VALUES ((1, 'x'), ARRAY[(2, 'y')::pair, NULL])",
            "CREATE DOMAIN tags AS text[] CHECK (array_length(VALUE, 1) < 9) DEFAULT '{}'",
            "CREATE FUNCTION apart(float8, float8) RETURNS float8 IMMUTABLE LANGUAGE sql AS 'SELECT $1 - $2'",
            "CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = apart, multirange_type_name = spans)",
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY (START -5 INCREMENT -2 MINVALUE -9 CYCLE), w tags,"
            " s span, ss spans, v int GENERATED ALWAYS AS (length(c)) VIRTUAL, dropped int, c text STORAGE EXTERNAL)",
            "ALTER TABLE t DROP COLUMN dropped",
            "CREATE INDEX ON t USING gist (s)",
            "INSERT INTO t (w, s, ss, c) SELECT '{a,b}', '[1,2)', '{[1,2),[3,4)}', repeat('x', 9000)"
            " FROM generate_series(1, 5)",
            "CREATE TABLE of_type OF pair (a WITH OPTIONS PRIMARY KEY)",
            "INSERT INTO of_type VALUES (1, 'z')",
            "CREATE UNLOGGED TABLE cache AS SELECT 1 AS n",
            "CREATE TABLE empty ()",
            "INSERT INTO empty DEFAULT VALUES",
        ),
        (
            "SELECT id, w::text, s::text, ss::text, v, c FROM t ORDER BY 1",
            "SELECT p::text, q::text FROM typed",
            "SELECT * FROM of_type",
            "SELECT count(*) FROM empty",
            "SELECT relname, relpersistence::text, reloptions::text FROM pg_class WHERE relname IN ('cache', 't')"
            " ORDER BY 1",
        ),
    ),
    "sequences": (
        (
            "CREATE SEQUENCE full_up MAXVALUE 3",
            "SELECT nextval('full_up') FROM generate_series(1, 3)",
            "CREATE SEQUENCE round MAXVALUE 3 CYCLE",
            "SELECT nextval('round') FROM generate_series(1, 4)",
            "CREATE TABLE one (n smallserial)",
            "CREATE TABLE two (n int)",
            "ALTER SEQUENCE one_n_seq OWNED BY two.n",
            "ALTER TABLE one ALTER n DROP DEFAULT",
            "SELECT setval('one_n_seq', 32767)",
            "CREATE UNLOGGED SEQUENCE light",
        ),
        (
            "SELECT sequencename, data_type::text, max_value, cycle, last_value FROM pg_sequences ORDER BY 1",
            "SELECT pg_get_serial_sequence('two', 'n')",
            "SELECT last_value, is_called FROM full_up",
        ),
    ),
    "policies": (
        (
            "CREATE TABLE rows_of AS SELECT n, n % 2 = 0 AS mine FROM generate_series(1, 10) n",
            "CREATE FUNCTION may(bool) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN"
            " IF current_user = 'postgres' THEN RAISE 'not you'; END IF; RETURN $1; END $$",
            "ALTER TABLE rows_of ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE rows_of FORCE ROW LEVEL SECURITY",
            "CREATE POLICY p ON rows_of AS RESTRICTIVE FOR ALL TO strange USING (may(mine)) WITH CHECK (may(mine))",
            "ALTER TABLE rows_of OWNER TO strange",
        ),
        (
            "SELECT count(*) FROM rows_of",
            "SELECT polname, polcmd::text, polpermissive, pg_get_expr(polqual, polrelid) FROM pg_policy",
        ),
    ),
    "collations": (
        ("CREATE COLLATION plain (provider = builtin, locale = 'C.UTF-8')",),
        (
            "SELECT collname, collprovider::text, collisdeterministic, colllocale, collicurules FROM pg_collation"
            " WHERE collnamespace = 'public'::regnamespace ORDER BY 1",
        ),
    ),
    "searching": (
        (
            "CREATE EXTENSION unaccent",
            "CREATE TEXT SEARCH DICTIONARY own (TEMPLATE = ispell, DictFile = ispell_sample, AffFile = ispell_sample)",
            "CREATE TEXT SEARCH DICTIONARY same (TEMPLATE = thesaurus, DictFile = thesaurus_sample,"
            " Dictionary = english_stem)",
            "CREATE TEXT SEARCH CONFIGURATION ours (COPY = english)",
            "ALTER TEXT SEARCH CONFIGURATION ours ALTER MAPPING FOR asciiword WITH unaccent, own, english_stem",
            "CREATE TABLE doc AS SELECT to_tsvector('ours', 'the booking of skies') AS v",
            "CREATE INDEX ON doc USING gin (v)",
        ),
        ("SELECT v::text FROM doc", "SELECT dictname, dictinitoption FROM pg_ts_dict WHERE oid > 16384 ORDER BY 1"),
    ),
    "contrib": (
        (
            *(
                f"CREATE EXTENSION {name} CASCADE"
                for name in (
                    "cube",
                    "earthdistance",
                    "seg",
                    "isn",
                    "ltree",
                    "intarray",
                    "citext",
                    "pg_trgm",
                    "tablefunc",
                )
            ),
            "CREATE TABLE c (cube cube, seg seg, isbn isbn, path ltree, mail citext UNIQUE)",
            "INSERT INTO c VALUES ('(1,2),(3,4)', '1.5 .. 2', '978-0-393-04002-9', 'a.b.c', 'A@b')",
            "CREATE INDEX ON c USING gist (path); CREATE INDEX ON c USING gin (mail gin_trgm_ops)",
        ),
        ("SELECT cube::text, seg::text, isbn::text, path::text, mail FROM c",),
    ),
    "programs": (
        (
            "CREATE FUNCTION as_words(int) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT to_char($1, '999') $$",
            "CREATE CAST (int AS text) WITH FUNCTION as_words(int) AS ASSIGNMENT",
            "CREATE FUNCTION other_way(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS $$ SELECT btint4cmp($2, $1) $$",
            "CREATE OPERATOR CLASS backwards FOR TYPE int USING btree AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =,"
            " OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 other_way(int, int)",
            "CREATE TABLE ordered (n int)",
            "INSERT INTO ordered VALUES (1), (3), (2)",
            "CREATE INDEX back ON ordered (n backwards)",
            "CREATE STATISTICS kinds (ndistinct, mcv) ON (n % 2), (n % 3) FROM ordered",
            "ALTER STATISTICS kinds SET STATISTICS 999",
            "ALTER TABLE ordered ALTER n SET (n_distinct = -0.5)",
            "CREATE PROCEDURE p(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; COMMIT; END $$",
            "CREATE FUNCTION at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
            "CREATE EVENT TRIGGER hello ON login EXECUTE FUNCTION at_login()",
            "ALTER EVENT TRIGGER hello ENABLE ALWAYS",
            "CREATE EVENT TRIGGER e ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION at_login()",
            "CREATE PUBLICATION every FOR ALL TABLES WITH (publish = 'insert', publish_generated_columns=stored)",
            "CREATE MATERIALIZED VIEW unfilled AS SELECT n FROM ordered WITH NO DATA",
            "CREATE MATERIALIZED VIEW filled AS SELECT n FROM ordered",
            "CREATE VIEW seen WITH (security_invoker, check_option = local) AS SELECT n FROM ordered",
            "CREATE CONVERSION mine FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
            "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION time_support(internal))",
            *(
                f"COMMENT ON {what} IS 'said'"
                for what in (
                    "CAST (int AS text)",
                    "OPERATOR CLASS backwards USING btree",
                    "STATISTICS kinds",
                    "EVENT TRIGGER hello",
                    "PUBLICATION every",
                    "MATERIALIZED VIEW filled",
                    "CONVERSION mine",
                    "PROCEDURE p",
                    "INDEX back",
                    "COLUMN seen.n",
                    "DATABASE programs",
                    "ROLE strange",
                    "SCHEMA public",
                )
            ),
        ),
        (
            "SELECT n::text FROM ordered ORDER BY n USING >",
            "SELECT matviewname, ispopulated FROM pg_matviews ORDER BY 1",
            "SELECT stxname, stxstattarget FROM pg_statistic_ext",
            "SELECT attoptions FROM pg_attribute WHERE attrelid = 'ordered'::regclass AND attname = 'n'",
            "SELECT pubname, puballtables, pubinsert, pubupdate, pubgencols::text FROM pg_publication",
            "SELECT evtname, evtevent, evttags FROM pg_event_trigger ORDER BY 1",
            "SELECT objoid > 16384, classoid::regclass::text, objsubid, description FROM pg_description"
            " WHERE description = 'said' ORDER BY 2, 1, 3",
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'programs'",
            "SELECT reloptions FROM pg_class WHERE relname = 'seen'",
        ),
    ),
}


def test_strangers_come_back_as_they_were(estate: CaseEstate) -> None:
    estate.run("postgres", "CREATE ROLE strange")
    for name, (statements, _) in STRANGERS.items():
        estate.create(name, *statements)
    estate.declare(*STRANGERS)
    contents = estate.back_up().contents
    assert contents.uncovered == ()
    assert contents.not_compared == (
        "database columns: sequence public.t_id_seq: it cycles, its value is not compared",
        "database programs: materialised view public.filled: its rows are computed by the restore",
        "database programs: materialised view public.unfilled: its rows are computed by the restore",
        "database sequences: sequence public.round: it cycles, its value is not compared",
    )
    assert estate.restore().findings == ()
    asked = [(name, query) for name, (_, queries) in STRANGERS.items() for query in queries]
    found = {query: estate.rows(name, query) for name, query in asked}
    assert found == {query: estate.rows(name, query, "primary") for name, query in asked}


def test_a_restore_of_many_schemas_does_not_wait_for_the_disk_at_each(estate: CaseEstate) -> None:
    """Schemas and comments on them are a superuser's: each is a statement, and a commit, of its own."""
    made = " ".join(f"CREATE SCHEMA s{n}; COMMENT ON SCHEMA s{n} IS 'said';" for n in range(400))
    estate.create("app", f"DO $do$ BEGIN {made} END $do$")
    estate.declare("app")
    estate.back_up()
    waits = "SELECT sum(fsyncs)::int FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend'"
    before = estate.value("postgres", waits)
    estate.restore()
    assert estate.value("app", "SELECT count(*) FROM pg_description WHERE description = 'said'") == 400
    assert isinstance(before, int)
    assert isinstance(after := estate.value("postgres", waits), int)
    assert after - before < 400
