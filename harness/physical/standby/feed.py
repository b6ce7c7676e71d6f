"""WAL of the repository into a standby: every file authenticated, and complete under its name at once."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.parallel import in_order
from harness.physical.choice import Way
from harness.physical.unpack import FETCHED
from harness.repository.wal.reader import WalReader


@dataclass(frozen=True, slots=True)
class Feed:
    """Writes WAL into the data folder of a standby, whose server reads what appears there."""

    reader: WalReader
    data: Path

    def place(self, way: Way, placed: int) -> Iterator[int]:
        """Write what the way has after the position `placed`; yield the new position after each file.

        Raises Unreadable for a file that is not authentic, HarnessError of the store.
        """
        lacking = [one for one in way.histories if not (self.data / "pg_wal" / one.entry.name).exists()]
        fresh = [one for one in way.files if one.entry.end > placed]
        for shipped, text in in_order(self.reader.read, (*lacking, *fresh), FETCHED):
            history = shipped.entry.is_history
            self._write(shipped.entry.name, text, len(text) if history else way.facts.segment_size)
            if not history:
                yield shipped.entry.end

    def _write(self, name: str, text: bytes, size: int) -> None:
        """Write one file, with zeros up to its size, under its name once it is whole; it may replace a shorter one."""
        half = self.data.parent / f".{name}"
        with half.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.truncate(size)
        half.replace(self.data / "pg_wal" / name)
