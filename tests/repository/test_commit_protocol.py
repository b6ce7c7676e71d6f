"""Killed at any call to the store: what is listed can be restored, and what is not is reaped to the last byte."""

from __future__ import annotations

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.repository.catalogue import Repository
from harness.repository.writer import Writer
from tests.repository.failing import FailingStore
from tests.repository.local import Recipients, contents, keys_of

ROWS = b"rows " * 1000


def attempt(repository: Repository, recipients: Recipients, tidy: bool) -> Writer | None:
    """Take a backup; with `tidy` it is aborted when it fails, without it its process is gone."""
    writer: Writer | None = None
    try:
        writer = repository.begin("7391", recipients.public)
        writer.add("globals", (b"CREATE ROLE odoo;",))
        writer.add("databases/shop", (ROWS,))
        writer.commit(contents())
    except HarnessError:
        if tidy and writer is not None:
            writer.abort()
    return writer


def calls_of_a_good_one(recipients: Recipients) -> list[str]:
    store = FailingStore(at=10_000)
    assert attempt(Repository(store, "shop"), recipients, tidy=False)
    return store.calls


def test_the_order_of_writing(recipients: Recipients) -> None:
    written = [call.split("/")[1] for call in calls_of_a_good_one(recipients) if call.startswith("put")]
    assert written == ["intent", "data", "data", "manifest", "commit"]


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize("dead", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("tidy", [False, True], ids=["killed", "aborted"])
def test_at_every_call_it_is_listed_and_whole_or_not_there(
    recipients: Recipients, after: bool, dead: bool, tidy: bool
) -> None:
    calls = calls_of_a_good_one(recipients)
    listed = 0
    for at in range(len(calls)):
        store = FailingStore(at, after, dead)
        attempt(Repository(store, "shop"), recipients, tidy)
        alive = Repository(store.inner, "shop")
        entries = alive.committed()
        if entries:
            listed += 1
            chosen = alive.latest_valid(recipients.dr[0])
            assert b"".join(chosen.backup.read("databases/shop")) == ROWS, calls[at]
            alive.reap(0)
            assert len(keys_of(store.inner, "shop")) == 4, calls[at]
        else:
            alive.reap(0)
            assert keys_of(store.inner, "shop") == [], calls[at]
    # Only at the very end does a failure leave a backup behind: COMMIT's answer, its reading back, the intent.
    assert listed <= 3
    assert listed >= 1


def test_a_clean_abort_leaves_nothing(recipients: Recipients) -> None:
    store = FailingStore(at=10_000)
    writer = Repository(store, "shop").begin("7391", recipients.public)
    writer.add("globals", (b"x",))
    writer.abort()
    assert keys_of(store.inner, "shop") == []


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
def test_a_reaping_that_is_killed_is_finished_by_the_next(recipients: Recipients, after: bool) -> None:
    at = 0
    while True:
        store = FailingStore(at=10_000, after=after, dead=True)
        repository = Repository(store, "shop")
        repository.begin("7391", recipients.public).add("globals", (b"x",))
        store.calls.clear()
        store.at = at
        try:
            repository.reap(0)
        except HarnessError:
            Repository(store.inner, "shop").reap(0)
            assert keys_of(store.inner, "shop") == [], store.calls[at]
            at += 1
        else:
            break
    assert at >= 6


def test_fewer_than_two_recipients_write_nothing(recipients: Recipients) -> None:
    store = FailingStore(at=10_000)
    for few in ((), recipients.public[:1], recipients.public[:1] * 2):
        with pytest.raises(UsageError, match="at least 2 different"):
            Repository(store, "shop").begin("7391", few)
    assert store.calls == []
