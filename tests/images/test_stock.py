"""The stock is made once, found after that, made anew when it was removed; what keeps it from that is one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.images.engine import engine
from harness.images.find import archive, reference
from harness.images.kind import stock as module
from harness.images.kind.stock import LABEL, stock

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a cache of its own notes its stocks, of one small image."""
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "IMAGES", ("knot",))
    yield tmp_path / "stocks"
    for volume in volumes(tmp_path / "stocks"):
        engine().volumes.get(volume).remove()


def volumes(notes: Path) -> set[str]:
    return {str(volume.name) for volume in engine().volumes.list(filters={"label": f"{LABEL}={notes}"})}


def test_a_stock_is_made_once_and_made_anew_when_it_was_removed(notes: Path) -> None:
    said: list[str] = []
    made = stock(said.append)
    assert made.references == {reference("knot")}
    assert stock(said.append) == made
    assert len(said) == 1
    (first,) = volumes(notes)
    engine().volumes.get(first).remove()
    again = stock(said.append)
    assert len(said) == 2
    assert (again.references, again.folder != made.folder, len(volumes(notes))) == (made.references, True, 1)


def test_a_stock_that_cannot_be_made_is_one_line_and_the_next_one_clears_it_away(notes: Path) -> None:
    packed = archive("knot")
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HarnessError, match=r"^stock of images: ended with code 1: [^\n]+$"):
        stock()
    (unfinished,) = volumes(notes)
    packed.write_bytes(whole)
    stock()
    assert unfinished not in volumes(notes)
    assert len(volumes(notes)) == 1


def test_the_newest_are_kept_and_what_a_container_has_mounted(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest = stock()
    holder = engine().containers.create(
        reference("knot"), ["true"], volumes={oldest.folder: {"bind": "/stock", "mode": "ro"}}
    )
    try:
        for number in range(3):
            monkeypatch.setattr(module, "_LINK", f"# another one: {number}\n")
            stock()
        assert len(volumes(notes)) == module.KEPT + 1
        assert Path(oldest.folder).parent.name in volumes(notes)
    finally:
        holder.remove()
