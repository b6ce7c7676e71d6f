"""`restore-test --substrate docker`: production's backup on a site of containers, which is removed whatever happens."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.estate.substrates import SUBSTRATES
from harness.images.engine import engine
from harness.images.find import reference
from harness.substrate.docker.egress import WALL
from tests.cases.production import Production, begun, blackstart
from tests.restore_test.made_site import await_event, images_in, on_engine, record_of, require_nothing_left, run_until

pytestmark = pytest.mark.engine

WORDS = ("restore-test", "--substrate", "docker")


def test_a_backup_is_tested_on_a_site_of_containers(there: Production, laptop: Path) -> None:
    before = there.stored()
    code, made = run_until(laptop, WORDS, ("status", "guestbook"))
    record = record_of(laptop)
    assert (code, record["verdict"], record["reasons"]) == (0, "KEPT", [])
    assert (record["substrate"], record["data_rows"], record["egress"]) == ("docker", 500, WALL)
    assert images_in(record) == {"blackstart", "minio", "notifier", "postgres", "traefik"}
    refused = {one["where"]: one["packets"] for one in record["refused"]}
    assert refused["guestbook"] >= 1  # the program tried to reach the world
    assert there.stored() == before
    require_nothing_left(laptop, made)


def test_an_interrupted_test_removes_its_containers_and_leaves_a_record(laptop: Path) -> None:
    code, made = run_until(laptop, WORDS, ("begin", "restore"), signal.SIGINT)
    assert (code, record_of(laptop)["verdict"]) == (3, "UNKNOWN")
    assert record_of(laptop)["reasons"] == ["interrupted before it was done"]
    assert record_of(laptop)["egress"] == WALL
    require_nothing_left(laptop, made)


def test_a_killed_test_is_swept(laptop: Path) -> None:
    code, made = run_until(laptop, WORDS, ("begin", "app"), signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert made <= on_engine(laptop)
    done = blackstart(laptop, "sweep")
    assert done.returncode == 0, done.stderr
    assert "containers removed" in done.stdout
    require_nothing_left(laptop, made)


def test_a_killed_test_is_resumed_into_its_record(laptop: Path) -> None:
    _, made = run_until(laptop, WORDS, ("end", "restore"), signal.SIGKILL)
    (run,) = (laptop / "runs").iterdir()
    done = blackstart(laptop, "resume", str(run))
    assert done.returncode == 0, done.stderr + done.stdout
    assert record_of(laptop)["verdict"] == "KEPT"
    assert len(list((laptop / "reports/drills").glob("*/record.json"))) == 1
    require_nothing_left(laptop, made)


def test_a_program_that_does_not_run_in_its_image_fails_the_test_and_nothing_is_left(laptop: Path) -> None:
    (laptop / "guestbook.py").write_text("import nothing_of_that_name")
    code, made = run_until(laptop, WORDS, ("starting", "guestbook"))
    record = record_of(laptop)
    assert (code, record["verdict"]) == (1, "BROKEN")
    assert "guestbook on dr ended with code 1 before it was ready" in record["reasons"][0]
    require_nothing_left(laptop, made)


def test_what_cannot_be_removed_is_named_and_the_next_sweep_removes_it(laptop: Path) -> None:
    """A container of somebody else's uses a volume of the site."""
    with begun(laptop, *WORDS) as running:
        await_event(running, "status", "guestbook")
        made = on_engine(laptop)
        volume = next(name for name in made if name.endswith("-dr-postgres"))
        other = engine().containers.create(reference("postgres"), volumes={volume: {"bind": "/there", "mode": "ro"}})
        try:
            output, errors = running.communicate()
            assert (running.returncode, errors) == (3, "")
            assert f"volume {volume}" in str(json.loads(output.splitlines()[-1])["reasons"])
            assert on_engine(laptop) == {volume}
        finally:
            other.remove(force=True)
    assert blackstart(laptop, "sweep").returncode == 0
    require_nothing_left(laptop, made)


@pytest.mark.parametrize(
    ("image", "code", "said"),
    [
        ("", 2, "services.guestbook: declares no image"),
        ('image = "example/none:1"', 3, "image example/none:1: not found on the container engine; `docker pull"),
    ],
)
def test_a_service_without_an_image_is_one_line_and_nothing_is_begun(
    laptop: Path, image: str, code: int, said: str
) -> None:
    file = laptop / "estate.toml"
    file.write_text(file.read_text().replace('image = "notifier"', image))
    done = blackstart(laptop, *WORDS)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (laptop / "reports").exists()


@pytest.mark.parametrize(("substrate", "said"), [("embedded", "MB are needed; make room"), ("docker", "GiB needed")])
def test_a_backup_larger_than_the_disk_of_its_volumes_is_refused(tmp_path: Path, substrate: str, said: str) -> None:
    """The volumes of containers are on the engine's disk, not in the run folder."""
    SUBSTRATES[substrate].require_room(tmp_path, 1)
    with pytest.raises(HarnessError, match=said):
        SUBSTRATES[substrate].require_room(tmp_path, 1_000_000_000)
