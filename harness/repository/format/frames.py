"""Compression: a sequence of independent zstd frames (RFC 8878) of 4 MiB of plaintext, which is a valid `.zst` file."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import zstandard

from harness.core.errors import Unreadable
from harness.core.parallel import in_order

FRAME = 4 << 20  # bytes of plaintext in each frame but the last
LEVEL = 1  # measured on dumps: a third of the processor time of level 3, and no larger (benchmarks/logical.py)
WINDOW = 8 << 20  # bytes; a frame that needs a larger one is none of ours
LARGEST_FRAME = FRAME + (FRAME >> 7)  # bytes compressed; what cannot be compressed grows by a few for each block
SHORTEST_HEADER = 5  # bytes of a frame's header: magic number and descriptor, which says how long it is
BLOCK_HEADER = 3
RUN_LENGTH = 1  # type of a block of one byte, which is repeated
CHECKSUM = 4


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


def decompress(
    chunks: Iterable[bytes],
    number: int = 0,
    begun: Callable[[int, int], None] | None = None,
    at: int = 0,
    workers: int = 0,
) -> Iterator[bytes]:
    """Yield the plaintext of zstd frames, one frame at a time. `workers`: threads, which are that many frames ahead.

    `number`, `at`: of the first frame, and how many bytes come before it, where `chunks` begins later; `begun`: is told
    the same of each frame, before its plaintext is yielded.

    Raises Unreadable for bad or truncated data, and before it is decompressed for a frame that does not say its size or
    is larger than 4 MiB: a few kilobytes could become gigabytes.
    """
    frames = _frames(chunks, number, begun, at)
    if not workers:
        yield from map(_Decompressor().plaintext, frames)
        return
    for _, plain in in_order(_Decompressor().plaintext, frames, workers):
        yield plain
        del plain, _


@dataclass(frozen=True, slots=True)
class _Frame:
    """A compressed frame. `size`: bytes of its plaintext, as its header states."""

    number: int
    body: bytearray
    size: int


class _Decompressor(threading.local):
    """Decompresses frames, in each thread with a context of its own."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=WINDOW)

    def plaintext(self, frame: _Frame) -> bytes:
        """Return the plaintext of a frame; raises Unreadable when it has another size than it states."""
        try:
            plain: bytes = self._context.decompress(frame.body, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Unreadable(f"zstd frame {frame.number}: {error}") from None
        if len(plain) != frame.size:
            raise Unreadable(f"zstd frame {frame.number}: has {len(plain)} bytes and states {frame.size}")
        return plain


def _frames(
    chunks: Iterable[bytes], number: int, begun: Callable[[int, int], None] | None, at: int
) -> Iterator[_Frame]:
    """Yield whole frames, at least one, found by the headers of their blocks (RFC 8878, 3.1.1). Raises Unreadable."""
    source, first = _Source(chunks), number
    while source.read(body := bytearray(), SHORTEST_HEADER) or number == first:
        size, checksum = _header(body, source, number)
        if begun is not None:
            begun(number, at)
        last = False
        while not last:
            begin = len(body)
            _exactly(source, body, BLOCK_HEADER, number)
            block = int.from_bytes(body[begin:], "little")
            last, length = bool(block & 1), 1 if block >> 1 & 3 == RUN_LENGTH else block >> 3
            if len(body) + length > LARGEST_FRAME:
                raise Unreadable(f"zstd frame {number}: is longer than {FRAME} bytes can be, compressed")
            _exactly(source, body, length, number)
        if checksum:
            _exactly(source, body, CHECKSUM, number)
        frame = _Frame(number, body, size)
        number, at = number + 1, at + len(body)
        yield frame
        del frame, body  # the next one may be as large


def _header(body: bytearray, source: "_Source", number: int) -> tuple[int, bool]:
    """Read the rest of a frame's header; return the plaintext bytes that it states, and whether there is a checksum.

    Raises Unreadable.
    """
    _exactly(source, body, SHORTEST_HEADER - len(body), number)
    try:
        _exactly(source, body, zstandard.frame_header_size(body) - len(body), number)
        stated = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as error:
        raise Unreadable(f"zstd frame {number}: {error}") from None
    if body[: len(zstandard.FRAME_HEADER)] != zstandard.FRAME_HEADER:
        raise Unreadable(f"zstd frame {number}: has no data, but what zstd skips")
    if stated.content_size == zstandard.CONTENTSIZE_UNKNOWN or stated.content_size > FRAME:
        raise Unreadable(f"zstd frame {number}: its header states no size of at most {FRAME} bytes")
    return int(stated.content_size), bool(stated.has_checksum)


class _Source:
    """Chunks, whose bytes are taken in order; each is copied once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest = iter(chunks), memoryview(b"")

    def read(self, into: bytearray, count: int) -> int:
        """Append `count` bytes to `into`, fewer only at the end; return how many."""
        taken = 0
        while taken < count:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return taken
                self._rest = memoryview(chunk)
            piece = self._rest[: count - taken]
            into += piece
            taken, self._rest = taken + len(piece), self._rest[len(piece) :]
        return taken


def _exactly(source: _Source, into: bytearray, count: int, number: int) -> None:
    """Append `count` bytes of frame `number` to `into`. Raises Unreadable when the data ends before."""
    if source.read(into, count) < count:
        raise Unreadable(f"zstd frame {number}: the data ends within it")
