"""WAL of the repository by the name of its file, for a program of PostgreSQL that asks for it by a restore_command."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Lock, Thread

from harness.core.errors import HarnessError, Unreadable
from harness.core.wal import HISTORY, place_of_segment
from harness.repository.catalogue import Repository
from harness.repository.wal.catalogue import Shipped, WalCatalogue, read_wal
from harness.repository.wal.reader import WalReader

Source = Callable[[], tuple[Repository, bytes]]  # the repository, and the private key that opens it

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

    `source`: asked when the first file is; `failed`: why a file that is listed, or the repository, could not be read.
    """

    source: Source
    system: str
    size: int
    served: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _opened: tuple[WalCatalogue, WalReader] | None = None
    _opening: Lock = field(default_factory=Lock, repr=False)  # pg_rewind asks in other threads

    def read(self, name: str, *, whole: bool = False) -> bytes | None:
        """Return a file, as long as a server expects it; None for one that is not listed or cannot be read.

        `whole`: not one whose end is lacking.
        """
        try:
            wal, reader = self._open()
            shipped = self._listed(wal, name)
            if shipped is None or (whole and shipped.entry.plain_size != self.size):
                return None
            data = reader.read(shipped)
        except HarnessError as error:
            if str(error) not in self.failed:
                self.failed.append(str(error))
            return None
        self.served.append(name)
        return data if shipped.entry.is_history else data + bytes(self.size - len(data))

    def _open(self) -> tuple[WalCatalogue, WalReader]:
        with self._opening:
            if self._opened is None:
                repository, private_pem = self.source()
                self._opened = read_wal(repository, self.system), WalReader(repository, private_pem)
            return self._opened

    def _listed(self, wal: WalCatalogue, name: str) -> Shipped | None:
        if history := HISTORY.fullmatch(name):
            return wal.histories.get(int(history[1], 16))
        if wal.segment_size not in (0, self.size):
            raise Unreadable(f"WAL in the repository has segments of {wal.segment_size} bytes, not {self.size}")
        return next(iter(wal.segments.get(place_of_segment(name, self.size), ())), None)

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
