"""Failed removals do not prevent the others, and a task whose result the engine does not know has failed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import APIError, NotFound

from harness.core.errors import HarnessError, TookTooLong
from harness.core.node import NodeSpec
from harness.images import inside
from harness.patience import PATIENCE
from harness.substrate.common.error_collector import MARK
from harness.substrate.docker import ownership as engine_objects
from harness.substrate.docker import substrate as docker
from harness.substrate.docker import task as docker_task
from harness.substrate.docker.ownership import Owned, discarding, sweep_engine
from harness.substrate.docker.substrate import Docker
from harness.substrate.docker.task import END, LOST, WORK, Within, code_of, limited
from harness.substrate.embedded.process_tree import Owner, family
from harness.substrate.kind import substrate as kind
from harness.substrate.kind.substrate import Kind
from harness.substrate.sweep import sweep_run

SLEEPER = NodeSpec("sleeper", ("sleep", "300"))


@dataclass
class Thing:
    """A container, a volume or a network of an engine that refuses to remove it `refusals` times."""

    name: str
    kept: list[Thing]
    refusals: int = 0
    attrs: dict[str, object] = field(default_factory=dict)

    def reload(self) -> None:
        """Know of nothing new."""

    def remove(self, **_: object) -> None:
        if self.refusals:
            self.refusals -= 1
            raise APIError(f"{self.name} cannot be removed")
        self.kept.remove(self)


@dataclass
class Kept:
    """All of one kind that an engine has."""

    things: list[Thing] = field(default_factory=list)

    def list(self, **_: object) -> list[Thing]:
        return [*self.things]

    def add(self, name: str, refusals: int = 0) -> None:
        self.things.append(Thing(name, self.things, refusals))


@dataclass
class Engine:
    """Two of each kind, the first of which may not go."""

    containers: Kept = field(default_factory=Kept)
    volumes: Kept = field(default_factory=Kept)
    networks: Kept = field(default_factory=Kept)

    def fill(self, refusals: int) -> None:
        for kept, kind_of in ((self.containers, "c"), (self.volumes, "v"), (self.networks, "n")):
            kept.add(f"{kind_of}1", refusals)
            kept.add(f"{kind_of}2")

    def left(self) -> list[str]:
        return [thing.name for kept in (self.containers, self.volumes, self.networks) for thing in kept.things]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    machine = Engine()
    monkeypatch.setattr(engine_objects, "engine", lambda: machine)
    monkeypatch.setattr(PATIENCE, "engine_release", 0.0)
    monkeypatch.setattr(docker, "engine", lambda: machine)
    monkeypatch.setattr(docker, "require_room", lambda _: None)
    return machine


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def mark(run: Path) -> None:
    Owned(run).labels("primary")


def test_one_failed_removal_does_not_prevent_the_others(machine: Engine, run: Path) -> None:
    mark(run)
    machine.fill(refusals=1)
    with pytest.raises(HarnessError) as failed:
        sweep_engine(run)
    assert machine.left() == ["c1", "v1", "n1"]
    assert [words in str(failed.value) for words in ("container c1", "volume v1", "network n1")] == [True] * 3
    assert "\n" not in str(failed.value)
    swept = sweep_engine(run)
    assert (swept.containers, swept.volumes, swept.networks) == (1, 1, 1)
    assert machine.left() == []


@pytest.mark.programs
def test_processes_and_secrets_are_removed_though_a_container_stays(machine: Engine, tmp_path: Path, run: Path) -> None:
    substrate = Docker(run, tmp_path / "logs")
    substrate.site("replication").launch(SLEEPER)
    for name in ("primary", "dr"):
        files = substrate.containers(name).files
        files.mkdir(parents=True)
        (files / "password").write_text("secret")
    mark(run)
    machine.containers.add("c1", refusals=3)  # of both sites, and of the run
    with pytest.raises(HarnessError, match="container c1: c1 cannot be removed"):
        substrate.sweep()
    assert not family(set(), Owner(substrate.run))
    assert [path.name for path in run.iterdir()] == [MARK]
    substrate.sweep()
    assert machine.left() == []
    assert not run.exists()


def test_a_destroyed_site_keeps_no_files_though_its_container_stays(machine: Engine, tmp_path: Path, run: Path) -> None:
    site = Docker(run, tmp_path / "logs").containers("primary")
    site.files.mkdir(parents=True)
    (site.files / "password").write_text("secret")
    mark(run)
    machine.containers.add("c1", refusals=1)
    with pytest.raises(HarnessError, match="c1 cannot be removed"):
        site.destroy()
    assert not site.files.exists()
    site.destroy()
    assert machine.left() == []


def no_clusters(run: Path) -> int:
    raise HarnessError(f"{run.name}: a cluster cannot be removed")


def test_a_cluster_that_cannot_be_removed_does_not_prevent_the_rest(
    machine: Engine, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "kind_program", lambda: Path("kind"))
    substrate = Kind(run, tmp_path / "logs")
    mark(run)
    machine.fill(refusals=0)
    with monkeypatch.context() as patched:
        patched.setattr(kind, "sweep_clusters", no_clusters)
        with pytest.raises(HarnessError, match="run: a cluster cannot be removed"):
            substrate.sweep()
    assert machine.left() == []
    assert [path.name for path in run.iterdir()] == [MARK]
    monkeypatch.setattr(kind, "sweep_clusters", lambda _: 1)
    substrate.sweep()
    assert not run.exists()


def test_a_sweep_by_another_process_names_all_that_is_left(
    machine: Engine, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark(run)
    (run / "password").write_text("secret")
    machine.containers.add("c1", refusals=1)
    with monkeypatch.context() as patched:
        patched.setattr(kind, "sweep_clusters", no_clusters)
        with pytest.raises(HarnessError, match=r"a cluster cannot be removed; container c1: .* cannot be removed"):
            sweep_run(run)
    assert [path.name for path in run.iterdir()] == [MARK]
    monkeypatch.setattr(kind, "sweep_clusters", lambda _: 1)
    swept = sweep_run(run)
    assert (swept.clusters, swept.containers) == (1, 1)
    assert not run.exists()


def test_the_start_error_is_reported_though_the_removal_fails(machine: Engine) -> None:
    machine.containers.add("c1", refusals=1)
    with pytest.raises(HarnessError, match="did not start"), discarding(machine.containers.things[0]):
        raise HarnessError("did not start")
    assert machine.left() == ["c1"]


class Gone:
    """A container that was removed."""

    status = "running"

    def wait(self) -> dict[str, int]:
        raise NotFound("no such container")

    def reload(self) -> None:
        raise NotFound("no such container")

    def execute(self) -> tuple[int | None, bytes]:
        raise NotFound("no such container")


class Lives(Gone):
    """A container that runs, and says how what was executed in it ended."""

    def __init__(self, code: int | None) -> None:
        self.code = code

    def reload(self) -> None:
        """Know of nothing new."""

    def execute(self) -> tuple[int | None, bytes]:
        return self.code, b"why\nnot"


def answering(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, object]) -> Iterator[dict[str, object]]:
    left = iter(answers)
    monkeypatch.setattr(
        docker_task, "engine", lambda: SimpleNamespace(api=SimpleNamespace(exec_inspect=lambda _: next(left)))
    )
    return left


def test_the_exit_code_of_a_removed_container_is_that_of_sigkill() -> None:
    assert code_of(Gone(), "task") == LOST


def test_an_exit_code_that_is_not_known_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way: dict[str, object] = {"Running": True, "ExitCode": None}
    work = Within("look on primary", Lives(0), "1", "tag", "1000:1000")
    answering(monkeypatch, under_way, under_way, {"Running": False, "ExitCode": 3})
    assert work.code(5) == 3
    answering(monkeypatch, {"Running": False, "ExitCode": None})
    assert work.code(5) == LOST
    answering(monkeypatch, under_way)
    with pytest.raises(TookTooLong, match="look on primary"):
        work.code(0)
    answering(monkeypatch, under_way)
    assert Within("look", Gone(), "1", "tag", "1000:1000").code(0) == LOST


def test_a_task_that_cannot_be_killed_is_reported_unless_its_node_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "execute", lambda container, *_, **__: container.execute())
    Within("look", Gone(), "1", "tag", "1000:1000").end()
    Within("look", Lives(0), "1", "tag", "1000:1000").end()
    with pytest.raises(HarnessError, match="look: not ended, code 124: why not"):
        Within("look", Lives(124), "1", "tag", "1000:1000").end()


def shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


@pytest.mark.programs
def test_all_that_a_command_started_is_killed_and_nothing_else() -> None:
    tag = f"{WORK}={os.urandom(8).hex()}"
    name, _, value = tag.partition("=")
    other = subprocess.Popen(shell("exec sleep 300"), env={name: value + "0", "PATH": os.environ["PATH"]})
    script = "setsid sleep 300 & sleep 300 & echo up; wait"
    env = {name: value, "PATH": os.environ["PATH"]}
    with subprocess.Popen(shell(script), env=env, stdout=subprocess.PIPE) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == b"up\n"
        subprocess.run(limited(["sh", "-c", END, tag], 10), check=True)
        assert work.stdout.read() == b""  # no process is left that could write
    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.programs
def test_a_command_with_a_time_limit_is_killed() -> None:
    assert subprocess.run(limited(["sh", "-c", "exit 3"], 5), check=False).returncode == 3
    assert subprocess.run(limited(["sleep", "300"], 0.1), check=False).returncode == 124
