"""Stream of WAL from a server, by a replication slot. Source: PostgreSQL documentation, `START_REPLICATION`."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from psycopg import pq

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.wal import read_lsn, show_lsn
from harness.postgres.replication.connection import Replication, rows_of

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of PostgreSQL's timestamps, in microseconds
DATA, KEEPALIVE = struct.Struct(">cQQq"), struct.Struct(">cQqB")
STATUS = struct.Struct(">cQQQqB")
SLOT = re.compile(r"[a-z0-9_]{1,63}")
REMOVED = "has already been removed"


@dataclass(frozen=True, slots=True)
class Slot:
    """A physical replication slot. `restart`: from which position the server keeps its WAL, None: from none."""

    name: str
    restart: int | None
    timeline: int


@dataclass(frozen=True, slots=True)
class Piece:
    """WAL from `start` on, empty for a sign of life.

    `end`: with WAL, how far the server's WAL was on its disk shortly before `sent_at`; of a sign of life only how far
    it was sent, which is behind the server where the receiver is slow.
    """

    start: int
    data: bytes
    end: int
    sent_at: datetime


def slot_of(connection: Replication, name: str) -> Slot | None:
    """Return a slot of that name, None if there is none. Raises HarnessError, also for a logical one."""
    _require_name(name)
    ((kind, restart, timeline),) = connection.ask(f"READ_REPLICATION_SLOT {name}")
    if not kind:
        return None
    if kind != "physical":
        raise HarnessError(f"{connection.where}: replication slot {name} is {kind}; drop it, or name another")
    return Slot(name, read_lsn(restart) if restart else None, int(timeline or 0))


def make_slot(connection: Replication, name: str, *, temporary: bool = False) -> None:
    """Create a physical slot that keeps the WAL from now on. Raises HarnessError."""
    _require_name(name)
    kind = "TEMPORARY PHYSICAL" if temporary else "PHYSICAL"
    connection.ask(f"CREATE_REPLICATION_SLOT {name} {kind} RESERVE_WAL")


def drop_slot(connection: Replication, name: str) -> None:
    """Drop a slot. Raises HarnessError."""
    _require_name(name)
    connection.ask(f"DROP_REPLICATION_SLOT {name}")


def timeline_history(connection: Replication, timeline: int) -> tuple[str, bytes]:
    """Return the name and the text of a timeline's history. Raises HarnessError."""
    ((name, text),) = connection.ask(f"TIMELINE_HISTORY {timeline}")
    return name, text.encode()


def _require_name(name: str) -> None:
    if SLOT.fullmatch(name) is None:
        raise HarnessError(f"replication slot {name!r}: use small letters, digits and '_', at most 63")


@dataclass(slots=True)
class WalStream:
    """WAL of one timeline. `after`: the timeline that follows and where, once `pieces` has ended."""

    connection: Replication = field(repr=False)
    timeline: int
    after: tuple[int, int] | None = None

    def begin(self, slot: str, start: int) -> None:
        """Ask for the WAL from `start` on, the start of a segment. Raises HarnessError."""
        _require_name(slot)
        where = f"{show_lsn(start)} TIMELINE {self.timeline}"
        self.connection.send(f"START_REPLICATION SLOT {slot} PHYSICAL {where}")
        result = self.connection.result()
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            # The timeline ended before `start`: the server answers with the next one at once.
            self._follow(result)

    def pieces(self, wait: float) -> Iterator[Piece | None]:
        """Yield what arrives, None after `wait` seconds without it, until the timeline ends. Raises HarnessError."""
        while self.after is None:
            if (message := self.connection.received()) == b"":
                self.connection.wait(wait)
                message = self.connection.received()
            if message is None:
                # Raises what ended the stream where that is an error, of which the end of a copy says nothing.
                result = self.connection.result()
                if result is not None and result.status == pq.ExecStatus.COPY_IN:
                    self.connection.end_copy()
                    result = None
                self._follow(result)
                return
            yield piece_of(message) if message else None

    def confirm(self, received: int, shipped: int, *, answer: bool = False) -> None:
        """Tell the server what was received and shipped; it may discard that. `answer`: ask for a sign of life."""
        now = int((SYSTEM.wall() - EPOCH) / timedelta(microseconds=1))
        self.connection.reply(STATUS.pack(b"r", received, shipped, shipped, now, int(answer)))

    def _follow(self, result: pq.abc.PGresult | None) -> None:
        """Read the results after the end of a timeline: the next one, and where it begins."""
        found: list[tuple[str, ...]] = []
        while True:
            result = result or self.connection.result()
            if result is None:
                break
            found += rows_of(result)
            result = None
        if not found:
            raise HarnessError(f"{self.connection.where}: ended the stream of WAL; is it being stopped?")
        self.after = int(found[0][0]), read_lsn(found[0][1])


def piece_of(message: bytes) -> Piece:
    """Return a message of the stream; raises HarnessError for one that is not of the protocol."""
    if message[:1] == b"w" and len(message) >= DATA.size:
        _, start, end, sent = DATA.unpack_from(message)
        return Piece(start, message[DATA.size :], end, EPOCH + timedelta(microseconds=sent))
    if message[:1] == b"k" and len(message) == KEEPALIVE.size:
        _, end, sent, _ = KEEPALIVE.unpack(message)
        return Piece(end, b"", end, EPOCH + timedelta(microseconds=sent))
    raise HarnessError(f"stream of WAL: a message of {len(message)} bytes that is not of the protocol")
