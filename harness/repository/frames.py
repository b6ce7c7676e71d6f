"""Compression: independent zstd frames of 4 MiB of plaintext; one after another they are a valid `.zst` file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import zstandard

from harness.core.errors import Unreadable

FRAME = 4 << 20  # bytes of plaintext
LEVEL = 3
WORKERS = 2
WINDOW = 4  # frames under way at once: what bounds memory


def frames_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the plaintext in pieces of exactly one frame, the last one shorter."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= FRAME:
            yield bytes(held[:FRAME])
            del held[:FRAME]
    if held:
        yield bytes(held)


def _frame(plain: bytes) -> bytes:
    # A compressor of its own for each frame: they may not be shared between threads.
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True).compress(plain)


def compress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one zstd frame (RFC 8878) for each piece of plaintext, in order, made by two workers."""
    window: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for piece in frames_of(chunks):
                window.append(pool.submit(_frame, piece))
                if len(window) >= WINDOW:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            for future in window:
                future.cancel()


def decompress(chunks: Iterable[bytes], what: str = "object") -> Iterator[bytes]:
    """Yield the plaintext of concatenated frames; raises Unreadable for what is no zstd or ends too early."""
    reader = zstandard.ZstdDecompressor()
    frame = reader.decompressobj()
    begun = False
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                begun = True
                plain = frame.decompress(rest)
                if plain:
                    yield plain
                rest = frame.unused_data if frame.eof else b""
                if frame.eof:
                    frame, begun = reader.decompressobj(), False
    except zstandard.ZstdError as error:
        raise Unreadable(f"{what}: not zstd ({error})") from None
    if begun:
        raise Unreadable(f"{what}: the last zstd frame is cut off")
