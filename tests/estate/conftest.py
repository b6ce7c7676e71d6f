"""Servers that stand before a test looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.estate.secrets import make_secrets
from harness.estate.site import EstateSite
from harness.substrate.embedded.substrate import Embedded
from tests.estate.standing import Standing, tagged


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A database server and a tagged store, on a site of their own."""
    home = tmp_path_factory.mktemp("standing")
    substrate, secrets = Embedded(home / "run", home / "logs"), make_secrets(home / "secrets", ("notification",))
    site = EstateSite(substrate.site("elsewhere"), secrets.of("dr"), {})
    try:
        site.activate()
        tagged(site)
        yield Standing(site, secrets, home, Embedded(home / "desk", home / "logs"))
    finally:
        substrate.sweep()


@pytest.fixture
def standing(servers: Standing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """The servers, with a folder and a desk of this test's own."""
    home = tmp_path_factory.mktemp("here")
    desk = Embedded(home / "run", home / "logs")
    yield replace(servers, folder=home, desk=desk)
    desk.sweep()
