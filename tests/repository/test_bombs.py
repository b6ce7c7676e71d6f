"""Bombs, a few kilobytes that would become gigabytes, are refused before they fill the memory: R8."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
import zstandard

from harness.core.errors import Unreadable
from harness.repository.format.frames import FRAME, decompress
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up

pytestmark = pytest.mark.attacks


def lying_frame(blocks: int, *, window: bool = False) -> bytes:
    """Return a zstd frame that states 4 MiB, of `blocks` blocks of one byte repeated 128 KiB times (RFC 8878)."""
    kind = b"\x80\x60" if window else b"\xa0"  # a window of 4 MiB, or a single segment; four bytes of size
    header = struct.pack("<I", 0xFD2FB528) + kind + struct.pack("<I", FRAME)
    size = 128 << 10
    block = struct.pack("<I", size << 3 | 0b010)[:3] + b"x"
    last = struct.pack("<I", size << 3 | 0b011)[:3] + b"x"
    return header + block * (blocks - 1) + last


@pytest.mark.parametrize("window", [False, True])
def test_the_lying_frame_is_a_frame(window: bool) -> None:
    assert sum(map(len, decompress((lying_frame(32, window=window),)))) == FRAME


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (zstandard.ZstdCompressor(19).compress(bytes(1 << 30)), "states no size of at most"),
        (zstandard.ZstdCompressor(19, write_content_size=False).compress(bytes(1 << 26)), "states no size of at most"),
        (lying_frame(8192), "Destination buffer is too small"),
        (lying_frame(33), "Destination buffer is too small"),
        (lying_frame(8192, window=True), "Destination buffer is too small"),
        (lying_frame(33, window=True), "Destination buffer is too small"),
    ],
    ids=["a GiB", "of no size", "a GiB that states 4 MiB", "a little more", "a GiB in a window", "more in a window"],
)  # fmt: skip
def test_r8_a_bomb_is_refused_before_it_fills_the_memory(bomb: bytes, reason: str) -> None:
    largest = 0

    def pieces() -> Iterator[int]:
        for piece in decompress((bomb,)):
            yield len(piece)

    def all_of_it() -> None:
        nonlocal largest
        for size in pieces():
            largest = max(largest, size)

    with pytest.raises(Unreadable, match=reason):
        all_of_it()
    assert largest <= 64 << 20


def test_r8_an_object_that_is_larger_than_its_manifest_says_ends_there(
    recipients: Recipients,
) -> None:
    """What the writer's key signed bounds what is unpacked."""
    repository = recipients.repository(MemoryStore())
    back_up(repository, recipients, large=bytes(64 << 20))
    (entry,) = repository.committed()
    backup = repository.open(entry, recipients.dr[0])
    (listed,) = backup.manifest.objects
    smaller = replace(backup, manifest=replace(backup.manifest, objects=(replace(listed, plain_size=10),)))
    read = 0

    def all_of_it() -> None:
        nonlocal read
        for chunk in smaller.read("large"):
            read += len(chunk)

    with pytest.raises(Unreadable, match="differs from the manifest"):
        all_of_it()
    assert read == 0
