"""Containment: a restored Odoo must not send mail, fetch mail or run its schedule.

In a rehearsal the copy is neutralised for good by Odoo's own command, and what that leaves is finished here. On
the day of a real disaster everything is held reversibly: what was held is written into the database in the same
transaction, so that neither a crash nor a second call can forget it.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from harness.core.errors import HarnessError, Refused
from harness.core.node import Address
from harness.core.service import Contained, Place
from harness.patience import PATIENCE
from harness.services.odoo.database import Rows, exists, numbers, transaction
from harness.services.odoo.program import Program, mail_sink, run

NOWHERE = Address("invalid", 1025)  # RFC 6761: a name that never resolves
LEDGER = "blackstart.held"  # the row of ir_config_parameter that says what is held
NEUTRALIZED = "neutralized"
HOLDER = "holding_mail_server"
# What acts on the world, by the word that stands for it in `Contained.actions`.
TABLES = {"cron": "ir_cron", "mail_server": "ir_mail_server", "fetchmail": "fetchmail_server"}

# Deletes what nothing refers to any more; Odoo's own neutralize leaves it running as well.
KEPT_CRON = "select res_id from ir_model_data where model='ir.cron' and module='base' and name='autovacuum_job'"
# With no active row Odoo falls back on the settings file, and that on port 25 of its own host.
MAIL_ROW = """insert into ir_mail_server
    (name, smtp_host, smtp_port, smtp_encryption, smtp_authentication, sequence, active)
    values ('blackstart: mail is held', %s, %s, 'none', 'login', 0, true) returning id"""


def neutralize(program: Program, place: Place) -> Contained:
    """Neutralise the copy on `place` for good and return what was done; raises HarnessError.

    Mail goes to the sink `smtp` of the place, or nowhere when it has none.
    """
    run(place, program.task(place, "neutralize", "neutralize"), patience=PATIENCE.odoo_neutralize)
    target = mail_sink(place) or NOWHERE
    with transaction(place, program.database) as connection:
        for word in TABLES:
            _deactivate(connection, word)
        connection.execute(MAIL_ROW, (target.host, target.port))
        _require_held(connection, program.database, target)
        _require_neutralized(connection, program.database)
    return Contained(program.name, (NEUTRALIZED, f"mail to {target}"))


def hold(service: str, database: str, place: Place) -> Contained:
    """Hold outward actions so that `release` can let them go; what an earlier call held is in the result.

    Raises HarnessError when an action stays loose; nothing is changed then.
    """
    with transaction(place, database) as connection:
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


def release(database: str, place: Place, contained: Contained) -> None:
    """Make active again exactly what `hold` made inactive.

    Raises Refused for a neutralised copy, and HarnessError that names what is no longer there; the rest is
    released all the same.
    """
    if NEUTRALIZED in contained.actions:
        raise Refused(f"database {database} was neutralised for good; restore it again in mode real")
    gone: list[str] = []
    with transaction(place, database) as connection:
        for word, ids in _parse(contained.actions).items():
            gone += [f"{word} {number}" for number in sorted({*ids} - {*_let_go(connection, word, ids)})]
        connection.execute("delete from ir_config_parameter where key = %s", (LEDGER,))
    if gone:
        raise HarnessError(f"database {database}: {', '.join(gone)} is no longer there; all else was released")


def _deactivate(connection: Rows, word: str, *, but: Sequence[int] = ()) -> list[int]:
    """Switch off every active row behind `word`, except `but`; return their ids."""
    if not exists(connection, TABLES[word]):
        return []
    query = sql.SQL("update {} set active = false where active and not id = any(%s)").format(_table(word))
    if word == "cron":
        query += sql.SQL(f" and id not in ({KEPT_CRON})")
    return numbers(connection, query + sql.SQL(" returning id"), (list(but),))


def _let_go(connection: Rows, word: str, ids: list[int]) -> list[int]:
    if word == HOLDER:
        query: sql.Composable = sql.SQL("delete from ir_mail_server where id = any(%s) returning id")
    else:
        query = sql.SQL("update {} set active = true where id = any(%s) returning id").format(_table(word))
    return numbers(connection, query, (ids,))


def _require_held(connection: Rows, database: str, target: Address) -> None:
    """Raise HarnessError, which undoes the transaction, when anything could still reach the world."""
    sink = sql.SQL("and (smtp_host, smtp_port) is distinct from ({}, {})").format(target.host, target.port)
    but = {"mail_server": sink, "cron": sql.SQL(f"and id not in ({KEPT_CRON})"), "fetchmail": sql.SQL("")}
    for word, table in TABLES.items():
        if not exists(connection, table):
            continue
        query = sql.SQL("select id from {} where active {}").format(_table(word), but[word])
        if loose := numbers(connection, query):
            raise HarnessError(
                f"database {database}: {table} {_joined(loose)} still active after containment; do not start Odoo on it"
            )


def _require_neutralized(connection: Rows, database: str) -> None:
    flag = "select 1 from ir_config_parameter where key = 'database.is_neutralized' and lower(value) = 'true'"
    if not numbers(connection, flag):
        raise HarnessError(f"database {database}: `odoo neutralize` left no mark; do not start Odoo on it")
    live = "select id from payment_provider where state = 'enabled'"
    if exists(connection, "payment_provider") and (loose := numbers(connection, live)):
        raise HarnessError(f"database {database}: payment provider {_joined(loose)} still takes real money")


def _recorded(connection: Rows) -> dict[str, list[int]]:
    row = connection.execute("select value from ir_config_parameter where key = %s", (LEDGER,)).fetchone()
    return _parse(str(row[0]).split()) if row else {}


def _parse(actions: Sequence[str]) -> dict[str, list[int]]:
    """Return the ids by word; raises HarnessError for an action that is not one of ours."""
    found: dict[str, list[int]] = {}
    for action in actions:
        word, _, ids = action.partition(":")
        if word not in {*TABLES, HOLDER} or not all(part.isdigit() for part in ids.split(",")):
            raise HarnessError(f"held action {action!r} is none of Odoo's; it was not released")
        found[word] = [int(part) for part in ids.split(",")]
    return found


def _table(word: str) -> sql.Identifier:
    return sql.Identifier(TABLES[word])


def _joined(ids: list[int]) -> str:
    return ",".join(str(number) for number in ids)
