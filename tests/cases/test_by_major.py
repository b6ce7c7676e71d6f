"""What is new in each major version comes back on a server of that version, and on newer ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.estate import CaseEstate, other_server
from tests.cases.majors import OWN, asked_major, serving

pytestmark = [pytest.mark.cases, pytest.mark.night]
NEWER = {16: 17}  # else the newest
# Major version -> what is new in it: database -> statements. Of the database `postgres`: for the whole server.
NEW: dict[int, dict[str, tuple[str, ...]]] = {
    14: {
        "postgres": (
            "CREATE ROLE app LOGIN PASSWORD 'it''s'",
            "CREATE ROLE reader",
            "CREATE ROLE other",
            "GRANT pg_read_all_data, pg_write_all_data TO reader",
            "GRANT reader TO app WITH ADMIN OPTION",
            "ALTER ROLE app SET idle_session_timeout = '5min'",
            "ALTER ROLE ALL SET client_connection_check_interval = 0",
            "ALTER ROLE other SET debug_discard_caches = 0",
        ),
        "fourteen": (
            "CREATE TABLE span (a int4multirange, b tstzmultirange, c text COMPRESSION pglz)",
            "INSERT INTO span VALUES ('{[1,2),[5,)}', '{}', 'x'), (NULL, '{(,\"2026-01-01 00:00+00\"]}', NULL)",
            "CREATE INDEX ON span USING gist (a)",
            "CREATE TYPE frange AS RANGE (subtype = float8, multirange_type_name = franges)",
            "CREATE FUNCTION over(VARIADIC franges[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE TABLE other (r franges DEFAULT '{[1,2)}', x frange[])",
            "INSERT INTO other DEFAULT VALUES",
            "CREATE FUNCTION kept(n int) RETURNS bigint STABLE BEGIN ATOMIC SELECT count(*) FROM span WHERE n > 1; END",
            "CREATE PROCEDURE out_of(OUT a int, INOUT b text, c int DEFAULT 3) LANGUAGE plpgsql AS 'BEGIN a := 1; END'",
            "CREATE STATISTICS by_expression ON (lower(c)), (upper(a)) FROM span",
            "CREATE VIEW tree AS WITH RECURSIVE t (n, up) AS (SELECT 1, NULL::int UNION ALL SELECT n + 1, n FROM t"
            " WHERE n < 5) SEARCH DEPTH FIRST BY n SET ordered CYCLE n SET looped TO 1 DEFAULT 0 USING path"
            " SELECT n, up, looped FROM t ORDER BY ordered",
            "CREATE VIEW grouped AS SELECT count(*) FROM other GROUP BY DISTINCT ROLLUP (r), CUBE (r)",
            "CREATE TABLE bloomed (n int, t text)",
            "CREATE INDEX ON bloomed USING brin (n int4_bloom_ops, t text_bloom_ops)",
            "CREATE TABLE parts (n int, PRIMARY KEY (n)) PARTITION BY RANGE (n)",
            "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (1) TO (10)",
            "CREATE TABLE rest PARTITION OF parts DEFAULT",
            "INSERT INTO parts SELECT generate_series(-5, 15)",
            "ALTER TABLE parts DETACH PARTITION rest",
            "CREATE TABLE referring (n int REFERENCES parts)",
            "INSERT INTO referring VALUES (3)",
            "GRANT CREATE ON SCHEMA public TO other",
            "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
            "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES TO reader WITH GRANT OPTION",
            "CREATE SCHEMA AUTHORIZATION app",
            "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false,"
            " slot_name = NONE, binary = true, streaming = true)",
            "CREATE PUBLICATION all_of FOR ALL TABLES WITH (publish = 'insert', publish_via_partition_root)",
            "SELECT lo_from_bytea(4242, '\\x00ff')",
            "GRANT SELECT, UPDATE ON LARGE OBJECT 4242 TO reader",
        ),
        "untouched": ("CREATE TABLE t AS SELECT 1 AS n",),
    },
    15: {
        "postgres": (
            "GRANT SET, ALTER SYSTEM ON PARAMETER log_min_duration_statement TO reader WITH GRANT OPTION",
            "GRANT SET ON PARAMETER my.own TO PUBLIC",
            "GRANT pg_checkpoint TO other",
        ),
        "fifteen": (
            "CREATE TABLE t (id int PRIMARY KEY, a text, b numeric(3, -2), c numeric(3, 5),"
            " UNIQUE NULLS NOT DISTINCT (a))",
            "INSERT INTO t VALUES (1, 'a', 12345, 0.00123), (2, NULL, NULL, NULL)",
            "CREATE VIEW invoked WITH (security_invoker = true) AS SELECT id, a FROM t",
            "CREATE FUNCTION merged() RETURNS void BEGIN ATOMIC MERGE INTO t USING (VALUES (3, 'c')) AS v (id, a)"
            " ON t.id = v.id WHEN MATCHED AND t.a IS NULL THEN UPDATE SET a = v.a"
            " WHEN NOT MATCHED THEN INSERT (id, a) VALUES (v.id, v.a); END",
            "CREATE TABLE child (n int, id int REFERENCES t ON DELETE SET NULL (id), m int,"
            " FOREIGN KEY (m) REFERENCES t ON DELETE SET DEFAULT (m))",
            "CREATE UNLOGGED SEQUENCE unlogged",
            "CREATE SCHEMA sent",
            "CREATE TABLE sent.u (n int)",
            "CREATE PUBLICATION rows_of FOR TABLE t (id, a) WHERE (id > 5 AND a <> 'x')",
            "CREATE PUBLICATION schema_of FOR TABLES IN SCHEMA sent, TABLE t",
            "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false,"
            " slot_name = NONE, two_phase = true, disable_on_error = true)",
            "ALTER SUBSCRIPTION s SKIP (lsn = '0/12345')",
            "CREATE INDEX ON t (regexp_count(a, 'x'))",
            "CREATE STATISTICS st ON id, a FROM t",
            "ALTER TABLE t SET ACCESS METHOD heap",
        ),
    },
    16: {
        "postgres": (
            "CREATE ROLE inherits",
            "CREATE ROLE member",
            "CREATE ROLE maker CREATEROLE LOGIN",
            "ALTER ROLE maker SET createrole_self_grant = 'set, inherit'",
            "GRANT inherits TO member WITH INHERIT FALSE, SET FALSE, ADMIN TRUE",
            "GRANT inherits TO app WITH INHERIT TRUE, SET FALSE, ADMIN TRUE GRANTED BY member",
            "GRANT inherits TO reader WITH INHERIT FALSE GRANTED BY member",
            "GRANT inherits TO reader WITH SET FALSE GRANTED BY app",
            "GRANT inherits TO reader WITH ADMIN TRUE",
            "SET SESSION AUTHORIZATION maker; CREATE ROLE made; CREATE ROLE made_too; GRANT made TO made_too;"
            " RESET SESSION AUTHORIZATION",
            "GRANT pg_use_reserved_connections, pg_create_subscription TO other WITH INHERIT FALSE",
            "ALTER ROLE other SET icu_validation_level = 'error'",
            "ALTER ROLE other SET debug_logical_replication_streaming = 'immediate'",
        ),
        "sixteen": (
            "CREATE TABLE t (id int STORAGE PLAIN, j jsonb,"
            " k text STORAGE MAIN CHECK (k IS JSON OBJECT WITH UNIQUE KEYS))",
            "INSERT INTO t VALUES (0x1F, '{\"a\": 1}', '{}')",
            "CREATE VIEW json AS SELECT JSON_OBJECT('a': id, 'b' VALUE j NULL ON NULL RETURNING jsonb),"
            " JSON_ARRAY(1, NULL ABSENT ON NULL), JSON_ARRAYAGG(id ORDER BY id RETURNING text),"
            " JSON_OBJECTAGG(k: j ABSENT ON NULL WITH UNIQUE KEYS), any_value(id) FROM t GROUP BY id, j",
            "CREATE STATISTICS ON id, k FROM t",
            "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1 password=x' PUBLICATION p WITH (connect = false,"
            " slot_name = NONE, origin = none, run_as_owner = true, password_required = false, streaming = parallel)",
            "CREATE VIEW system_user_of AS SELECT SYSTEM_USER, 0b101 AS two, 1_000 AS many",
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE FOREIGN DATA WRAPPER w",
            "CREATE EXTENSION postgres_fdw",
            "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', analyze_sampling 'off')",
            "CREATE FOREIGN TABLE ft (n int) SERVER far",
            "CREATE TRIGGER cut BEFORE TRUNCATE ON ft EXECUTE FUNCTION nothing()",
            "ALTER TABLE t ALTER k SET STORAGE DEFAULT",
            "CREATE INDEX hashed ON t USING hash (k)",
        ),
    },
    17: {
        "postgres": (
            "GRANT pg_maintain TO other",
            "ALTER ROLE other SET transaction_timeout = '5min'",
            "ALTER ROLE app SET event_triggers = on",
            "CREATE DATABASE builtin TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
            " ENCODING UTF8",
        ),
        "builtin": (
            "CREATE TABLE t (a text PRIMARY KEY, b text COLLATE pg_c_utf8)",
            "INSERT INTO t VALUES ('ß', 'É'), ('z', 'é')",
            "CREATE COLLATION own (provider = builtin, locale = 'C.UTF-8')",
            "CREATE INDEX ON t (lower(a COLLATE own))",
        ),
        "seventeen": (
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, at interval DEFAULT '-infinity', n int,"
            " g int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY RANGE (id)",
            "CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (3)",
            "CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (3) TO (MAXVALUE)",
            "INSERT INTO t (n) SELECT generate_series(1, 6)",
            "INSERT INTO t (at) VALUES ('infinity')",
            "ALTER TABLE t ALTER g SET EXPRESSION AS (n * 3)",
            "GRANT MAINTAIN ON t TO reader WITH GRANT OPTION",
            "ALTER DEFAULT PRIVILEGES GRANT MAINTAIN ON TABLES TO other",
            "CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'",
            "CREATE EVENT TRIGGER greets ON login EXECUTE FUNCTION on_login()",
            "ALTER EVENT TRIGGER greets DISABLE",
            "CREATE VIEW tabled AS SELECT * FROM JSON_TABLE('[{\"a\": 1, \"b\": [1, 2]}]', '$[*]' AS top PASSING 1 AS x"
            " COLUMNS (n FOR ORDINALITY, a int PATH '$.a' DEFAULT 7 ON EMPTY ERROR ON ERROR,"
            " e boolean EXISTS PATH '$.z', j jsonb FORMAT JSON PATH '$' WITH WRAPPER,"
            " NESTED PATH '$.b[*]' AS deep COLUMNS (b int PATH '$'))) AS jt",
            "CREATE VIEW asked AS SELECT JSON_EXISTS(jsonb '{}', '$.a' TRUE ON ERROR),"
            " JSON_QUERY(jsonb '{}', 'lax $[*]' WITH CONDITIONAL WRAPPER EMPTY ARRAY ON EMPTY),"
            " JSON_VALUE(jsonb '[1]', '$[0]' RETURNING int DEFAULT 5 ON ERROR), JSON_SCALAR(1), JSON_SERIALIZE('{}'),"
            " JSON('{}' WITH UNIQUE KEYS)",
            "CREATE FUNCTION merged() RETURNS SETOF int BEGIN ATOMIC MERGE INTO t USING (VALUES (1)) AS v (n)"
            " ON t.n = v.n WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED BY TARGET THEN INSERT (n)"
            " VALUES (v.n) RETURNING id; END",
            "CREATE OPERATOR ==== (leftarg = int, rightarg = int, function = int4eq)",
            "ALTER OPERATOR ==== (int, int) SET (COMMUTATOR = ====, HASHES, MERGES)",
            "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false,"
            " slot_name = NONE, failover = true)",
            "ALTER TABLE t ALTER n SET STATISTICS DEFAULT",
        ),
    },
    18: {
        "postgres": (
            "GRANT pg_signal_autovacuum_worker TO other",
            "CREATE DATABASE folding TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'"
            " LOCALE 'C' ENCODING UTF8",
        ),
        "folding": (
            "CREATE TABLE t (a text PRIMARY KEY)",
            "INSERT INTO t VALUES ('ß'), ('ﬃ')",
            "CREATE INDEX ON t (casefold(a))",
        ),
        "eighteen": (
            "CREATE TABLE t (id uuid DEFAULT uuidv7(), a int, v int GENERATED ALWAYS AS (a * 2) VIRTUAL,"
            " b int CONSTRAINT set NOT NULL NO INHERIT)",
            "INSERT INTO t VALUES ('00000000-0000-7000-8000-000000000000', 1, DEFAULT, 2)",
            "CREATE FUNCTION changed() RETURNS SETOF int BEGIN ATOMIC UPDATE t SET a = 2"
            " RETURNING WITH (OLD AS o, NEW AS n) n.a - o.a; END",
            "CREATE PUBLICATION generated FOR TABLE t WITH (publish_generated_columns = stored)",
            "CREATE FOREIGN DATA WRAPPER w",
            "CREATE SERVER s FOREIGN DATA WRAPPER w",
        ),
    },
}
ALLOWED = (
    "role reader",
    "role other",
    "role maker",
    "role app",
    "setting log_min_duration_statement",
    "setting my.own",
    "setting debug_discard_caches",
    "setting debug_logical_replication_streaming",
    "setting icu_validation_level",
    "setting transaction_timeout",
    "setting createrole_self_grant",
    "setting event_triggers",
    "foreign data wrapper w",
)


def create(estate: CaseEstate, major: int) -> None:
    """Make what is new in the versions up to `major` on the primary, and declare its databases."""
    names: list[str] = []
    for found in (NEW[since] for since in NEW if since <= major):
        estate.run("postgres", *found["postgres"])
        there = [name for (name,) in estate.rows("postgres", "SELECT datname FROM pg_database", "primary")]
        for name in [name for name in found if name != "postgres"]:
            (estate.run if name in there else estate.create)(name, *found[name])
            names.append(name)
    estate.declare(*names)
    estate.allowed += ALLOWED


def test_what_is_new_in_a_major_comes_back(estate: CaseEstate) -> None:
    create(estate, asked_major())
    assert estate.back_up().contents.uncovered == ()
    assert estate.restore().findings == ()


@pytest.mark.skipif(asked_major() == OWN, reason="there is no newer one")
def test_what_is_new_in_a_major_comes_back_on_a_newer_one(estate: CaseEstate, tmp_path: Path) -> None:
    create(estate, asked_major())
    estate.back_up()
    with serving(NEWER.get(asked_major(), OWN)), other_server(estate, "dr", tmp_path):
        restored = estate.restore()
        assert restored.findings == ()
        assert f"restored onto PostgreSQL {NEWER.get(asked_major(), OWN)}." in restored.notes[0]
