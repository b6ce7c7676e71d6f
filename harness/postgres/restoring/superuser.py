"""Entries of a dump that only a superuser can make: each is one statement of the one form that its kind has.

The server parses each alone (a prepared statement is never two), and a statement of these forms runs nothing of the
dump. Extensions and schemas are composed from their names.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

import psycopg

from harness.core.errors import HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.postgres.allowed import Allowed, remedy
from harness.postgres.contents.labels import LABEL, is_loaded, provider_of, statements_of
from harness.postgres.restoring.routines import clauses
from harness.postgres.restoring.toc import Entry
from harness.postgres.server import connect, one_line, said
from harness.postgres.session import RAW, Connection

NAME = rb'(?:[a-z_\x80-\xff][a-z0-9_$\x80-\xff]*|"(?:[^"]|"")+")'
EXTENSION = re.compile(rb"CREATE EXTENSION IF NOT EXISTS (%b) WITH SCHEMA (%b);\s*" % (NAME, NAME))
LITERAL = rb"(?:'(?:[^'\\]|'')*'| ?E'(?:[^'\\]|''|\\\\)*')"
SUBSCRIPTION = re.compile(
    rb"CREATE SUBSCRIPTION %b CONNECTION %b PUBLICATION %b(?:, ?%b)* "
    rb"WITH \(connect = false(?:, [a-z_]+ = (?:%b|NONE|[a-z_0-9]+))*\);\s*" % (NAME, LITERAL, NAME, NAME, LITERAL)
)
# Kind -> how each of its statements begins.
FORMS: Mapping[str, str] = {
    "ACCESS METHOD": "CREATE ACCESS METHOD",
    "AGGREGATE": "CREATE AGGREGATE",
    "CAST": "CREATE CAST",
    "COMMENT": "COMMENT ON",
    "DEFAULT ACL": "ALTER DEFAULT PRIVILEGES",
    "EVENT TRIGGER": "(CREATE|ALTER) EVENT TRIGGER",
    "FOREIGN DATA WRAPPER": "CREATE FOREIGN DATA WRAPPER",
    "FOREIGN TABLE": "(CREATE|ALTER) FOREIGN TABLE",
    "FUNCTION": "CREATE FUNCTION",
    "OPERATOR CLASS": "CREATE OPERATOR CLASS",
    "OPERATOR FAMILY": "(CREATE|ALTER) OPERATOR FAMILY",
    "PROCEDURAL LANGUAGE": "CREATE( OR REPLACE)?( TRUSTED)?( PROCEDURAL)? LANGUAGE",
    "PROCEDURE": "CREATE PROCEDURE",
    "PUBLICATION": "(CREATE|ALTER) PUBLICATION",
    "PUBLICATION TABLE": "ALTER PUBLICATION",
    "PUBLICATION TABLES IN SCHEMA": "ALTER PUBLICATION",
    "SECURITY LABEL": "SECURITY LABEL",
    "SERVER": "CREATE SERVER",
    "SHELL TYPE": "CREATE TYPE",
    "SUBSCRIPTION": "CREATE SUBSCRIPTION",
    "TEXT SEARCH PARSER": "CREATE TEXT SEARCH PARSER",
    "TEXT SEARCH TEMPLATE": "CREATE TEXT SEARCH TEMPLATE",
    "TRANSFORM": "CREATE TRANSFORM",
    "TYPE": "CREATE TYPE",
    "USER MAPPING": "CREATE USER MAPPING",
}
SOMETIMES = ("AGGREGATE", "COMMENT", "FOREIGN TABLE", "FUNCTION", "PROCEDURE", "TYPE")
# Of several statements.
SEVERAL = ("DEFAULT ACL", "EVENT TRIGGER", "FOREIGN TABLE", "OPERATOR FAMILY", "PUBLICATION", "SECURITY LABEL")
UNSAID = ("COMMENT", "DEFAULT ACL", "SECURITY LABEL")  # not named among what the superuser made
LAST = "EVENT TRIGGER"  # before PostgreSQL 17 it would run at our own statements
# What a comment is about, where it is of the superuser or of the server itself.
COMMENTED = (
    *("EXTENSION", "LANGUAGE", "SCHEMA", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE", "ACCESS METHOD", "SERVER"),
    *("FOREIGN DATA WRAPPER", "OPERATOR CLASS", "OPERATOR FAMILY", "CAST", "TRANSFORM", "PUBLICATION", "SUBSCRIPTION"),
    LAST,
)
UNDEFINED = re.compile(rb"CREATE TYPE %b\.%b;\s*" % (NAME, NAME))  # a shell that nothing was made of
# What the role of the restore owns until all is there, although a superuser made it.
LENT = ("SERVER", "FOREIGN TABLE", "FUNCTION", "PROCEDURE", "AGGREGATE", "TYPE")
# A foreign table of such a server reads a file, or what a program writes: its options are a superuser's.
OF_FILES = re.compile(rb"CREATE SERVER (%b) (?:TYPE .* |VERSION .* )*FOREIGN DATA WRAPPER file_fdw\b" % NAME)
SERVER = re.compile(rb"\)\nSERVER (%b)(?:\n|;)" % NAME)
TRUSTED = ("sql", "plpgsql")
# Of a function: what only a superuser may say. The first two are its alone, the third may be a superuser's parameter.
POWER = frozenset((b"leakproof", b"support", b"set"))
UNTRUSTED = """
SELECT lanname FROM pg_catalog.pg_language WHERE NOT lanpltrusted AND lanname NOT IN ('internal', 'c')
"""
INSTALLABLE = "SELECT DISTINCT name::text FROM pg_catalog.pg_available_extension_versions WHERE trusted"
# An extension may have made a schema of its own for them.
CONFIGURATION = """
SELECT DISTINCT pg_catalog.convert_to(pg_catalog.format('GRANT USAGE ON SCHEMA %%I TO %%I', nspname, %s::text),
                                      pg_catalog.getdatabaseencoding())
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_class c ON c.oid = ANY(e.extconfig)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT pg_catalog.convert_to(pg_catalog.format(
    'GRANT %%s %%I.%%I TO %%I', CASE WHEN relkind = 'S' THEN 'ALL ON SEQUENCE'
    WHEN pg_catalog.current_setting('server_version_num')::int >= 170000 THEN 'SELECT, INSERT, MAINTAIN ON TABLE'
    ELSE 'SELECT, INSERT ON TABLE' END, nspname, relname, %s::text
), pg_catalog.getdatabaseencoding())
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_class c ON c.oid = ANY(e.extconfig)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('r', 'p', 'S')
"""


def refused(entries: Iterable[Entry], allowed: Allowed) -> Iterator[str]:
    """Yield a line for each entry that gives power and that nothing allows."""
    entries = tuple(entries)
    files = {found[1] for entry in entries if entry.kind == "SERVER" and (found := OF_FILES.match(entry.text))}
    for entry in entries:
        if entry.kind == "FOREIGN TABLE" and not allowed.permits(key := _foreign(entry)):
            server = SERVER.findall(entry.text)
            if server and server[-1] in files:
                yield f"{entry}: it reads a file or runs a program; {remedy(key)}"
        if entry.kind == "FOREIGN DATA WRAPPER" and not allowed.permits(key := f"foreign data wrapper {_shown(entry)}"):
            # Its validator, a function of the dump, would be called with every option of a server.
            yield f"{entry}: {remedy(key)}"
        if entry.kind == "PROCEDURAL LANGUAGE" and not allowed.permits(key := f"language {_shown(entry)}"):
            yield f"{entry}: {remedy(key)}"


def _shown(entry: Entry) -> str:
    return entry.name.decode(errors="backslashreplace")


def _foreign(entry: Entry) -> str:
    return f"foreign table {entry.schema.decode(errors='backslashreplace')}.{_shown(entry)}"


class Superuser:
    """A superuser's session in a database that is being restored. `made`: what it made, for the record.

    `unlabelled`: providers of security labels that the server has not loaded, and the objects that have their labels.
    """

    def __init__(self, sql: Sql, database: str, allowed: Allowed) -> None:
        self.sql, self._database, self._allowed = sql, database, allowed
        self.made: list[str] = []
        self.unlabelled: dict[str, list[str]] = {}
        self._loaded: dict[str, bool] = {}

    def makes(self, entry: Entry) -> bool:
        """Return whether a superuser has to make an entry that is admitted."""
        if entry.kind not in SOMETIMES:
            return entry.kind in FORMS
        if entry.kind == "COMMENT":
            return entry.name.startswith(tuple(f"{kind} ".encode() for kind in COMMENTED))
        if entry.kind == "FOREIGN TABLE":
            return self._allowed.permits(_foreign(entry))
        if entry.kind == "TYPE":
            return b"(\n    INTERNALLENGTH = " in entry.text or UNDEFINED.fullmatch(entry.text) is not None
        if entry.kind == "AGGREGATE":
            return b"STYPE = internal" in entry.text
        return self._is_power(entry)

    def _is_power(self, entry: Entry) -> bool:
        """Whether a function is in an allowed language, or in a trusted one and only a superuser can make it.

        What nothing allows is left to the role of the restore, which the server refuses it.
        """
        words = clauses(entry.text)
        named = [word for before, word in pairwise(words) if before == b"language"]
        # A schema, a type or a value of a setting may have that name: then nothing is certain.
        certain = len(named) == 1 == words.count(b"language")
        language = _unquoted(named[0]).decode(errors="backslashreplace") if certain else ""
        if language not in TRUSTED:
            return self._allowed.permits(f"language {language}")
        return not POWER.isdisjoint(words)

    def prepare(self, entries: Sequence[Entry], role: str, *, public: bool = True) -> None:
        """Make schemas and extensions, which are first, for `role`. Raises RestoreFailed.

        `public`: whether the schema of that name, which every new database has, is kept.

        Nothing of the dump is there yet that the script of an extension could call.
        """
        with self._session() as connection:
            if not public:
                connection.execute(b"DROP SCHEMA IF EXISTS public")
            for entry in entries:
                if entry.kind == "SCHEMA":
                    words = quoted(entry.name), quoted(role.encode())
                    self._try(connection, entry, b"CREATE SCHEMA IF NOT EXISTS %b AUTHORIZATION %b" % words)
            extensions = [entry for entry in entries if entry.kind == "EXTENSION"]
            trusted = {str(name) for (name,) in connection.execute(INSTALLABLE).fetchall()} if extensions else set()
            for entry in extensions:
                self._extension(connection, entry)
                if _shown(entry) not in trusted:
                    self.made.append(str(entry).lower())
            if extensions:
                for (statement,) in connection.execute(CONFIGURATION, (role, role)).fetchall():
                    connection.execute(bytes(statement))

    def _extension(self, connection: Connection, entry: Entry) -> None:
        said = EXTENSION.fullmatch(entry.text)
        if said is None or _unquoted(said.group(1)) != entry.name:
            raise self._failed(entry, "it is not what pg_dump writes")
        with connection.transaction():
            self._try(connection, entry, b"CREATE EXTENSION IF NOT EXISTS %b WITH SCHEMA %b" % said.groups())
            for (language,) in connection.execute(UNTRUSTED).fetchall():
                if not self._allowed.permits(f"language {language}"):
                    raise self._failed(entry, f"language {language} is not trusted; {remedy(f'language {language}')}")

    def make(self, entries: Sequence[Entry]) -> None:
        """Make entries, in their order. Raises RestoreFailed."""
        if not entries:
            return
        with self._session() as connection:
            for entry in entries:
                for statement in statements(entry):
                    if entry.kind != LABEL or self._takes_label(connection, entry, provider_of(statement)):
                        self._try(connection, entry, statement)
                if entry.kind not in UNSAID:
                    self.made.append(f"{entry.kind.lower()} {str(entry).removeprefix(f'{entry.kind} ')}")

    def _takes_label(self, connection: Connection, entry: Entry, provider: str) -> bool:
        """Return whether the server takes labels of a provider, and note those that it does not take."""
        if provider and provider not in self._loaded:
            self._loaded[provider] = is_loaded(connection, provider)
        if self._loaded.get(provider, True):
            return True
        of, name = self.unlabelled.setdefault(provider, []), str(entry).removeprefix(f"{LABEL} ")
        of += () if name in of else (name,)
        return False

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """Yield a session that speaks the database's encoding; every error in it is RestoreFailed."""
        try:
            with connect(self.sql, self._database, application="blackstart restore", reading=False) as connection:
                connection.execute(f"SET client_encoding = '{RAW}'".encode())
                connection.execute(b"SET search_path = ''")
                # As pg_restore has it: 10,000 schemas are 20,000 commits, each would wait for the disk.
                connection.execute(b"SET synchronous_commit = off")
                yield connection
        except (psycopg.Error, HarnessError) as error:
            raise RestoreFailed(f"database {self._database} at {self.sql.outside}: {said(error)}") from error

    def _try(self, connection: Connection, entry: Entry, statement: bytes) -> None:
        try:
            connection.execute(statement, prepare=True)
        except psycopg.Error as error:
            raise self._failed(entry, one_line(error)) from error

    def _failed(self, entry: Entry, why: str) -> HarnessError:
        return HarnessError(f"{entry}: {why}")


def statements(entry: Entry) -> tuple[bytes, ...]:
    """Return the statements of an entry, each of a form of its kind; raises RestoreFailed for any other text."""
    form = re.compile(FORMS[entry.kind].replace(" ", r"\s+").encode() + rb"\s")
    found = statements_of(entry.text) if entry.kind in SEVERAL else (entry.text.strip().removesuffix(b";"),)
    if entry.kind == "SUBSCRIPTION" and not SUBSCRIPTION.fullmatch(entry.text):
        raise RestoreFailed(f"{entry}: its text is not what pg_dump writes; use another backup")
    if not found or not all(form.match(statement) for statement in found):
        raise RestoreFailed(f"{entry}: its text is not what pg_dump writes; use another backup")
    return found


def quoted(name: bytes) -> bytes:
    """Return a name in double quotes."""
    return b'"%b"' % name.replace(b'"', b'""')


def _unquoted(name: bytes) -> bytes:
    return name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name
