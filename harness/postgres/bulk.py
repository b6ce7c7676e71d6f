"""Bulk test data: a database of a given size, to measure a drill at that size."""

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.node import Site
from harness.core.service import Sql
from harness.postgres.server import connect, one_line

TABLE = "entries"
ROWS_PER_MB = 5940  # measured: 168 bytes a row, with page overhead

# Half of a row is random (a hash), half repeats, so that it compresses about as well as business data.
CREATE = compose.SQL(
    "CREATE TABLE {} (id bigint NOT NULL, account integer NOT NULL, amount numeric(12, 2) NOT NULL,"
    " booked timestamptz NOT NULL, reference text NOT NULL, note text NOT NULL)"
).format(compose.Identifier(TABLE))
FILL = compose.SQL(
    "INSERT INTO {} SELECT n, (n * 7919) %% 100000, (n * 104729 %% 10000000)::numeric / 100,"
    " timestamptz '2020-01-01 00:00+00' + n * interval '97 seconds', md5(n::text),"
    " 'order ' || n || ', delivered to the usual address; customer number ' || (n * 7919) %% 100000"
    " FROM generate_series(%s::bigint, %s::bigint) AS n"
).format(compose.Identifier(TABLE))
INDEX = compose.SQL("ALTER TABLE {} ADD PRIMARY KEY (id)").format(compose.Identifier(TABLE))


def seed_bulk(site: Site, sql: Sql, database: str = "bulk", *, megabytes: int) -> int:
    """Create `database` with one table of `megabytes` (10**6 bytes); return its number of rows. Raises HarnessError."""
    rows = megabytes * ROWS_PER_MB
    try:
        with connect(sql) as connection:
            connection.execute(compose.SQL("CREATE DATABASE {}").format(compose.Identifier(database)))
        with connect(sql, database) as connection:
            # Safe: after a failure the seeding starts over, so no client relies on its commits.
            connection.execute("SET synchronous_commit = off")
            connection.execute("SET maintenance_work_mem = '256MB'")
            with connection.transaction():
                connection.execute(CREATE)
                connection.execute(FILL, (1, rows))
                connection.execute(INDEX)
            connection.execute("VACUUM (ANALYZE)")
    except psycopg.Error as error:
        raise HarnessError(f"database {database} on {site.name}: not loaded: {one_line(error)}") from error
    return rows
