"""A sweep removes everything of a harness that was killed while it created clusters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.clock import wait_until
from harness.images.engine import engine
from harness.kubernetes.machine import CLUSTER, CTR, machines
from harness.substrate.docker.ownership import Owned
from harness.substrate.sweep import sweep_run

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]

WORK = """
import sys
from pathlib import Path
from harness.substrate.kind.substrate import Kind
kind = Kind(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], images=())
kind.cluster_site("primary").namespace
print("stands", flush=True)
sys.stdin.read()
"""


class NotThere(Exception):
    pass


def left_of(run: Path) -> list[str]:
    """What a run has on the engine: containers, volumes and networks, by name."""
    prefix = Owned(run.resolve()).name("", "").rstrip("-")
    containers = engine().containers.list(all=True, ignore_removed=True)
    named = [c.name for c in containers if c.labels.get(CLUSTER, c.name).startswith(prefix)]
    return [*named, *(n.name for n in engine().networks.list() if n.name.startswith(prefix))]


def volumes_of(run: Path) -> set[str]:
    """The volumes of a run's clusters, which have no name of their own."""
    prefix = Owned(run.resolve()).name("", "").rstrip("-")
    nodes = [c for c in engine().containers.list(all=True, ignore_removed=True) if str(c.name).startswith(prefix)]
    return {mount["Name"] for node in nodes for mount in node.attrs["Mounts"] if mount["Type"] == "volume"}


@pytest.mark.parametrize(
    "standing",
    [
        pytest.param(True, id="one that stands", marks=pytest.mark.night),
        pytest.param(False, id="two that are being made"),
    ],
)
def test_a_sweep_after_a_kill_leaves_nothing(tmp_path: Path, *, standing: bool) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-c", WORK, str(run), str(tmp_path / "logs"), "cold" if standing else "pilot-light"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) as harness:
        assert harness.stdout is not None
        if standing:
            assert harness.stdout.readline() == b"stands\n"
        else:
            wait_until(lambda: require_containers(run), patience=60, on=NotThere)
        harness.send_signal(signal.SIGKILL)
    assert left_of(run)
    if standing:  # as a drill leaves it that was killed while its primary was frozen
        (node,) = machines(Owned(run.resolve()).name("", "").rstrip("-"))
        node.pause(node.execute(f"{CTR} task ls -q").split())
    made = volumes_of(run)
    assert made
    swept = sweep_run(run)
    assert swept.clusters >= 1
    assert left_of(run) == []
    assert not made & {volume.name for volume in engine().volumes.list()}
    assert not run.exists()
    assert sweep_run(run).clusters == 0


def require_containers(run: Path) -> None:
    if not [name for name in left_of(run) if "control-plane" in name]:
        raise NotThere
