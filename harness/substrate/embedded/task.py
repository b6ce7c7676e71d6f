"""A task that is a process of this machine."""

import contextlib
import subprocess
from dataclasses import dataclass

from harness.substrate.common.logs import open_log
from harness.substrate.common.task import LINE, StreamedTask
from harness.substrate.embedded.spawn import Child


@dataclass(slots=True)
class ProcessTask(StreamedTask):
    """A running task that is a process."""

    running: Child

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """Its main process."""
        return self.running.process

    def follow(self, stdin: bytes) -> None:
        """Feed standard input and keep standard error, each in a thread."""
        self._stdout = self.child.stdout
        self._in_threads(self._drain, lambda: self._feed(stdin))

    def _feed(self, stdin: bytes) -> None:
        if self.child.stdin is not None:
            # Why it stopped reading is told by its exit code; the pipe is closed when the block is left.
            with contextlib.suppress(BrokenPipeError, ValueError), self.child.stdin as pipe:
                pipe.write(stdin)

    def _drain(self) -> None:
        if self.child.stderr is not None:
            with self.child.stderr as pipe, open_log(self.log) as log:
                while line := pipe.readline(LINE):
                    self._keep(log, self._own(line))

    def _own(self, line: bytes) -> bytes:
        """Return the part of a line of standard error that the program itself wrote."""
        return line

    def _exit_code(self, patience: float) -> int:
        try:
            return self.child.wait(patience)
        except subprocess.TimeoutExpired:
            raise self._too_long(patience) from None
