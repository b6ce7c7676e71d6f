from __future__ import annotations

import io
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import Unreadable
from harness.repository.format.frames import FRAME, compress, decompress, regroup


def half_random(size: int) -> bytes:
    return (b"customer %d, " * (size // 12 + 1))[:size]


@settings(max_examples=25, deadline=None)
@given(
    size=st.sampled_from([0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 2 * FRAME + 77]),
    piece=st.integers(10_000, 3 * FRAME),
    gulp=st.integers(1_000, 1 << 20),
)
def test_round_trip_however_it_is_cut(size: int, piece: int, gulp: int) -> None:
    data = half_random(size)
    body = b"".join(compress(data[at : at + piece] for at in range(0, size, piece)))
    assert b"".join(decompress(body[at : at + gulp] for at in range(0, len(body), gulp))) == data


def test_each_frame_stands_alone_with_its_size_and_checksum() -> None:
    frames = list(compress([half_random(2 * FRAME + 5)]))
    assert len(frames) == 3
    facts = [zstandard.get_frame_parameters(frame) for frame in frames]
    assert [f.content_size for f in facts] == [FRAME, FRAME, 5]
    assert all(f.has_checksum for f in facts)
    assert zstandard.ZstdDecompressor().decompress(frames[2]) == half_random(2 * FRAME + 5)[-5:]


@pytest.mark.parametrize("size", [0, 1, FRAME + 1])
def test_together_they_are_a_zst_file_to_the_zstd_program(size: int) -> None:
    data, body = half_random(size), b"".join(compress([half_random(size)]))
    if zstd := shutil.which("zstd"):
        done = subprocess.run([zstd, "-dc"], input=body, capture_output=True, check=True, timeout=30)
        assert done.stdout == data
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True)
    assert reader.read() == data


@pytest.mark.parametrize("cut", [1, 5, 100, -1])
def test_an_end_within_a_frame_is_refused(cut: int) -> None:
    body = b"".join(compress([half_random(FRAME + 1000)]))
    with pytest.raises(Unreadable, match="ends within"):
        list(decompress([body[:cut]]))


def test_nothing_at_all_is_no_zst_file() -> None:
    with pytest.raises(Unreadable, match="frame 0"):
        list(decompress([]))


def test_what_is_no_zstd_and_what_fails_its_checksum_is_refused() -> None:
    with pytest.raises(Unreadable, match="frame 0"):
        list(decompress([b"PGDMP, not zstd at all"]))
    body = bytearray(b"".join(compress([half_random(50_000)])))
    body[-1] ^= 1
    with pytest.raises(Unreadable, match="frame 0"):
        list(decompress([bytes(body)]))


def test_no_more_frames_are_read_than_the_window_holds() -> None:
    pulled = 0

    def endless() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1
            yield bytes(FRAME)

    stream = compress(endless(), workers=2)
    next(stream)
    assert pulled <= 4
    stream.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("compress")]


def test_a_failure_of_the_source_comes_through() -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(FRAME)
        raise OSError("the dump died")

    with pytest.raises(OSError, match="the dump died"):
        list(compress(broken()))


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 17))
def test_regrouped_blocks_are_full_and_hold_the_same(chunks: list[bytes], size: int) -> None:
    blocks = list(regroup(chunks, size))
    assert b"".join(blocks) == b"".join(chunks)
    assert all(len(block) == size for block in blocks[:-1])
    assert all(0 < len(block) <= size for block in blocks)
