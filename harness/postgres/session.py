"""Settings of every session that we open, whatever the server, its databases and its roles set.

They are sent with the connection request (`options` of psycopg, PGOPTIONS of the client programs): there they override
settings of server, database and role, and hold before the first statement, so that a broken login trigger or a missing
library cannot keep us out. Some exist from a major version on; a server that refuses the connection because it does
not know one is asked again without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.rows import TupleRow

from harness.core.errors import HarnessError

Connection = psycopg.Connection[TupleRow]

OLDEST, NEWEST = 14, 18  # supported majors
RAW = "SQL_ASCII"  # client_encoding without any conversion, which every server encoding allows
UNCONVERTED = {"MULE_INTERNAL": "LATIN1"}  # server encodings that cannot be converted to UTF8 -> client encoding


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a session. `since`: first major that has it; `superuser`: only a superuser can set it."""

    name: str
    value: str
    since: int = OLDEST
    superuser: bool = False


SAFE = (
    Setting("statement_timeout", "0"),
    Setting("lock_timeout", "0"),
    Setting("idle_in_transaction_session_timeout", "0"),
    Setting("idle_session_timeout", "0"),
    Setting("transaction_timeout", "0", since=17),
    Setting("role", "none"),
    Setting("search_path", '"$user", public'),
    Setting("row_security", "off"),  # an error where rows would be hidden
    Setting("default_transaction_read_only", "off"),
    Setting("default_transaction_isolation", "read committed"),
    Setting("default_transaction_deferrable", "off"),
    Setting("standard_conforming_strings", "on"),
    Setting("backslash_quote", "safe_encoding"),
    Setting("transform_null_equals", "off"),
    Setting("array_nulls", "on"),
    Setting("quote_all_identifiers", "off"),
    Setting("exit_on_error", "off"),
    Setting("client_min_messages", "notice"),
    Setting("check_function_bodies", "off"),
    Setting("xmloption", "content"),
    Setting("lc_monetary", "C"),  # money is written and read in the same form
    Setting("default_tablespace", ""),
    Setting("temp_tablespaces", ""),
    Setting("default_table_access_method", "heap"),
    Setting("gin_fuzzy_search_limit", "0"),
    Setting("local_preload_libraries", ""),
    Setting("session_preload_libraries", "", superuser=True),
    Setting("session_replication_role", "origin", superuser=True),
    Setting("event_triggers", "off", since=17, superuser=True),
    Setting("temp_file_limit", "-1", superuser=True),
    Setting("zero_damaged_pages", "off", superuser=True),  # a damaged page is an error, not an empty page
    Setting("ignore_checksum_failure", "off", superuser=True),
    Setting("lc_messages", "C", superuser=True),
)
# How values are written as text, for sessions that read. Not for restores: what they evaluate (CHECK constraints,
# materialised views) depends on the database's own settings.
TEXT_FORM = (
    Setting("TimeZone", "UTC"),
    Setting("DateStyle", "ISO, MDY"),
    Setting("IntervalStyle", "postgres"),
    Setting("extra_float_digits", "1"),
    Setting("bytea_output", "hex"),
    Setting("synchronize_seqscans", "off"),
)
TEXTS = ("text", "name", "varchar", "bpchar", 705, 0)  # types read as text: 705 is `unknown`, 0 any other
NAMES = """
SELECT pg_catalog.convert_to(coalesce(string_agg(name, ' '), ''), 'SQL_ASCII') FROM (
    SELECT nspname::text AS name FROM pg_catalog.pg_namespace UNION ALL SELECT relname FROM pg_catalog.pg_class
    UNION ALL SELECT attname FROM pg_catalog.pg_attribute WHERE attnum > 0
) AS names
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What a connection showed of its server. `tls`: whether it was encrypted."""

    major: int
    tls: bool


_seen: dict[str, Server] = {}  # by name, of the last connection


class _AnyText(Loader):
    """Text whose bytes may be invalid: of an SQL_ASCII database, or a name that another database's session wrote."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._encoding = self.connection.info.encoding if self.connection else "utf-8"

    def load(self, data: Buffer) -> str:
        return bytes(data).decode(self._encoding, "backslashreplace")


def options(major: int, *, superuser: bool = True, reading: bool = True, more: Mapping[str, str] | None = None) -> str:
    """Return the settings for a server of that major, as `options` and PGOPTIONS have them.

    `reading`: with the text form of values; `more`: further settings, which override the table's.
    """
    wanted = {
        setting.name: setting.value
        for setting in (*SAFE, *(TEXT_FORM if reading else ()))
        if setting.since <= max(major, OLDEST) and (superuser or not setting.superuser)
    }
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in {**wanted, **(more or {})}.items())


def for_superusers(major: int) -> tuple[str, ...]:
    """Return the names of the settings above that only a superuser can set, on a server of that major."""
    return tuple(setting.name for setting in SAFE if setting.superuser and setting.since <= major)


def _escaped(value: str) -> str:
    return "".join(f"\\{char}" if char in "\\ \t\n" else char for char in value)


def open_session(
    server: str,
    *,
    superuser: bool = True,
    reading: bool = True,
    more: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Connection:
    """Return an open connection with the settings above. `server`: its name in messages; `parameters`: of libpq.

    Text is UTF-8 on our side, whatever the server's encoding; bytes that are not are shown as numbers.
    Raises psycopg.Error, and HarnessError for a server that is too old.
    """

    def opened(major: int) -> Connection:
        wanted = options(major, superuser=superuser, reading=reading, more=more)
        return psycopg.connect(options=wanted, client_encoding=RAW, autocommit=True, **parameters)

    guess = _seen[server].major if server in _seen else NEWEST
    try:
        connection = opened(guess)
    except psycopg.OperationalError as error:
        if guess <= OLDEST or not any(s.name in str(error) for s in SAFE if s.since > OLDEST):
            raise
        guess = OLDEST
        connection = opened(guess)
    found = connection.info.server_version // 10000
    if found < OLDEST:
        connection.close()
        raise HarnessError(f"PostgreSQL at {server}: version {found}; {OLDEST} or newer is needed")
    _seen[server] = Server(found, bool(connection.pgconn.ssl_in_use))
    if options(found) != options(guess):
        connection.close()
        connection = opened(found)
    try:
        _speak(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def seen(server: str) -> Server | None:
    """Return what the last connection to `server` showed; None before the first one."""
    return _seen.get(server)


def server_encoding(connection: Connection) -> str:
    """Return the encoding of the database that `connection` is connected to."""
    return connection.info.parameter_status("server_encoding") or "UTF8"


def speak_bytes(connection: Connection) -> None:
    """Make every name in an SQL_ASCII database one that can be read and used: as Latin-1, where one is not UTF-8."""
    if server_encoding(connection) == RAW:
        ((names,),) = connection.execute(NAMES).fetchall()
        try:
            bytes(names).decode()
        except UnicodeDecodeError:
            connection.execute("SET client_encoding = 'LATIN1'")


def _speak(connection: Connection) -> None:
    """Make the client encoding one that psycopg reads and writes, and that the server can convert to."""
    encoding = UNCONVERTED.get(server_encoding(connection), "UTF8")
    connection.execute(f"SET client_encoding = '{encoding}'".encode())
    for kind in TEXTS:
        connection.adapters.register_loader(kind, _AnyText)
