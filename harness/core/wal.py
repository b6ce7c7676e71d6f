"""Write-ahead log of PostgreSQL: positions (LSN), names of segment files, timeline histories, headers of segments.

Sources: `src/include/access/xlog_internal.h`, `src/backend/access/transam/timeline.c` of PostgreSQL.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from harness.core.errors import Unreadable

SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
HISTORY_LINE = re.compile(r"\s*([0-9]{1,10})\s+([0-9A-Fa-f/]+)\s")
LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
LONG_HEADER = struct.Struct("<HHIQIxxxxQII")  # of the first page of a segment, on a little-endian machine
FIRST_PAGE_IS_LONG = 2  # XLP_LONG_HEADER
SIZES = tuple(1 << power for power in range(20, 31))  # bytes of a segment: 1 MiB to 1 GiB
DEFAULT_SIZE = 16 << 20


@dataclass(frozen=True, slots=True)
class Switch:
    """The end of a timeline: the next one continues at `at`."""

    timeline: int
    at: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself. `system`: identifier of its database system; `size`: of a segment, in bytes."""

    timeline: int
    start: int
    system: str
    size: int


def read_lsn(text: str) -> int:
    """Return the position that `0/3000028` names, in bytes. Raises Unreadable for anything else."""
    found = LSN.fullmatch(text)
    if found is None:
        raise Unreadable(f"{text[:40]!r}: no position in the WAL; one is like 0/3000028")
    return (int(found[1], 16) << 32) + int(found[2], 16)


def show_lsn(position: int) -> str:
    """Return a position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def segment_start(position: int, size: int) -> int:
    """Return the position at which the segment begins that contains `position`."""
    return position - position % size


def segment_end(position: int, size: int) -> int:
    """Return the position up to which segments are needed to have everything before `position`."""
    return -(-position // size) * size


def segment_name(timeline: int, position: int, size: int) -> str:
    """Return the name of the file that contains `position`."""
    number, per = position // size, (1 << 32) // size
    return f"{timeline:08X}{number // per:08X}{number % per:08X}"


def place_of_segment(name: str, size: int) -> tuple[int, int]:
    """Return timeline and start of a segment file. Raises Unreadable for a name that is none."""
    if SEGMENT.fullmatch(name) is None:
        raise Unreadable(f"{name[:60]!r}: not the name of a WAL segment")
    high, low, per = int(name[8:16], 16), int(name[16:], 16), (1 << 32) // size
    if low >= per:
        raise Unreadable(f"{name}: not the name of a WAL segment of {size} bytes")
    return int(name[:8], 16), (high * per + low) * size


def read_history(text: bytes) -> tuple[Switch, ...]:
    """Return the timelines before one, oldest first, each with its end. Raises Unreadable for no history."""
    found = []
    for line in text.decode("utf-8", "replace").split("\n"):  # the reason of a line may have any other character
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = HISTORY_LINE.match(line)
        if words is None:
            raise Unreadable(f"timeline history: {line[:60]!r} is no line of one")
        found.append(Switch(int(words[1]), read_lsn(words[2])))
    if not found or any(later.timeline <= one.timeline for one, later in pairwise(found)):
        raise Unreadable("timeline history: names no timeline, or not in ascending order")
    return tuple(found)


def fork_of(one: Sequence[Switch], timeline: int, other: Sequence[Switch], its_timeline: int) -> Switch | None:
    """Return the last timeline that two servers share, and where the first of them left it; None: both are on it.

    Each server is given by its history and the timeline that it is on. Raises Unreadable where they share none. As
    `findCommonAncestorTimeline` of `src/bin/pg_rewind/pg_rewind.c`.
    """
    mine = (*((past.timeline, past.at) for past in one), (timeline, None))
    its = (*((past.timeline, past.at) for past in other), (its_timeline, None))
    shared: Switch | None = None
    for (number, end), (_, its_end) in takewhile(lambda both: both[0][0] == both[1][0], zip(mine, its, strict=False)):
        if end is None and its_end is None:
            return None
        shared = Switch(number, min(at for at in (end, its_end) if at is not None))
        if end != its_end:
            return shared
    if shared is None:
        raise Unreadable(f"timelines {timeline} and {its_timeline} have no timeline in common")
    return shared


def timeline_at(history: Sequence[Switch], timeline: int, end: int) -> int:
    """Return the timeline of the file that holds the WAL right before `end`, for a server on `timeline`."""
    return next((past.timeline for past in history if end <= past.at), timeline)


def read_header(data: bytes) -> Header:
    """Return what the first page of a segment says. Raises Unreadable when it is the start of no segment."""
    if len(data) < LONG_HEADER.size:
        raise Unreadable(f"{len(data)} bytes are too few for a WAL segment")
    _, info, timeline, start, _, system, size, _ = LONG_HEADER.unpack_from(data)
    if not info & FIRST_PAGE_IS_LONG or size not in SIZES or start % size:
        raise Unreadable("not a WAL segment: its first page has no header of one")
    return Header(timeline, start, str(system), size)
