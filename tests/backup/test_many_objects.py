"""A bucket of many objects: what packing, unpacking and comparing hold does not grow with their number."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.backup.archive import Member
from harness.backup.pack import Archive
from harness.backup.tree import with_folders
from harness.backup.unpack import unpack
from harness.core.node import Readable
from harness.on_disk import Names

FEW, MOST = 2_000, 200 << 10  # objects; bytes that four times as many may take more
HEADERS = {"content-type": "image/png", "x-amz-meta-author": "nobody"}


def key(number: int) -> str:
    return f"{number % 97}/ü {hashlib.sha256(str(number).encode()).hexdigest()}"


@contextmanager
def opened(name: str) -> Iterator[tuple[Member, Readable]]:
    data = name.encode()
    yield Member(name, len(data), object=True, headers=HEADERS), io.BytesIO(data)


def peak(count: int, there: Path) -> int:
    """Return the most bytes that a backup, a restore and a comparison of `count` objects take, which a query names.

    `there`: where the archive is meanwhile.
    """
    tracemalloc.start()
    try:
        names = Names(key(number) for number in range(count))
        archive = Archive("bucket media", lambda: names, opened)
        with there.open("wb") as packed:
            packed.writelines(archive.chunks())
        assert (len(archive.lost), archive.facts.files) == (0, count)
        with there.open("rb") as stream:
            chunks = iter(lambda: stream.read(1 << 20), b"")
            inventory = unpack(archive.name, chunks, archive.facts, lambda _member, source: None)
        assert sum(member.name in names for member, _ in inventory.members()) == count
        assert sum(1 for _ in with_folders(names)) > count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.night
def test_four_times_as_many_objects_take_no_more_memory(tmp_path: Path) -> None:
    peak(FEW, tmp_path / "archive")  # what is imported and cached
    assert peak(4 * FEW, tmp_path / "archive") - peak(FEW, tmp_path / "archive") < MOST
