"""Collections whose memory does not grow: what exceeds a few MiB is in a temporary file of SQLite, which has no name.

It is in $SQLITE_TMPDIR, else where Python has temporary files ($TMPDIR, /tmp). SQLite removes its name at once.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from threading import Lock

import zstandard

from harness.core.errors import HarnessError

PLACE = "SQLITE_TMPDIR"
PAGE = 1000  # names that are read at a time
BLOCK = 64 << 10  # bytes that are compressed at a time


class _Table:
    """A table of a database of its own. Safe to use from several threads."""

    def __init__(self, columns: str) -> None:
        self._lock = Lock()
        os.environ.setdefault(PLACE, tempfile.gettempdir())  # SQLite's own choice may be another one
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.run("PRAGMA journal_mode = OFF")
        self.run(f"CREATE TABLE t ({columns}")

    def run(self, statement: str, *values: object) -> tuple[list[tuple[bytes, ...]], int]:
        """Return the rows of a statement, and how many it changed. Raises HarnessError for a disk that is full."""
        with self._lock:
            try:
                done = self._database.execute(statement, values)
                return done.fetchall(), done.rowcount
            except sqlite3.Error as error:
                where = os.environ.get(PLACE, "")
                raise HarnessError(
                    f"temporary files in {where}: {error}; make room there, or name another folder with {PLACE}"
                ) from error


class Names:
    """A set of texts, each with a value. It is in the order of their UTF-8. Safe to use from several threads.

    Every method raises HarnessError where the disk of temporary files is full.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._table = _Table("name BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        for name in names:
            self.add(name)

    def add(self, name: str) -> bool:
        """Add a text; return False when it is there."""
        return self._table.run("INSERT OR IGNORE INTO t VALUES (?, ?)", _bytes(name), b"")[1] == 1

    def put(self, name: str, value: str) -> None:
        """Add a text with its value, which replaces the one that it has."""
        self._table.run("INSERT OR REPLACE INTO t VALUES (?, ?)", _bytes(name), _bytes(value))

    def discard(self, name: str) -> None:
        """Remove a text that may be there."""
        self._table.run("DELETE FROM t WHERE name = ?", _bytes(name))

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield every text with its value, "" without one."""
        rows, _ = self._table.run("SELECT name, value FROM t ORDER BY name LIMIT ?", PAGE)
        while rows:
            for name, value in rows:
                yield _text(name), _text(value)
            more = "SELECT name, value FROM t WHERE name > ? ORDER BY name LIMIT ?"
            rows, _ = self._table.run(more, rows[-1][0], PAGE)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items())

    def __contains__(self, name: str) -> bool:
        return bool(self._table.run("SELECT name FROM t WHERE name = ?", _bytes(name))[0])

    def __bool__(self) -> bool:
        return bool(self._table.run("SELECT name FROM t LIMIT 1")[0])


def names_of(names: Iterable[str]) -> Names:
    """Return texts as a set: the one that they are, where they are one. Raises HarnessError for a disk that is full."""
    return names if isinstance(names, Names) else Names(names)


class Lines:
    """Lines in the order in which they were added, compressed. Raises HarnessError where the disk is full."""

    def __init__(self) -> None:
        self._table = _Table("data BLOB)")
        self._rest, self._blocks = bytearray(), 0

    def add(self, line: bytes) -> None:
        """Add a line, with its line feed and no other in it."""
        self._rest += line
        if len(self._rest) >= BLOCK:
            self._table.run("INSERT INTO t VALUES (?)", zstandard.compress(bytes(self._rest)))
            self._rest.clear()
            self._blocks += 1

    def __iter__(self) -> Iterator[bytes]:
        """Yield every line; none may be added meanwhile."""
        for number in range(1, self._blocks + 1):
            (((data,),), _) = self._table.run("SELECT data FROM t WHERE rowid = ?", number)
            yield from zstandard.decompress(data).splitlines(keepends=True)
        yield from bytes(self._rest).splitlines(keepends=True)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
