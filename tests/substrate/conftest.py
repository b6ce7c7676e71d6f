from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.node import NodeSpec
from harness.substrate.docker.substrate import Docker
from harness.substrate.embedded.substrate import Embedded
from tests.substrate.benches import PROGRAMS, Bench, DockerBench, EmbeddedBench, FakeBench, server
from tests.substrate.fake import Fake

TOKEN = "canary-5f1e0c"  # what a secret is: it may be found nowhere


@pytest.fixture(
    params=[
        "fake",
        pytest.param("embedded", marks=pytest.mark.programs),
        pytest.param("docker", marks=pytest.mark.engine),
    ]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "fake":
        yield FakeBench(Fake(PROGRAMS))
        return
    if request.param == "docker":
        docker = Docker(tmp_path / "run", tmp_path / "logs")
        yield DockerBench(docker)
        docker.sweep()
        return
    substrate = Embedded(tmp_path / "run", tmp_path / "logs")
    yield EmbeddedBench(substrate)
    substrate.sweep()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedBench]:
    substrate = Embedded(tmp_path / "run", tmp_path / "logs")
    yield EmbeddedBench(substrate)
    substrate.sweep()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def spec(bench: Bench, token: Path) -> NodeSpec:
    return server(bench, token)
