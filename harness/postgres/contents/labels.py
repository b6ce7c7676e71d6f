"""Security labels: a server takes one only where the library of its provider is loaded."""

import re
from collections.abc import Iterable, Mapping, Sequence

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.core.text import some
from harness.postgres.allowed import Allowed, quoted
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

LABEL = "SECURITY LABEL"  # the kind of their entries in a dump
# One of several statements: a quoted name or text may contain what else ends it.
STATEMENT = re.compile(rb"""((?:[^'";]++|'[^']*+'|"[^"]*+"|;(?!\n))+)(?:;\n|\Z)""")
PROVIDER = re.compile(rb'SECURITY\s+LABEL\s+FOR\s+("(?:[^"]|"")+"|[^\s"]+)\s+ON\s')
NAMED = 5  # objects that a line names


def statements_of(text: bytes) -> tuple[bytes, ...]:
    """Return statements of which each ends with a line; all of it is one where a quote is not closed."""
    text = text.strip().removesuffix(b";")
    found = tuple(STATEMENT.finditer(text))
    whole = sum(len(one.group()) for one in found) == len(text)
    return tuple(one[1].strip() for one in found) if whole else (text,)


def provider_of(statement: bytes) -> str:
    """Return the provider that a statement names, "" for none."""
    found = PROVIDER.match(statement)
    if found is None:
        return ""
    name = found[1][1:-1].replace(b'""', b'"') if found[1].startswith(b'"') else found[1]
    return name.decode(errors="surrogateescape")


def is_loaded(connection: Connection, provider: str) -> bool:
    """Return whether a server has a provider of security labels. Raises psycopg.Error; nothing is labelled."""
    # Of a role: that fires no event trigger, which a database of a backup may have. No role can have that name.
    asked = compose.SQL("SECURITY LABEL FOR {} ON ROLE pg_blackstart_none IS NULL").format(compose.Identifier(provider))
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(asked)
    except psycopg.errors.InvalidParameterValue:  # the provider is looked for first
        return False
    except psycopg.errors.UndefinedObject:  # then the role
        return True
    return True


def loaded(sql: Sql, providers: Iterable[str], database: str = "") -> frozenset[str]:
    """Return which of some providers a server has loaded. Raises HarnessError."""
    wanted = sorted(set(providers))
    if not wanted:
        return frozenset()
    try:
        with connect(sql, database, application="blackstart labels") as connection:
            return frozenset(provider for provider in wanted if is_loaded(connection, provider))
    except psycopg.Error as error:
        raise HarnessError(f"PostgreSQL at {sql.outside}: security labels: {one_line(error)}") from error


def objects_named(database: str, objects: Sequence[str]) -> str:
    """Return how many objects of a database have a label, and which."""
    words = f"{len(objects)} object{'s' * (len(objects) != 1)}"
    return f"{words} of database {database} ({some(objects, NAMED)})"


def left_out(labels: Mapping[str, str], allowed: Allowed) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a line for each provider whose labels are not restored: findings, and those that are left out on purpose.

    `labels`: a provider that is not loaded, and what has its labels.
    """
    findings, notes = [], []
    for provider, what in labels.items():
        key = f"{LABEL.lower()} {provider}"
        if reason := allowed.excluded(key):
            notes.append(f"{key}: of {what}: left out: {reason}")
        else:
            findings.append(
                f"{key}: of {what}: not restored: this server has no such provider; add its library to "
                f"shared_preload_libraries, or name it in [restore.exclude] {quoted(key)}"
            )
    return tuple(findings), tuple(notes)
