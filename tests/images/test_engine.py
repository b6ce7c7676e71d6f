"""A missing engine, missing permission, a full disk and a missing image: one line each."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, MissingPart, UsageError
from harness.images.bake import main
from harness.images.engine import engine, require_room
from harness.images.find import archive, baked, digest, reference
from harness.images.table import IMAGES

STRANGER = 4711


def _ask_as_a_stranger(host: str, answer: Connection) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(STRANGER)
        os.setuid(STRANGER)
    os.environ["DOCKER_HOST"] = host
    engine.cache_clear()
    try:
        engine()
    except MissingPart as error:
        answer.send(str(error))
    else:
        answer.send("")


def _as_a_stranger(host: str) -> str:
    """Return the error message that another user gets; in a separate process, which gives up root."""
    forked = multiprocessing.get_context("fork")
    ours, theirs = forked.Pipe()
    child = forked.Process(target=_ask_as_a_stranger, args=(host, theirs))
    child.start()
    try:
        assert ours.poll(30)
        return str(ours.recv())
    finally:
        child.join(10)
        assert child.exitcode == 0


def test_a_missing_engine_is_reported_with_the_remedy(tmp_path: Path) -> None:
    said = _as_a_stranger(f"unix://{tmp_path}/nowhere.sock" if os.geteuid() else "unix:///nowhere.sock")
    assert said.startswith("no container engine answers at unix:///")
    assert said.endswith(
        "(No such file or directory): install Docker Engine, e.g. `apt-get install docker.io`, and start it"
    )
    assert "\n" not in said


def test_a_refused_connection_is_reported_with_the_remedy() -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        said = _as_a_stranger(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    assert "(Connection refused): install Docker Engine" in said
    assert "\n" not in said


def test_missing_permission_is_reported_with_the_group() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o755)
        path = Path(folder) / "docker.sock"
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        said = _as_a_stranger(f"unix://{path}")
    assert said == (
        f"no permission to use the container engine at {path}: "
        "`sudo usermod -aG docker $USER`, then log in again, or run as root"
    )


def test_baking_without_an_engine_exits_with_code_3() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.images.bake", "postgres"],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere.sock"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("no container engine answers at unix:///nowhere.sock")
    assert done.stderr.count("\n") == 1


def test_an_unknown_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["postgras"]) == 3
    assert capsys.readouterr().err == f"postgras: no such image; images are {', '.join(i.name for i in IMAGES)}\n"


@pytest.mark.engine
def test_an_image_missing_on_the_engine_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingPart, match=r"^image another/thing:1: not found on the container engine; `docker pull"):
        reference("another/thing:1")
    monkeypatch.setattr("harness.images.build.recipes.INGREDIENTS", ("another base",))
    monkeypatch.setenv("BLACKSTART_IMAGES", "baked")
    with pytest.raises(
        MissingPart,
        match=r"^image postgres: blackstart/postgres:\w+ not found on the container engine; run `make images`$",
    ):
        reference("postgres")
    monkeypatch.setenv("BLACKSTART_IMAGES", "some")
    with pytest.raises(UsageError, match=r"^BLACKSTART_IMAGES=some: must be `baked` or `public`$"):
        reference("postgres")


@pytest.mark.engine
def test_an_image_is_found_and_its_archive_has_its_reference() -> None:
    found = reference("nginx")
    assert found in {baked("nginx"), "nginx:1.31.3"}
    assert digest(found).startswith("sha256:")
    assert reference(found) == found  # a reference stands for itself
    with tarfile.open(archive("nginx")) as packed:
        manifest = packed.extractfile("manifest.json")
        assert manifest is not None
        assert found in manifest.read().decode()


@pytest.mark.engine
def test_a_full_disk_is_reported_before_anything_is_started() -> None:
    require_room(1)
    with pytest.raises(HarnessError, match=r"^container engine: [\d.]+ GiB free in .*, [\d.]+ GiB needed; make room"):
        require_room(1 << 60)


@pytest.mark.engine
def test_only_the_newest_archives_of_an_image_of_the_user_s_own_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program is released every week: its archives for clusters must not fill the cache."""
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path))
    names = [f"shop.example:5000/a-b/c:v-{number}" for number in range(5)]
    try:
        for name in names:
            engine().api.import_image_from_data(b"\0" * 1024, *name.rsplit(":", 1))  # an empty archive
        made = []
        for name in names:
            made.append(archive(name))
            os.utime(made[-1], (len(made), len(made)))  # long ago, one after the other
        assert [path.is_file() for path in made] == [False, False, True, True, True]
        with tarfile.open(made[-1]) as packed:
            manifest = packed.extractfile("manifest.json")
            assert manifest is not None
            assert json.load(manifest)[0]["RepoTags"] == [names[-1]]
        assert archive(names[-1]) == made[-1]
        assert made[-1].stat().st_mtime > len(made)  # used now, so that it stays the newest
    finally:
        for name in names:
            engine().images.remove(name)
