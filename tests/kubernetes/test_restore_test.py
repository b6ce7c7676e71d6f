"""`restore-test --substrate kind`: production's backup on a cluster that is made for it and removed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.kubernetes.egress_filter import WALL
from tests.cases.production import Production, blackstart
from tests.restore_test.made_site import images_in, on_engine, record_of, require_nothing_left, run_until

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.night]

WORDS = ("restore-test", "--substrate", "kind")


def test_a_backup_is_tested_on_a_cluster_of_its_own(there: Production, laptop: Path) -> None:
    before = there.stored()
    code, made = run_until(laptop, WORDS, ("end", "restore"))
    record = record_of(laptop)
    assert (code, record["verdict"], record["reasons"]) == (0, "KEPT", [])
    assert (record["substrate"], record["data_rows"], record["egress"]) == ("kind", 500, WALL)
    assert len([name for name in made if name.endswith("-control-plane")]) == 1
    assert images_in(record) == {"blackstart", "kind-node", "minio", "notifier", "postgres", "traefik"}
    assert record["refused"][0]["packets"] >= 1  # the program tried to reach the world
    assert there.stored() == before
    require_nothing_left(laptop, made)


def test_a_killed_test_is_swept(laptop: Path) -> None:
    code, made = run_until(laptop, WORDS, ("end", "restore"), signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert made <= on_engine(laptop)
    done = blackstart(laptop, "sweep")
    assert done.returncode == 0, done.stderr
    assert "1 clusters removed" in done.stdout
    require_nothing_left(laptop, made)
