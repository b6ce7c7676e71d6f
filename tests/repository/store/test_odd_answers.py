"""Answers that no S3 store gives (a proxy's page, a listing without an end), and odd errors: each is one line."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.core.errors import Denied, HarnessError, Lost
from harness.repository.catalogue import Repository
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.s3 import S3Store
from tests.repository.store.faulty import QUICK, Fault, Faulty, Request, faulty, listing
from tests.repository.store_servers import Recipients, back_up

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


@pytest.mark.night
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


SHORT = replace(QUICK, repeats=0.2)
IMPATIENT = replace(SHORT, silence=1.5)  # where a store is silent


def read(store: S3Store) -> bytes:
    return b"".join(store.get(KEY))


@pytest.mark.parametrize(
    "fault",
    [Fault(cut=10), Fault(cut=10, stalls=9.0), Fault(500, "InternalError"), Fault(500, body=b"", headers=HTML)],
    ids=["cut", "stalls", "InternalError", "no reason"],
)
def test_an_object_that_a_store_no_longer_reads_costs_nobody_the_others(fault: Fault) -> None:
    """A volume of the store is lost, and it lists the object all the same: an older backup is to be tried."""
    waits = IMPATIENT if fault.stalls else SHORT

    def damaged(asked: Request) -> Fault | None:
        at_the_place = replace(fault, cut=0) if fault.cut > 0 and "range" in asked.headers else fault
        return at_the_place if asked.kind == "get" else None

    with faulty(damaged) as there:
        there.objects[KEY] = bytes(100)
        with pytest.raises(Lost, match=f"{KEY}: cannot be read: "):
            read(there.store(waits))
    with faulty(lambda _: fault) as gone:
        gone.objects[KEY] = bytes(100)
        with pytest.raises(HarnessError) as failed:
            read(gone.store(waits))
        assert not isinstance(failed.value, Denied)


@pytest.mark.parametrize("fault", [Fault(silent=9.0), Fault(cut=0, stalls=9.0), Fault(503, "SlowDown")])
def test_a_store_that_sends_no_byte_or_is_busy_has_no_damaged_object(fault: Fault) -> None:
    with faulty(lambda asked: fault if asked.kind == "get" else None) as there:
        there.objects[KEY] = bytes(100)
        with pytest.raises(HarnessError) as failed:
            read(there.store(IMPATIENT))
        assert not isinstance(failed.value, Denied)


@pytest.mark.parametrize("fault", [Fault(cut=60), Fault(cut=60, stalls=9.0), Fault(500, "InternalError")])
def test_an_outage_that_ends_with_the_listing_is_no_damage(fault: Fault) -> None:
    """The whole store was away while the object was read, and was back when it was asked for a list."""

    def until_it_lists(asked: Request) -> Fault | None:
        return fault if asked.kind == "get" and not there.count("list") else None

    with faulty(until_it_lists) as there:
        there.objects[KEY] = bytes(range(100))
        assert read(there.store(IMPATIENT if fault.stalls else SHORT)) == bytes(range(100))


@pytest.mark.parametrize("then", [Fault(silent=9.0), Fault(503, "SlowDown"), Fault(403, "InvalidAccessKeyId")])
def test_what_fails_otherwise_after_the_listing_is_no_damage(then: Fault) -> None:
    def outage(asked: Request) -> Fault | None:
        return (then if there.count("list") else Fault(cut=10)) if asked.kind == "get" else None

    with faulty(outage) as there:
        there.objects[KEY] = bytes(100)
        with pytest.raises(HarnessError) as failed:
            read(there.store(IMPATIENT))
        assert not isinstance(failed.value, Denied)


def test_a_store_that_sends_more_than_it_was_asked_for_is_not_read_to_its_end() -> None:
    endless = Fault(200, body=bytes(1000), endless=True)
    with faulty(lambda asked: endless if asked.kind == "get" else None) as there:
        assert b"".join(there.store().get(KEY, 0, 1500)) == bytes(1500)
        assert there.store().get_version(KEY, "v", 1500) == bytes(1500)


def backups_behind(kept: DirectoryStore, recipients: Recipients, there: Faulty) -> Repository:
    """Return the repository of the backups in a directory as the server has them."""
    there.objects |= {one.key: b"".join(kept.get(one.key)) for one in kept.list("")}
    return recipients.repository(there.store(SHORT), "shop")


def test_the_newest_backup_is_not_passed_over_for_an_outage_and_is_for_its_damage(
    directory: DirectoryStore, recipients: Recipients
) -> None:
    kept = recipients.repository(directory, "shop")
    older, newest = (back_up(kept, recipients, globals=b"x") for _ in range(2))
    damaged, fault = "/commit/", Fault(500, "InternalError")

    def faults(asked: Request) -> Fault | None:
        return fault if asked.kind == "get" and damaged in asked.key else None

    with faulty(faults) as there:
        repository = backups_behind(directory, recipients, there)
        with pytest.raises(HarnessError, match=r"lists 2 backups and reads the COMMIT of none: .*; look at its log"):
            repository.latest_valid(recipients.dr[0])
        with pytest.raises(HarnessError, match="reads the COMMIT of none"):
            repository.committed()
        writer = recipients.begin(repository)
        with pytest.raises(HarnessError, match=r"cannot be ordered after the 2 that are there: .*; repair the store"):
            repository._newest(writer._signing_key.public_key())  # its COMMIT would be before theirs
        damaged = repository.layout.commit(newest.backup_id)
        found = repository.latest_valid(recipients.dr[0])
        assert (found.backup.backup_id, found.passed_over[0][0]) == (older.backup_id, newest.backup_id)
        fault = Fault(503, "SlowDown")
        with pytest.raises(HarnessError, match="the store is too busy"):
            repository.latest_valid(recipients.dr[0])
        damaged = "nothing"
        assert repository.latest_valid(recipients.dr[0]).backup.backup_id == newest.backup_id


def test_a_bad_sector_costs_nobody_the_others(directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.put(KEY, (bytes(100),))

    def unreadable(*_words: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pread", unreadable)
    with pytest.raises(Lost, match=f"{KEY}: cannot be read: its disk does not read or write it; look at the log"):
        list(directory.get(KEY))


def test_a_name_that_nobody_knows_is_no_refused_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_words: object, **_more: object) -> None:  # no name server is asked
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    patience = replace(QUICK, connects=0.0)
    for host, said in (("no-such-host.invalid", "no address is known"), ("a" * 70, "no host can have that name")):
        store = S3Store.connect(host, 9, "access", "secret", "bucket", patience=patience)
        with pytest.raises(HarnessError, match=said):
            list(store.list(""))
