"""Containment of Odoo: a restored copy must not send or fetch mail, run scheduled actions, take payments, call others.

Disposable containment runs Odoo's own `neutralize`, which cannot be undone, and deactivates what that leaves active.
Reversible containment holds rows (`outward.WORDS`) and records them in the database in the same transaction, so that
neither a crash nor a second call loses them.
"""

from collections.abc import Sequence

from psycopg import sql

from harness.core.errors import HarnessError, Refused
from harness.core.node import Address
from harness.core.service import Contained, Place
from harness.patience import PATIENCE
from harness.postgres.server import transaction
from harness.postgres.session import Connection
from harness.services.odoo import outward
from harness.services.odoo.outward import NONE, WORDS, numbers
from harness.services.odoo.program import HINT, Program, mail_sink, run

NOWHERE = Address("invalid", 1025)  # RFC 6761: a name that never resolves
LEDGER = "blackstart.held"  # the row of ir_config_parameter that lists the actions on hold
NEUTRALIZED = "neutralized"
HOLDER = "holding_mail_server"
MAIL = "newest_mail"  # with its number: what is newer could not be sent
COUNTED = "queue_job"  # its number is that of the held rows, of which there may be thousands
# Without an active row Odoo uses the server in its settings file, by default port 25 of its own host.
MAIL_ROW = """insert into ir_mail_server
    (name, smtp_host, smtp_port, smtp_encryption, smtp_authentication, sequence, active)
    values ('blackstart: mail is held', %s, %s, 'none', 'login', 0, true) returning id"""


def neutralize(program: Program, place: Place) -> Contained:
    """Neutralise the copy irreversibly, mail to the sink `smtp`. Raises HarnessError if an action stays active."""
    run(place, program.task(place, "neutralize", "neutralize"), patience=PATIENCE.odoo_neutralize)
    target = mail_sink(place) or NOWHERE
    with transaction(place.sql, program.database, HINT) as connection:
        for word in WORDS:
            outward.hold(connection, word)
        connection.execute(MAIL_ROW, (target.host, target.port))
        _require_held(connection, program.database, target)
        _require_neutralized(connection, program.database)
    return Contained(program.name, (NEUTRALIZED, f"mail to {target}"))


def hold(service: str, database: str, place: Place) -> Contained:
    """Hold outward actions until `release`; return all held. Raises HarnessError and changes nothing then."""
    with transaction(place.sql, database, HINT) as connection:
        held = _recorded(connection)
        for word in WORDS:
            ours = held.get(HOLDER, []) if word == "mail_server" else []
            ids = outward.hold(connection, word, but=ours)
            earlier = held.get(word, [])
            if word != COUNTED:
                held[word] = sorted({*earlier, *ids})
            elif ids:
                held[word] = [sum(earlier) + len(ids)]
        held.setdefault(MAIL, outward.newest_mail(connection))
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
    """Free the rows that `hold` held, and the mail since; return a line for those that no longer exist, and for mail.

    Raises Refused for a neutralised copy, HarnessError.
    """
    if NEUTRALIZED in contained.actions:
        raise Refused(f"database {database} was neutralised irreversibly; restore it again with reversible containment")
    gone: list[str] = []
    lines: list[str] = []
    with transaction(place.sql, database, HINT) as connection:
        first = bool(_recorded(connection))  # one that is repeated has nothing to say
        held = _parse(contained.actions)
        newest = held.pop(MAIL, [])
        for word, ids in held.items():
            if word == HOLDER:
                found = numbers(connection, "delete from ir_mail_server where id = any(%s) returning id", (ids,))
            else:
                found = outward.free(connection, word, ids)
            gone += _gone(word, ids, found) if first else []
        if first and newest and (mails := outward.send_again(connection, newest[0])):
            lines.append(f"{mails} mails that could not be sent while it was contained are in its queue again")
        connection.execute("delete from ir_config_parameter where key = %s", (LEDGER,))
    if gone:
        lines.insert(0, f"{', '.join(gone)} was removed since, and is not released")
    return tuple(f"database {database}: {line}" for line in lines)


def _gone(word: str, ids: Sequence[int], found: Sequence[int]) -> list[str]:
    """Return what no longer exists of the rows of a word."""
    if word == COUNTED:
        lacking = sum(ids) - len(found)
        return [f"{lacking} of {word}"] if lacking > 0 else []
    return [f"{word} {number}" for number in sorted({*ids} - {*found})]


def _require_held(connection: Connection, database: str, target: Address) -> None:
    """Raise HarnessError, which rolls the transaction back, when an outward action is still active."""
    sink = sql.SQL("and (smtp_host, smtp_port) is distinct from ({}, {})").format(target.host, target.port)
    for word, rows in WORDS.items():
        if loose := outward.live(connection, word, sink if word == "mail_server" else NONE):
            raise HarnessError(
                f"database {database}: {rows.table} {_joined(loose)} still active after containment; "
                "do not start Odoo on it"
            )


def _require_neutralized(connection: Connection, database: str) -> None:
    flag = "select 1 from ir_config_parameter where key = 'database.is_neutralized' and lower(value) = 'true'"
    if not numbers(connection, flag):
        raise HarnessError(f"database {database}: database.is_neutralized is not set; do not start Odoo on it")


def _recorded(connection: Connection) -> dict[str, list[int]]:
    row = connection.execute("select value from ir_config_parameter where key = %s", (LEDGER,)).fetchone()
    return _parse(str(row[0]).split()) if row else {}


def _parse(actions: Sequence[str]) -> dict[str, list[int]]:
    """Return the ids by word; raises HarnessError for an unknown action."""
    found: dict[str, list[int]] = {}
    for action in actions:
        word, _, ids = action.partition(":")
        if word not in {*WORDS, HOLDER, MAIL} or not all(part.isdigit() for part in ids.split(",")):
            raise HarnessError(f"action on hold {action!r} is unknown to Odoo's release; nothing was released")
        found[word] = [int(part) for part in ids.split(",")]
    return found


def _joined(ids: list[int]) -> str:
    return ",".join(str(number) for number in ids)
