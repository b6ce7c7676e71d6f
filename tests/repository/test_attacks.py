"""Attacks on the repository by one who may write to the bucket and has all public keys: R1 to R6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from harness.backup.build import described_backups
from harness.core.clock import SYSTEM
from harness.core.errors import NoValidBackup
from harness.recovery.exposure import measure_exposure
from harness.repository.catalogue import CommittedBackup, Repository, ordered
from harness.repository.chain import Chain
from harness.repository.format.layout import new_id
from harness.repository.store.expunge import remove
from harness.repository.upkeep.reaper import Reaped, reap
from harness.repository.witness import FileWitness, StoreWitness
from harness.scenario.faults.stored_backup import AHEAD, LITTER
from harness.signing import new_signing_pair
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up, contents, keys_of

pytestmark = pytest.mark.attacks


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def witness(tmp_path: Path) -> FileWitness:
    return FileWitness(tmp_path / "with DR, ü/witness.json")


@pytest.fixture
def repository(store: MemoryStore, recipients: Recipients, witness: FileWitness) -> Repository:
    return replace(recipients.repository(store), witnesses=(witness,))


def forge(repository: Repository, recipients: Recipients, key: bytes | None = None, cluster: str = "7391") -> str:
    """Write a complete backup of the year 2099, signed with `key`, by default one of the attacker's own."""
    forged = replace(repository, clock=AHEAD, witnesses=())
    writer = forged.begin(cluster, recipients.public, key or new_signing_pair()[0])
    writer.add("server.json", (b'{"roles": [{"name": "backdoor", "superuser": true}]}',))
    return writer.commit(contents()).backup_id


@pytest.mark.parametrize("cluster", ["7391", "666"])
def test_r1_r2_a_forged_backup_is_passed_over_with_its_reason(
    repository: Repository, recipients: Recipients, cluster: str
) -> None:
    mine = back_up(repository, recipients)
    forged = forge(repository, recipients, cluster=cluster)
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == mine.backup_id
    ((name, reason),) = chosen.passed_over
    assert name == forged
    assert "which is not trusted here" in reason
    assert chosen.findings == ()


def test_r2_a_backup_of_another_database_system_is_passed_over_where_systems_are_declared(
    repository: Repository, recipients: Recipients
) -> None:
    """Signed by the writer: a staging copy of the primary writes under the same name."""
    mine = back_up(repository, recipients)
    forge(repository, recipients, recipients.writer[0], cluster="666")
    pinned = replace(repository, trust=replace(repository.trust, systems=("7391",)))
    chosen = pinned.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == mine.backup_id
    assert "of database system 666; declared: 7391" in chosen.passed_over[0][1]
    assert any("unless the server was made anew" in line for line in repository.catalogue().findings)


def test_r2_without_a_trusted_writer_nothing_is_restored(repository: Repository, recipients: Recipients) -> None:
    back_up(repository, recipients)
    with pytest.raises(NoValidBackup, match="trusted: no key"):
        Repository(repository.store, "shop").latest_valid(recipients.dr[0])


def test_a_replaced_writers_key_is_trusted_beside_the_new_one(repository: Repository, recipients: Recipients) -> None:
    first = back_up(repository, recipients)
    renewed = replace(recipients, writer=new_signing_pair())
    both = replace(
        repository, trust=replace(repository.trust, writers=recipients.trust.writers + renewed.trust.writers)
    )
    second = back_up(both, renewed)
    catalogue = both.catalogue()
    assert [entry.backup_id for entry in catalogue.entries] == [second.backup_id, first.backup_id]
    assert (second.sequence, catalogue.findings) == (2, ())


@pytest.mark.parametrize("body", LITTER, ids=range(len(LITTER)))
def test_r3_whatever_lies_in_the_bucket_costs_nobody_the_others(
    store: MemoryStore, repository: Repository, recipients: Recipients, body: bytes
) -> None:
    mine = back_up(repository, recipients)
    for kind in ("commit", "manifest", "intent", "data", "keys"):
        for name in (new_id(AHEAD), new_id(SYSTEM), "no name", "ü \U0001f600"):
            store.put(f"shop/{kind}/{name}.json", (body,))
            store.put(f"shop/{kind}/{name}/{name}", (body,))
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == mine.backup_id
    assert all(reason.isprintable() for _, reason in chosen.passed_over)
    rows, findings = described_backups(repository, recipients.dr[0])
    assert [row["id"] for row in rows if "damaged" not in row] == [mine.backup_id]
    assert findings == ()
    assert measure_exposure(repository, recipients.dr[0], SYSTEM.wall()).seconds is not None
    reap(repository)
    assert mine.path in keys_of(store, "shop")


def test_thousands_of_notes_that_nobody_signed_cost_no_minutes() -> None:
    """To put 50 backups among 2,000 notes of the year 2099 in order took half a minute, among 8,000 seven minutes."""
    names = sorted((new_id(SYSTEM) for _ in range(200)), reverse=True)
    found = {name: CommittedBackup(name, None) for name in names}
    found |= {name: CommittedBackup(name, "not signed") for name in (new_id(AHEAD) for _ in range(8000))}
    begun = SYSTEM.monotonic()
    order = ordered(found, Chain(tuple(names)))
    assert SYSTEM.monotonic() - begun < 10
    assert [one.backup_id for one in order if one.damaged is None] == names
    assert len(order) == len(found)


def delete_commit(repository: Repository, backup_id: str) -> None:
    repository.store.delete(repository.layout.commit(backup_id))


def delete_whole(repository: Repository, backup_id: str) -> None:
    delete_commit(repository, backup_id)
    remove(repository.store, repository.layout, backup_id)


@pytest.mark.parametrize("delete", [delete_commit, delete_whole])
def test_r4_a_deleted_newest_backup_is_noticed_and_the_older_one_restored(
    repository: Repository, recipients: Recipients, delete: Callable[[Repository, str], None]
) -> None:
    older, newer = back_up(repository, recipients), back_up(repository, recipients)
    assert repository.latest_valid(recipients.dr[0]).findings == ()
    delete(repository, newer.backup_id)
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == older.backup_id
    (finding,) = chosen.findings
    assert finding.startswith(f"backup {newer.backup_id} (number 2), the newest known, is not in the repository")
    again = back_up(repository, recipients)  # the writer knows of it too: what follows names it to every reader
    (finding,) = recipients.repository(repository.store).catalogue().findings
    assert f"backup {newer.backup_id} (number 2) is not in the repository, though older ones are" in finding
    assert again.sequence == 3


def test_r4_an_older_state_of_the_bucket_is_noticed(
    store: MemoryStore, repository: Repository, recipients: Recipients
) -> None:
    back_up(repository, recipients)
    before = {key: b"".join(store.get(key)) for key in keys_of(store, "shop")}
    back_up(repository, recipients)
    repository.latest_valid(recipients.dr[0])
    for key in keys_of(store, "shop"):
        store.delete(key)
    for key, body in before.items():
        store.put(key, (body,))
    assert "an older state was put back" in repository.latest_valid(recipients.dr[0]).findings[0]


def test_r4_an_empty_bucket_is_noticed(store: MemoryStore, repository: Repository, recipients: Recipients) -> None:
    mine = back_up(repository, recipients)
    repository.latest_valid(recipients.dr[0])
    for key in keys_of(store, "shop"):
        store.delete(key)
    with pytest.raises(NoValidBackup, match=f"{mine.backup_id}.*the newest known, is not in the repository"):
        repository.latest_valid(recipients.dr[0])


@pytest.mark.parametrize("text", [b"", b"{}x", b"\xff", b'{"shop": {"head": 7}}', b"[" * 100_000])
def test_a_witness_that_cannot_be_read_is_a_finding_and_stops_no_recovery(
    repository: Repository, recipients: Recipients, witness: FileWitness, text: bytes
) -> None:
    mine = back_up(repository, recipients)
    repository.latest_valid(recipients.dr[0])
    witness.path.write_bytes(text)
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == mine.backup_id
    assert "witness.json: not readable" in chosen.findings[0]
    assert "restore the file from a copy" in chosen.findings[0]
    assert witness.path.read_bytes() == text  # it may hold what is needed to see a rollback


def test_a_witness_whose_disk_is_not_mounted_is_no_empty_one(
    repository: Repository, recipients: Recipients, witness: FileWitness, tmp_path: Path
) -> None:
    """A link to it leads nowhere then, and a rollback would go unnoticed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    witness.path.parent.mkdir()
    witness.path.symlink_to(disk / "kept.json")
    (disk / "kept.json").write_bytes(b"{}")
    mine = back_up(repository, recipients)
    assert repository.latest_valid(recipients.dr[0]).findings == ()
    assert witness.path.is_symlink()
    assert mine.backup_id in (disk / "kept.json").read_text()
    disk.rename(tmp_path / "elsewhere")
    chosen = repository.latest_valid(recipients.dr[0])
    assert "kept.json, which is not there; mount its disk; where" in chosen.findings[0]
    assert not disk.exists()


def test_what_was_opened_while_the_clock_was_ahead_is_opened_again(
    repository: Repository, recipients: Recipients, witness: FileWitness
) -> None:
    """Else it would be taken for opened until that time has come."""
    back_up(repository, recipients)
    (entry,) = repository.committed()
    replace(repository, clock=AHEAD).verified(entry, recipients.dr[0])
    assert repository.opened()[entry.digest] > SYSTEM.wall()
    assert repository.shown(entry, recipients.dr[0]) is None
    assert repository.opened()[entry.digest] <= SYSTEM.wall()
    assert repository.shown(entry, recipients.dr[0]) is not None


def test_a_witness_in_a_second_store_notices_what_the_first_forgot(
    repository: Repository, recipients: Recipients, witness: FileWitness
) -> None:
    both = replace(repository, witnesses=(witness, StoreWitness(MemoryStore(), "elsewhere/")))
    older, newer = back_up(both, recipients), back_up(both, recipients)
    both.latest_valid(recipients.dr[0])
    witness.path.unlink()
    delete_commit(both, newer.backup_id)
    chosen = both.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == older.backup_id
    assert newer.backup_id in chosen.findings[0]


def test_a_deleted_wrapped_key_is_named_as_that(repository: Repository, recipients: Recipients) -> None:
    older, newer = back_up(repository, recipients), back_up(repository, recipients)
    for entry in list(repository.store.list(repository.layout.keys(newer.backup_id))):
        repository.store.delete(entry.key)
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == older.backup_id
    assert "is not there" in chosen.passed_over[0][1]
    assert "removed by `keys rewrap`, or deleted from the repository" in chosen.passed_over[0][1]


def test_r5_lost_commits_stop_the_reaper_and_are_alerted(
    store: MemoryStore, repository: Repository, recipients: Recipients
) -> None:
    names = sorted(back_up(repository, recipients).backup_id for _ in range(2))
    abandoned = recipients.begin(repository)
    abandoned.add("globals", (b"x",))
    for name in names:
        delete_commit(repository, name)
    before = keys_of(store, "shop")
    found = reap(repository, 0)
    assert found == Reaped(lost=tuple(names))
    assert f"2 complete backups have no COMMIT any more ({', '.join(names)})" in found.alarm
    assert keys_of(store, "shop") == before


def test_r6_the_order_is_that_of_the_chain_and_a_time_in_the_future_a_finding(
    repository: Repository, recipients: Recipients
) -> None:
    back_up(repository, recipients)
    ahead = back_up(replace(repository, clock=AHEAD), recipients)
    newest = back_up(repository, recipients)
    assert ahead.backup_id > newest.backup_id
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == newest.backup_id
    assert any(
        f"backup {ahead.backup_id} (number 2) is" in line and "in the future" in line for line in chosen.findings
    )


def test_r6_an_hour_back_does_not_let_older_data_win(repository: Repository, recipients: Recipients) -> None:
    back_up(repository, recipients)
    clock = replace(SYSTEM, wall=lambda: SYSTEM.wall() - timedelta(hours=1))
    late = back_up(replace(repository, clock=clock), recipients)
    chosen = repository.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == late.backup_id
    assert "the writer's clock was wrong" in chosen.findings[0]
