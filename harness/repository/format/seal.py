"""Streaming encryption with AES-256-GCM in Tink's format `AES256-GCM-HKDF-1MB`, which Tink's library can decrypt.

Source of the format: Tink's wire format "AES-GCM-HKDF streaming AEAD".

    ciphertext = header, segment 0, segment 1, ..., last segment
    header     = length of the header (1 byte: 40), salt (32), nonce prefix (7)
    key        = HKDF-SHA256(input key, salt, info = associated data), 32 bytes
    segment i  = AES-256-GCM(key, nonce = prefix, i (4 bytes, big-endian), 1 if last else 0), with its tag of 16 bytes

Each segment but the last has 1 MiB; the header counts as part of the first. A flipped bit, a missing, repeated or
reordered segment, bytes after the end and the associated data of another object are each detected, because a segment
does not authenticate.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.core.errors import HarnessError, Unreadable

SEGMENT = 1 << 20  # bytes of ciphertext in each segment but the last
TAG = 16
SALT = 32
PREFIX = 7
HEADER = 1 + SALT + PREFIX
MOST_SEGMENTS = 1 << 32
KEY = 32

Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a segment in the stored object, in bytes. The first one does not include the header."""

    offset: int
    length: int


def segments_in(stored_size: int) -> int:
    """Return the number of segments in an object of that many bytes; raises Unreadable when it is too short."""
    if stored_size < HEADER + TAG:
        raise Unreadable(f"{stored_size} bytes are too few for a header and one segment: truncated")
    return -(-stored_size // SEGMENT)


def place_of(index: int, stored_size: int) -> Place:
    """Return the position of segment `index` in an object of that many bytes."""
    start = HEADER if index == 0 else index * SEGMENT
    return Place(start, min((index + 1) * SEGMENT, stored_size) - start)


def segment_of(position: int) -> tuple[int, int]:
    """Return the segment that has a byte of the plaintext of all, and how many bytes of that segment come before it."""
    first = SEGMENT - HEADER - TAG
    if position < first:
        return 0, position
    index, skip = divmod(position - first, SEGMENT - TAG)
    return index + 1, skip


def seal(chunks: Iterable[bytes], key: bytes, associated: bytes) -> Iterator[bytes]:
    """Yield header and segments of `chunks`, freshly salted. Raises HarnessError for a wrong key or over 4 PiB."""
    salt, prefix = os.urandom(SALT), os.urandom(PREFIX)
    cipher = _cipher(key, salt, associated)
    yield bytes([HEADER]) + salt + prefix
    held, index, room = bytearray(), 0, SEGMENT - HEADER - TAG
    for chunk in chunks:
        held += chunk
        # A full segment is yielded only once more data follows, because the last one is marked in its nonce.
        while len(held) > room:
            yield cipher.encrypt(_nonce(prefix, index, last=False), held[:room], None)
            del held[:room]
            index, room = index + 1, SEGMENT - TAG
            if index == MOST_SEGMENTS:
                raise HarnessError("object larger than 4 PiB; split it")
    yield cipher.encrypt(_nonce(prefix, index, last=True), held, None)


def open_sealed(
    source: Read | BinaryIO, key: bytes, associated: bytes, header: bytes = b"", index: int = 0
) -> Iterator[bytes]:
    """Yield the authentic plaintext of each segment. Raises Unreadable at the first that is not, or is truncated.

    `header`, `index`: of an object of which `source` has only the segments from that one on.
    """
    read = source if callable(source) else source.read
    header = header or _exactly(read, HEADER)
    room = SEGMENT if index else SEGMENT - HEADER
    segment = _exactly(read, room)
    while True:
        following = _exactly(read, SEGMENT) if len(segment) == room else b""
        last = not following
        yield open_segment(header, segment, index, last=last, key=key, associated=associated)
        if last:
            return
        segment, room, index = following, SEGMENT, index + 1


def open_segments(
    header: bytes, body: bytes | bytearray, index: int, *, last: bool, key: bytes, associated: bytes
) -> Iterator[bytes]:
    """Yield the authentic plaintext of each segment in `body`, which begins with segment `index`.

    `header`: its object's first 40 bytes, which are not in `body`; `last`: whether the object ends with `body`. Raises
    Unreadable at the first segment that is not authentic.
    """
    rest = memoryview(body)
    while True:
        room = SEGMENT if index else SEGMENT - HEADER
        segment, rest = rest[:room], rest[room:]
        yield open_segment(header, segment, index, last=last and not rest, key=key, associated=associated)
        if not rest:
            return
        index += 1


def open_segment(
    header: bytes, segment: bytes | memoryview, index: int, *, last: bool, key: bytes, associated: bytes
) -> bytes:
    """Return the plaintext of a segment; `header`: its object's first 40 bytes. Raises Unreadable with `index`."""
    if len(header) != HEADER or header[0] != HEADER:
        raise Unreadable("segment 0: not preceded by the header of a sealed object")
    if len(segment) < TAG:
        raise Unreadable(f"segment {index}: truncated")
    salt, prefix = header[1 : 1 + SALT], header[1 + SALT :]
    try:
        return _cipher(key, salt, associated).decrypt(_nonce(prefix, index, last=last), segment, None)
    except InvalidTag:
        how = "altered, truncated, or of another object" if last else "altered, reordered, or of another object"
        raise Unreadable(f"segment {index}: does not authenticate ({how})") from None


def reader_of(chunks: Iterable[bytes]) -> Read:
    """Return a function that reads up to n bytes of `chunks`, and returns none only at the end."""
    rest, source = memoryview(b""), iter(chunks)

    def read(size: int) -> bytes:
        nonlocal rest
        while not rest:
            chunk = next(source, None)
            if chunk is None:
                return b""
            if len(chunk) <= size and isinstance(chunk, bytes):
                if chunk:
                    return chunk
                continue
            rest = memoryview(chunk)
        piece, rest = bytes(rest[:size]), rest[size:]
        return piece

    return read


def _exactly(read: Read, size: int) -> bytes:
    """Return `size` bytes, fewer only at the end."""
    pieces, lacking = [], size
    while lacking and (piece := read(lacking)):
        pieces.append(piece)
        lacking -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _cipher(key: bytes, salt: bytes, associated: bytes) -> AESGCM:
    if len(key) != KEY:
        raise HarnessError(f"data key: {len(key)} bytes instead of {KEY}")
    return AESGCM(HKDF(hashes.SHA256(), KEY, salt, associated).derive(key))


def _nonce(prefix: bytes, index: int, *, last: bool) -> bytes:
    return prefix + struct.pack(">IB", index, last)
