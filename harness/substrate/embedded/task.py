"""A one-shot task as a process of this machine."""

from __future__ import annotations

import contextlib
import subprocess
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO

from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Completed
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import drop_if_empty, remove_tree
from harness.substrate.common.logs import LINE, TAIL, open_log
from harness.substrate.embedded.spawn import Child


@dataclass(slots=True)
class RunningTask:
    """One-shot work under way as a process."""

    name: str
    running: Child
    log: Path
    home: Path
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    _threads: list[Thread] = field(default_factory=list, repr=False)

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """Its main process."""
        return self.running.process

    def follow(self, stdin: bytes) -> None:
        """Feed standard input and drain standard error, each in a thread of its own."""
        self._threads = [Thread(target=self._drain, daemon=True), Thread(target=self._feed, args=(stdin,), daemon=True)]
        for thread in self._threads:
            thread.start()

    def _feed(self, stdin: bytes) -> None:
        if self.child.stdin is not None:
            # Its exit code says why it stopped reading; closed is what leaving the block does.
            with contextlib.suppress(BrokenPipeError, ValueError), self.child.stdin as pipe:
                pipe.write(stdin)

    def _drain(self) -> None:
        if self.child.stderr is None:
            return
        with self.child.stderr as pipe, open_log(self.log) as log:
            while read := pipe.readline(LINE):
                if line := self._kept(read):
                    log.write(line)
                    self._tail.append(line.decode(errors="replace").rstrip())

    def _kept(self, line: bytes) -> bytes:
        """Return what of a line of standard error is the work's own."""
        return line

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes."""
        if self.child.stdout is None:
            raise HarnessError(f"task {self.name} has no output")
        return self.child.stdout

    def finish(self, patience: float) -> Completed:
        """Wait for its end, at most `patience` seconds; raises TookTooLong."""
        try:
            code = self.child.wait(patience)
        except subprocess.TimeoutExpired:
            raise TookTooLong(f"task {self.name}: not done within {patience:g} s") from None
        self._join()
        return Completed(code, "\n".join(self._tail))

    def freeze(self) -> None:
        """Stop it in mid-thought."""
        self.running.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self.running.thaw()

    def __enter__(self) -> RunningTask:
        return self

    def __exit__(self, *details: object) -> None:
        try:
            self.running.end()
        finally:
            self._join()
            self.stdout.close()
            # Its files may hold secrets, and nobody needs them any more; nor an empty log.
            remove_tree(self.home)
            drop_if_empty(self.log)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE.pipe_close)
