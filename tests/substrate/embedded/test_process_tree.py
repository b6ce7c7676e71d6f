"""Killing process trees: all processes of a node, and no others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, wait_until
from harness.core.node import NodeSpec, Ready, Task
from harness.substrate.embedded.sweep import sweep
from tests.substrate.substrates_under_test import EmbeddedUnderTest, python, started

pytestmark = pytest.mark.programs

# Workers with an empty environment, which may outlive their master as those of nginx do.
MASTER = "env -i sleep 300 & env -i setsid sleep 300 & echo up; wait"


def test_orphans_are_killed_with_the_node(embedded: EmbeddedUnderTest) -> None:
    node = started(embedded.substrate.site("primary").launch(NodeSpec("master", ("sh", "-c", MASTER))))
    assert node.child is not None
    pid = node.child.pid
    workers = wait_until(lambda: children(pid, 2), patience=5, on=AssertionError)
    node.child.kill()
    node.child.wait()
    assert all(running(worker) for worker in workers)
    node.kill()
    # The second has its own session, no environment and no parent any more: nothing leads to it.
    assert not running(workers[0])
    for worker in workers[1:]:
        os.kill(worker, signal.SIGKILL)


def test_all_descendants_are_killed_with_the_node(embedded: EmbeddedUnderTest) -> None:
    node = started(embedded.substrate.site("primary").launch(NodeSpec("master", ("sh", "-c", MASTER))))
    assert node.child is not None
    pid = node.child.pid
    workers = wait_until(lambda: children(pid, 2), patience=5, on=AssertionError)
    node.kill()
    assert not [worker for worker in workers if running(worker)]


def test_orphans_are_killed_before_the_next_start(embedded: EmbeddedUnderTest) -> None:
    worker = "env -i sleep 300 & echo up; wait"
    node = started(embedded.substrate.site("primary").launch(NodeSpec("master", ("sh", "-c", worker))))
    assert node.child is not None
    pid = node.child.pid
    (orphan,) = wait_until(lambda: children(pid, 1), patience=5, on=AssertionError)
    node.child.kill()
    node.child.wait()
    node.start()
    assert not running(orphan)


@pytest.mark.parametrize("number", ["INT", "TERM", "QUIT"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_node_is_stopped_by_its_own_signal(embedded: EmbeddedUnderTest, number: str, *, frozen: bool) -> None:
    traps = f"trap 'echo wrong' TERM INT QUIT; trap 'echo bye; exit' {number}"
    script = traps + "; touch @{volume:data}/up; while true; do sleep 0.02; done"
    ready = Ready(argv=("test", "-e", "@{volume:data}/up"), patience=10)
    spec = NodeSpec("polite", ("sh", "-c", script), volumes=("data",), stop_signal=number, ready=ready)
    node = started(embedded.substrate.site("primary").launch(spec))
    if frozen:
        node.freeze()
    began = SYSTEM.monotonic()
    node.stop(20)
    assert SYSTEM.monotonic() - began < 10
    assert embedded.log("primary/polite") == "bye\n"


def test_a_node_that_ignores_its_stop_signal_is_killed(embedded: EmbeddedUnderTest) -> None:
    script = "trap '' TERM; touch @{volume:data}/up; while true; do sleep 0.02; done"
    ready = Ready(argv=("test", "-e", "@{volume:data}/up"), patience=10)
    node = started(
        embedded.substrate.site("primary").launch(
            NodeSpec("stubborn", ("sh", "-c", script), volumes=("data",), ready=ready)
        )
    )
    node.stop(0.2)
    assert (node.alive, embedded.living()) == (False, 0)


def children(pid: int, count: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert [Path(f"/proc/{child}/comm").read_text().strip() for child in listed] == ["sleep"] * count
    return sorted(map(int, listed), key=lambda child: os.getsid(child) != pid)  # those of its own session first


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("way", ["kill", "destroy", "sweep"])
def test_files_that_a_killed_node_leaves_outside_its_volumes_are_removed(
    embedded: EmbeddedUnderTest, tmp_path: Path, way: str
) -> None:
    site, left = embedded.substrate.desk("primary"), tmp_path / "left.sock"
    script = python(
        "import socket, sys, time; socket.socket(socket.AF_UNIX).bind(sys.argv[1]); time.sleep(300)", str(left)
    )
    ready = Ready(argv=("test", "-S", str(left)), patience=10)
    node = site.launch(NodeSpec("leaver", script, ready=ready, leaves=(str(left),)))
    assert left.is_socket()
    ways: dict[str, Callable[[], object]] = {"kill": node.kill, "destroy": site.destroy}
    ways["sweep"] = lambda: sweep(embedded.substrate.run)
    ways[way]()
    assert not left.exists()


def test_a_task_that_keeps_forking_is_killed_completely(embedded: EmbeddedUnderTest) -> None:
    """Each generation lives for a moment only; stopped processes cannot fork."""
    runner = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); sh -c 'sleep 0.01 & sleep 0.01'; done"
    with embedded.substrate.site("primary").run(Task("runner", ("sh", "-c", f"echo up; {runner}"))) as running:
        assert running.stdout.readline() == b"up\n"
    assert embedded.living() == 0
