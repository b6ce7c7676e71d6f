"""Fixtures with running servers of an existing site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.estate.kinds import EXAMPLES
from harness.estate.secrets import make_secrets
from harness.estate.site import EstateSite
from harness.substrate.embedded.substrate import Embedded
from tests.estate.existing_servers import ExistingServers, tagged


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExistingServers]:
    """A database server and a tagged store on one site."""
    home = tmp_path_factory.mktemp("existing")
    substrate = Embedded(home / "run", home / "logs")
    specs = (spec for kind in EXAMPLES for spec in kind.secrets(kind.name, kind.table(kind=kind.name)))
    secrets = make_secrets(home / "secrets", specs)
    site = EstateSite(substrate.site("elsewhere"), secrets.of("dr"), {})
    try:
        site.activate()
        tagged(site)
        yield ExistingServers(site, secrets, home, Embedded(home / "workspace", home / "logs"))
    finally:
        substrate.sweep()


@pytest.fixture
def existing(servers: ExistingServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExistingServers]:
    """The servers, with a folder and a workspace for each test."""
    home = tmp_path_factory.mktemp("here")
    local = Embedded(home / "run", home / "logs")
    yield replace(servers, folder=home, local=local)
    local.sweep()
