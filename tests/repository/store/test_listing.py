"""Listings of a bucket: what real stores answer, and what a store must not make us believe or ask without end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from harness.core.errors import HarnessError
from harness.repository.store.http import connections
from harness.repository.store.s3 import S3Store
from tests.repository.store.faulty import BUCKET, Fault, faulty

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


@pytest.mark.night
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
        ([page(entry("p/a"), token=" ")], "there is more and not from where; it must list as S3 does"),
        ([page(entry("p/a"), token=go_on("t"))] * 3, "list comes back to where it was; it must list as S3 does"),
        (
            [page(entry("p/a"), token=go_on(token)) for token in "abab"],
            "list comes back to where it was; it must list as S3 does",
        ),
        (
            [page(entry("p/a", "<Size>x</Size>"))],
            "'p/a' is listed without its size or its time, which ListObjectsV2 has",
        ),
        ([page(entry("p/a", ""))], "'p/a' is listed without its size or its time, which ListObjectsV2 has"),
        ([page(entry("p/a", at=""))], "'p/a' is listed without its size or its time, which ListObjectsV2 has"),
        ([page(entry("p/a", at="yesterday"))], "'p/a' is listed without its size or its time, which ListObjectsV2 has"),
    ],
    ids=[
        "a page of HTML",
        "cut off",
        "no text",
        "no token",
        "one token",
        "two tokens",
        "no number",
        "no size",
        "no time",
        "no date",
    ],
)
def test_what_is_no_listing_is_an_error_in_one_line(lists: list[bytes], said: str) -> None:
    with faulty() as server:
        server.lists = list(lists)
        place = rf"^store 127.0.0.1:\d+, bucket bucket, p/: cannot be listed: .*{said}"
        with pytest.raises(HarnessError, match=place):
            list(server.store().list("p/"))


def uploads(*keys: str, more: str = "") -> bytes:
    """Return a page of unfinished uploads. `more`: what says that there are others."""
    found = "".join(f"<Upload><Key>{key}</Key><UploadId>u-{key}</UploadId></Upload>" for key in keys)
    return f"<ListMultipartUploadsResult>{more}{found}</ListMultipartUploadsResult>".encode()


def test_an_upload_whose_key_no_xml_may_have_is_listed_and_aborted() -> None:
    """Somebody who may write to the bucket would else keep all others from being aborted."""
    with faulty() as server:
        named = "<EncodingType>url</EncodingType>"
        server.lists, server.uploads = [uploads("p/%01+a", more=named)], {"u-p/%01+a": {}}
        assert server.store().abandon("p/") == 1
        (asked,) = (one for one in server.requests if one.kind == "abort")
        assert asked.key == "p/\x01 a"
        (listed,) = (one for one in server.requests if one.kind == "list")
        assert listed.query["encoding-type"] == ["url"]


def key_marker(key: str, other: str = "") -> str:
    return f"<IsTruncated>TRUE</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>{other}"


@pytest.mark.parametrize(
    ("markers", "requests"),
    [(("",), 1), (("a", ""), 2), (("a", "a"), 2), (("a", "b", "a"), 3)],
    ids=["no marker", "none later", "one again", "a cycle of two"],
)
@pytest.mark.parametrize("what", ["uploads", "versions"])
def test_uploads_and_versions_that_are_not_listed_to_their_end_are_an_error(
    what: str, markers: tuple[str, ...], requests: int
) -> None:
    """Part of them was taken for all: uploads that nobody aborts are paid for."""
    with faulty() as server:
        pages = [key_marker(marker) for marker in markers]
        server.lists = [uploads("p/a", more=more) if what == "uploads" else versions(more) for more in pages] * 3
        with pytest.raises(HarnessError, match=r"it must list as S3 does$"):
            _ = server.store().abandon("p/") if what == "uploads" else list(server.store().versions("p/"))
        assert (server.count("list"), server.count("abort")) == (requests, 0)


def versions(more: str) -> bytes:
    return f"<ListVersionsResult><Name>{BUCKET}</Name>{more}</ListVersionsResult>".encode()


@pytest.mark.parametrize(
    ("page_of", "other", "name"),
    [
        (lambda more: uploads(more=more), "<NextUploadIdMarker>u</NextUploadIdMarker>", "upload-id-marker"),
        (versions, "<NextVersionIdMarker>v</NextVersionIdMarker>", "version-id-marker"),
    ],
    ids=["uploads", "versions"],
)
def test_a_page_is_asked_for_with_the_markers_of_the_one_before_alone(
    page_of: Callable[[str], bytes], other: str, name: str
) -> None:
    with faulty() as server:
        server.lists = [page_of(key_marker("a", other)), page_of(key_marker("b")), page_of("")]
        store = server.store()
        _ = store.abandon("p/") if name == "upload-id-marker" else list(store.versions("p/"))
        asked = [(one.query.get("key-marker"), one.query.get(name)) for one in server.requests]
    value = other.split(">")[1][0]
    assert asked == [(None, None), (["a"], [value]), (["b"], None)]


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_without_an_end_is_no_listing(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole answer was read into memory first."""
    monkeypatch.setattr(connections, "LARGEST_ANSWER", 1 << 20)
    endless = Fault(status=status, body=b" " * (1 << 20), endless=True)
    with faulty(lambda _request: endless) as server:
        place = (
            r"^store 127.0.0.1:\d+, bucket bucket, p/: cannot be listed: its answer has more than 1 MiB; is this its"
        )
        with pytest.raises(HarnessError, match=place):
            list(server.store().list("p/"))
        assert server.count("list") == 1


def test_an_object_larger_than_any_listing_is_read() -> None:
    data = bytes(connections.LARGEST_ANSWER + 5)
    with faulty() as server:
        server.objects["a"] = data
        assert b"".join(server.store().get("a")) == data
