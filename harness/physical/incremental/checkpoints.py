"""Checkpoints of a base backup that is being written: how far each of its archives is, so that a later run goes on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.repository.format.frames import FRAME
from harness.repository.pipeline import Start

STEP = 16 << 20  # bytes of plaintext from one checkpoint to the next, at least
WHOLE = -1


@dataclass(frozen=True, slots=True)
class Reached:
    """How far an archive is: all before `offset` of its plaintext is in files, WHOLE: all of it.

    `start`: where to read on.
    """

    offset: int = 0
    start: Start = field(default_factory=Start)


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of one base backup, a line of JSON each, in the file `path`.

    They are hints: a wrong one, or files that a crash of the machine took, are found by pg_verifybackup afterwards.
    """

    path: Path
    _frames: dict[int, int] = field(default_factory=dict)
    _noted: int = 0

    def reached(self, name: str) -> Reached:
        """Return how far the archive `name` is."""
        return next((found for known, found in reversed(self._lines()) if known == name), Reached())

    @property
    def verified(self) -> bool:
        """Whether the whole backup was verified."""
        return any(name == "" for name, _ in self._lines())

    def begin(self, reached: Reached) -> Callable[[Start], None]:
        """Begin with an archive; return what is to be told of each of its frames."""
        self._frames, self._noted = {reached.start.frame: reached.start.position}, reached.offset
        return lambda start: self._frames.__setitem__(start.frame, start.position)

    def note(self, name: str, offset: int) -> None:
        """Note that all before `offset` is in files, unless that is little more than what was noted."""
        frame = offset // FRAME
        if offset - self._noted >= STEP and frame in self._frames:
            self._noted = offset
            self._write(name, offset, Start(frame, self._frames[frame]))

    def whole(self, name: str = "") -> None:
        """Note that an archive is complete, or without a name that the backup was verified."""
        self._write(name, WHOLE, Start())

    def _write(self, name: str, offset: int, start: Start) -> None:
        line = {"name": name, "offset": offset, "frame": start.frame, "position": start.position}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _lines(self) -> list[tuple[str, Reached]]:
        """Return the lines; one that was cut off, or is none of ours, ends them."""
        found: list[tuple[str, Reached]] = []
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        for line in text.splitlines():
            try:
                values = json.loads(line)
                start = Start(int(values["frame"]), int(values["position"]))
                one = Reached(int(values["offset"]), start)
            except (ValueError, KeyError, TypeError, OverflowError):
                break
            inside = start.frame * FRAME <= one.offset <= (start.frame + 1) * FRAME or one.offset == WHOLE
            if not inside or min(start.frame, start.position) < 0:
                break
            found.append((str(values["name"]), one))
        return found
