"""Streaming encryption, compared with Tink's library."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from harness.core.errors import HarnessError, Unreadable
from harness.repository.format.seal import (
    HEADER,
    SEGMENT,
    TAG,
    open_sealed,
    open_segment,
    place_of,
    reader_of,
    seal,
    segments_in,
)

KEY = bytes(range(32))
BOUND = b"this object"
FIRST, REST = SEGMENT - HEADER - TAG, SEGMENT - TAG
EDGES = [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + REST - 1, FIRST + REST, FIRST + REST + 1]


def sealed(data: bytes) -> bytes:
    return b"".join(seal((data,), KEY, BOUND))


def opened(data: bytes, bound: bytes = BOUND, key: bytes = KEY) -> bytes:
    return b"".join(open_sealed(io.BytesIO(data), key, bound))


class Kept(io.BytesIO):
    """Keeps its content when Tink closes it."""

    kept = b""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


@pytest.fixture(scope="module")
def tinks() -> streaming_aead.StreamingAead:
    streaming_aead.register()
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=SEGMENT, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
    )
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=KEY, params=params)
    data = tink_pb2.KeyData(
        type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
        value=key.SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    entry = tink_pb2.Keyset.Key(key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    text = tink_pb2.Keyset(primary_key_id=1, key=[entry]).SerializeToString()
    return tink.proto_keyset_format.parse(text, secret_key_access.TOKEN).primitive(streaming_aead.StreamingAead)


@pytest.mark.parametrize("size", EDGES)
def test_tink_decrypts_what_is_encrypted_here(tinks: streaming_aead.StreamingAead, size: int) -> None:
    data = secrets.token_bytes(size)
    with tinks.new_decrypting_stream(io.BytesIO(sealed(data)), BOUND) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("size", EDGES)
def test_what_tink_encrypts_is_decrypted_here(tinks: streaming_aead.StreamingAead, size: int) -> None:
    data = secrets.token_bytes(size)
    target = Kept()
    with tinks.new_encrypting_stream(target, BOUND) as stream:
        stream.write(data)
    assert opened(target.kept) == data


@settings(max_examples=30, deadline=None)
@given(
    data=st.builds(lambda size, end: secrets.token_bytes(size) + end, st.sampled_from([*EDGES, 7]), st.binary()),
    piece=st.integers(100_000, 3_000_000),
    gulp=st.integers(70_000, 2 * SEGMENT),
)
def test_round_trip_with_any_chunk_sizes(data: bytes, piece: int, gulp: int) -> None:
    chunks = (data[at : at + piece] for at in range(0, len(data), piece))
    body = b"".join(seal(chunks, KEY, BOUND))
    read = reader_of(body[at : at + gulp] for at in range(0, len(body), gulp))
    assert b"".join(open_sealed(read, KEY, BOUND)) == data


@settings(max_examples=60, deadline=None)
@given(size=st.sampled_from(EDGES), where=st.floats(0, 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_detected(size: int, where: float, bit: int) -> None:
    body = bytearray(sealed(bytes(size)))
    body[int(where * (len(body) - 1))] ^= 1 << bit
    with pytest.raises(Unreadable, match="segment"):
        opened(bytes(body))


BODY = sealed(bytes(3 * SEGMENT))
SWAPPED = BODY[:SEGMENT] + BODY[2 * SEGMENT : 3 * SEGMENT] + BODY[SEGMENT : 2 * SEGMENT] + BODY[3 * SEGMENT :]


@pytest.mark.parametrize(
    ("body", "segment"),
    [
        (b"", 0),
        (BODY[: HEADER - 1], 0),
        (BODY[:HEADER], 0),
        (BODY[:1000], 0),
        (BODY[:SEGMENT], 0),
        (BODY[: 2 * SEGMENT], 1),
        (BODY[: 2 * SEGMENT + 3], 2),
        (BODY[:-1], 3),
        (BODY + b"x", 3),
        (BODY + BODY, 3),
        (SWAPPED, 1),
        (BODY[:SEGMENT] + BODY[2 * SEGMENT :], 1),
        (BODY[:SEGMENT] + BODY[:SEGMENT] + BODY[SEGMENT:], 1),
    ],
    ids=[
        "empty", "header truncated", "header only", "first truncated", "first only", "truncated at an edge",
        "truncated past an edge", "last byte missing", "an extra byte", "twice", "two swapped", "one missing",
        "one repeated",
    ],
)  # fmt: skip
def test_damage_is_reported_with_its_segment(body: bytes, segment: int) -> None:
    with pytest.raises(Unreadable, match=f"segment {segment}:"):
        opened(body)


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        (BODY[:SEGMENT] + bytes([BODY[SEGMENT] ^ 1]) + BODY[SEGMENT + 1 :], BOUND),
        (BODY[: 2 * SEGMENT], BOUND),
        (BODY[:-1], BOUND),
        (BODY + b"x", BOUND),
        (SWAPPED, BOUND),
        (BODY, b"another object"),
    ],
    ids=["flipped", "truncated at an edge", "last byte missing", "an extra byte", "two swapped", "another object"],
)
def test_tink_refuses_the_same_damage(tinks: streaming_aead.StreamingAead, body: bytes, bound: bytes) -> None:
    with tinks.new_decrypting_stream(io.BytesIO(body), bound) as stream, pytest.raises(tink.TinkError):
        stream.read()
    with pytest.raises(Unreadable):
        opened(body, bound)


def test_segments_before_a_bad_one_are_yielded_and_the_bad_one_is_not() -> None:
    body = bytearray(BODY)
    body[2 * SEGMENT + 5] ^= 1
    seen: list[int] = []
    with pytest.raises(Unreadable, match="segment 2"):
        seen.extend(len(piece) for piece in open_sealed(io.BytesIO(bytes(body)), KEY, BOUND))
    assert seen == [FIRST, REST]


@pytest.mark.parametrize(("key", "bound"), [(KEY, b"another object"), (bytes(32), BOUND)])
def test_another_key_or_another_object_does_not_authenticate(key: bytes, bound: bytes) -> None:
    with pytest.raises(Unreadable, match="segment 0"):
        opened(BODY, bound, key)


def test_a_data_key_of_another_length_is_refused() -> None:
    with pytest.raises(HarnessError, match="16 bytes instead of 32"):
        list(seal((b"x",), bytes(16), BOUND))


@pytest.mark.parametrize("size", EDGES)
def test_each_segment_can_be_decrypted_by_itself(size: int) -> None:
    data = secrets.token_bytes(size)
    body = sealed(data)
    count = segments_in(len(body))

    def parts() -> Iterator[bytes]:
        for index in range(count):
            place = place_of(index, len(body))
            segment = body[place.offset : place.offset + place.length]
            last = index == count - 1
            yield open_segment(body[:HEADER], segment, index, last=last, key=KEY, associated=BOUND)

    assert b"".join(parts()) == data


def test_a_segment_shorter_than_its_tag_is_said_to_be_truncated() -> None:
    with pytest.raises(Unreadable, match=r"^segment 3: truncated$"):
        open_segment(BODY[:HEADER], bytes(TAG - 1), 3, last=True, key=KEY, associated=BOUND)


def test_an_object_shorter_than_a_segment_is_refused() -> None:
    with pytest.raises(Unreadable, match="truncated"):
        segments_in(HEADER + TAG - 1)


def test_encrypting_twice_gives_different_ciphertexts() -> None:
    first, second = sealed(bytes(64)), sealed(bytes(64))
    assert first[1:HEADER] != second[1:HEADER]
    assert first[HEADER:] != second[HEADER:]


def test_encryption_keeps_one_segment_in_memory() -> None:
    pulled = 0

    def endless() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1 << 16
            yield bytes(1 << 16)

    stream = seal(endless(), KEY, BOUND)
    for _ in range(5):
        next(stream)
    assert pulled <= 5 * SEGMENT
