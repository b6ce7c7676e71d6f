"""Folders of a site that is lost: out of reach at once, removed when the run ends."""

import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import HarnessError
from harness.substrate.common.filesystem import make_folder, remove_tree

LOST = "lost"  # folder in a run folder


@dataclass(slots=True)
class Lost:
    """The lost folders of a site. A disaster does not wait until half a gigabyte is removed, nor does a recovery.

    `run`: the run folder; a sweep of it removes what an interruption left. `least`: share of the disk: with less of it
    free a folder is removed at once, beside what follows, which on ext4 may double the time of a restore.
    """

    run: Path
    least: float = 0.2
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _kept: list[Path] = field(default_factory=list)
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
        disk = shutil.disk_usage(self.run)
        if disk.free < self.least * disk.total:
            self._under_way.append(self._pool.submit(remove_tree, there))
        else:
            self._kept.append(there)

    def wait(self) -> None:
        """Return once all is removed. Raises HarnessError that names what could not be removed."""
        while self._kept:
            remove_tree(self._kept.pop())
        while self._under_way:
            self._under_way.pop().result()
