"""Errors of engine, registry and disk: one line with the reason each, and no loss of undamaged archives."""

from __future__ import annotations

import errno
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
import requests
from docker.errors import APIError, ImageLoadError, ImageNotFound, NotFound
from urllib3.exceptions import ReadTimeoutError

from harness.core.errors import HarnessError, MissingPart
from harness.images import bake, context, storage
from harness.images.bake import Provider, main, provide
from harness.images.build import base
from harness.images.find import BAKED, PUBLIC
from harness.images.kind import node
from harness.images.storage import load, save
from harness.kubernetes.cluster import load_archive

FULL = APIError("500 Server Error", explanation="write /layer.tar: no space left on device")
ROUTE = APIError("500", explanation='Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io')
LIMIT = APIError("500", explanation="toomanyrequests: You have reached your pull rate limit")
SILENT = requests.ReadTimeout("UnixHTTPConnectionPool(host='localhost', port=None): Read timed out.")
BROKEN = ReadTimeoutError(None, None, "Read timed out.")  # type: ignore[arg-type]  # as an answer that is streamed ends
DISK = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache, without locks of other processes."""
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path / "cache"))


def refusing(error: Exception) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise error

    return refuse


def use(monkeypatch: pytest.MonkeyPatch, **kinds: object) -> None:
    """Replace the engine's client by one with these collections only, and without images."""
    images = kinds.pop("images", SimpleNamespace(get=refusing(ImageNotFound("404"))))
    client = SimpleNamespace(images=images, **kinds)
    for module in (bake, base, context, storage):
        monkeypatch.setattr(module, "engine", lambda: client)


def images(**more: object) -> SimpleNamespace:
    return SimpleNamespace(**{"get": refusing(ImageNotFound("404")), **more})


def an_archive(path: Path) -> Path:
    with tarfile.open(path, "w") as packed:
        for name, data in (("layer.tar", b"x" * 5000), ("manifest.json", b"[]")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            packed.addfile(entry, BytesIO(data))
    return path


@pytest.mark.parametrize("error", [FULL, SILENT, BROKEN, ImageLoadError("no space left on device")])
def test_an_undamaged_archive_is_kept_when_the_engine_refuses_it(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, images=images(load=refusing(error)))
    archive = an_archive(tmp_path / "a.tar")
    with pytest.raises(
        HarnessError, match=r"^image o/a:1: not loaded from its archive: .*(no space|timed out).*"
    ) as told:
        load(archive, "o/a:1")
    assert archive.is_file()
    assert f"{archive} is kept" in str(told.value)
    assert ("make room" in str(told.value)) == ("no space" in str(told.value))


@pytest.mark.parametrize("size", [0, 700, 5500, 6600])
def test_a_damaged_archive_is_removed(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, images=images(load=refusing(FULL)))
    archive = an_archive(tmp_path / "a.tar")
    archive.write_bytes(archive.read_bytes()[:size])
    assert not load(archive, "o/a:1")
    assert not archive.exists()


def test_the_archive_of_a_node_image_that_cannot_be_loaded_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, images=images(load=refusing(FULL)))
    archive = tmp_path / "kept/kind-node.tar"

    def build(argv: list[str], *, cwd: Path, **_: object) -> str:
        (cwd / "build").mkdir(exist_ok=True)
        an_archive(cwd / "build/node.tar")
        return ""

    monkeypatch.setattr(node, "_require", lambda: None)
    monkeypatch.setattr(node, "require_room", lambda _: None)
    monkeypatch.setattr(node, "obtain", lambda *_: None)
    monkeypatch.setattr(node, "run", build)
    with pytest.raises(HarnessError, match="no space left on device; make room"):
        node.bake("o/kind-node:1", archive)
    assert [path.name for path in archive.parent.iterdir()] == ["kind-node.tar"]


@pytest.mark.parametrize("error", [FULL, SILENT, DISK])
def test_an_archive_that_cannot_be_written_is_reported(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, api=SimpleNamespace(get_image=refusing(error)))
    with pytest.raises(HarnessError, match=r"^image o/a:1: cannot be saved as /.*/new/a\.tar: .+; \S") as told:
        save("o/a:1", tmp_path / "new/a.tar")
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "new").iterdir())


def test_a_cache_that_is_not_a_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"^image o/a:1: cannot be saved as .*: Not a directory \(/"):
        save("o/a:1", tmp_path / "file/images/a.tar")


@pytest.mark.parametrize("error", [FULL, SILENT, BROKEN])
def test_a_failed_build_is_reported(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, images=images(build=refusing(error)))
    with (
        context.new_context() as (written, file),
        pytest.raises(HarnessError, match=r"^image o/a:1: not built: .*(no space left|timed out).*; \S"),
    ):
        context.build(written, file, "o/a:1")


def test_the_container_that_reads_a_file_is_labelled_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []
    gone: list[str] = []
    pruned: list[dict[str, object]] = []
    held = SimpleNamespace(get_archive=refusing(SILENT), remove=lambda: gone.append("it"))

    def create(*_: object, **how: object) -> SimpleNamespace:
        made.append(how)
        return held

    def prune(filters: dict[str, object]) -> None:
        pruned.append(filters)

    use(monkeypatch, containers=SimpleNamespace(create=create, prune=prune))
    with pytest.raises(HarnessError, match=r"^image o/base:1: its /var/lib/dpkg/status cannot be read: .*timed out"):
        base._file_in("o/base:1", base.STATUS)
    assert gone == ["it"]
    assert list(made[0]["labels"]) == [base.READER]  # type: ignore[call-overload]
    assert pruned == [{"label": base.READER, "until": "1h"}]


@pytest.mark.parametrize(
    ("error", "remedy"), [(SILENT, "no answer for 300 s"), (DISK, "make room on the disk of the cache"), (FULL, "room")]
)
def test_every_image_is_tried_and_each_failure_is_one_line(
    error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, images=images(get=refusing(error)))
    with pytest.raises(HarnessError) as told:
        provide(["nginx", "knot"])
    lines = str(told.value).splitlines()
    assert [line.partition(": ")[0].partition(":")[0] for line in lines] == [
        "image blackstart/nginx", "image blackstart/knot"
    ]  # fmt: skip
    assert all(remedy in line for line in lines)
    assert main(["nginx"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_disk_that_fills_during_a_bake_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    monkeypatch.setattr(Provider, "_from_archive", refusing(DISK))
    with pytest.raises(HarnessError, match=r"^image knot: No space left on device; make room on the disk of the cache"):
        Provider(choice=BAKED).provide("knot")


@pytest.mark.parametrize(
    ("error", "said", "asked"),
    [
        (ROUTE, r"dial tcp.*; check the engine's connection to the registry; unset BLACKSTART_IMAGES", 1),
        (LIMIT, r"toomanyrequests.*; `docker login`, or try again later; unset BLACKSTART_IMAGES", 1),
        (FULL, r"no space left on device; make room [^;]*$", 1),
        (NotFound("404", explanation="manifest unknown"), r"manifest unknown; unset BLACKSTART_IMAGES", 2),
    ],
)
def test_the_reason_of_a_failed_pull_is_reported(
    error: Exception, said: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def pull(repository: str, **_: object) -> Iterator[object]:
        calls.append(repository)
        raise error

    use(monkeypatch, api=SimpleNamespace(pull=pull))
    provider = Provider(choice=PUBLIC)
    for name in ("nginx", "knot"):
        with pytest.raises(MissingPart, match=rf"^image {name}: \S+ cannot be pulled: .*{said}"):
            provider.provide(name)
    assert len(calls) == asked


def test_the_reason_of_an_interrupted_pull_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [{"status": "Pulling from library/nginx"}, {"error": "failed to register layer: no space left on device"}]
    use(monkeypatch, api=SimpleNamespace(pull=lambda *_, **__: iter(steps)))
    with pytest.raises(
        MissingPart, match=r"^image nginx: nginx:\S+ cannot be pulled: failed to register layer: no space"
    ):
        Provider(choice=PUBLIC).provide("nginx")


def test_both_reasons_are_reported_when_pull_and_bake_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, api=SimpleNamespace(pull=refusing(ROUTE)))
    monkeypatch.setattr(Provider, "_from_archive", lambda *_: False)
    monkeypatch.setattr(Provider, "_bake", refusing(MissingPart("image base: mmdebstrap not found")))
    with pytest.raises(
        MissingPart, match=r"^image base: mmdebstrap not found; and nginx:\S+ cannot be pulled: .*dial tcp"
    ):
        Provider(choice="").provide("nginx")


def test_loading_an_archive_into_a_cluster_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", refusing(subprocess.TimeoutExpired("kind", 240.0)))
    with pytest.raises(HarnessError, match=r"^cluster c: a\.tar not loaded within 240 s; is the machine busy\?$"):
        load_archive(tmp_path / "kind", "c", tmp_path / "a.tar")
