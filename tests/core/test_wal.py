"""Positions, names and headers of WAL."""

from __future__ import annotations

import struct

import pytest

from harness.core.errors import Unreadable
from harness.core.wal import (
    LONG_HEADER,
    Switch,
    fork_of,
    place_of_segment,
    read_header,
    read_history,
    read_lsn,
    segment_end,
    segment_name,
    segment_start,
    show_lsn,
    timeline_at,
)

SIZE = 16 << 20


def test_a_position_is_read_and_shown() -> None:
    assert read_lsn("1/3000028") == (1 << 32) + 0x3000028
    assert show_lsn((1 << 32) + 0x3000028) == "1/3000028"
    for wrong in ("", "1", "1/", "x/1", "1/123456789", "0/1 "):
        with pytest.raises(Unreadable, match="no position in the WAL"):
            read_lsn(wrong)


@pytest.mark.parametrize("size", [1 << 20, SIZE, 1 << 30])
def test_a_name_has_timeline_and_position(size: int) -> None:
    for position in (0, size, 5 << 32, (7 << 32) - size):
        name = segment_name(3, position + 1, size)
        assert place_of_segment(name, size) == (3, position)
    assert segment_name(1, 0x3000028, SIZE) == "000000010000000000000003"
    assert (segment_start(0x3000028, SIZE), segment_end(0x3000028, SIZE)) == (0x3000000, 0x4000000)
    assert segment_end(0x3000000, SIZE) == 0x3000000


@pytest.mark.parametrize("name", ["", "00000001", "00000001000000000000000g", "0000000100000000000000FF0"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(Unreadable, match="not the name of a WAL segment"):
        place_of_segment(name, SIZE)


def test_a_name_for_another_segment_size_is_refused() -> None:
    with pytest.raises(Unreadable, match="of 16777216 bytes"):
        place_of_segment("000000010000000000000100", SIZE)


def test_a_history_is_read() -> None:
    text = b"# comment\n1\t0/3000110\tno recovery target specified\n\n2\t0/5000000\tbefore \xff\n"
    assert read_history(text) == (Switch(1, 0x3000110), Switch(2, 0x5000000))
    assert read_history('1\t0/30\tat restore point "a\u2028b\x0bc\r"\n'.encode()) == (Switch(1, 0x30),)
    for wrong in (b"", b"1\n", b"x\t0/1\t\n", b"2\t0/1\t\n1\t0/2\t\n", b"1\t0/1/2\t\n", b"1\tnothing\t\n"):
        with pytest.raises(Unreadable):
            read_history(wrong)


def test_the_header_of_a_segment_is_read() -> None:
    page = LONG_HEADER.pack(0xD118, 2, 4, 0x3000000, 0, 7391, SIZE, 8192) + bytes(100)
    found = read_header(page)
    assert (found.timeline, found.start, found.system, found.size) == (4, 0x3000000, "7391", SIZE)
    assert LONG_HEADER.size == 40
    wrong = (
        page[:30],
        bytes(100),
        struct.pack("<HH", 0xD118, 0) + page[4:],
        LONG_HEADER.pack(0xD118, 2, 4, 0x3000001, 0, 7391, SIZE, 8192),
        LONG_HEADER.pack(0xD118, 2, 4, 0x3000000, 0, 7391, SIZE - 1, 8192),
    )
    for data in wrong:
        with pytest.raises(Unreadable):
            read_header(data)


@pytest.mark.parametrize(
    ("one", "timeline", "other", "its", "fork"),
    [
        ((), 1, (Switch(1, 100),), 2, Switch(1, 100)),  # the other one was promoted
        ((Switch(1, 100),), 2, (), 1, Switch(1, 100)),
        ((Switch(1, 100),), 2, (Switch(1, 90),), 3, Switch(1, 90)),  # both were
        ((Switch(1, 100),), 2, (Switch(1, 100), Switch(2, 200)), 3, Switch(2, 200)),
        ((Switch(1, 100),), 3, (Switch(1, 100), Switch(2, 200)), 4, Switch(1, 100)),
        ((), 1, (Switch(1, 100), Switch(2, 200)), 3, Switch(1, 100)),
        ((Switch(1, 100),), 2, (Switch(1, 100),), 2, None),
        ((), 1, (), 1, None),
    ],
)
def test_where_two_servers_parted(
    one: tuple[Switch, ...], timeline: int, other: tuple[Switch, ...], its: int, fork: Switch | None
) -> None:
    assert fork_of(one, timeline, other, its) == fork


def test_servers_without_a_common_timeline() -> None:
    with pytest.raises(Unreadable, match="timelines 2 and 3 have no timeline in common"):
        fork_of((), 2, (), 3)


def test_the_timeline_of_a_file() -> None:
    history = (Switch(1, 100), Switch(2, 250))
    assert [timeline_at(history, 3, end) for end in (100, 101, 250, 300)] == [1, 2, 2, 3]
