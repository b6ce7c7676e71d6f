"""The stock of preloaded images: built once, found, rebuilt, cleaned up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import NotFound

from harness.core.errors import HarnessError
from harness.images.engine import engine
from harness.images.find import archive, digest, reference
from harness.images.kind import stock as module
from harness.images.kind.stock import LABEL, Stock, stock

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the notes of stocks in an empty cache, with a stock of one small image."""
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "IMAGES", ("knot",))
    yield tmp_path / "stocks"
    for volume in volumes(tmp_path / "stocks"):
        engine().volumes.get(volume).remove()


def volumes(notes: Path) -> set[str]:
    return {str(volume.name) for volume in engine().volumes.list(filters={"label": f"{LABEL}={notes}"})}


def test_a_stock_is_built_once_and_rebuilt_after_a_killed_build(notes: Path) -> None:
    said: list[str] = []
    made = stock(said.append)
    assert made.digests == {digest(reference("knot"))}
    assert made.has("knot")
    assert not made.has("nginx")
    assert stock(said.append) == made
    assert len(said) == 1
    (note,) = notes.glob("*.json")
    note.write_text('{"volume": "bl')  # cut off
    labels = {LABEL: str(notes)}
    left = engine().volumes.create(labels=labels)
    maker = engine().containers.create(
        reference("knot"), ["true"], labels=labels, volumes={left.name: {"bind": "/stock"}}
    )
    again = stock(said.append)
    assert len(said) == 2
    assert (again.digests, again.folder != made.folder) == (made.digests, True)
    assert volumes(notes) == {Path(again.folder).parent.name}
    with pytest.raises(NotFound):
        maker.reload()


def test_a_stock_that_cannot_be_built_is_reported_and_leaves_nothing(notes: Path) -> None:
    packed = archive("knot")
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HarnessError, match=r"^stock of images: ended with code 1: [^\n]*unexpected EOF$"):
        stock()
    assert not volumes(notes)
    assert not list(notes.glob("*"))


def test_the_last_used_stocks_and_mounted_ones_are_kept(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quickly(_: str, held: dict[str, str], note: Path) -> None:
        volume = engine().volumes.create(f"blackstart-stock-{note.stem}", labels={LABEL: str(note.parent)})
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"volume": volume.name, "digests": sorted(held.values())}))

    monkeypatch.setattr(module, "_make", quickly)

    def another(number: int) -> Stock:
        monkeypatch.setattr(module, "_LINK", f"# another one: {number}\n")
        return stock()

    mounted, used = another(0), another(1)
    holder = engine().containers.create(reference("knot"), ["true"], volumes={mounted.folder: {"bind": "/stock"}})
    try:
        for number in (2, 3):
            another(number)
            assert another(1) == used
        kept = {Path(one.folder).parent.name for one in (mounted, used, another(3))}
        assert volumes(notes) == kept
        assert len(kept) == module.KEPT + 1
    finally:
        holder.remove()
