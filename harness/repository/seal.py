"""Sealing: Tink's AES256-GCM-HKDF streaming format with 1 MiB segments, written with `cryptography`.

Source of the format: Tink's documentation of streaming AEAD, `AES256_GCM_HKDF_1MB`. A stream is a header (one
byte that says how long the header is, a salt of 32 bytes, a nonce prefix of 7), then segments. The key of a stream is
HKDF-SHA256(key, salt, info = associated data). The nonce of a segment is prefix, its number in 4 bytes big-endian, and
1 for the last segment, else 0; so a cut, a swap or an appended byte is noticed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.core.errors import Unreadable

SEGMENT = 1 << 20
KEY, SALT, PREFIX, TAG = 32, 32, 7, 16
HEADER = 1 + SALT + PREFIX
FIRST = SEGMENT - HEADER - TAG  # plaintext in the first segment
REST = SEGMENT - TAG  # plaintext in each other one


def _cipher(key: bytes, salt: bytes, associated: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), KEY, salt, associated).derive(key))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def seal(chunks: Iterable[bytes], key: bytes, associated: bytes) -> Iterator[bytes]:
    """Yield the sealed stream of `chunks`; memory stays at a segment and a chunk."""
    salt, prefix = os.urandom(SALT), os.urandom(PREFIX)
    cipher = _cipher(key, salt, associated)
    yield bytes([HEADER]) + salt + prefix
    held, number, room = bytearray(), 0, FIRST
    for chunk in chunks:
        held += chunk
        start = 0
        # Only when more follows is a segment known not to be the last.
        while len(held) - start > room:
            piece = bytes(held[start : start + room])
            yield cipher.encrypt(_nonce(prefix, number, last=False), piece, None)
            start += room
            number, room = number + 1, REST
        del held[:start]
    yield cipher.encrypt(_nonce(prefix, number, last=True), bytes(held), None)


@dataclass(slots=True)
class Opener:
    """Opens the segments of one stream whose header was read. `what` names it in errors."""

    cipher: AESGCM
    prefix: bytes
    what: str

    @classmethod
    def of(cls, header: bytes, key: bytes, associated: bytes, what: str) -> Opener:
        """Return an opener for the stream that begins with `header`; raises Unreadable."""
        if len(header) != HEADER or header[0] != HEADER:
            raise Unreadable(f"{what}: does not begin as a sealed object does")
        return cls(_cipher(key, header[1 : 1 + SALT], associated), header[1 + SALT :], what)

    def open(self, segment: bytes, number: int, *, last: bool) -> bytes:
        """Return the plaintext of one segment; raises Unreadable that names it."""
        try:
            return self.cipher.decrypt(_nonce(self.prefix, number, last=last), segment, None)
        except (InvalidTag, ValueError):
            raise Unreadable(f"{self.what}: segment {number} is not authentic (damaged, cut or out of place)") from None


def open_sealed(chunks: Iterable[bytes], key: bytes, associated: bytes, what: str = "object") -> Iterator[bytes]:
    """Yield the plaintext, segment by segment, nothing of a segment before it is authentic.

    Raises Unreadable, naming `what` and the segment: also for a stream that was cut at a segment's edge.
    """
    held, opener, number, room = bytearray(), None, 0, SEGMENT - HEADER
    for chunk in chunks:
        held += chunk
        if opener is None:
            if len(held) < HEADER:
                continue
            opener = Opener.of(bytes(held[:HEADER]), key, associated, what)
            del held[:HEADER]
        start = 0
        while len(held) - start > room:
            yield opener.open(bytes(held[start : start + room]), number, last=False)
            start += room
            number, room = number + 1, SEGMENT
        del held[:start]
    if opener is None:
        raise Unreadable(f"{what}: does not begin as a sealed object does")
    yield opener.open(bytes(held), number, last=True)


def sample(read: Callable[[int, int], bytes], size: int, key: bytes, associated: bytes, what: str = "object") -> None:
    """Read back and authenticate the first and the last segment of a stored stream of `size` bytes.

    `read(offset, length)` returns bytes of it. Raises Unreadable.
    """
    opener = Opener.of(read(0, HEADER), key, associated, what)
    body = size - HEADER
    if body <= SEGMENT - HEADER:
        opener.open(read(HEADER, body), 0, last=True)
        return
    opener.open(read(HEADER, SEGMENT - HEADER), 0, last=False)
    number, last = divmod(size - 1, SEGMENT)
    opener.open(read(number * SEGMENT, last + 1), number, last=True)
