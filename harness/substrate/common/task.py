"""Base class of running tasks: standard input is fed and standard error is kept by threads, output is a stream."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import IO, Self

from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Completed
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import remove_if_empty

TAIL, LINE = 40, 4096  # lines of standard error that are kept, bytes of each
ERRORS = 50  # of all others, the first lines that say `error: `, each with the line before it


@dataclass(slots=True)
class StreamedTask(ABC):
    """A running task. `log`: all of its standard error; `end`: kills it with all it started, and removes its files."""

    name: str
    log: Path
    end: Callable[[], None] = field(repr=False)
    _stdout: IO[bytes] | None = field(default=None, repr=False, kw_only=True)
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL), repr=False, kw_only=True)
    _first: list[str] = field(default_factory=list, repr=False, kw_only=True)
    _line: bytes = field(default=b"", repr=False, kw_only=True)
    _threads: list[Thread] = field(default_factory=list, repr=False, kw_only=True)

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output."""
        if self._stdout is None:
            raise HarnessError(f"task {self.name} has no output")
        return self._stdout

    @abstractmethod
    def _exit_code(self, patience: float) -> int:
        """Wait for its end and return its exit code; raises TookTooLong."""

    def _in_threads(self, *work: Callable[[], None]) -> None:
        for one in work:
            thread = Thread(target=one, daemon=True)
            thread.start()
            self._threads.append(thread)  # a started one: another thread may end the task, and joins what is listed

    def _keep(self, log: IO[bytes], data: bytes) -> None:
        """Write standard error to the log, and keep its first errors and its last lines."""
        log.write(data)
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            if len(self._tail) == TAIL:
                self._pass_over()
            self._tail.append(line.decode(errors="replace").rstrip())
        self._line = rest[:LINE]  # its beginning says what it is

    def _pass_over(self) -> None:
        """Drop the oldest of the last lines, unless it is one of the first errors or stands before one."""
        oldest, next_one = self._tail[0], self._tail[1]
        if len(self._first) < 2 * ERRORS and ("error: " in oldest or "error: " in next_one):
            self._first.append(oldest)

    @property
    def errors(self) -> str:
        """The first errors of its standard error so far, each with the line before it, and its last lines."""
        lines = [*self._tail, *([self._line.decode(errors="replace").rstrip()] if self._line else [])]
        return "\n".join([*self._first, *lines[-TAIL:]])

    def _await(self, event: Event, patience: float) -> None:
        if not event.wait(patience):
            raise self._too_long(patience)

    def _too_long(self, patience: float) -> TookTooLong:
        return TookTooLong(f"task {self.name}: not done within {patience:g} s")

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds, and return its result; raises TookTooLong, HarnessError."""
        code = self._exit_code(patience)
        self._join()
        return Completed(code, self.errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        # Both at once: a container engine ends nothing whose output is not taken, and a stream that another thread
        # reads cannot be closed before it ends.
        self._in_threads(self.stdout.close)
        try:
            self.end()
        finally:
            self._join()
            remove_if_empty(self.log)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE.pipe_close)
