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
from harness.repository.format.frames import FRAME, LARGEST_FRAME, compress, decompress, regroup


def text_of(size: int) -> bytes:
    return (b"customer %d, " * (size // 12 + 1))[:size]


def compressed(*chunks: bytes) -> bytes:
    return b"".join(compress(regroup(chunks, FRAME)))


@settings(max_examples=25, deadline=None)
@given(
    size=st.sampled_from([0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 2 * FRAME + 77]),
    piece=st.integers(10_000, 3 * FRAME),
    gulp=st.integers(1_000, 1 << 20),
)
def test_round_trip_with_any_chunk_sizes(size: int, piece: int, gulp: int) -> None:
    data = text_of(size)
    body = compressed(*(data[at : at + piece] for at in range(0, size, piece)))
    assert b"".join(decompress(body[at : at + gulp] for at in range(0, len(body), gulp))) == data


def test_each_frame_is_independent_and_has_its_size_and_checksum() -> None:
    frames = list(compress(regroup([text_of(2 * FRAME + 5)], FRAME)))
    assert len(frames) == 3
    facts = [zstandard.get_frame_parameters(frame) for frame in frames]
    assert [f.content_size for f in facts] == [FRAME, FRAME, 5]
    assert all(f.has_checksum for f in facts)
    assert zstandard.ZstdDecompressor().decompress(frames[2]) == text_of(2 * FRAME + 5)[-5:]


@pytest.mark.parametrize("size", [0, 1, FRAME + 1])
def test_the_zstd_program_reads_the_frames_as_one_file(size: int) -> None:
    data, body = text_of(size), compressed(text_of(size))
    if zstd := shutil.which("zstd"):
        done = subprocess.run([zstd, "-dc"], input=body, capture_output=True, check=True, timeout=30)
        assert done.stdout == data
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True)
    assert reader.read() == data


@pytest.mark.parametrize("cut", [1, 5, 100, -1])
def test_a_truncated_frame_is_refused(cut: int) -> None:
    body = compressed(text_of(FRAME + 1000))
    with pytest.raises(Unreadable, match="ends within"):
        list(decompress([body[:cut]]))


def test_empty_input_is_refused() -> None:
    with pytest.raises(Unreadable, match="frame 0"):
        list(decompress([]))


def test_other_formats_and_checksum_mismatches_are_refused() -> None:
    with pytest.raises(Unreadable, match="frame 0"):
        list(decompress([b"PGDMP, not zstd at all"]))
    body = bytearray(compressed(text_of(50_000)))
    body[-1] ^= 1
    with pytest.raises(Unreadable, match="frame 0"):
        list(decompress([bytes(body)]))


def test_what_zstd_skips_is_no_frame() -> None:
    size = 0xA0  # which a frame's header could have at that place
    skipped = bytes.fromhex("502a4d18") + size.to_bytes(4, "little") + bytes(size)
    with pytest.raises(Unreadable, match="frame 0: has no data, but what zstd skips"):
        list(decompress([skipped]))


def test_a_frame_whose_blocks_go_on_is_refused_before_they_are_read() -> None:
    block = 128 << 10
    header = zstandard.FRAME_HEADER + b"\xa0" + FRAME.to_bytes(4, "little")  # one segment, its size in 4 bytes
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield header
        for _ in range(3 * FRAME // block):
            read += block
            yield (block << 3).to_bytes(3, "little") + bytes(block)  # stored as it is, not the last one

    with pytest.raises(Unreadable, match=f"frame 0: is longer than {FRAME} bytes can be, compressed"):
        list(decompress(endless()))
    assert read <= LARGEST_FRAME + block


def test_the_source_is_read_at_most_a_window_ahead() -> None:
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


def test_an_exception_of_the_source_is_passed_on() -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(FRAME)
        raise OSError("the dump died")

    with pytest.raises(OSError, match="the dump died"):
        list(compress(broken()))


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 17))
def test_regrouped_blocks_are_full_and_have_the_same_bytes(chunks: list[bytes], size: int) -> None:
    blocks = list(regroup(chunks, size))
    assert b"".join(blocks) == b"".join(chunks)
    assert all(len(block) == size for block in blocks[:-1])
    assert all(0 < len(block) <= size for block in blocks)
