"""Answers that no S3 store gives (a proxy's page, a listing without an end), and odd errors: each is one line."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.core.errors import Denied, HarnessError
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.s3 import S3Store
from tests.repository.store.faulty import QUICK, Fault, Request, faulty, listing

KEY = "shop/commit/20261104T020000.000000Z-1278e2ed8c.json"
HTML = {"Content-Type": "text/html"}


def listed(store: S3Store) -> list[str]:
    return [entry.key for entry in store.list("shop/commit/")]


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        (b"<html><body>Log in</body></html>", HTML),
        (b"", {}),
        (b"<ListBucketResult><Name>", {}),
        (b"{}", {"Content-Type": "application/json"}),
        (b"<ListBucketResult><Name>b</Name><Contents><Key>\xff\xfe</Key></Contents></ListBucketResult>", {}),
        (listing(KEY, time="yesterday"), {}),
        (listing(KEY, size="big"), {}),
    ],
)
def test_a_listing_that_is_not_in_the_language_of_s3_is_named(answer: bytes, headers: dict[str, str]) -> None:
    with (
        faulty(lambda _: Fault(status=200, body=answer, headers=headers)) as there,
        pytest.raises(HarnessError, match=r"is no whole list .*; is this an S3 store|is listed without its size or"),
    ):
        listed(there.store())


ASKS: dict[str, Callable[[S3Store], object]] = {
    "versions": lambda store: list(store.versions("shop/")),
    "uploads": lambda store: store.abandon("shop/"),
    "versioning": lambda store: store.expunge(KEY),
    "locks": lambda store: store.locks,
}


@pytest.mark.parametrize("ask", ASKS)
def test_whatever_is_asked_a_page_of_a_proxy_is_one_line(ask: str) -> None:
    with (
        faulty(lambda _: Fault(status=200, body=b"no XML", headers=HTML)) as there,
        pytest.raises(HarnessError, match=r"is not that of an S3 store|is no whole list"),
    ):
        ASKS[ask](there.store())


@pytest.mark.parametrize("kind", ["create", "complete"])
def test_an_upload_that_a_proxy_answers_is_an_error(kind: str) -> None:
    def answers(asked: Request) -> Fault | None:
        return Fault(status=200, body=b"welcome", headers=HTML) if asked.kind == kind else None

    with faulty(answers) as there, pytest.raises(HarnessError, match="is not that of an S3 store"):
        there.store().put("large", (bytes(1 << 20) for _ in range(17)))


def test_a_defect_of_the_source_is_not_taken_for_an_answer() -> None:
    with faulty() as there, pytest.raises(ValueError, match="of the source"):
        there.store().put("key", (_raise() for _ in range(1)))


def _raise() -> bytes:
    raise ValueError("of the source")


@pytest.mark.parametrize("status", [302, 403, 404])
def test_a_page_in_place_of_an_answer_is_no_full_disk(status: int) -> None:
    with (
        faulty(lambda _: Fault(status=status, body=b"<html>blocked</html>", headers=HTML)) as there,
        pytest.raises(HarnessError) as failed,
    ):
        listed(there.store())
    assert f"its answer, with status {status}, is not that of an S3 store" in str(failed.value)
    assert "space" not in str(failed.value)


@pytest.mark.parametrize("more", ["", "<NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>"])
def test_a_listing_of_versions_without_an_end_is_given_up(more: str) -> None:
    again = listing(KEY, "other/commit/x", more=f"<IsTruncated>true</IsTruncated>{more}")
    with faulty(lambda _: Fault(status=200, body=again)) as there:
        with pytest.raises(HarnessError, match="list comes back to where it was; it must"):
            list(there.store().versions("shop/"))
        assert there.count("list") == 2


def test_every_page_of_a_listing_is_asked_for_once() -> None:
    def page(asked: Request) -> Fault:
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{asked.number}</NextContinuationToken>"
        return Fault(
            status=200, body=listing(f"shop/commit/{asked.number:04}", more=more if asked.number < 1200 else "")
        )

    with faulty(page) as there:
        assert listed(there.store()) == [f"shop/commit/{number:04}" for number in range(1201)]


def test_versions_that_are_not_below_the_prefix_are_not_ours() -> None:
    """A store that does not know the prefix lists the objects of others, which a removal would take."""
    with faulty(lambda _: Fault(status=200, body=listing("other/commit/x", KEY, "shop/commitments"))) as there:
        assert [one.key for one in there.store().versions("shop/commit/")] == [KEY]


@pytest.mark.parametrize(
    ("status", "code"),
    [(301, "PermanentRedirect"), (307, "TemporaryRedirect"), (400, "AuthorizationHeaderMalformed")],
)
def test_a_bucket_of_another_region_is_named_and_keys_are_sent_nowhere_else(status: int, code: str) -> None:
    with faulty() as elsewhere:
        headers = {"Location": f"http://127.0.0.1:{elsewhere.port}/bucket", "x-amz-bucket-region": "eu-west-1"}
        with (
            faulty(lambda _: Fault(status=status, code=code, headers=headers)) as there,
            pytest.raises(HarnessError, match=r"declare the region of the bucket, which is eu-west-1, and"),
        ):
            listed(there.store())
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("fault", "alone"),
    [
        (Fault(cut=10), True),
        (Fault(500, "InternalError"), True),
        (Fault(500, body=b"", headers=HTML), True),
        (Fault(503, "SlowDown"), False),
    ],
    ids=["cut", "InternalError", "no reason", "SlowDown"],
)
def test_an_object_that_a_store_no_longer_reads_costs_nobody_the_others(fault: Fault, *, alone: bool) -> None:
    """A volume of the store is lost, and it lists the object all the same: an older backup is to be tried."""
    with faulty(lambda asked: fault if asked.kind == "get" else None) as there:
        there.objects[KEY] = bytes(100)
        with pytest.raises(HarnessError) as failed:
            list(there.store(replace(QUICK, repeats=0.2)).get(KEY))
        assert isinstance(failed.value, Denied) is alone
    with faulty(lambda _: fault) as gone:
        gone.objects[KEY] = bytes(100)
        with pytest.raises(HarnessError) as failed:
            list(gone.store(replace(QUICK, repeats=0.2)).get(KEY))
        assert not isinstance(failed.value, Denied)


def test_a_bad_sector_costs_nobody_the_others(directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.put(KEY, (bytes(100),))

    def unreadable(*_words: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pread", unreadable)
    with pytest.raises(Denied, match=f"{KEY}: cannot be read: its disk does not read or write it; look at the log"):
        list(directory.get(KEY))


def test_a_name_that_nobody_knows_is_no_refused_connection() -> None:
    patience = replace(QUICK, connects=0.0)
    for host, said in (("no-such-host.invalid", "no address is known"), ("a" * 70, "no host can have that name")):
        store = S3Store.connect(host, 9, "access", "secret", "bucket", patience=patience)
        with pytest.raises(HarnessError, match=said):
            list(store.list(""))
