"""Retention removes nothing while the store does not show what it would have to know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from harness.core.errors import Denied, HarnessError, Lost, Refused
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.repository.test_expired import verified_nights
from tests.repository.test_retention import BEGIN


@dataclass
class Denying(MemoryStore):
    """A store that refuses to show some objects: those whose keys have one of `denied` in them."""

    denied: tuple[str, ...] = ()
    kind: type[Denied] = Denied

    def get(self, key: str, offset: int = 0, length: int = 0):  # type: ignore[no-untyped-def]
        if any(part in key for part in self.denied):
            raise self.kind(f"store in memory, {key}: cannot be read: refused (AccessDenied)")
        return super().get(key, offset, length)


@pytest.mark.attacks
def test_nothing_is_removed_while_the_store_does_not_show_a_commit(recipients: Recipients) -> None:
    """What that backup needs is not known: the base of a chain, its WAL."""
    store = Denying()
    past = verified_nights(store, recipients)
    oldest = past.left()[0]
    store.denied = (past.repository.layout.commit(oldest),)
    before = past.keys("data", "commit", "manifest")
    for store.kind, remedy in (
        (Denied, "permit the writer to read it"),
        (Lost, "repair its disk or its volume, or copy"),
    ):
        with pytest.raises(
            Refused,
            match=rf"nothing is removed while the store does not show a COMMIT: .*refused \(AccessDenied\); {remedy}",
        ):
            past.expire()
    assert past.keys("data", "commit", "manifest") == before
    store.denied = ()
    assert past.expire()[oldest] == ""


@pytest.mark.attacks
def test_a_note_that_the_store_does_not_show_is_not_removed(recipients: Recipients) -> None:
    """The next note lacked what it names: those backups were a deletion from then on."""
    store = Denying()
    past = verified_nights(store, recipients)
    past.expire()
    (note,) = past.keys("expired")
    store.denied = (note,)
    past.back_up(BEGIN + timedelta(days=13))
    past.verify()
    with pytest.raises(HarnessError, match="AccessDenied"):
        past.expire()
    assert past.keys("expired") == [note]
    store.denied = ()
    past.expire()
    past.left()  # without a finding
