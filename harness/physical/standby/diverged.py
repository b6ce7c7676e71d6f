"""What an old primary has that the server which was promoted in its place lacks: WAL, and the transactions in it."""

import re
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import RestoreFailed
from harness.core.wal import Switch, read_lsn, segment_name, segment_start, show_lsn
from harness.physical.programs import Programs
from harness.physical.standby.shelf import Shelf
from harness.substrate.embedded.spawn import wrapper

BETWEEN = re.compile(r"WAL statistics between ([0-9A-F]+/[0-9A-F]+) and ([0-9A-F]+/[0-9A-F]+)")
RECORD = re.compile(r"len \(rec/tot\):\s*\d+/\s*(\d+),.* lsn: ([0-9A-F]+/[0-9A-F]+),")
CHUNK = 1 << 22  # bytes of WAL that are compared at a time
PAGE = 1 << 13  # bytes of a page of WAL
COMMIT = re.compile(r"desc: COMMIT(?:_PREPARED)? .*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Diverged:
    """WAL after the fork. `end`: where it ends; `first`, `last`: times of its first and last commit, in UTC."""

    fork: Switch
    end: int
    commits: int = 0
    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        what = f"WAL from {show_lsn(self.fork.at)} to {show_lsn(self.end)} of timeline {self.fork.timeline}"
        if not self.commits:
            return f"{what}, in which no transaction committed"
        if self.commits == 1:
            return f"{what}, in which 1 transaction committed, at {self.first} UTC"
        return f"{what}, in which {self.commits} transactions committed, from {self.first} to {self.last} UTC"


def diverged(programs: Programs, folder: Path, fork: Switch, reached: int, shelf: Shelf, place: Path) -> Diverged:
    """Return what is in the WAL of an old primary after the fork; it ends at the fork where there is none.

    `reached`: where its control file says that it was: a server has all WAL after that itself, without which it could
    not recover. `place`: an empty folder. Raises RestoreFailed where WAL is neither there nor in the repository.
    """
    at = segment_start(fork.at, shelf.size)
    while True:
        name = segment_name(fork.timeline, at, shelf.size)
        if (own := folder / "pg_wal" / name).is_file():
            (place / name).symlink_to(own.absolute())
        elif at <= max(reached, fork.at) and (data := shelf.read(name)) is not None:
            (place / name).write_bytes(data)
        else:
            break
        at += shelf.size
    if not any(place.iterdir()):
        why = f" ({'; '.join(shelf.failed)})" if shelf.failed else ""
        raise RestoreFailed(f"WAL {name}, where the servers parted, is neither in {folder} nor in the repository{why}")
    end = end_of(programs, place, fork.timeline, fork.at)
    if end == fork.at:
        return Diverged(fork, end)
    words = (f"--path={place}", f"--timeline={fork.timeline}", f"--start={show_lsn(fork.at)}", f"--end={show_lsn(end)}")
    return Diverged(fork, end, *_commits(programs, *words))


def end_of(programs: Programs, folder: Path, timeline: int, start: int) -> int:
    """Return up to which position WAL in a folder can be read from `start` on; that itself where it cannot."""
    words = (f"--path={folder}", f"--timeline={timeline}", f"--start={show_lsn(start)}")
    # It ends with an error at the end of the WAL of a server that crashed. The caller compares with the checkpoint.
    found = BETWEEN.search(programs.end("pg_waldump", "--stats", *words).stdout)
    return start if found is None else read_lsn(found[2])


@dataclass(frozen=True, slots=True)
class Other:
    """WAL of another server on the same timeline. `end`: where it ends; `size`: bytes of a segment.

    `read`: returns a part of a segment by name, offset and length, None where it is nowhere any more.
    """

    end: int
    size: int
    read: Callable[[str, int, int], bytes | None]


def parted(programs: Programs, folder: Path, start: Switch, span: tuple[int, int], other: Other) -> Diverged | None:
    """Return what WAL of a data folder has that another server on its timeline lacks, None for nothing.

    `start`: of the timeline; `span`: from the newest checkpoint of the folder to the end of its WAL, which is compared
    first: two servers that parted before have no checkpoint in common. Raises RestoreFailed where that cannot be done.
    """
    own, (checkpoint, end) = folder / "pg_wal", span
    if _same_until(own, Switch(start.timeline, checkpoint), min(end, other.end), other) == end:
        return None
    begin = segment_start(checkpoint, other.size)
    while begin > start.at and (own / segment_name(start.timeline, begin - other.size, other.size)).is_file():
        begin -= other.size
    start = Switch(start.timeline, max(begin, start.at))
    at = _same_until(own, start, min(end, other.end), other)
    words = (f"--path={folder / 'pg_wal'}", f"--timeline={start.timeline}", f"--start={show_lsn(start.at)}")
    return Diverged(Switch(start.timeline, at), end, *_commits(programs, *words, f"--end={show_lsn(end)}", beyond=at))


def _same_until(own: Path, start: Switch, end: int, other: Other) -> int:
    """Return the position of the first byte that another server has otherwise, `end` where all are the same."""
    at = start.at
    while at < end:
        name, offset = segment_name(start.timeline, at, other.size), at % other.size
        length = min(CHUNK, other.size - offset, end - at)
        with (own / name).open("rb") as file:
            file.seek(offset)
            mine = file.read(length)
        theirs = other.read(name, offset, length)
        if theirs is None and at + length > end - PAGE:
            raise RestoreFailed(
                f"{own}: whether the server took writes of its own on timeline {start.timeline} cannot be told: "
                f"WAL {name} is neither on the promoted server nor in the repository"
            )
        if theirs is not None and mine != theirs:
            return at + next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), len(theirs))
        at += length
    return max(start.at, end)


def _commits(programs: Programs, *words: str, beyond: int = 0) -> tuple[int, str, str]:
    """Return the number of commits whose records end beyond a position, and the times of the first and the last."""
    command = [*wrapper(), str(programs.folder / "pg_waldump"), "--rmgr=Transaction", *words]
    count, first, last, said = 0, "", "", deque[str](maxlen=1)
    with subprocess.Popen(
        command, env={**programs.environment, "TZ": "UTC"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            said.append(line)
            if (found := COMMIT.search(line)) and _ends(line) > beyond:
                count, first, last = count + 1, first or found[1], found[1]
    if process.returncode:
        raise RestoreFailed(f"pg_waldump: {''.join(said).strip()}")
    return count, first, last


def _ends(line: str) -> int:
    """Return up to where the record of a line of pg_waldump goes at least."""
    found = RECORD.search(line)
    return 0 if found is None else read_lsn(found[2]) + int(found[1])
