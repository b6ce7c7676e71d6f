"""Replication connection (PostgreSQL documentation, "Streaming Replication Protocol"), by libpq through psycopg."""

import select
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from psycopg import Connection, Error, OperationalError, pq
from psycopg.conninfo import make_conninfo
from psycopg.errors import Diagnostic

from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.patience import PATIENCE
from harness.postgres.server import parameters
from harness.vault import read_text_secret

OLDEST = 15  # first major whose base backup is one stream with all tablespaces in it
MOST_WARNINGS = 1000
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server says of itself. `position`: up to which its WAL is written; `segment_size` in bytes."""

    system: str
    timeline: int
    position: str
    segment_size: int


class Replication:
    """A replication connection to a server. Used by one thread at a time; closed at the end of its `with` block.

    `left_out`: the first warnings about what a base backup does not have, in the language of the server.
    """

    def __init__(self, sql: Sql, application: str) -> None:
        self.where = f"PostgreSQL at {sql}"
        found = make_conninfo(
            user=sql.user,
            password=read_text_secret(sql.password_ref),
            replication="true",
            application_name=application,
            connect_timeout=round(PATIENCE.sql_connect),
            **parameters(sql),
        )
        try:
            # PQconnectdb would stop all threads of this process meanwhile, also that of a relay to the server.
            self._connection = Connection.connect(found, autocommit=True)
        except Error as error:
            reason = " ".join(str(error).split())
            raise HarnessError(
                f"{self.where}: no replication connection ({reason}); it needs a role with REPLICATION, and a line for "
                f"`replication` in pg_hba.conf: `host replication {sql.user} ADDRESS/32 scram-sha-256`, and a reload"
            ) from None
        self.left_out: list[str] = []
        self._connection.add_notice_handler(self._noted)
        self._pg = self._connection.pgconn
        self._pg.nonblocking = 1  # otherwise sending waits inside of the client library, without end
        if self.major < OLDEST:
            self._pg.finish()
            raise HarnessError(f"{self.where}: version {self.major}; physical backups need {OLDEST} or newer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _noted(self, said: Diagnostic) -> None:
        # Of its other functions are warnings about files that it has copied.
        of_it = said.severity_nonlocalized == "WARNING" and said.source_function == "sendDir"
        if of_it and said.message_primary and len(self.left_out) < MOST_WARNINGS:
            self.left_out.append(said.message_primary)

    def close(self) -> None:
        """End the connection."""
        self._pg.finish()

    @property
    def major(self) -> int:
        """Return the major version of the server."""
        return int(self._pg.server_version) // 10000

    def identify(self) -> Identity:
        """Return what the server says of itself. Raises HarnessError."""
        ((system, timeline, position, _),) = self.ask("IDENTIFY_SYSTEM")
        ((size,),) = self.ask("SHOW wal_segment_size")
        number = int("".join(char for char in size if char.isdigit()))
        return Identity(system, int(timeline), position, number << (30 if size.endswith("GB") else 20))

    def recovers(self) -> bool:
        """Return whether the server replays WAL: a standby, or a restore. Raises HarnessError."""
        return self.ask("SHOW in_hot_standby") == (("on",),)

    def ask(self, command: str) -> tuple[Row, ...]:
        """Return the rows that answer a command. Raises HarnessError."""
        self.send(command)
        rows: tuple[Row, ...] = ()
        while (result := self.result()) is not None:
            rows = rows_of(result) or rows
        return rows

    def send(self, command: str) -> None:
        """Send a command; its results are read by `result`. Raises HarnessError."""
        with _explained(self.where):
            self._pg.send_query(command.encode())
            self._flush()

    def result(self) -> pq.abc.PGresult | None:
        """Return the next result, None after the last. Raises HarnessError for an error of the server."""
        result = self._result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            with suppress(HarnessError):  # the connection takes the next command once all of this one was read
                while self._result() is not None:
                    pass
            raise HarnessError(f"{self.where}: {_one_line(result.error_message)}")
        return result

    def _result(self) -> pq.abc.PGresult | None:
        with _explained(self.where):
            while self._pg.is_busy():
                self.wait(PATIENCE.replication_silence, required=True)
            return self._pg.get_result()

    def wait(self, seconds: float, *, required: bool = False) -> None:
        """Wait until the server sends something, at most that long. Raises HarnessError if it is `required`."""
        ready, _, _ = select.select([self._pg.socket], [], [], seconds)
        if ready:
            with _explained(self.where):
                self._pg.consume_input()
        elif required:
            raise HarnessError(f"{self.where}: sent nothing for {seconds:g} s")

    def received(self) -> bytes | None:
        """Return the next message of a copy, b"" if none has arrived, None at the end. Raises HarnessError."""
        with _explained(self.where):
            size, data = self._pg.get_copy_data(1)
        return bytes(data) if size > 0 else b"" if size == 0 else None

    def messages(self) -> Iterator[bytes]:
        """Yield the messages of a copy until its end. Raises HarnessError when the server is silent for too long."""
        while (message := self.received()) is not None:
            if message:
                yield message
            else:
                self.wait(PATIENCE.replication_silence, required=True)

    def reply(self, message: bytes) -> None:
        """Send a message of a copy. Raises HarnessError."""
        with _explained(self.where):
            self._pg.put_copy_data(message)
            self._flush()

    def end_copy(self) -> None:
        """Say that nothing more is sent. Raises HarnessError."""
        with _explained(self.where):
            self._pg.put_copy_end()
            self._flush()

    def _flush(self) -> None:
        """Send what the client library keeps. Raises HarnessError when the server takes nothing for too long."""
        while self._pg.flush():
            _, ready, _ = select.select([], [self._pg.socket], [], PATIENCE.replication_silence)
            if not ready:
                raise HarnessError(f"{self.where}: took nothing for {PATIENCE.replication_silence:g} s")


class _explained:  # noqa: N801 - used as a function
    """Turn an exception of the client library into one line."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, OperationalError):
            raise HarnessError(f"{self.where}: replication connection lost ({' '.join(str(error).split())})") from None


def rows_of(result: pq.abc.PGresult) -> tuple[Row, ...]:
    """Return the rows of a result as text; NULL is the empty string."""
    columns = range(result.nfields)
    return tuple(
        tuple((result.get_value(row, column) or b"").decode() for column in columns) for row in range(result.ntuples)
    )


def _one_line(message: bytes) -> str:
    return " ".join(message.decode("utf-8", "backslashreplace").split()).removeprefix("ERROR: ").strip()
