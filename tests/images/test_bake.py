"""Provision of images: baking, archives, pulls."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from harness import __version__
from harness.core.errors import MissingPart
from harness.images import bake, storage
from harness.images.bake import Provider
from harness.images.build import recipes
from harness.images.engine import engine
from harness.images.find import BAKED, PUBLIC, baked, key, reference
from harness.images.storage import archive_of, has, load, save
from harness.images.table import OURS, Image

pytestmark = pytest.mark.engine


@pytest.fixture
def another_nginx(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Reference of a variant of the image nginx, with an additional label."""
    monkeypatch.setattr(recipes, "RECIPES", tuple(map(_more, recipes.RECIPES)))
    ours = baked("nginx")
    yield ours
    archive_of("nginx", key("nginx")).unlink(missing_ok=True)
    if has(ours):
        engine().images.remove(ours)


def _more(how: recipes.Recipe) -> recipes.Recipe:
    return replace(how, instructions=f"LABEL tried=yes\n{how.instructions}") if how.name == "nginx" else how


def test_an_image_is_baked_then_found_then_loaded(another_nginx: str) -> None:
    said: list[str] = []
    provider = Provider(said.append, choice=BAKED)
    done = provider.provide("nginx")
    assert (done.reference, done.how) == (another_nginx, "baked")
    assert engine().images.get(another_nginx).labels["tried"] == "yes"
    assert provider.provide("nginx").how == "there"
    assert archive_of("nginx", key("nginx")).is_file()
    engine().images.remove(another_nginx)
    assert provider.provide("nginx").how == "loaded"
    assert reference("nginx") == another_nginx
    assert [line.split(" in ")[0] for line in said] == [
        f"image nginx: {another_nginx} {how}" for how in ("baked", "loaded")
    ]


def test_of_two_concurrent_providers_one_bakes_the_image(another_nginx: str) -> None:
    with ThreadPoolExecutor(2) as both:
        done = list(both.map(lambda _: Provider(choice=BAKED).provide("nginx"), range(2)))
    assert sorted(one.how for one in done) == ["baked", "there"]
    assert {one.reference for one in done} == {another_nginx}


@pytest.mark.parametrize("name", ["blackstart", "notifier"])
def test_images_that_are_not_public_have_the_tag_that_deploy_refers_to(name: str) -> None:
    ours = Provider(choice=BAKED).provide(name).reference
    released = engine().images.get(f"blackstart/{name}:{__version__}")
    assert released.id == engine().images.get(ours).id


def test_a_damaged_archive_is_removed_and_the_image_baked_again(another_nginx: str) -> None:
    archive = archive_of("nginx", key("nginx"))
    archive.write_bytes(b"no archive")
    assert Provider(choice=BAKED).provide("nginx").how == "baked"
    assert archive.stat().st_size > 1_000_000
    assert has(another_nginx)


def test_sources_that_change_during_a_bake_are_read_again(another_nginx: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unsteady(name: str) -> str:
        asked.append(name)
        return key(name) if name != "nginx" or len(asked) > 6 else f"{len(asked):012x}"

    monkeypatch.setattr(bake, "key", unsteady)
    provider = Provider(choice=BAKED)
    assert provider.provide("nginx").reference == another_nginx


def test_an_unreachable_registry_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bake, "image", lambda name: Image(name, "127.0.0.1:9/none:1"))
    provider = Provider(choice=PUBLIC)
    for _ in range(2):
        with pytest.raises(MissingPart, match=r"^image nginx: 127\.0\.0\.1:9/none:1 cannot be pulled: .+; unset"):
            provider.provide("nginx")
        assert provider.silence


def test_an_archive_restores_the_saved_image(tmp_path: Path) -> None:
    ours, name = Provider(choice=BAKED).provide("nginx").reference, "blackstart/tried:1"
    engine().images.get(ours).tag("blackstart/tried", "1")
    try:
        archive = save(name, tmp_path / "tried.tar")
        engine().images.remove(name)
        assert not has(name)
        assert load(archive, name)
        assert engine().images.get(name).id == engine().images.get(ours).id
    finally:
        try:
            engine().images.remove(name)
        except ImageNotFound as error:
            raise AssertionError("the archive was not loaded") from error
    assert [path.name for path in tmp_path.iterdir()] == ["tried.tar"]


def test_recent_images_are_kept_for_other_checkouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: a run of one checkout lost its images to three others that baked theirs meanwhile."""
    references = [f"{OURS}/tidied:{number}" for number in range(5)]
    try:
        for number in range(5):
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w") as archive:
                archive.addfile(tarfile.TarInfo(f"file-{number}"))
            engine().api.import_image_from_data(packed.getvalue(), repository=f"{OURS}/tidied", tag=str(number))
        storage.tidy("tidied")
        assert [has(one) for one in references] == [True] * 5
        monkeypatch.setattr(storage, "RECENT", timedelta(0))
        storage.tidy("tidied")
        assert [has(one) for one in references] == [False, False, True, True, True]
    finally:
        for one in references:
            if has(one):
                engine().images.remove(one)
