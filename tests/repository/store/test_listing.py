"""Listings of a bucket: what real stores answer, and what a store must not make us believe or ask without end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from harness.core.errors import HarnessError
from harness.repository.store.s3 import S3Store
from tests.repository.store.faulty import faulty

NAMESPACE = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ODD = ("a b", "a+b", "a%2Bb", "a&b<c>", "d\u00e9j\u00e0 vu", "\u65e5\u672c", "quote'\"", "tilde~", "semi;colon", "eq=x")


def page(*objects: str, token: str = "", encoded: bool = False, namespace: bytes = b"") -> bytes:
    more = f"<IsTruncated>true</IsTruncated>{token}" if token else "<IsTruncated>false</IsTruncated>"
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    return b"<ListBucketResult%s>%s</ListBucketResult>" % (namespace, (encoding + more + "".join(objects)).encode())


def entry(key: str, size: str = "<Size>3</Size>", at: str = "2026-03-01T02:03:04.567Z") -> str:
    time = f"<LastModified>{at}</LastModified>" if at else ""
    return f"<Contents><Key>{key}</Key>{size}{time}<ETag>&quot;e&quot;</ETag><Owner><ID>o</ID></Owner></Contents>"


def go_on(token: str) -> str:
    return f"<NextContinuationToken>{token}</NextContinuationToken>"


def test_more_than_one_request_lists_and_odd_keys_are_listed_as_they_are(real_store: S3Store, estate: str) -> None:
    keys = [f"{estate}/{number:04}" for number in range(1001)] + [f"{estate}/odd/{key}" for key in ODD]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: real_store.put(key, (b"x",)), keys))
    assert sorted(one.key for one in real_store.list(f"{estate}/")) == sorted(keys)


@pytest.mark.parametrize("namespace", [b"", NAMESPACE])
def test_pages_are_joined_and_keys_decoded_where_the_store_encoded_them(namespace: bytes) -> None:
    with faulty() as server:
        server.lists = [
            page(entry("p/a%20b%2Bc"), entry("p/folder/", "<Size>0</Size>"), token=go_on("t/1="), namespace=namespace),
            page(entry("p/a%20b%2Bc"), encoded=True, namespace=namespace),
        ]
        found = list(server.store().list("p/"))
    at = datetime(2026, 3, 1, 2, 3, 4, 567000, tzinfo=UTC)
    assert [(one.key, one.size, one.etag, one.modified) for one in found] == [
        ("p/a%20b%2Bc", 3, "e", at),
        ("p/a b+c", 3, "e", at),
    ]


@pytest.mark.parametrize(
    ("at", "hour"),
    [("2026-03-01T02:03:04Z", 2), ("2026-03-01T02:03:04.123456789Z", 2), ("2026-03-01T04:03:04+02:00", 2)],
)
def test_times_are_in_utc_however_a_store_writes_them(at: str, hour: int) -> None:
    with faulty() as server:
        server.lists = [page(entry("p/a", at=at))]
        (found,) = server.store().list("p/")
    assert (found.modified.hour, found.modified.utcoffset()) == (hour, UTC.utcoffset(None))


def test_what_is_outside_the_prefix_is_not_listed() -> None:
    with faulty() as server:
        server.lists = [page(entry("other/a"), entry("vault/p/b"))]
        assert [one.key for one in server.store(prefix="vault").list("p/")] == ["p/b"]


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ([b"<html>login"], r"the answer is no whole list \('<html>login'\); is this an S3 store's address\?"),
        ([page(entry("p/a"))[:-9]], r"the answer is no whole list \("),
        ([b"\xff\xfe"], r"the answer is no whole list \("),
        ([page(entry("p/a"), token=" ")], "there is more and not from where; it must know ListObjectsV2"),
        ([page(entry("p/a"), token=go_on("t"))] * 3, "there is more and not from where; it must know ListObjectsV2"),
        (
            [page(entry("p/a", "<Size>x</Size>"))],
            "'p/a' is listed without its size or its time, which ListObjectsV2 has",
        ),
        ([page(entry("p/a", at=""))], "'p/a' is listed without its size or its time, which ListObjectsV2 has"),
        ([page(entry("p/a", at="yesterday"))], "'p/a' is listed without its size or its time, which ListObjectsV2 has"),
    ],
    ids=["a page of HTML", "cut off", "no text", "no token", "one token", "no number", "no time", "no date"],
)
def test_what_is_no_listing_is_an_error_in_one_line(lists: list[bytes], said: str) -> None:
    with faulty() as server:
        server.lists = list(lists)
        place = rf"^store 127.0.0.1:\d+, bucket bucket, p/: cannot be listed: .*{said}"
        with pytest.raises(HarnessError, match=place):
            list(server.store().list("p/"))
