"""Rows of an Odoo's database that make it act on the outside: what is held of each table, and how it is freed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from harness.postgres.session import Connection


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table that act on the outside while `live`. `held`: literal that `column` gets meanwhile.

    `freed`: literal that it gets afterwards; "" where each row gets its own value back.
    """

    table: LiteralString
    column: LiteralString = "active"
    live: LiteralString = "active"
    held: LiteralString = "false"
    freed: LiteralString = "true"


# By their word in `Contained.actions`. `autovacuum_job` is held as well, which Odoo's `neutralize` leaves active: it
# deletes rows of the backup, and each personal mail server that was deactivated.
WORDS = {
    "cron": Rows("ir_cron"),
    "mail_server": Rows("ir_mail_server"),
    "fetchmail": Rows("fetchmail_server"),
    "payment_provider": Rows("payment_provider", "state", "state = 'enabled'", "'disabled'", ""),
    # A name that never resolves. What Odoo's `neutralize` writes is no URL.
    "webhook": Rows(
        "ir_act_server",
        "webhook_url",
        "state = 'webhook' and coalesce(webhook_url, '') not in"
        " ('', 'http://invalid/', 'neutralization - disable webhook')",
        "'http://invalid/'",
        "",
    ),
    # Of the module of that name (OCA): as its own `neutralize.sql` does. A date far ahead would stop its runner, which
    # cannot wait for longer than 24 days.
    "queue_job": Rows(
        "queue_job", "state", "state in ('wait_dependencies', 'pending', 'enqueued', 'started')", "'cancelled'", ""
    ),
}
NONE = sql.SQL("")
KEPT = "blackstart.held."  # row of ir_config_parameter, with the word: value of each held row, by its id
KEEP: LiteralString = """insert into ir_config_parameter (key, value)
    select {key}, jsonb_object_agg(id::text, {column})::text from {table} where ({live}) having count(*) > 0
    on conflict (key) do update set value = (ir_config_parameter.value::jsonb || excluded.value::jsonb)::text"""
HOLD: LiteralString = "update {table} set {column} = {held} where ({live}) and not id = any(%s) returning id"
FREE: LiteralString = "update {table} set {column} = {freed} where id = any(%s) returning id"
GIVE_BACK: LiteralString = """update {table} t set {column} = k.value
    from ir_config_parameter p, jsonb_each_text(p.value::jsonb) k
    where p.key = {key} and t.id = k.key::int and t.{column} = {held}"""
GIVEN_BACK: LiteralString = """select t.id from {table} t, ir_config_parameter p, jsonb_each_text(p.value::jsonb) k
    where p.key = {key} and t.id = k.key::int"""
FORGET: LiteralString = "delete from ir_config_parameter where key = {key}"
LIVE: LiteralString = "select id from {table} where ({live}) {but}"
# Odoo never sends a mail again by itself that it could not send.
NEWEST_MAIL = "select coalesce(max(id), 0) from mail_mail"
SEND_AGAIN = """update mail_mail set state = 'outgoing', failure_reason = null
    where id > %s and state = 'exception' returning id"""


def hold(connection: Connection, word: str, *, but: Sequence[int] = ()) -> list[int]:
    """Hold every row of a word that acts, except `but`; return their ids. `free` needs no more than the database."""
    if not is_there(connection, word):
        return []
    if not WORDS[word].freed:
        connection.execute(_statement(KEEP, word))
    return numbers(connection, _statement(HOLD, word), (list(but),))


def free(connection: Connection, word: str, ids: Sequence[int]) -> list[int]:
    """Free the held rows of a word; return the ids of those that still exist. One that was changed since stays so."""
    if not is_there(connection, word):
        return []
    if WORDS[word].freed:
        return numbers(connection, _statement(FREE, word), (list(ids),))
    connection.execute(_statement(GIVE_BACK, word))
    found = numbers(connection, _statement(GIVEN_BACK, word))
    connection.execute(_statement(FORGET, word))
    return found


def live(connection: Connection, word: str, but: sql.Composable) -> list[int]:
    """Return the ids of the rows of a word that act, without those of the condition `but`."""
    return numbers(connection, _statement(LIVE, word, but)) if is_there(connection, word) else []


def newest_mail(connection: Connection) -> list[int]:
    """Return the number of the newest mail, 0 before the first; nothing where Odoo has no mail."""
    return numbers(connection, NEWEST_MAIL) if _has(connection, "mail_mail", "failure_reason") else []


def send_again(connection: Connection, newest: int) -> int:
    """Put each mail into the queue that is newer than `newest` and could not be sent; return how many are."""
    if not _has(connection, "mail_mail", "failure_reason"):
        return 0
    return len(numbers(connection, SEND_AGAIN, (newest,)))


def is_there(connection: Connection, word: str) -> bool:
    """Return whether the table of a word is there with what is held of it; modules of Odoo create and drop tables."""
    return _has(connection, WORDS[word].table, WORDS[word].column)


def _has(connection: Connection, table: str, column: str) -> bool:
    query = "select 1 from pg_attribute where attrelid = to_regclass(%s) and attname = %s and not attisdropped"
    return bool(numbers(connection, query, (table, column)))


def numbers(connection: Connection, query: str | sql.Composable, values: Sequence[object] = ()) -> list[int]:
    """Return the first column of the result of `query`, sorted."""
    statement = query.as_bytes(connection) if isinstance(query, sql.Composable) else query.encode()
    return sorted(int(row[0]) for row in connection.execute(statement, values or None).fetchall())


def _statement(text: LiteralString, word: str, but: sql.Composable = NONE) -> sql.Composed:
    rows = WORDS[word]
    return sql.SQL(text).format(
        table=sql.Identifier(rows.table),
        column=sql.Identifier(rows.column),
        live=sql.SQL(rows.live),
        held=sql.SQL(rows.held),
        freed=sql.SQL(rows.freed),
        key=sql.Literal(KEPT + word),
        but=but,
    )
