from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.node import NodeSpec
from harness.substrate.docker.substrate import Docker
from harness.substrate.embedded.substrate import Embedded
from tests.substrate.fake import Fake
from tests.substrate.substrates_under_test import (
    PROGRAMS,
    DockerUnderTest,
    EmbeddedUnderTest,
    FakeUnderTest,
    SubstrateUnderTest,
    server,
)

TOKEN = "canary-5f1e0c"  # the value of a secret: it must be found nowhere


@pytest.fixture(
    params=[
        "fake",
        pytest.param("embedded", marks=pytest.mark.programs),
        pytest.param("gated", marks=pytest.mark.programs),
        pytest.param("walled", marks=pytest.mark.programs),
        pytest.param("docker", marks=pytest.mark.engine),
    ]
)
def tested(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SubstrateUnderTest]:
    if request.param == "fake":
        yield FakeUnderTest(Fake(PROGRAMS))
        return
    if request.param == "docker":
        docker = Docker(tmp_path / "run", tmp_path / "logs")
        yield DockerUnderTest(docker)
        docker.sweep()
        return
    sites = {"gated": (), "walled": (), request.param: ("primary", "dr")}
    substrate = Embedded(tmp_path / "run", tmp_path / "logs", gated=sites["gated"], walled=sites["walled"])
    yield EmbeddedUnderTest(substrate)
    substrate.sweep()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedUnderTest]:
    substrate = Embedded(tmp_path / "run", tmp_path / "logs")
    yield EmbeddedUnderTest(substrate)
    substrate.sweep()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def spec(tested: SubstrateUnderTest, token: Path) -> NodeSpec:
    return server(tested, token)
