"""Receiver of WAL: streams it from the server by a replication slot and ships it to the repository, segment by segment.

The server keeps what is not shipped: a position is confirmed only when the repository has everything before it.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError
from harness.core.journal import Journal
from harness.core.service import Sql
from harness.core.wal import read_history, read_lsn, segment_start, show_lsn
from harness.patience import PATIENCE
from harness.physical.continuity import continued, require_ahead, require_same
from harness.physical.shipper import History, Part, Shipper
from harness.postgres.replication.connection import Identity, Replication
from harness.postgres.replication.stream import (
    REMOVED,
    Piece,
    WalStream,
    drop_slot,
    make_slot,
    slot_of,
    timeline_history,
)
from harness.repository.catalogue import Repository
from harness.repository.wal.catalogue import WalCatalogue, read_wal
from harness.repository.wal.heads import remember_wal
from harness.repository.wal.writer import Purpose, begin_wal

APPLICATION = "blackstart wal"
LOOKED = 0.2  # seconds without WAL after which the receiver looks at what is due
ANSWER = 1.0  # seconds after which the server is told the position, and asked for a sign of life
ALIVE = 30.0  # seconds after which a tail says that an idle server wrote nothing


@dataclass(frozen=True, slots=True)
class Keys:
    """What WAL is sealed and signed with: public keys of the recipients in PEM, the writer's private key."""

    recipients: tuple[str, ...]
    signing_key: str = field(repr=False)


@dataclass(slots=True)
class _Open:
    """The segment that is being received, and what is known of time. `received`: up to where there is WAL.

    `written`: up to where the server is known to have WAL; `asked_at`: when it was asked for the sign of life that has
    not come yet; `heard_at`: when it sent something.
    """

    timeline: int
    start: int
    written: int
    data: bytearray = field(default_factory=bytearray)
    covered_until: datetime | None = None
    sent_at: datetime | None = None
    alive: bool = False
    asked_at: float | None = None
    heard_at: float = 0.0
    shown: int = -1
    shown_at: float = 0.0

    @property
    def received(self) -> int:
        return self.start + len(self.data)


@dataclass(slots=True)
class Receiver:
    """Receives WAL of one server. `budget`: seconds after which WAL is shipped at the latest, full segment or not.

    `until`: a position after which it ends, None: it goes on until it is stopped.
    """

    sql: Sql
    repository: Repository
    keys: Keys
    slot: str
    journal: Journal
    budget: float = 10.0
    lock: timedelta | None = None
    purpose: Purpose = "archive"
    until: int | None = None
    clock: Clock = SYSTEM
    _answered: float = 0.0
    _stopped: float = 0.0
    _known: WalCatalogue | None = None  # what was shipped before it began

    def run(self, stop: Event) -> None:
        """Receive until `stop` is set or `until` is reached. Raises HarnessError, BackupFailed."""
        with Replication(self.sql, APPLICATION) as connection:
            identity = connection.identify()
            restart = self._slot(connection, identity)
            catalogue = read_wal(self.repository, identity.system)
            require_ahead(connection, identity, catalogue)
            timeline, position = continued(connection, identity, catalogue, restart)
            size = identity.segment_size
            begin = segment_start(position, size)
            # Where the server still has it, the last whole segment is compared with what was shipped.
            before, oldest = begin - size, segment_start(restart, size)
            if position == begin and (timeline, before) in catalogue.segments and oldest <= before:
                begin = before
            try:
                self.receive(connection, identity, (timeline, begin), stop)
            except HarnessError as error:
                if REMOVED not in str(error):
                    raise
                self._beyond(connection, identity, restart, error, stop)

    def _beyond(
        self, connection: Replication, identity: Identity, restart: int, error: HarnessError, stop: Event
    ) -> None:
        """Receive from where the server has its WAL, behind some that it does not have. Raises as `run`.

        `restart`: of the slot; `error`: what the server said, raised where it has no later WAL.
        """
        size = identity.segment_size
        timeline, position = self._shipped_to(connection, identity, restart)
        kept = position < segment_start(restart, size)
        if not kept:
            try:  # the slot may well have what follows
                return self.receive(connection, identity, (timeline, segment_start(position, size)), stop)
            except HarnessError as again:
                if REMOVED not in str(again):
                    raise
            # The slot names WAL that is gone: of a server whose WAL was reset.
            _, position = self._shipped_to(connection, identity, restart)
            drop_slot(connection, self.slot)
            if position >= (restart := self._slot(connection, connection.identify())):
                raise error
        # Going on is better than nothing: the catalogue names the hole until a new backup is beyond it.
        self.journal.mark("hole", self.slot, begins=show_lsn(position), ends=show_lsn(restart))
        try:
            self.receive(connection, identity, (identity.timeline, segment_start(restart, size)), stop)
        except HarnessError as again:
            if REMOVED not in str(again) or not kept:
                raise
            self._beyond(connection, identity, 0, again, stop)

    def _shipped_to(self, connection: Replication, identity: Identity, restart: int) -> tuple[int, int]:
        """Return the timeline and the position up to which WAL was shipped without a gap, also by a backup."""
        return continued(connection, identity, read_wal(self.repository, identity.system), restart, shipped=True)

    def receive(self, connection: Replication, identity: Identity, start: tuple[int, int], stop: Event) -> None:
        """Receive from a position of a timeline on, by a connection whose server was identified. Raises as `run`."""
        self._known = catalogue = read_wal(self.repository, identity.system)
        writer = begin_wal(
            self.repository,
            identity.system,
            identity.segment_size,
            self.keys.recipients,
            self.keys.signing_key,
            catalogue.head,
            self.lock,
            self.purpose,
        )
        timeline, position = start
        with Shipper(writer) as shipper:
            while timeline:
                self._history(connection, shipper, catalogue, timeline)
                self.journal.mark("receiving", self.slot, timeline=timeline, position=show_lsn(position))
                now = _Open(timeline, position, read_lsn(identity.position), shown_at=self.clock.monotonic())
                after = self._timeline(connection, shipper, identity.segment_size, now, stop)
                timeline, position = after or (0, 0)
                position = segment_start(position, identity.segment_size)
        remember_wal(self.repository, read_wal(self.repository, identity.system))

    def _slot(self, connection: Replication, identity: Identity) -> int:
        """Return the position from which the slot keeps WAL; one that is missing or lost its WAL is made anew."""
        slot = slot_of(connection, self.slot)
        if slot is not None and slot.restart is None:
            drop_slot(connection, self.slot)
        if slot is None or slot.restart is None:
            make_slot(connection, self.slot)
            why = "missing" if slot is None else "the server had discarded its WAL (max_slot_wal_keep_size)"
            self.journal.mark("created", self.slot, why=why)
            slot = slot_of(connection, self.slot)
        return read_lsn(identity.position) if slot is None or slot.restart is None else slot.restart

    def _history(self, connection: Replication, shipper: Shipper, catalogue: WalCatalogue, timeline: int) -> None:
        if timeline == 1:
            return
        name, text = timeline_history(connection, timeline)
        history = History(name, timeline, text, read_history(text))
        require_same(connection.where, history, catalogue)
        if timeline not in catalogue.histories:
            self._hand(shipper, None, history)

    def _timeline(
        self, connection: Replication, shipper: Shipper, size: int, now: _Open, stop: Event
    ) -> tuple[int, int] | None:
        """Receive one timeline; return the next one and where it begins, None when the receiver was stopped."""
        stream = WalStream(connection, now.timeline)
        stream.begin(self.slot, now.start)
        try:
            for piece in stream.pieces(LOOKED):
                shipper.require_working()
                if piece is not None:
                    self._take(stream, shipper, size, now, piece)
                self._look(stream, shipper, now)
                reached = self.until is not None and now.received >= self.until
                if reached or (stop.is_set() and self._drained(piece)):
                    if now.data and not reached:
                        self._hand(shipper, (stream, now), self._part(now, whole=False))
                    return None
        except HarnessError:
            if now.data:  # the server may be lost, and this with it
                with suppress(HarnessError):
                    self._hand(shipper, None, self._part(now, whole=False))
            raise
        if now.data:
            self._hand(shipper, None, self._part(now, whole=True))
        return stream.after

    def _drained(self, piece: Piece | None) -> bool:
        """Return whether a receiver that is stopped has what its server sent, or has tried for its budget."""
        self._stopped = self._stopped or self.clock.monotonic()
        return piece is None or not piece.data or self.clock.monotonic() - self._stopped > self.budget

    def _take(self, stream: WalStream, shipper: Shipper, size: int, now: _Open, piece: Piece) -> None:
        """Add a piece to the open segment, and hand over each segment that is full."""
        if piece.data and piece.start != now.received:
            raise HarnessError(
                f"{stream.connection.where}: sent WAL from {show_lsn(piece.start)} instead of {show_lsn(now.received)}"
            )
        rest = memoryview(piece.data)
        while rest:
            room = size - len(now.data)
            now.data += rest[:room]
            rest = rest[room:]
            if len(now.data) == size:
                self._hand(shipper, (stream, now), self._part(now, whole=True))
                now.start, now.data = now.start + size, bytearray()
        self._learn(now, piece)

    def _learn(self, now: _Open, piece: Piece) -> None:
        """Note up to when the WAL is complete, by a piece that was added.

        The server reads how far its WAL is after it sent the message before: with WAL for this message, with a sign of
        life after the sign of life before, for it was asked for this one when that one had arrived.
        """
        if piece.data:
            now.written = max(now.written, piece.end)
        if now.received >= now.written and now.sent_at is not None and (piece.data or now.alive):
            now.covered_until = now.sent_at
        now.sent_at, now.alive, now.heard_at = piece.sent_at, not piece.data, self.clock.monotonic()
        if now.alive:
            now.asked_at = None

    def _part(self, now: _Open, *, whole: bool) -> Part:
        part = Part(now.timeline, now.start, bytes(now.data), whole, now.covered_until)
        if self._known is not None:
            require_same(f"PostgreSQL at {self.sql}", part, self._known)
        return part

    def _look(self, stream: WalStream, shipper: Shipper, now: _Open) -> None:
        """Do what is due: show the open segment, tell the server the position. Raises HarnessError for a silent one."""
        at = self.clock.monotonic()
        if now.asked_at is not None and at - max(now.asked_at, now.heard_at) > PATIENCE.wal_silence:
            raise HarnessError(
                f"{stream.connection.where}: sent nothing for {PATIENCE.wal_silence:g} s on the WAL connection, "
                "though it was asked for a sign of life; is it, or the network to it, stuck?"
            )
        due = self.budget if now.received != now.shown else max(self.budget, ALIVE)
        if at - now.shown_at >= due and shipper.idle and shipper.offer(self._part(now, whole=False)):
            now.shown, now.shown_at = now.received, at
        if at - self._answered >= min(ANSWER, self.budget):
            self._answered = at
            stream.confirm(now.received, shipper.shipped, answer=now.asked_at is None)
            now.asked_at = at if now.asked_at is None else now.asked_at

    def _hand(self, shipper: Shipper, at: tuple[WalStream, _Open] | None, item: Part | History) -> None:
        """Hand something over, and answer the server while the shipper is busy."""
        while not shipper.offer(item):
            if at is not None:
                at[0].confirm(at[1].received, shipper.shipped)
