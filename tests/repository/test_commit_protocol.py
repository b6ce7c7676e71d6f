"""Failure at every call to the store: a listed backup can be restored, an unlisted one is reaped completely."""

from __future__ import annotations

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.repository.catalogue import Repository
from harness.repository.upkeep.reaper import reap
from harness.repository.writer import Writer
from tests.repository.failing_store import FailingStore
from tests.repository.store_servers import Recipients, contents, keys_of

ROWS = b"rows " * 1000


def attempt(repository: Repository, recipients: Recipients, tidy: bool) -> Writer | None:
    """Take a backup; after a failure abort it with `tidy`, or leave it as a killed process would."""
    writer: Writer | None = None
    try:
        writer = recipients.begin(repository)
        writer.add("globals", (b"CREATE ROLE odoo;",))
        writer.add("databases/shop", (ROWS,))
        writer.commit(contents())
    except HarnessError:
        if tidy and writer is not None:
            writer.abort()
    return writer


def calls_of_a_successful_backup(recipients: Recipients) -> list[str]:
    store = FailingStore(at=10_000)
    assert attempt(recipients.repository(store), recipients, tidy=False)
    return store.calls


def test_objects_are_written_in_order(recipients: Recipients) -> None:
    written = [call.split("/")[1] for call in calls_of_a_successful_backup(recipients) if call.startswith("put")]
    assert written == ["intent", "data", "data", "keys", "keys", "manifest", "commit"]


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize("dead", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("tidy", [False, True], ids=["killed", "aborted"])
def test_after_any_failure_it_is_listed_and_complete_or_not_listed(
    recipients: Recipients, after: bool, dead: bool, tidy: bool
) -> None:
    calls = calls_of_a_successful_backup(recipients)
    listed = 0
    for at in range(len(calls)):
        store = FailingStore(at, after, dead)
        attempt(recipients.repository(store), recipients, tidy)
        alive = recipients.repository(store.inner)
        entries = alive.committed()
        if entries:
            listed += 1
            chosen = alive.latest_valid(recipients.dr[0])
            assert b"".join(chosen.backup.read("databases/shop")) == ROWS, calls[at]
            reap(alive, 0)
            assert len(keys_of(store.inner, "shop")) == 6, calls[at]
        else:
            reap(alive, 0)
            assert keys_of(store.inner, "shop") == [], calls[at]
    # Only the last calls can fail with the backup committed: COMMIT's answer, its read-back, deleting the intent.
    assert listed <= 3
    assert listed >= 1


def test_an_abort_deletes_everything(recipients: Recipients) -> None:
    store = FailingStore(at=10_000)
    writer = recipients.begin(recipients.repository(store))
    writer.add("globals", (b"x",))
    writer.abort()
    assert keys_of(store.inner, "shop") == []


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
def test_a_failed_reap_is_finished_by_the_next(recipients: Recipients, after: bool) -> None:
    at = 0
    while True:
        store = FailingStore(at=10_000, after=after, dead=True)
        repository = recipients.repository(store)
        recipients.begin(repository).add("globals", (b"x",))
        store.calls.clear()
        store.at = at
        try:
            reap(repository, 0)
        except HarnessError:
            reap(recipients.repository(store.inner), 0)
            assert keys_of(store.inner, "shop") == [], store.calls[at]
            at += 1
        else:
            break
    assert at >= 6


def test_fewer_than_two_recipients_are_refused_before_any_write(recipients: Recipients) -> None:
    store = FailingStore(at=10_000)
    for few in ((), recipients.public[:1], recipients.public[:1] * 2):
        with pytest.raises(UsageError, match="at least 2 different"):
            recipients.repository(store).begin("7391", few, recipients.writer[0])
    assert store.calls == []
