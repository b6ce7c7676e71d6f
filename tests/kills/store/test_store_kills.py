"""A sample of the kills of `make kill-matrix` at calls to the object store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.kills.store.bench import Bench, State, bench
from tests.kills.store.matrix import clean, kill, residue
from tests.kills.store.proxy import named
from tests.kills.store.works import Work, enlarge, push, sealed_to

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("kills")) as made:
        yield made


def number_of(calls: tuple[str, ...], what: str) -> int:
    return next(number for number, call in enumerate(calls, 1) if what in call)


def test_a_backup_that_is_killed_in_its_upload_is_reaped_and_at_its_commit_listed_whole(there: Bench) -> None:
    enlarge(there)
    work = Work("logical backup", ("backup",), State(), sealed_to(there), way="logical", again=False)
    calls = clean(there, work).calls
    upload, commit = (
        number_of(calls, "POST guests/data/*/databases/0001.dump?uploadId"),
        number_of(calls, "PUT guests/commit"),
    )
    for number, moment, listed, reaped in ((upload, "before", 0, 1), (commit, "before", 0, 1), (commit, "after", 1, 0)):
        row = kill(there, work, moment, number)
        assert row is not None
        assert not row.bad, row
        assert (row.listed, row.reaped) == ((0, listed, listed), reaped), row
        assert row.restored == ("done" if listed else "")


def test_a_push_of_a_large_segment_that_is_killed_in_its_upload_leaves_no_upload(there: Bench) -> None:
    work = push(there)
    calls = clean(there, work).calls
    row = kill(there, work, "before", number_of(calls, "?uploadId"))
    assert row is not None
    assert not row.bad, row
    assert row.again == "done"


def test_what_nothing_accounts_for_is_named(there: Bench) -> None:
    """The guard itself: an object, an older version, a delete marker and an unfinished upload that nobody made."""
    work = push(there)
    clean(there, work)
    store, batch = there.store, next(one.key for one in there.store.list("guests/wal-batch/"))
    store.put("guests/data/x", (b"1",))
    store.put("guests/data/x", (b"2",))
    store.put("guests/data/y", (b"1",))
    store.delete("guests/data/y")
    store._client._create_multipart_upload(store.bucket, f"{store.prefix}guests/wal/z", {})
    assert set(residue(there, work)) == {
        "guests/data/x", "older version of guests/data/x", "delete marker of guests/data/y",
        "older version of guests/data/y", f"unfinished upload of {store.prefix}guests/wal/z",
    }  # fmt: skip
    store.abandon("")
    alone = replace(work, recipients=frozenset())
    assert any("/keys/" in line for line in residue(there, alone))
    assert batch not in residue(there, alone)


def test_a_call_is_named_without_bucket_prefix_and_random_parts() -> None:
    key = "/backups/kills/guests/data/20261129T191706.123456Z-0123456789/base/base.tar"
    assert named("PUT", f"{key}?partNumber=1&uploadId=abc") == "PUT guests/data/*/base/base.tar?partNumber&uploadId"
    assert named("GET", "/backups?list-type=2&prefix=kills%2Fguests%2Fcommit%2F") == "GET guests/commit/?list-type"
