"""Folders of a site that is lost: out of reach at once, removed when the run ends."""

import itertools
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import make_folder, remove_tree

LOST = "lost"  # folder in a run folder
BLOCK = 512  # bytes of `st_blocks`


@dataclass(slots=True)
class Lost:
    """The lost folders of a site. A disaster does not wait until half a gigabyte is removed, nor does a recovery.

    `run`: the run folder, whose sweep removes them. A folder is removed beside what follows, which on ext4 may double
    the time of a restore, where less than `room` times its size is free: for spool, data and WAL of the DR site.
    """

    run: Path
    room: float = 4.0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _under_way: list[Future[None]] = field(default_factory=list)

    def take(self, folder: Path) -> None:
        """Take a folder away from its place. One that is not there is no error.

        Raises HarnessError when it cannot be moved.
        """
        try:
            while (there := make_folder(self.run / LOST) / f"{folder.name}-{next(self._numbers)}").exists():
                continue
            folder.rename(there)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HarnessError(f"{folder}: cannot be removed ({error.strerror}); remove it by hand") from None
        if shutil.disk_usage(self.run).free < self.room * size_of(there):
            self._under_way.append(self._pool.submit(remove_tree, there))

    def wait(self) -> None:
        """Return once no folder is being removed. What could not be removed is there for the sweep, which names it."""
        wait(self._under_way)


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on the disk; what goes meanwhile, or cannot be read, is not counted."""
    size = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += BLOCK * Path(above, name).lstat().st_blocks
    return size
