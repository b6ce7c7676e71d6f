"""The receiver says how far the WAL is complete by what the server wrote, not by what it has sent so far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from harness.core.journal import MemoryJournal
from harness.core.node import Address
from harness.core.service import Sql
from harness.physical.choice import Way, _fits
from harness.physical.receive import Keys, Receiver, _Open
from harness.physical.shipper import Shipper
from harness.physical.target import read_target
from harness.postgres.replication.stream import Piece, WalStream
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients

SIZE = 1 << 20
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
WRITTEN = 1000  # position that the server named before the stream began


def at(second: int) -> datetime:
    return BEGIN + timedelta(seconds=second)


def data(start: int, stop: int, end: int, second: int) -> Piece:
    return Piece(start, bytes(stop - start), end, at(second))


def alive(end: int, second: int) -> Piece:
    return Piece(end, b"", end, at(second))


def taken(recipients: Recipients, *pieces: Piece) -> datetime | None:
    """Return up to when a receiver says that the WAL is complete, after these pieces."""
    keys = Keys(recipients.public, recipients.writer[0].decode())
    repository = recipients.repository(MemoryStore())
    receiver = Receiver(
        Sql(Address("127.0.0.1", 1), Address("127.0.0.1", 1), "u", "env:NONE"), repository, keys, "s", MemoryJournal()
    )
    stream = cast("WalStream", SimpleNamespace(connection=SimpleNamespace(where="here")))
    now = _Open(1, 0, WRITTEN)
    for piece in pieces:
        receiver._take(stream, cast("Shipper", None), SIZE, now, piece)
    return now.covered_until


def test_a_sign_of_life_says_nothing_while_the_receiver_is_behind(recipients: Recipients) -> None:
    behind = data(0, 2000, 9000, 1), alive(2000, 2), alive(2000, 3), alive(2000, 4)
    assert taken(recipients, *behind) is None
    assert taken(recipients, *behind, data(2000, 9000, 9000, 5)) == at(4)


def test_a_sign_of_life_says_nothing_before_what_the_server_named_at_the_begin(recipients: Recipients) -> None:
    assert taken(recipients, alive(0, 1), alive(0, 2), alive(0, 3)) is None
    assert taken(recipients, data(0, WRITTEN - 1, WRITTEN - 1, 1), alive(WRITTEN - 1, 2), alive(WRITTEN - 1, 3)) is None


def test_an_idle_server_is_complete_up_to_the_sign_of_life_before(recipients: Recipients) -> None:
    caught_up = data(0, 1500, 2000, 1), data(1500, 2000, 2000, 2)
    assert taken(recipients, *caught_up) == at(1)
    assert taken(recipients, *caught_up, alive(2000, 3)) == at(1)
    assert taken(recipients, *caught_up, alive(2000, 3), alive(2000, 4)) == at(3)


@pytest.mark.parametrize(("second", "fits"), [(1, False), (10, True), (11, None)])
def test_only_the_replay_tells_what_is_after_the_time_up_to_which_the_wal_is_complete(
    second: int, fits: bool | None
) -> None:
    """A push covers what was written before its segment's end; transactions after that time may be in a later one."""
    way = cast("Way", SimpleNamespace(facts=SimpleNamespace(stopped_at=at(5)), covered_until=at(10)))
    assert _fits(way, read_target(f"time={at(second).isoformat()}")) is fits
