"""Containment of Odoo: a restored copy must not send mail, fetch mail or run scheduled actions.

Disposable containment runs Odoo's own `neutralize`, which cannot be undone, and deactivates what that leaves active.
Reversible containment deactivates rows and records them in the database in the same transaction, so that neither a
crash nor a second call loses them.
"""

from collections.abc import Sequence

from psycopg import sql

from harness.core.errors import HarnessError, Refused
from harness.core.node import Address
from harness.core.service import Contained, Place
from harness.patience import PATIENCE
from harness.postgres.server import transaction
from harness.postgres.session import Connection
from harness.services.odoo.program import HINT, Program, mail_sink, run

NOWHERE = Address("invalid", 1025)  # RFC 6761: a name that never resolves
LEDGER = "blackstart.held"  # the row of ir_config_parameter that lists the actions on hold
NEUTRALIZED = "neutralized"
HOLDER = "holding_mail_server"
# Tables of outward actions, by their word in `Contained.actions`. `autovacuum_job` is held as well, which
# Odoo's `neutralize` leaves active: it deletes rows of the backup, and each personal mail server that was deactivated.
TABLES = {"cron": "ir_cron", "mail_server": "ir_mail_server", "fetchmail": "fetchmail_server"}

# Without an active row Odoo uses the server in its settings file, by default port 25 of its own host.
MAIL_ROW = """insert into ir_mail_server
    (name, smtp_host, smtp_port, smtp_encryption, smtp_authentication, sequence, active)
    values ('blackstart: mail is held', %s, %s, 'none', 'login', 0, true) returning id"""


def neutralize(program: Program, place: Place) -> Contained:
    """Neutralise the copy irreversibly, mail to the sink `smtp`. Raises HarnessError if an action stays active."""
    run(place, program.task(place, "neutralize", "neutralize"), patience=PATIENCE.odoo_neutralize)
    target = mail_sink(place) or NOWHERE
    with transaction(place.sql, program.database, HINT) as connection:
        for word in TABLES:
            _deactivate(connection, word)
        connection.execute(MAIL_ROW, (target.host, target.port))
        _require_held(connection, program.database, target)
        _require_neutralized(connection, program.database)
    return Contained(program.name, (NEUTRALIZED, f"mail to {target}"))


def hold(service: str, database: str, place: Place) -> Contained:
    """Deactivate outward actions for `release`; return all held. Raises HarnessError and changes nothing then."""
    with transaction(place.sql, database, HINT) as connection:
        held = _recorded(connection)
        for word in TABLES:
            ours = held.get(HOLDER, []) if word == "mail_server" else []
            held[word] = sorted({*held.get(word, []), *_deactivate(connection, word, but=ours)})
        if HOLDER not in held:
            held[HOLDER] = numbers(connection, MAIL_ROW, (NOWHERE.host, NOWHERE.port))
        actions = tuple(f"{word}:{_joined(ids)}" for word, ids in held.items() if ids)
        connection.execute(
            "insert into ir_config_parameter (key, value) values (%s, %s)"
            " on conflict (key) do update set value = excluded.value",
            (LEDGER, " ".join(actions)),
        )
        _require_held(connection, database, NOWHERE)
    return Contained(service, actions)


def release(database: str, place: Place, contained: Contained) -> tuple[str, ...]:
    """Activate the rows that `hold` deactivated; return a line for those that no longer exist.

    Raises Refused for a neutralised copy, HarnessError.
    """
    if NEUTRALIZED in contained.actions:
        raise Refused(f"database {database} was neutralised irreversibly; restore it again with reversible containment")
    gone: list[str] = []
    with transaction(place.sql, database, HINT) as connection:
        for word, ids in _parse(contained.actions).items():
            gone += [f"{word} {number}" for number in sorted({*ids} - {*_activate(connection, word, ids)})]
        connection.execute("delete from ir_config_parameter where key = %s", (LEDGER,))
    return (f"database {database}: {', '.join(gone)} was removed since, and is not released",) if gone else ()


def _deactivate(connection: Connection, word: str, *, but: Sequence[int] = ()) -> list[int]:
    """Deactivate every active row of the table of `word`, except `but`; return their ids."""
    if not exists(connection, TABLES[word]):
        return []
    query = sql.SQL("update {} set active = false where active and not id = any(%s)").format(_table(word))
    return numbers(connection, query + sql.SQL(" returning id"), (list(but),))


def _activate(connection: Connection, word: str, ids: list[int]) -> list[int]:
    if word == HOLDER:
        query: sql.Composable = sql.SQL("delete from ir_mail_server where id = any(%s) returning id")
    else:
        query = sql.SQL("update {} set active = true where id = any(%s) returning id").format(_table(word))
    return numbers(connection, query, (ids,))


def _require_held(connection: Connection, database: str, target: Address) -> None:
    """Raise HarnessError, which rolls the transaction back, when an outward action is still active."""
    sink = sql.SQL("and (smtp_host, smtp_port) is distinct from ({}, {})").format(target.host, target.port)
    but = {"mail_server": sink}
    for word, table in TABLES.items():
        if not exists(connection, table):
            continue
        query = sql.SQL("select id from {} where active {}").format(_table(word), but.get(word, sql.SQL("")))
        if loose := numbers(connection, query):
            raise HarnessError(
                f"database {database}: {table} {_joined(loose)} still active after containment; do not start Odoo on it"
            )


def _require_neutralized(connection: Connection, database: str) -> None:
    flag = "select 1 from ir_config_parameter where key = 'database.is_neutralized' and lower(value) = 'true'"
    if not numbers(connection, flag):
        raise HarnessError(f"database {database}: database.is_neutralized is not set; do not start Odoo on it")
    live = "select id from payment_provider where state = 'enabled'"
    if exists(connection, "payment_provider") and (loose := numbers(connection, live)):
        raise HarnessError(
            f"database {database}: payment provider {_joined(loose)} is still enabled; do not start Odoo on it"
        )


def _recorded(connection: Connection) -> dict[str, list[int]]:
    row = connection.execute("select value from ir_config_parameter where key = %s", (LEDGER,)).fetchone()
    return _parse(str(row[0]).split()) if row else {}


def _parse(actions: Sequence[str]) -> dict[str, list[int]]:
    """Return the ids by word; raises HarnessError for an unknown action."""
    found: dict[str, list[int]] = {}
    for action in actions:
        word, _, ids = action.partition(":")
        if word not in {*TABLES, HOLDER} or not all(part.isdigit() for part in ids.split(",")):
            raise HarnessError(f"action on hold {action!r} is unknown to Odoo's release; nothing was released")
        found[word] = [int(part) for part in ids.split(",")]
    return found


def _table(word: str) -> sql.Identifier:
    return sql.Identifier(TABLES[word])


def _joined(ids: list[int]) -> str:
    return ",".join(str(number) for number in ids)


def numbers(connection: Connection, query: str | sql.Composable, values: Sequence[object] = ()) -> list[int]:
    """Return the first column of the result of `query`, sorted."""
    statement = query.as_bytes(connection) if isinstance(query, sql.Composable) else query.encode()
    return sorted(int(row[0]) for row in connection.execute(statement, values).fetchall())


def exists(connection: Connection, table: str) -> bool:
    """Return whether a table of that name exists; Odoo modules create and drop tables."""
    row = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    return row is not None and bool(row[0])
