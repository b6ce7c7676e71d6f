from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.node import NodeSpec
from harness.substrate.docker.substrate import Docker
from tests.substrate.substrates_under_test import DockerUnderTest, server


@pytest.fixture
def tested(tmp_path: Path) -> Iterator[DockerUnderTest]:
    docker = Docker(tmp_path / "run", tmp_path / "logs", bounded={"offsite/data": 16})
    yield DockerUnderTest(docker)
    docker.sweep()


@pytest.fixture
def spec(tested: DockerUnderTest, tmp_path: Path) -> NodeSpec:
    token = tmp_path / "token"
    token.write_text("secret")
    return server(tested, token)
