"""Shared memory of a killed PostgreSQL: none of it is left, and that of other processes is not touched."""

from __future__ import annotations

import ctypes
import mmap
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.node import NodeSpec, Ready
from harness.postgres.server import SUPERUSER_PASSWORD, server_spec
from harness.substrate.embedded.isolation.namespaces import obstacle
from harness.substrate.embedded.node import ProcessNode
from harness.substrate.embedded.process_tree import Owner, family, send
from harness.substrate.embedded.shared_memory import IPC_RMID, Segment, SharedFile, listed, remove, unlink
from harness.substrate.embedded.sweep import sweep
from harness.substrate.embedded.undo_journal import UndoJournal
from tests.substrate.substrates_under_test import EmbeddedUnderTest, python, started

pytestmark = [pytest.mark.programs, pytest.mark.attacks]  # M1

SWEEP = "import pathlib, sys; from harness.substrate.embedded.sweep import sweep; sweep(pathlib.Path(sys.argv[1]))"
HARNESS = """
import pathlib, sys
from harness.postgres.server import SUPERUSER_PASSWORD, server_spec
from harness.substrate.embedded.substrate import Embedded
run, password = map(pathlib.Path, sys.argv[1:])
site = Embedded(run, run.parent / "logs").site("primary")
node = site.launch(server_spec(site, secrets={SUPERUSER_PASSWORD: f"file:{password}"}))
print(*(segment.id for segment in node.running.segments), flush=True)
sys.stdin.read()
"""
# Attaches itself to a segment, and is ready once it has.
ATTACH = """
import ctypes, pathlib, sys, time
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
libc.shmat(int(sys.argv[1]), None, 0)
pathlib.Path(sys.argv[2]).touch()
time.sleep(300)
"""


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("of the superuser\n")
    return path


@pytest.fixture
def server(embedded: EmbeddedUnderTest, password: Path) -> ProcessNode:
    site = embedded.substrate.site("primary")
    return started(site.launch(server_spec(site, secrets={SUPERUSER_PASSWORD: f"file:{password}"})))


@pytest.fixture
def foreign() -> Iterator[Segment]:
    """A segment of another program: this test's own, to which no process is attached."""
    number = ctypes.CDLL(None).shmget(0, 4096, 0o1600)
    yield next(segment for segment in listed() if segment.id == number)
    ctypes.CDLL(None).shmctl(number, IPC_RMID, None)


def segments_of(node: ProcessNode) -> set[Segment]:
    assert node.running is not None
    assert node.running.segments
    assert node.running.segments <= set(listed())
    return node.running.segments


def posix_memory(node: ProcessNode) -> set[str]:
    """Return the files in /dev/shm to which processes of a server are attached."""
    assert node.running is not None
    maps = [Path(f"/proc/{one.pid}/maps").read_text() for one in family({node.running.id}, node.running.owner)]
    return {line.split()[5] for text in maps for line in text.splitlines() if "/dev/shm/" in line}  # noqa: S108


@pytest.mark.parametrize("way", ["kill", "destroy", "sweep"])
def test_a_killed_server_leaves_no_shared_memory(
    embedded: EmbeddedUnderTest, server: ProcessNode, foreign: Segment, way: str
) -> None:
    segments = segments_of(server)
    assert posix_memory(server) == set()
    {"kill": server.kill, "destroy": embedded.substrate.site("primary").destroy, "sweep": embedded.substrate.sweep}[
        way
    ]()
    assert not segments & set(listed())
    assert foreign in listed()


def test_a_server_that_is_started_again_works_and_leaves_nothing_either(server: ProcessNode) -> None:
    first = segments_of(server)
    server.kill()
    server.start()
    segments = segments_of(server)
    server.stop(30)
    assert not (first | segments) & set(listed())


@pytest.mark.parametrize("alive", [True, False], ids=["running", "killed before"])
def test_another_process_sweeps_the_shared_memory_of_a_killed_harness(
    tmp_path: Path, password: Path, foreign: Segment, *, alive: bool
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", HARNESS, str(run), str(password)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        numbers = set(map(int, harness.stdout.readline().split()))
        harness.kill()
    assert numbers
    assert numbers <= {segment.id for segment in listed()}
    if not alive:
        send(family(set(), Owner(run)), signal.SIGKILL)
        wait_until(lambda: require_detached(numbers), patience=20)
    subprocess.run([sys.executable, "-c", SWEEP, str(run)], check=True)
    assert not numbers & {segment.id for segment in listed()}
    assert foreign in listed()


NAMED = """
import sys, time
from multiprocessing import resource_tracker, shared_memory
made = shared_memory.SharedMemory(sys.argv[1], create=True, size=4096)
resource_tracker.unregister(made._name, "shared_memory")  # which would remove it
open(sys.argv[2], "w").close()
time.sleep(300)
"""
LAUNCH = """
import pathlib, sys
from harness.core.node import NodeSpec, Ready
from harness.substrate.embedded.substrate import Embedded
run, program, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
site = Embedded(run, run.parent / "logs", namespaced=sys.argv[4] == "own").site("primary")
argv = (sys.executable, "-c", program, name, "@{volume:data}/made")
ready = Ready(argv=("test", "-e", "@{volume:data}/made"), patience=20)
site.launch(NodeSpec("one", argv, volumes=("data",), ready=ready))
print("up", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("killed", ["harness", "program too"])
@pytest.mark.parametrize("memory", ["own", "of the machine"])
def test_named_memory_of_any_program_is_swept(tmp_path: Path, memory: str, killed: str) -> None:
    """With namespaces the machine never sees it; without them the sweep removes it, by its journal alone."""
    run, name = tmp_path / "run", f"blackstart-{tmp_path.name}"
    file, other = Path("/dev/shm", name), Path("/dev/shm", f"{name}-other")  # noqa: S108
    other.write_text("of another program")
    command = [sys.executable, "-c", LAUNCH, str(run), NAMED, name, memory]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == "up\n"
        assert file.exists() == (memory != "own" or bool(obstacle()))
        harness.kill()
    if killed == "program too":
        send(family(set(), Owner(run)), signal.SIGKILL)
        wait_until(lambda: require_ended(run), patience=20)
    subprocess.run([sys.executable, "-c", SWEEP, str(run)], check=True)
    assert not file.exists()
    assert other.exists()
    other.unlink()


def test_named_memory_that_another_process_has_mapped_is_kept(tmp_path: Path) -> None:
    path = Path("/dev/shm", f"blackstart-{tmp_path.name}")  # noqa: S108
    path.write_bytes(b"x" * 4096)
    one = SharedFile(str(path), path.stat().st_ino)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096):
        assert unlink([one]) == 0
    assert unlink([replace(one, inode=one.inode + 1)]) == 0
    assert unlink([one]) == 1


def require_ended(run: Path) -> None:
    if family(set(), Owner(run)):
        raise NotYet("processes run")


def require_detached(numbers: set[int]) -> None:
    if any(count for segment, count in listed().items() if segment.id in numbers):
        raise NotYet("a process is attached")


def test_a_segment_to_which_another_process_is_attached_is_kept(embedded: EmbeddedUnderTest, foreign: Segment) -> None:
    site = embedded.substrate.site("primary")
    spec = NodeSpec(
        "one",
        python(ATTACH, str(foreign.id), "@{volume:data}/attached"),
        volumes=("data",),
        ready=Ready(argv=("test", "-e", "@{volume:data}/attached"), patience=20),
    )
    one = started(site.launch(spec))
    other = started(embedded.substrate.site("dr").launch(replace(spec, name="other")))
    assert segments_of(one) == segments_of(other) == {foreign}
    one.kill()
    assert listed()[foreign] == 1
    other.kill()
    assert foreign not in listed()  # it was the last


def test_a_segment_that_is_not_the_journalled_one_is_kept(tmp_path: Path, foreign: Segment) -> None:
    other = replace(foreign, created=foreign.created - 1)
    UndoJournal(tmp_path).note_memory([other, replace(foreign, key=foreign.key + 1)])
    sweep(tmp_path)
    assert foreign in listed()
    assert remove([other]) == 0
    assert remove([foreign]) == 1
