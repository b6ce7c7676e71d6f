"""WAL of the repository by the name of its file, for a program of PostgreSQL that asks for it by a restore_command."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Thread

from harness.core.errors import HarnessError, Unreadable
from harness.core.wal import HISTORY, place_of_segment
from harness.repository.wal.catalogue import Shipped, WalCatalogue
from harness.repository.wal.reader import WalReader

# Its process has neither keys nor the declaration: it asks this one, and fails when this one is gone.
ASK = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({socket!r})
    asked.sendall(sys.argv[1].encode() + b"\\n")
    data = asked.makefile("rb").read()
if not data:
    sys.exit(1)
with open(sys.argv[2], "wb") as file:
    file.write(data)
"""


@dataclass(slots=True)
class Shelf:
    """Files of the shipped WAL of one database system. `size`: bytes of a segment; `served`: names that were read.

    `failed`: why a file that is listed could not be read.
    """

    wal: WalCatalogue
    reader: WalReader
    size: int
    served: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def read(self, name: str, *, whole: bool = False) -> bytes | None:
        """Return a file, as long as a server expects it; None for one that is not listed or cannot be read.

        `whole`: not one whose end is lacking.
        """
        try:
            shipped = self._listed(name)
            if shipped is None or (whole and shipped.entry.plain_size != self.size):
                return None
            data = self.reader.read(shipped)
        except HarnessError as error:
            self.failed.append(str(error))
            return None
        self.served.append(name)
        return data if shipped.entry.is_history else data + bytes(self.size - len(data))

    def _listed(self, name: str) -> Shipped | None:
        if history := HISTORY.fullmatch(name):
            return self.wal.histories.get(int(history[1], 16))
        if self.wal.segment_size not in (0, self.size):
            raise Unreadable(f"WAL in the repository has segments of {self.wal.segment_size} bytes, not {self.size}")
        return next(iter(self.wal.segments.get(place_of_segment(name, self.size), ())), None)

    @contextmanager
    def command(self, place: Path) -> Iterator[str]:
        """Yield a restore_command that takes files from here. `place`: a private folder with a short path."""
        shelf = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                data = shelf.read(self.rfile.readline(100).decode("ascii", "replace").strip())
                self.wfile.write(data or b"")

        script = place / "ask.py"
        script.write_text(ASK.format(socket=str(place / "wal")))
        with ThreadingUnixStreamServer(str(place / "wal"), Handler) as server:
            serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
            serving.start()
            try:
                words = shlex.join((sys.executable, "-I", "-S", str(script))).replace("%", "%%")
                yield f'{words} %f "%p"'
            finally:
                server.shutdown()
                serving.join()
