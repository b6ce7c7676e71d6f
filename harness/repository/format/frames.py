"""Compression: a sequence of independent zstd frames (RFC 8878) of 4 MiB of plaintext, which is a valid `.zst` file."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import zstandard

from harness.core.errors import Unreadable
from harness.repository.format.seal import reader_of

FRAME = 4 << 20  # bytes of plaintext in each frame but the last
LEVEL = 1  # measured on dumps: a third of the processor time of level 3, and no larger (benchmarks/logical.py)
WINDOW = 8 << 20  # bytes; a frame that needs a larger one is none of ours
PIECE = 2 << 10  # bytes per call of the decompressor: a block of 4 bytes may become 128 KiB, so one call 64 MiB
LONGEST_HEADER = 18  # bytes


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
    chunks: Iterable[bytes], number: int = 0, begun: Callable[[int, int], None] | None = None, at: int = 0
) -> Iterator[bytes]:
    """Yield the plaintext of zstd frames, 64 MiB at most at a time.

    `number`, `at`: of the first frame, and how many bytes come before it, where `chunks` begins later; `begun`: is told
    the same of each frame.

    Raises Unreadable for bad or truncated data, and before it is decompressed for a frame that does not say its size or
    is larger than 4 MiB: a few kilobytes could become gigabytes.
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    first, rest, source = number, b"", _Counted(chunks, at)
    while rest := rest or source.read(PIECE):
        if begun is not None:
            begun(number, source.at - len(rest))
        while len(rest) < LONGEST_HEADER and (more := source.read(PIECE)):
            rest += more
        frame = decompressor.decompressobj()
        yield from _plain(frame, rest, source.read, number)
        number, rest = number + 1, frame.unused_data
    if number == first:
        raise Unreadable(f"zstd frame {number}: the data ends within it")


class _Counted:
    """A source of bytes. `at`: how many of the whole were read."""

    def __init__(self, chunks: Iterable[bytes], at: int) -> None:
        self._read, self.at = reader_of(chunks), at

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none only at the end."""
        piece = self._read(size)
        self.at += len(piece)
        return piece


def _plain(
    frame: "zstandard.ZstdDecompressionObj", rest: bytes, read: Callable[[int], bytes], number: int
) -> Iterator[bytes]:
    """Yield the plaintext of one frame, which begins with `rest`."""
    expected, size = _stated_size(rest, number), 0
    while True:
        try:
            plain = frame.decompress(rest)
        except zstandard.ZstdError as error:
            raise Unreadable(f"zstd frame {number}: {error}") from None
        size += len(plain)
        if size > expected:
            raise Unreadable(f"zstd frame {number}: is larger than the {expected} bytes that it states")
        if plain:
            yield plain
        if frame.eof:
            return
        rest = read(PIECE)
        if not rest:
            raise Unreadable(f"zstd frame {number}: the data ends within it")


def _stated_size(head: bytes, number: int) -> int:
    """Return the plaintext bytes that the header of a frame states; raises Unreadable."""
    try:
        parameters = zstandard.get_frame_parameters(head)
    except zstandard.ZstdError as error:
        reason = "the data ends within it" if len(head) < LONGEST_HEADER else error
        raise Unreadable(f"zstd frame {number}: {reason}") from None
    if parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN or parameters.content_size > FRAME:
        raise Unreadable(f"zstd frame {number}: its header states no size of at most {FRAME} bytes")
    return int(parameters.content_size)
