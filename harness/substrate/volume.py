"""A volume that is a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from harness.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class FolderVolume:
    """Storage of a site below one folder. `note` is told of a file before it is written."""

    root: Path
    note: Callable[[Path], None] = lambda _path: None

    def _inside(self, path: str) -> Path:
        """Return the real path; raises UsageError for one that leaves the volume."""
        parts = PurePosixPath(path).parts
        target = self.root.joinpath(*parts)
        if (
            PurePosixPath(path).is_absolute()
            or ".." in parts
            or not target.resolve().is_relative_to(self.root.resolve())
        ):
            raise UsageError(f"volume {self.root.name}: {path!r} leaves the volume")
        return target

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open for `rb` or `wb`; parents are made 0700, files are 0600. Raises OSError."""
        target = self._inside(path)
        if mode == "wb":
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.note(target)
            return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        return target.open("rb")

    def walk(self) -> Iterator[str]:
        """Every file in it, by relative path, in sorted order."""
        yield from sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())

    def remove(self, path: str) -> None:
        """Delete one file, or a folder with all in it; what is not there is left alone."""
        target = self._inside(path)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes in all its files."""
        return sum((self.root / path).stat().st_size for path in self.walk())
