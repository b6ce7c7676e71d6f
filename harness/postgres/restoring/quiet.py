"""What keeps a restored server from acting on the outside, and how a release undoes it.

Held in every restored database: functions written in C that reach other systems (handlers of foreign data wrappers, all
of dblink), event triggers, jobs of pg_cron. A subscription is restored disabled by pg_dump; it is only recorded.
The functions and the jobs belong to extensions, so that no dump of the schema differs from that of the backup.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg import sql as compose

from harness.core.errors import HarnessError
from harness.core.service import Contained, Sql
from harness.postgres.identity import catalogue
from harness.postgres.restoring.views import refresh
from harness.postgres.server import connect, one_line
from harness.postgres.session import Connection

SERVICE = "PostgreSQL"  # of Contained: the server itself
CALLERS = ("dblink", "http")  # extensions whose functions connect to other systems
SCHEDULER = "pg_cron"
MARK = "held by blackstart: "  # before the link symbol of a function, so that a call fails and says why
FUNCTIONS = """
UPDATE pg_catalog.pg_proc SET prosrc = %s || prosrc
WHERE prolang = (SELECT oid FROM pg_catalog.pg_language WHERE lanname = 'c') AND NOT starts_with(prosrc, %s)
  AND oid NOT IN (SELECT fdwvalidator FROM pg_catalog.pg_foreign_data_wrapper)
  AND (oid IN (SELECT fdwhandler FROM pg_catalog.pg_foreign_data_wrapper)
       OR oid IN (SELECT d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'
                    AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND e.extname = ANY(%s)))
"""
HELD_FUNCTIONS = "SELECT count(*) FROM pg_catalog.pg_proc WHERE starts_with(prosrc, %s)"
FREE_FUNCTIONS = "UPDATE pg_catalog.pg_proc SET prosrc = substr(prosrc, %s) WHERE starts_with(prosrc, %s)"
TRIGGERS = "SELECT evtname, evtenabled::text FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D' ORDER BY evtname"
REMOVED = (psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable)  # of what somebody removed since
STATES = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
INSTALLED = "SELECT FROM pg_catalog.pg_extension WHERE extname = %s"
HOLD_JOBS = "UPDATE cron.job SET active = false WHERE active RETURNING jobid"
# pg_cron starts a job as soon as its row is there: before a dump's rows are loaded, a trigger makes each inactive.
HOLD_EACH_JOB = """
CREATE SCHEMA blackstart_held_jobs;
CREATE TABLE blackstart_held_jobs.held (number bigint);
CREATE FUNCTION blackstart_held_jobs.hold() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.active THEN
        INSERT INTO blackstart_held_jobs.held VALUES (NEW.jobid);
        NEW.active := false;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER blackstart_hold BEFORE INSERT ON cron.job FOR EACH ROW EXECUTE FUNCTION blackstart_held_jobs.hold();
ALTER TABLE cron.job ENABLE ALWAYS TRIGGER blackstart_hold;
"""
HOLDING = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'blackstart_held_jobs'"
EACH_HELD_JOB = "SELECT number FROM blackstart_held_jobs.held ORDER BY number"
END_OF_HOLDING = "DROP SCHEMA blackstart_held_jobs CASCADE"
FREE_JOBS = "UPDATE cron.job SET active = true WHERE jobid = ANY(%s)"
NOWHERE = "blackstart_none"  # a replication slot that no publisher has
SLOT = "SELECT subslotname FROM pg_catalog.pg_subscription s WHERE subname = %s AND subdbid = (SELECT oid"
SLOT += " FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """One thing that is held in `database`; `name` and `detail` as `release` needs them."""

    database: str
    kind: str
    name: str = ""
    detail: str = ""

    def __str__(self) -> str:
        """The action of Contained: JSON, as names may contain anything."""
        shown = {"database": self.database, "held": self.kind, "name": self.name, "detail": self.detail}
        return json.dumps({key: value for key, value in shown.items() if value}, ensure_ascii=False)


def hold_functions(sql: Sql, database: str) -> None:
    """Keep every function of a database that reaches other systems from being called; raises HarnessError."""
    _in_database(sql, database, _hold_functions)


def begin_to_hold_jobs(sql: Sql, database: str) -> None:
    """Make each job of pg_cron inactive that is loaded into a database from now on. Raises HarnessError."""
    _in_database(sql, database, hold_each_job)


def hold_each_job(connection: Connection) -> None:
    """Do so in the database of a connection. Raises psycopg.Error."""
    if connection.execute(INSTALLED, ("plpgsql",)).fetchone() is not None:  # without it they are held afterwards
        connection.execute(HOLD_EACH_JOB.encode())


def hold_jobs(sql: Sql, database: str) -> tuple[Held, ...]:
    """Deactivate the jobs of pg_cron in a database; return them, and those that were held as they were loaded.

    Raises HarnessError.
    """

    def work(connection: Connection) -> tuple[Held, ...]:
        held = [*_jobs(connection, database)]
        if connection.execute(HOLDING).fetchone() is not None:
            held += (Held(database, "cron job", str(one)) for (one,) in connection.execute(EACH_HELD_JOB).fetchall())
            connection.execute(END_OF_HOLDING)
        return tuple(held)

    return _in_database(sql, database, work)


def hold_jobs_alone(connection: Connection, database: str) -> tuple[Held, ...]:
    """Deactivate the jobs of pg_cron on a server that has not loaded it, where its triggers fail; return them.

    Raises psycopg.Error.
    """
    connection.execute("SET session_replication_role = replica")
    return tuple(_jobs(connection, database))


def hold(sql: Sql, database: str) -> tuple[Held, ...]:
    """Hold everything in a restored database; return it. Raises HarnessError."""

    def work(connection: Connection) -> tuple[Held, ...]:
        _hold_functions(connection)
        ((count,),) = connection.execute(HELD_FUNCTIONS, (MARK,)).fetchall()
        held = [Held(database, "functions", detail=str(count))] if count else []
        for name, state in connection.execute(TRIGGERS.encode()).fetchall():
            connection.execute(compose.SQL("ALTER EVENT TRIGGER {} DISABLE").format(compose.Identifier(name)))
            held.append(Held(database, "event trigger", name, state))
        return (*held, *_jobs(connection, database))

    return _in_database(sql, database, work)


def contained(held: Sequence[Held]) -> tuple[Contained, ...]:
    """Return what is held as the entry of the containment; none when nothing is."""
    return (Contained(SERVICE, tuple(map(str, held))),) if held else ()


def release(sql: Sql, entry: Contained) -> tuple[str, ...]:
    """Undo all that is held; return a line for each that was removed since.

    Raises HarnessError that names what could not be, after all else is released.
    """
    failed, gone = list[str](), list[str]()
    held = [_read(action) for action in entry.actions]
    there = {database.name for database in catalogue(sql)} if held else set()
    for one in sorted(held, key=lambda item: list(RELEASES).index(item.kind)):
        removed = (
            f"{f'{one.kind} {one.name}'.rstrip()} of database {one.database} was removed since, and is not released"
        )
        if one.database not in there:
            gone.append(removed)
            continue
        try:
            _in_database(sql, one.database, lambda connection, one=one: RELEASES[one.kind](connection, one))  # type: ignore[misc]
        except HarnessError as error:
            if isinstance(error.__cause__, REMOVED):
                gone.append(removed)
            else:
                failed.append(f"{one.kind} {one.name}: {error}")
    if failed:
        raise HarnessError(f"not released, all else is: {'; '.join(failed)}")
    return tuple(dict.fromkeys(gone))


def _read(action: str) -> Held:
    try:
        data = json.loads(action)
        held = Held(data["database"], data["held"], data.get("name", ""), data.get("detail", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise HarnessError(f"action on hold {action!r} is not PostgreSQL's; nothing was released") from None
    if held.kind not in RELEASES:
        raise HarnessError(f"action on hold {action!r} is unknown to PostgreSQL's release; nothing was released")
    return held


def _in_database(sql: Sql, database: str, work: Callable[[Connection], T]) -> T:
    try:
        with connect(sql, database, application="blackstart containment") as connection:
            return work(connection)
    except psycopg.Error as error:
        raise HarnessError(f"database {database} at {sql.outside}: {one_line(error)}") from error


def _hold_functions(connection: Connection) -> None:
    connection.execute(FUNCTIONS, (MARK, MARK, list(CALLERS)))


def _jobs(connection: Connection, database: str) -> Iterator[Held]:
    if connection.execute(INSTALLED, (SCHEDULER,)).fetchone() is not None:
        for (number,) in connection.execute(HOLD_JOBS).fetchall():
            yield Held(database, "cron job", str(number))


def _free_functions(connection: Connection, _held: Held) -> None:
    connection.execute(FREE_FUNCTIONS, (len(MARK) + 1, MARK))


def _free_trigger(connection: Connection, held: Held) -> None:
    if held.detail not in STATES:
        raise HarnessError(f"its state {held.detail!r} is unknown")
    statement = "ALTER EVENT TRIGGER {} " + STATES[held.detail]
    connection.execute(compose.SQL(statement).format(compose.Identifier(held.name)))


def _free_job(connection: Connection, held: Held) -> None:
    connection.execute(FREE_JOBS, ([int(held.name)],))


def _free_view(connection: Connection, held: Held) -> None:
    refresh(connection, held.detail, held.name)


def _enable(connection: Connection, held: Held) -> None:
    """Enable a subscription once it knows its tables: without them its worker would drop what the publisher sends.

    Until then it asks for a slot that no publisher has.
    """
    name = compose.Identifier(held.name)

    def alter(rest: str, *values: str) -> None:
        literals = map(compose.Literal, values)
        connection.execute(compose.SQL("ALTER SUBSCRIPTION {} " + rest).format(name, *literals))

    row = connection.execute(SLOT, (held.name,)).fetchone()
    if row is None or row[0] is None:
        raise HarnessError("it has no slot; set slot_name and enable it")
    alter("SET (slot_name = {})", NOWHERE)
    try:
        alter("ENABLE")
        alter("REFRESH PUBLICATION WITH (copy_data = false)")
    finally:
        alter("DISABLE")
        alter("SET (slot_name = {})", str(row[0]))
    alter("ENABLE")


RELEASES: Mapping[str, Callable[[Connection, Held], None]] = {
    "functions": _free_functions,
    "materialised view": _free_view,
    "cron job": _free_job,
    "subscription": _enable,
    "event trigger": _free_trigger,  # last: before PostgreSQL 17 it may forbid what is above
}
