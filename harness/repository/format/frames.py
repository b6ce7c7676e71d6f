"""Compression: a sequence of independent zstd frames (RFC 8878) of 4 MiB of plaintext, which is a valid `.zst` file."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import zstandard

from harness.core.errors import Unreadable

FRAME = 4 << 20  # bytes of plaintext in each frame but the last
LEVEL = 1  # measured on dumps: a third of the processor time of level 3, and no larger (benchmarks/logical.py)
PIECE = 1 << 17  # bytes per call of the decompressor; limits the size of what it returns and copies


def regroup(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the bytes of `chunks` in blocks of `size` bytes; the last block may be shorter, but is not empty."""
    held: list[bytes] = []
    have = 0
    for chunk in chunks:
        start = 0
        while len(chunk) - start >= size - have:
            end = start + size - have
            whole = not held and start == 0 and end == len(chunk)
            held.append(chunk if whole else chunk[start:end])
            block = held[0] if len(held) == 1 else b"".join(held)
            held, have, start = [], 0, end
            yield block
            del block
        if start < len(chunk):
            held.append(chunk[start:])
            have += len(chunk) - start
    if held:
        yield b"".join(held)


def compress(blocks: Iterable[bytes], workers: int = 2, level: int = LEVEL) -> Iterator[bytes]:
    """Yield one zstd frame for each block, in order, at least one; at most `workers` + 1 are in memory."""
    own = threading.local()

    def frame(block: bytes) -> bytes:
        if not hasattr(own, "compressor"):
            own.compressor = zstandard.ZstdCompressor(level, write_checksum=True, write_content_size=True)
        done: bytes = own.compressor.compress(block)
        return done

    pool = ThreadPoolExecutor(workers, thread_name_prefix="compress")
    under_way: deque[Future[bytes]] = deque()
    empty = True
    try:
        for block in blocks:
            empty = False
            under_way.append(pool.submit(frame, block))
            del block
            if len(under_way) > workers:
                yield under_way.popleft().result()
        if empty:
            under_way.append(pool.submit(frame, b""))
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the plaintext of zstd frames, at most a frame at a time. Raises Unreadable for bad or truncated data."""
    decompressor = zstandard.ZstdDecompressor()
    number, frame, within = 0, decompressor.decompressobj(), False
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE):
            rest = chunk[start : start + PIECE]
            while rest:
                try:
                    plain = frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise Unreadable(f"zstd frame {number}: {error}") from None
                if plain:
                    yield plain
                within, rest = not frame.eof, frame.unused_data if frame.eof else b""
                if frame.eof:
                    number, frame = number + 1, decompressor.decompressobj()
    if within or not number:
        raise Unreadable(f"zstd frame {number}: the data ends within it")
