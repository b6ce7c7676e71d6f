"""Pool of connections to PostgreSQL, which are replaced after a loss."""

from collections.abc import Callable
from pathlib import Path
from queue import Empty, LifoQueue
from threading import BoundedSemaphore, Lock
from typing import TypeVar

import psycopg

from notifier.errors import Unavailable
from notifier.settings import Settings

T = TypeVar("T")
SCHEMA = Path(__file__).with_name("schema.sql")
AT_MOST = 8  # connections
SCHEMA_LOCK = 0x6E6F7469  # advisory lock, so that only one instance of this service creates the schema
# An acknowledgement means that the row is on disk, whatever the server's default is.
OPTIONS = "-c synchronous_commit=on"


class Database:
    """Runs functions in transactions on pooled connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: LifoQueue[psycopg.Connection] = LifoQueue()
        self._slots = BoundedSemaphore(AT_MOST)
        self._prepared = False
        self._preparing = Lock()

    def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Run repeatable `work` in a transaction, anew if the idle connection was lost. Raises Unavailable."""
        with self._slots:
            try:
                return self._on(self._idle.get_nowait(), work)
            except (Empty, psycopg.OperationalError, psycopg.InterfaceError):
                self.close()  # the other idle connections are lost as well
            except psycopg.Error as error:
                raise Unavailable("database", str(error)) from error
            try:
                return self._on(self._connect(), work)
            except psycopg.Error as error:
                raise Unavailable("database", str(error)) from error

    def _on(self, connection: psycopg.Connection, work: Callable[[psycopg.Connection], T]) -> T:
        kept = False
        try:
            with connection.transaction():
                result = work(connection)
            kept = True
        finally:
            if kept:
                self._idle.put(connection)
            else:
                connection.close()
        return result

    def _connect(self) -> psycopg.Connection:
        settings = self._settings
        connection = psycopg.connect(
            host=settings.db_host,
            port=settings.db_port,
            dbname=settings.db_name,
            user=settings.db_user,
            password=settings.db_password,
            application_name="notifier",
            connect_timeout=3,
            options=OPTIONS,
            autocommit=True,
        )
        try:
            self._prepare(connection)
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: psycopg.Connection) -> None:
        """Create the schema if one of its tables is missing."""
        with self._preparing:
            if self._prepared:
                return
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                row = connection.execute("SELECT to_regclass('outbox'), to_regclass('control')").fetchone()
                if row is None or None in row:
                    connection.execute(SCHEMA.read_bytes())
            self._prepared = True

    def close(self) -> None:
        """Close every idle connection."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return
