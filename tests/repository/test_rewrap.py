"""`keys rewrap`: recipients are added and removed, and no data are touched."""

from __future__ import annotations

import pytest

from harness.core.errors import Unreadable, UsageError
from harness.pem import fingerprint
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.format.recipients import new_pair, read_public
from harness.repository.store.port import ObjectStore
from harness.repository.upkeep.rewrap import Rewrap, changes, recipients_ever, require_recipients, rewrap, rewrap_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.writer import begin_wal
from tests.repository.store_servers import Recipients, back_up

NEW = new_pair()
KEPT = ("commit", "data", "manifest")


def name_of(public: bytes) -> str:
    return fingerprint(read_public(public))


def bodies(store: ObjectStore, estate: str, *kinds: str) -> dict[str, bytes]:
    return {
        entry.key: b"".join(store.get(entry.key))
        for entry in store.list(f"{estate}/")
        if not kinds or entry.key.split("/")[1] in kinds
    }


@pytest.fixture
def entry(repository: Repository, recipients: Recipients) -> CommittedBackup:
    back_up(repository, recipients, globals=b"CREATE ROLE odoo;", trees__files=b"photo" * 100_000)
    (found,) = repository.committed()
    return found


def opened(repository: Repository, private: bytes) -> bytes:
    (entry,) = repository.committed()
    return b"".join(repository.open(entry, private).read("globals"))


def test_a_new_recipient_opens_and_a_removed_one_does_not(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients, entry: CommittedBackup
) -> None:
    before = bodies(store, estate, *KEPT)
    change = Rewrap((NEW[1],), (name_of(recipients.escrow[1]),))
    done = rewrap(repository, entry, recipients.dr[0], change)
    assert (done.added, done.removed) == ((name_of(NEW[1]),), (name_of(recipients.escrow[1]),))
    assert done.staying == ()
    assert done.left == require_recipients(repository, entry, Rewrap()) == {name_of(NEW[1]), name_of(recipients.dr[1])}
    assert bodies(store, estate, *KEPT) == before
    for private in (NEW[0], recipients.dr[0]):
        assert opened(repository, private) == b"CREATE ROLE odoo;"
        repository.latest_valid(private)
    with pytest.raises(
        Unreadable, match=f"its data key for {name_of(recipients.escrow[1])} is not there .*removed by `keys"
    ):
        opened(repository, recipients.escrow[0])


def test_the_new_recipient_can_remove_the_one_that_added_him(
    repository: Repository, recipients: Recipients, entry: CommittedBackup
) -> None:
    rewrap(repository, entry, recipients.dr[0], Rewrap((NEW[1],)))
    left = rewrap(repository, entry, NEW[0], Rewrap(remove=(name_of(recipients.dr[1]),))).left
    assert left == {name_of(NEW[1]), name_of(recipients.escrow[1])}
    assert opened(repository, NEW[0]) == b"CREATE ROLE odoo;"


@pytest.mark.parametrize("added", [False, True])
def test_fewer_than_two_recipients_are_refused_and_nothing_is_changed(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients, entry: CommittedBackup, added: bool
) -> None:
    """Nor is the new one written, when he would be the only one."""
    before = bodies(store, estate)
    removed = [name_of(recipients.escrow[1])] + [name_of(recipients.dr[1])] * added
    with pytest.raises(UsageError, match="would be left with 1 recipient, at least 2 are required"):
        rewrap(repository, entry, recipients.dr[0], Rewrap((NEW[1],) * added, tuple(removed)))
    assert bodies(store, estate) == before


def test_a_recipient_that_is_added_again_keeps_his_key(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients, entry: CommittedBackup
) -> None:
    before = bodies(store, estate)
    rewrap(repository, entry, recipients.dr[0], Rewrap((recipients.escrow[1],)))
    assert bodies(store, estate) == before


def test_changes_that_cannot_be_made_are_refused_before_the_first(
    repository: Repository, recipients: Recipients, entry: CommittedBackup
) -> None:
    assert list(changes(repository, recipients.dr[0], Rewrap((NEW[1],)))) == [entry.backup_id]
    for remove, said in (
        (name_of(recipients.escrow[1]), "would be left with 1 recipient, at least 2 are required"),
        (name_of(NEW[1]), f"--remove {name_of(NEW[1])}: no backup has this recipient; recipients: "),
    ):
        with pytest.raises(UsageError, match=said):
            changes(repository, recipients.dr[0], Rewrap(remove=(remove,)))


def test_a_recipient_that_is_added_and_removed_at_once_is_not_there(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients, entry: CommittedBackup
) -> None:
    before = bodies(store, estate)
    left = rewrap(repository, entry, recipients.dr[0], Rewrap((NEW[1],), (name_of(NEW[1]),))).left
    assert name_of(NEW[1]) not in left
    assert bodies(store, estate) == before


def test_a_key_that_opens_nothing_changes_nothing(
    repository: Repository, store: ObjectStore, estate: str, entry: CommittedBackup
) -> None:
    before = bodies(store, estate)
    with pytest.raises(Unreadable, match="does not open it"):
        rewrap(repository, entry, NEW[0], Rewrap((NEW[1],)))
    assert bodies(store, estate) == before


def test_a_backup_that_is_not_trusted_is_unreadable_and_unchanged(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients, entry: CommittedBackup
) -> None:
    """Unreadable, no mistake of the operator: the others are changed all the same."""
    store.put(f"{estate}/commit/{entry.backup_id}.json", (b"\xff junk",))
    before = bodies(store, estate)
    (junk,) = repository.committed()
    with pytest.raises(Unreadable, match=r"not a signed envelope .*; its recipients cannot be changed"):
        rewrap(repository, junk, recipients.dr[0], Rewrap((NEW[1],)))
    assert bodies(store, estate) == before


def test_a_recipient_that_was_removed_from_the_backups_alone_is_still_one_of_the_wal(
    repository: Repository, recipients: Recipients, entry: CommittedBackup
) -> None:
    """A change that was killed between the two is repeated: it is refused for keys that were never recipients only."""
    shipped = begin_wal(repository, entry.system, 1 << 20, recipients.public, recipients.writer[0], None)
    shipped.commit([shipped.put(1, 0, bytes(1 << 20))], None)
    (listed,) = read_wal(repository, entry.system).lists
    escrow = name_of(recipients.escrow[1])
    rewrap(repository, entry, recipients.dr[0], Rewrap((NEW[1],), (escrow,)))
    for one in (entry, listed):
        assert escrow in recipients_ever(repository, one)
    again = Rewrap((NEW[1],), (escrow,))
    assert not rewrap(repository, entry, recipients.dr[0], again).removed
    assert rewrap_wal(repository, listed, recipients.dr[0], again).removed == (escrow,)
    assert name_of(NEW[1]) in recipients_ever(repository, listed)
