"""Copy of one database from a server to another: pg_dump into pg_restore, and a comparison of what arrived.

Nothing is on a disk in between, and the restore is one transaction.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import psycopg

from harness.core.contents import SequenceFacts, TableFacts
from harness.core.errors import RestoreFailed
from harness.core.service import Sql
from harness.parts.programs import client_program
from harness.patience import PATIENCE
from harness.physical.place import private_place
from harness.physical.programs import Programs
from harness.physical.single.into import Into
from harness.postgres.client import TLS, conninfo, must_encrypt, session_variables
from harness.postgres.contents.rows import read_tables
from harness.postgres.facts import begin_reading, read_sequences
from harness.postgres.server import connect, one_line
from harness.vault import for_password_file

STATISTICS = 18  # first major whose dump can have the planner's statistics
SHOWN = 3  # tables that a message names
Facts = tuple[TableFacts | SequenceFacts, ...]


def transfer(
    programs: Programs,
    source: Sql,
    database: str,
    into: Into,
    *,
    owners: bool,
    loaded: Callable[[], None] = lambda: None,
) -> tuple[TableFacts, ...]:
    """Copy a database into an empty one; return the tables that are in both. Raises RestoreFailed, HarnessError.

    `source`: a server that takes every user without a password; `owners`: with owners and privileges. `loaded`: is
    called once all is loaded, before it is compared.
    """
    dump = [str(programs.folder / "pg_dump"), "--format=custom", "--compress=0", "--no-password"]
    if programs.major >= STATISTICS:
        dump.append("--statistics")
    load = [client_program("pg_restore", programs.major, tls=must_encrypt(into.sql)), "--single-transaction"]
    load += ["--exit-on-error", "--no-password", "--no-tablespaces", "--no-subscriptions"]
    if not owners:
        load += ["--no-owner", "--no-privileges"]
    with private_place(programs.tags) as place:
        passwords = place / "pgpass"
        passwords.touch(mode=0o600)
        passwords.write_text(f"*:*:*:*:{for_password_file(into.sql.password_ref)}\n")
        with (place / "dump").open("wb") as of_dump, (place / "load").open("wb") as of_load:
            codes = _piped(
                (
                    [*dump, f"--dbname={conninfo(source, database)}"],
                    {**_env(source, programs.major), **programs.tags},
                    of_dump,
                ),
                (
                    [*load, f"--dbname={conninfo(into.sql, into.name)}"],
                    _env(into.sql, into.major) | {"PGPASSFILE": str(passwords), **programs.tags},
                    of_load,
                ),
            )
        # Of both the one that failed by itself is the reason: the other one is ended by a signal, or lacks its input.
        for code, program, log in zip(codes, ("pg_dump", "pg_restore"), ("dump", "load"), strict=True):
            if code > 0:
                raise RestoreFailed(f"{into.where}: {program}: {_last(place / log)} (exit code {code})")
        if any(codes):
            raise RestoreFailed(f"{into.where}: pg_dump ended with {codes[0]}, pg_restore with {codes[1]}")
    loaded()
    found = _facts(into.sql, into.name)
    _compare(_facts(source, database), found, into)
    return tuple(one for one in found if isinstance(one, TableFacts))


Started = tuple[list[str], dict[str, str], BinaryIO]


def _piped(dump: Started, load: Started) -> tuple[int, int]:
    """Run two programs, the output of the first into the second; return their exit codes. None outlives the call."""
    with _running(dump, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as reading:
        with _running(load, stdin=reading.stdout, stdout=subprocess.DEVNULL) as writing:
            if reading.stdout is not None:
                reading.stdout.close()  # pg_dump learns that pg_restore has ended
            done = writing.wait(PATIENCE.restore_database)
        return reading.wait(PATIENCE.restore_database), done


@contextmanager
def _running(started: Started, **streams: object) -> Iterator["subprocess.Popen[bytes]"]:
    command, env, errors = started
    process = subprocess.Popen(command, env=env, stderr=errors, **streams)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _env(sql: Sql, major: int) -> dict[str, str]:
    files = {"ca": sql.tls.ca, "cert": sql.tls.cert, "key": sql.tls.key}
    return {
        "LC_ALL": "C",
        "PATH": os.environ.get("PATH", os.defpath),
        "PGCONNECT_TIMEOUT": str(round(PATIENCE.sql_connect)),
        **session_variables(sql, major, reading=False),
        **{TLS[name]: path for name, path in files.items() if path},
    }


def _last(log: Path) -> str:
    """Return the first error of a client's messages, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return (errors or lines[-1:] or ["no message"])[0]


def _facts(sql: Sql, database: str) -> Facts:
    """Return rows and digests of the tables, and the sequences. Raises RestoreFailed, HarnessError."""
    try:
        with connect(sql, database) as connection:
            begin_reading(connection)
            return (*read_tables(connection), *(one.facts for one in read_sequences(connection)))
    except psycopg.Error as error:
        raise RestoreFailed(f"database {database} at {sql}: cannot be compared: {one_line(error)}") from error


def _compare(expected: Facts, found: Facts, into: Into) -> None:
    """Raise RestoreFailed that names tables and sequences unless all are equal."""
    wrong = sorted({one.name for one in {*expected} ^ {*found}})
    if wrong:
        names = ", ".join(wrong[:SHOWN])
        raise RestoreFailed(f"{into.where}: {len(wrong)} tables or sequences differ from the backup: {names}")
