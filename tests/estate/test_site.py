"""Activation of a site."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.estate.secrets import make_secrets
from harness.estate.site import EstateSite
from harness.s3.client import client
from harness.substrate.embedded.substrate import Embedded

pytestmark = pytest.mark.programs


@pytest.mark.night
def test_activation_waits_for_a_store_that_ran_before(tmp_path: Path) -> None:
    """Regression: activation reported ready before the store answered."""
    substrate, secrets = Embedded(tmp_path / "run", tmp_path / "logs"), make_secrets(tmp_path / "secrets", ())
    site = EstateSite(substrate.site("dr"), secrets.of("dr"), {})
    try:
        site.start_store()
        site.nodes["objects"].kill()
        back = threading.Timer(4, site.nodes["objects"].start)
        back.start()
        site.activate()
        assert client(site.place.s3).list_buckets() == []
        back.join()
    finally:
        substrate.sweep()
