"""The Backup Orchestrator in memory: what a backup leaves behind, and what becomes of each failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.alerts.alerts import Alerts, Delivery
from harness.backup.build import orchestrator_of
from harness.core.contents import Missing
from harness.core.errors import BackupFailed, HarnessError, UsageError, exit_code
from harness.estate.connections import Offsite
from tests.memory_estate import BUCKET, KEY, NAME, NOBODY, MemoryEstate
from tests.repository.failing_store import FailingStore
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import keys_of
from tests.substrate.fake import Outcome

Fault = Callable[[MemoryEstate], object]


def test_a_backup_is_listed_and_logged(memory_estate: MemoryEstate) -> None:
    memory_estate.start_primary()
    receipt = memory_estate.orchestrator.back_up()
    (listed,) = memory_estate.repository.committed()
    assert (listed.backup_id, listed.damaged) == (receipt.backup_id, None)
    assert memory_estate.messages() == ["1.2", "1.3", "1.4", "1.5", "1.6"]
    contents = receipt.contents
    assert [(d.name, d.rows) for d in contents.databases] == [(NAME, 3)]
    assert {(t.name, t.files) for t in contents.trees} == {("shop-files", 2), (f"bucket {BUCKET}", 1)}
    assert [name for name, _ in contents.fingerprints] == [KEY]
    logged = memory_estate.journal.events[-1].facts
    assert (logged["path"], logged["size"], logged["digest"]) == (receipt.path, receipt.size, receipt.digest)


def lose_file(estate: MemoryEstate) -> None:
    del estate.fake.site("primary").volume("shop").files["files/b.txt"]


def test_what_is_missing_is_named_and_all_else_is_backed_up(memory_estate: MemoryEstate) -> None:
    memory_estate.start_primary()
    lose_file(memory_estate)
    memory_estate.servers.objects["primary"].buckets[BUCKET].clear()
    receipt = memory_estate.orchestrator.back_up()
    assert {t.name: (t.files, t.missing) for t in receipt.contents.trees} == {
        "shop-files": (1, (Missing("b.txt", "no such file"),)),
        f"bucket {BUCKET}": (0, (Missing("r1", "no such object"),)),
    }
    named = [(e.subject, e.facts["path"]) for e in memory_estate.journal.events if e.kind == "missing"]
    assert sorted(named) == [(f"bucket {BUCKET}", "r1"), ("shop-files", "b.txt")]


def ends(program: str, code: int | None, errors: str = "") -> Fault:
    return lambda estate: estate.servers.ends.update({program: Outcome(code, errors=errors)})


def refuses(query: str, reason: str) -> Fault:
    return lambda estate: estate.servers.postgres["primary"].refused.update({query: reason})


def lose_secret(estate: MemoryEstate) -> None:
    (estate.secrets.root / "primary" / KEY).unlink()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda e: e.site("primary").nodes["postgres"].kill(), "PostgreSQL at fake:.*connection refused; is it"),
        (ends("pg_dump", 1, "pg_dump: error: aborted"), r"dump: .*aborted \(exit code 1"),
        (refuses("pg_auth_members", "denied"), "PostgreSQL at .*: denied"),
        (ends("pg_dump", None), "task pg_dump: not done within"),
        (refuses("snapshot", "no room"), f"database {NAME}: no snapshot: no room"),
        (refuses("pg_database_size", "gone"), f"database {NAME}: cannot be counted: gone"),
        (lambda e: e.servers.objects["primary"].buckets.clear(), f"service {NAME}: bucket {BUCKET} does not exist at "),
        (lose_secret, f"secret .*{KEY}: No such file"),
        (lambda e: e.secrets_of_primary().pop(KEY), f"site primary: no secret {KEY}"),
        (lambda e: (e.secrets.root / "primary" / "recipient-dr.pub").unlink(), "recipient-dr.pub: No such file"),
        (lambda e: e.secrets.put("primary", "recipient-dr.pub", b"no key"), "recipient|public key"),
        (lambda e: e.shop.fails.update(sources=ValueError("a defect")), "ValueError: a defect"),
    ],
    ids=[
        "database server", "pg_dump", "roles", "endless dump", "snapshot", "counting", "missing bucket",
        "unreadable secret", "missing secret", "missing recipient", "malformed recipient", "defect",
    ],
)  # fmt: skip
def test_a_failure_is_logged_alerted_and_leaves_nothing(memory_estate: MemoryEstate, fault: Fault, said: str) -> None:
    memory_estate.start_primary()
    earlier = memory_estate.orchestrator.back_up()
    fault(memory_estate)
    with pytest.raises(BackupFailed, match=said) as failed:
        memory_estate.orchestrator.back_up()
    assert exit_code(failed.value) == 1
    (logged,) = memory_estate.errors("1.7.1")
    assert logged in str(failed.value)
    assert memory_estate.messages()[-1] == "1.7.2"
    assert [b.backup_id for b in memory_estate.repository.committed()] == [earlier.backup_id]
    assert not [k for k in keys_of(memory_estate.store, memory_estate.repository.estate) if earlier.backup_id not in k]


def calls_of_a_backup(estate: MemoryEstate) -> int:
    store = estate.store = FailingStore(at=-1)
    estate.orchestrator.back_up()
    return len(store.calls)


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
def test_a_store_that_fails_at_any_call_ends_in_one_error_or_a_whole_backup(
    memory_estate: MemoryEstate, after: bool
) -> None:
    memory_estate.start_primary()
    for at in range(calls_of_a_backup(memory_estate)):
        store = memory_estate.store = FailingStore(at=at, after=after, inner=MemoryStore())
        try:
            receipt = memory_estate.orchestrator.back_up()
        except BackupFailed as error:
            assert "failing store" in str(error)  # noqa: PT017 - some calls may fail without harm
            assert memory_estate.messages()[-1] == "1.7.2"
            listed: tuple[str, ...] = ()
        else:
            listed = (receipt.backup_id,)
        memory_estate.store = store.inner
        assert tuple(b.backup_id for b in memory_estate.repository.committed()) == listed, store.calls[at]


def test_an_interrupted_backup_is_logged_alerted_and_leaves_nothing(memory_estate: MemoryEstate) -> None:
    memory_estate.start_primary()
    memory_estate.shop.fails["sources"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        memory_estate.orchestrator.back_up()
    assert memory_estate.errors("1.7.1") == ["KeyboardInterrupt: KeyboardInterrupt"]
    assert memory_estate.messages()[-1] == "1.7.2"
    assert not keys_of(memory_estate.store, memory_estate.repository.estate)


def failed(estate: MemoryEstate, alerts: Alerts) -> dict[str, object]:
    """Fail a backup; return what the journal says of its alert."""
    estate.alerts = alerts
    with pytest.raises(BackupFailed, match="not activated"):
        estate.orchestrator.back_up()
    return dict(estate.journal.events[-1].facts)


def test_the_alert_of_a_failed_backup_is_sent(memory_estate: MemoryEstate) -> None:
    heard: list[str] = []

    class Told(Alerts):
        def send(self, title: str, body: str) -> Delivery:
            heard.extend((title, body))
            return Delivery(sent=True, targets=1)

    assert failed(memory_estate, Told(())) == {"sent": True, "targets": 1}
    assert heard == ["Backup of example-shop failed", memory_estate.errors("1.7.1")[0]]


def test_a_failed_alert_does_not_hide_the_failure_of_the_backup(memory_estate: MemoryEstate, tmp_path: Path) -> None:
    said = failed(memory_estate, Alerts((f"file:{tmp_path}/nowhere",)))
    assert said["sent"] is False
    assert "nowhere: No such file" in str(said["error"])


def test_the_journal_names_a_target_that_missed_the_alert(memory_estate: MemoryEstate) -> None:
    class Told(Alerts):
        def send(self, title: str, body: str) -> Delivery:
            return Delivery(sent=True, targets=1, failed=("env:MAIL (answered with 535)", "env:CHAT (not accepted)"))

    said = "env:MAIL (answered with 535), env:CHAT (not accepted)"
    assert failed(memory_estate, Told(())) == {"sent": True, "targets": 1, "failed": said}


def test_without_a_target_the_journal_says_that_no_alert_was_sent(memory_estate: MemoryEstate) -> None:
    assert failed(memory_estate, Alerts(())) == {"sent": False, "targets": 0}


def test_a_read_only_repository_is_refused_before_anything_is_read(memory_estate: MemoryEstate) -> None:
    connections = memory_estate.connections
    closed = type(connections)(
        connections.config, connections.services, Offsite(NOBODY, {}, read_only=True), primary=connections.primary
    )
    with pytest.raises(UsageError, match=r"existing\.offsite\.read_only"):
        orchestrator_of(closed, Alerts(()), memory_estate.journal)
    assert not memory_estate.journal.events


def test_the_error_of_a_backup_names_its_cause(memory_estate: MemoryEstate) -> None:
    with pytest.raises(BackupFailed) as failed:
        memory_estate.orchestrator.back_up()
    assert isinstance(failed.value.__cause__, HarnessError)


@pytest.mark.attacks
def test_r5_a_backup_alerts_to_lost_commits(memory_estate: MemoryEstate) -> None:
    memory_estate.start_primary()
    first = memory_estate.orchestrator.back_up()
    memory_estate.store.delete(first.path)
    memory_estate.orchestrator.back_up()
    assert first.backup_id in "".join(keys_of(memory_estate.store, memory_estate.repository.estate))
    (alert,) = [event for event in memory_estate.journal.events if event.kind == "alert"]
    assert alert.subject == "backup failure"


def test_a_store_without_object_lock_is_alerted_and_the_backup_is_taken(memory_estate: MemoryEstate) -> None:
    memory_estate.start_primary()
    orchestrator = memory_estate.orchestrator
    orchestrator.limits = orchestrator.limits.model_copy(update={"lock_days": 30})
    assert orchestrator.back_up().locked_until is None
    (alert,) = [event for event in memory_estate.journal.events if event.kind == "alert"]
    assert alert.subject == "backup failure"
    assert memory_estate.journal.events[-1].facts["locked_until"] == "not locked"
