"""The docker substrate alone: limits, networks, labels, sweep by another process."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, wait_until
from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import Fillable, NodeSpec, Ready, Task
from harness.images.engine import engine
from harness.substrate.common.ports import LOOPBACK, Port
from harness.substrate.docker.ownership import RUN
from harness.substrate.docker.substrate import Docker
from harness.substrate.docker.task import ContainerTask
from harness.substrate.sweep import lost_runs, sweep_run
from tests.forks import COMMAND
from tests.substrate.substrates_under_test import DockerUnderTest, launched

pytestmark = pytest.mark.engine

MIB = 1 << 20
HARNESS = """
import sys
from pathlib import Path
from harness.core.node import NodeSpec, Task
from harness.substrate.docker.substrate import Docker

run = Path(sys.argv[1])
site = Docker(run, run.parent / "logs").site("primary")
site.launch(NodeSpec("sleeper", ("sleep", "300"), "blackstart", volumes=("data",)))
task = site.run(Task("task", ("sh", "-c", "echo up; sleep 300"), "blackstart"))
task.stdout.readline()
print("up", flush=True)
sys.stdin.read()
"""


def left(run: Path) -> int:
    """Return how many things of a run are on the engine."""
    labels = {"label": f"{RUN}={run.resolve()}"}
    client = engine()
    found = (client.containers.list(all=True, filters=labels), client.volumes.list(filters=labels))
    return sum(map(len, (*found, client.networks.list(filters=labels))))


def test_a_limited_volume_is_filled_completely_and_drained(tested: DockerUnderTest) -> None:
    volume = tested.substrate.site("offsite").volume("data")
    assert isinstance(volume, Fillable)
    with volume.open("kept", "wb") as file:
        file.write(b"before")
    volume.fill()
    with pytest.raises(OSError, match="No space left"), volume.open("more", "wb") as file:
        file.write(bytes(MIB))
    assert next(volume.walk()) == "kept"
    volume.drain()
    with volume.open("more", "wb") as file:
        file.write(bytes(8 * MIB))
    assert volume.size == len(b"before") + 8 * MIB


def test_a_limited_volume_keeps_its_data_while_its_node_is_down(tested: DockerUnderTest, spec: NodeSpec) -> None:
    node = launched(tested, "offsite", spec)
    with tested.substrate.site("offsite").volume("data").open("kept", "wb") as file:
        file.write(b"here")
    node.kill()
    node.start()
    with tested.substrate.site("offsite").volume("data").open("kept", "rb") as file:
        assert file.read() == b"here"


def test_a_volume_without_a_limit_cannot_be_filled(tested: DockerUnderTest) -> None:
    assert not isinstance(tested.substrate.site("primary").volume("data"), Fillable)


def test_ports_are_published_on_loopback_only(tested: DockerUnderTest, spec: NodeSpec) -> None:
    launched(tested, "primary", replace(spec, published={"talk": ("127.0.0.2",)}))
    found = engine().containers.list(filters={"label": f"{RUN}={tested.substrate.run}"})
    hosts = {b["HostIp"] for c in found for bound in c.ports.values() for b in bound or ()}
    assert hosts == {"127.0.0.1", "127.0.0.2"}


def test_containers_have_no_privileges_and_limits(tested: DockerUnderTest, spec: NodeSpec) -> None:
    node = launched(tested, "primary", spec)
    assert node.container is not None
    node.container.reload()
    config, host = node.container.attrs["Config"], node.container.attrs["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == (True, ["ALL"], False)
    assert host["Memory"] > 0 < host["PidsLimit"]
    assert not config["User"].startswith("0")


def test_a_task_within_a_node_sees_its_processes_and_has_its_own_exit_code(
    tested: DockerUnderTest, spec: NodeSpec
) -> None:
    launched(tested, "primary", spec)
    site = tested.substrate.site("primary")
    task = Task("look", ("sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; exit 3"), "blackstart", within="server")
    with site.run(task) as running:
        assert b"python3" in running.stdout.read()
        assert running.finish(10).code == 3
    with pytest.raises(HarnessError, match="look on dr: server is not running"):
        tested.substrate.site("dr").run(task)


@pytest.mark.parametrize("whose", ["server on primary", "volume data of primary"])
def test_a_port_that_another_program_took_first_is_replaced(
    tested: DockerUnderTest, spec: NodeSpec, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    taken: list[int] = []
    real = Port.hand_over
    with contextlib.ExitStack() as thief:

        def hand_over(port: Port, to: str) -> None:
            real(port, to)
            if to.startswith(whose) and not taken:
                taken.append(port.number)
                thief.enter_context(socket.create_server((LOOPBACK, port.number)))

        monkeypatch.setattr(Port, "hand_over", hand_over)
        node = launched(tested, "primary", spec)
        assert node.endpoint("talk").outside.port not in taken
        assert tested.ask(node)
    assert len(taken) == 1
    assert left(tested.substrate.run) == 5  # a node, a volume, its agent, two networks: nothing of the first try


def test_each_failed_start_reports_its_reason(tested: DockerUnderTest) -> None:
    nothing = NodeSpec("server", ("no-such-program",), "blackstart")
    for _ in range(2):
        with pytest.raises(HarnessError, match="server on primary: no-such-program is not a program here"):
            tested.substrate.site("primary").launch(nothing)
    launched(tested, "primary", replace(nothing, argv=("sleep", "300")))


def test_a_ready_command_that_hangs_is_killed(tested: DockerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.probe_command", 1)
    ready = Ready(argv=("sleep", "200"), patience=2)
    began = SYSTEM.monotonic()
    with pytest.raises(TookTooLong, match="code 124"):
        tested.substrate.site("primary").launch(NodeSpec("slow", ("sleep", "300"), "blackstart", ready=ready))
    assert SYSTEM.monotonic() - began < 30


@pytest.mark.parametrize("within", ["", "server"])
def test_a_task_on_a_destroyed_site_fails(tested: DockerUnderTest, spec: NodeSpec, within: str) -> None:
    site = tested.substrate.site("primary")
    launched(tested, "primary", spec)
    long = Task("long", ("sh", "-c", "echo up; exec sleep 300"), "blackstart", within=within)
    with site.run(long) as running:
        assert running.stdout.readline() == b"up\n"
        site.destroy()
        assert running.finish(20).code != 0


def test_a_task_within_a_node_is_killed_with_all_it_started(tested: DockerUnderTest, spec: NodeSpec) -> None:
    node = launched(tested, "primary", spec)
    assert node.container is not None
    container = node.container

    def sleepers() -> int:
        listed = container.top()["Processes"]
        return sum("sleep" in " ".join(row) for row in listed)

    def none_left() -> None:
        assert sleepers() == 0

    script = "sleep 300 & echo up; sleep 301; echo never"
    with tested.substrate.site("primary").run(Task("long", ("sh", "-c", script), within="server")) as running:
        assert running.stdout.readline() == b"up\n"
        assert sleepers() >= 1
    wait_until(none_left, patience=5, on=AssertionError)
    assert node.alive
    assert tested.ask(node)


def test_a_killed_harness_leaves_nothing_that_a_sweep_does_not_find(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", HARNESS, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"up\n"
        harness.kill()
    assert left(run) == 6  # a node, a task, a volume, its agent, two networks
    swept = sweep_run(run)
    assert (swept.containers, swept.volumes, swept.networks) == (3, 1, 2)
    assert left(run) == 0
    assert not run.exists()


def test_a_full_disk_is_reported_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.substrate.docker.substrate.ROOM", 1 << 60)
    with pytest.raises(HarnessError, match="room") as refused:
        Docker(tmp_path / "run", tmp_path / "logs")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_run_without_its_folder_is_named_and_swept_by_its_label(tmp_path: Path, spec: NodeSpec) -> None:
    docker = Docker(tmp_path / "lost", tmp_path / "logs")
    docker.site("primary").launch(spec)
    shutil.rmtree(docker.run)
    assert docker.run in lost_runs()
    command = [*COMMAND, "sweep"]
    env = os.environ | {"BLACKSTART_RUNS": str(tmp_path / "runs")}
    named = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert f"{docker.run}: is not here, and has things on the container engine" in " ".join(named.stdout.split("\n"))
    assert docker.run in lost_runs()
    swept = subprocess.run([*command, str(docker.run)], env=env, capture_output=True, text=True, check=True)
    assert "2 containers removed, 1 volumes removed, 2 networks removed" in " ".join(swept.stdout.split())
    assert docker.run not in lost_runs()
    assert not docker.run.exists()


def test_a_task_that_ended_before_its_input_was_fed_is_no_error(tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    its.close()
    raw = ours.makefile("rb", buffering=0)
    ended = ContainerTask("short", tmp_path / "log", lambda: None, raw, lambda _: 0)
    ours.close()
    with ended:
        ended.follow(b"x" * MIB)
        with ended.stdout as stdout:
            assert stdout.read() == b""
        assert ended.finish(10).code == 0
