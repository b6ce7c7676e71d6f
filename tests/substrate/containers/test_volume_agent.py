"""The agent of a volume and its client: a file that is cut off is an error, and never a shorter file."""

from __future__ import annotations

import errno
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import IO, cast

import pytest

from harness.core.clock import wait_until
from harness.core.errors import UsageError
from harness.core.node import FILE, FOLDER, Address, Entry
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.common.ports import LOOPBACK, take_port
from harness.substrate.containers.volume_agent import CHUNK, Handler, Settings
from harness.substrate.containers.volume_client import PIECE, AgentVolume

TOKEN = "canary-77aa01"
LARGE = 64 * CHUNK  # more than a connection holds on its way

Read = Callable[[IO[bytes]], object]
Serve = Callable[..., AgentVolume]
READS: dict[str, Read] = {
    "all at once": lambda file: file.read(),
    "in pieces": lambda file: list(iter(lambda: file.read(CHUNK), b"")),
    "into a buffer": lambda file: list(iter(lambda: cast("io.RawIOBase", file).readinto(bytearray(CHUNK)), 0)),
}
ways = pytest.mark.parametrize("read", READS.values(), ids=READS)


class Broken(io.FileIO):
    """A file whose disk fails after the first piece."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError(errno.EIO, "the disk is broken")
        return super().read(size)


class BrokenVolume(FolderVolume):
    def open(self, path: str, mode: str) -> IO[bytes]:
        return cast("IO[bytes]", Broken(self.root / path, mode))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(root: Path) -> Iterator[Serve]:
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def begin(kind: type[FolderVolume] = FolderVolume) -> AgentVolume:
        class Own(Handler):
            settings = Settings(root, 0, TOKEN)

            @property
            def volume(self) -> FolderVolume:
                return kind(root)

        server = ThreadingHTTPServer((LOOPBACK, 0), Own)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return AgentVolume("data", Address(LOOPBACK, server.server_address[1]), TOKEN)

    yield begin
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def large(root: Path) -> Path:
    path = root / "large"
    path.touch()
    os.truncate(path, LARGE)
    return path


@ways
def test_a_file_is_received_completely(serve: Serve, root: Path, read: Read) -> None:
    large(root)
    volume = serve()
    with volume.open("large", "rb") as file:
        assert read(file)
    volume.pool.close()


@ways
def test_a_file_that_is_shortened_while_it_is_read_is_an_error(serve: Serve, root: Path, read: Read) -> None:
    path = large(root)
    with serve().open("large", "rb") as file:
        assert len(file.read(CHUNK)) == CHUNK
        os.truncate(path, CHUNK)
        with pytest.raises(OSError, match="volume data: its agent broke off") as broken:
            read(file)
    assert broken.value.errno == errno.EIO


def test_a_file_that_grows_while_it_is_read_is_as_long_as_it_was(serve: Serve, root: Path) -> None:
    path = large(root)
    volume = serve()
    with volume.open("large", "rb") as file:
        first = file.read(CHUNK)
        os.truncate(path, 2 * LARGE)
        assert len(first + file.read()) == LARGE


@ways
def test_a_disk_error_in_the_middle_of_a_file_is_an_error(serve: Serve, root: Path, read: Read) -> None:
    large(root)
    with serve(BrokenVolume).open("large", "rb") as file:
        assert not file.read(CHUNK).strip(b"\0")
        with pytest.raises(OSError, match="volume data: its agent broke off"):
            read(file)


def test_a_volume_looks_the_same_through_its_agent(serve: Serve, root: Path) -> None:
    names = [
        "a b",
        "new\nline",
        "q?x#y%41",
        "ü",
        os.fsdecode(b"latin\xe9"),
        "b-1",
        "b/2",
        "back\\slash",
        "deep/er/file",
    ]
    here, volume = FolderVolume(root), serve()
    for name in names:
        with volume.open(name, "wb") as file:
            file.write(os.fsencode(name))
    (root / "link").symlink_to("a b")
    os.mkfifo(root / "fifo")
    assert volume.adjust(Entry("empty/folder", FOLDER, mode=0o750)) == Entry("empty/folder", FOLDER, mode=0o750)
    volume.adjust(Entry("deep", FOLDER, mode=0o3775, mtime=1_000_000_000.5))
    volume.adjust(Entry("a b", FILE, mode=0o4754, mtime=1_000_000_000.5))
    assert list(volume.scan("")) == list(here.scan(""))
    assert [entry.path for entry in volume.scan("") if entry.kind == FILE] == sorted(names, key=os.fsencode)
    assert list(volume.scan("deep")) == list(here.scan("deep"))
    assert list(volume.scan("deep")) == [volume.inspect(path) for path in ("deep/er/file", "deep/er")]
    for name in ("deep", "b"):
        found = list(volume.scan("", lambda path, name=name: f"{path}/".startswith(f"{name}/")))  # type: ignore[misc]
        assert found == [entry for entry in here.scan("") if not f"{entry.path}/".startswith(f"{name}/")]
    assert volume.inspect("deep") == Entry("deep", FOLDER, 0, 0o3775, 1_000_000_000.5)
    assert {e.path: e.kind for e in volume.scan("") if e.kind != FILE} == {
        **dict.fromkeys(("b", "deep/er", "deep", "empty/folder", "empty"), FOLDER),
        "fifo": "is a FIFO",
        "link": "is a symbolic link within its volume",
    }
    assert volume.inspect("a b") == Entry("a b", FILE, 3, 0o754, 1_000_000_000.5)
    assert {name: volume.open(name, "rb").read() for name in names} == {name: os.fsencode(name) for name in names}
    for ask in (lambda: list(volume.scan("nothing")), lambda: volume.inspect("nothing")):
        with pytest.raises(FileNotFoundError):
            ask()
    for path in ("link/x", "a b/x"):
        with pytest.raises(UsageError, match="leads through a link or a file"):
            volume.inspect(path)
    volume.pool.close()


def test_more_entries_than_one_chunk_are_listed(serve: Serve, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.substrate.containers.volume_agent.CHUNK", 1000)
    for number in range(50):
        (root / f"{number:03}{'n' * 240}").touch()
    volume = serve()
    for _ in range(2):
        assert len(list(volume.scan(""))) == 50
    volume.pool.close()


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "No space left"), (errno.EIO, "Input/output error")])
def test_an_error_of_the_disk_is_told_with_its_reason(serve: Serve, number: int, said: str) -> None:
    class Failing(FolderVolume):
        def walk(self) -> Iterator[str]:
            raise OSError(number, said)

    with pytest.raises(OSError, match=said) as failed:
        list(serve(Failing).walk())
    assert (failed.value.errno == errno.ENOSPC) is (number == errno.ENOSPC)


def test_a_file_is_read_or_written_from_its_begin(serve: Serve) -> None:
    volume = serve()
    with volume.open("notes", "wb") as file:
        file.write(b"one")
    with pytest.raises(UsageError, match="mode 'ab' is neither rb nor wb"):
        volume.open("notes", "ab")


def test_an_error_before_the_first_byte_has_its_reason(serve: Serve) -> None:
    volume = serve()
    with pytest.raises(FileNotFoundError):
        volume.open("nothing", "rb")
    with pytest.raises(OSError, match="volume data: not the token of this agent"):
        AgentVolume("data", volume.address, "wrong").open("nothing", "rb")


def test_a_connection_is_not_reused_after_a_refused_request(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    finish, asked = Handler.finish, threading.Event()

    def slowly(handler: Handler) -> None:
        asked.wait(0.5)  # so that the end of the connection is not seen before it is asked again
        finish(handler)

    monkeypatch.setattr(Handler, "finish", slowly)
    volume = serve()
    with pytest.raises(FileNotFoundError):
        volume.ask("GET", "/no-such-thing", None)
    assert volume.size == 0
    asked.set()


def test_an_answer_that_is_not_http_is_an_error() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:

        def babble() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(CHUNK)
                client.sendall(b"no such protocol\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(OSError, match="volume data: its agent broke off"):
            AgentVolume("data", Address(LOOPBACK, listener.getsockname()[1]), TOKEN).open("x", "rb")
        thread.join()


@pytest.mark.programs
@ways
def test_an_agent_killed_in_the_middle_of_a_file_is_an_error(root: Path, read: Read) -> None:
    large(root)
    port = take_port()
    port.release()
    env = {**os.environ, "AGENT_ROOT": str(root), "AGENT_PORT": str(port.number), "AGENT_TOKEN": TOKEN}
    volume = AgentVolume("data", Address(LOOPBACK, port.number), TOKEN)
    with subprocess.Popen([sys.executable, "-m", "harness.substrate.containers.volume_agent"], env=env) as agent:
        try:
            with wait_until(lambda: volume.open("large", "rb"), patience=20, on=OSError) as file:
                assert len(file.read(CHUNK)) == CHUNK
                agent.kill()
                agent.wait()
                with pytest.raises(OSError, match=r"volume data: its agent broke off|reset"):
                    read(file)
        finally:
            agent.kill()


@pytest.mark.parametrize("size", [0, 10, CHUNK + 1, 3 * PIECE + 7])
def test_a_file_is_sent_completely_in_pieces_of_any_size(serve: Serve, root: Path, size: int) -> None:
    (root / "folder").mkdir()
    (root / "folder/sent").write_text("overwritten")
    content = os.urandom(size)
    with serve().open("folder/sent", "wb") as file:
        for at in range(0, size, 700_000):
            file.write(content[at : at + 700_000])
    assert (root / "folder/sent").read_bytes() == content
