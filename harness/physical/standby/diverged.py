"""What an old primary has that the server which was promoted in its place lacks: WAL, and the transactions in it."""

import re
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import RestoreFailed
from harness.core.wal import Switch, read_lsn, segment_name, segment_start, show_lsn
from harness.physical.programs import Programs
from harness.physical.standby.shelf import Shelf
from harness.substrate.embedded.spawn import wrapper

BETWEEN = re.compile(r"WAL statistics between ([0-9A-F]+/[0-9A-F]+) and ([0-9A-F]+/[0-9A-F]+)")
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


def _commits(programs: Programs, *words: str) -> tuple[int, str, str]:
    """Return the number of commits, and the times of the first and the last."""
    command = [*wrapper(), str(programs.folder / "pg_waldump"), "--rmgr=Transaction", *words]
    count, first, last, said = 0, "", "", deque[str](maxlen=1)
    with subprocess.Popen(
        command, env={**programs.environment, "TZ": "UTC"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            said.append(line)
            if found := COMMIT.search(line):
                count, first, last = count + 1, first or found[1], found[1]
    if process.returncode:
        raise RestoreFailed(f"pg_waldump: {''.join(said).strip()}")
    return count, first, last
