"""The checks of backups, of stopped recoveries and of an old primary fail on what they are there to find."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.core.errors import Finding, TookTooLong, UsageError
from harness.core.service import Answer
from harness.drill.drill import Drill
from harness.scenario import attempts
from harness.scenario.checks import backup, old_primary, recovery
from harness.scenario.faults.catalog import find
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.inside_clients import InsideClients
from tests.memory_drill import start
from tests.memory_estate import MemoryEstate, shop_database


def event(kind: str, at: float = 0.0, message: str = "", subject: str = "") -> SimpleNamespace:
    return SimpleNamespace(kind=kind, at=at, message=message, subject=subject, facts={})


def with_events(drill: Drill, *events: SimpleNamespace) -> Drill:
    """Give a drill a journal with these events alone."""
    drill.journal = SimpleNamespace(events=events)
    return drill


def test_a_confirmation_must_be_complete_and_smaller_than_its_contents(drill: Drill) -> None:
    start(drill)
    receipt = replace(drill.back_up(), size=10, plain_size=20)
    drill.close()
    backup.require_confirmed(receipt)
    with pytest.raises(Finding, match="lacks a path, a time, a size or a digest"):
        backup.require_confirmed(replace(receipt, digest=""))
    with pytest.raises(Finding, match="not smaller than its contents"):
        backup.require_confirmed(replace(receipt, size=20))


def test_every_database_of_the_primary_must_be_in_the_backup_with_rows(
    drill: Drill, memory_estate: MemoryEstate
) -> None:
    start(drill)
    drill.back_up()
    backup.require_everything_inside(drill)
    with pytest.raises(Finding, match=r"listed: .*; expected: \[\]"):
        backup.require_only(drill, [])
    data = memory_estate.servers.postgres["primary"].databases
    data["late"] = shop_database()
    with pytest.raises(Finding, match=r"the backup contains \['shop'\], the primary \['late', 'shop'\]"):
        backup.require_everything_inside(drill)
    del data["late"]
    assert drill.writer is not None
    drill.writer.stop()
    for rows in data["shop"].tables.values():
        rows.clear()
    drill.back_up()
    with pytest.raises(Finding, match="no rows in shop"):
        backup.require_everything_inside(drill)
    drill.close()


def test_an_overlap_of_backups_and_a_schedule_that_did_not_fire_are_findings(drill: Drill) -> None:
    begun, ended = event("backup", 1.0, "1.2"), event("backup", 3.0, "1.6")
    dropped = event("dropped", 2.0)
    backup.require_no_overlap(with_events(drill, begun, dropped, ended))
    with pytest.raises(Finding, match="2 backups began and 1 ended"):
        backup.require_no_overlap(with_events(drill, begun, begun, dropped, ended))
    with pytest.raises(Finding, match="did not fire again"):
        backup.require_no_overlap(with_events(drill, begun, ended, event("dropped", 4.0)))


def test_one_missing_file_must_be_named_and_the_others_be_there() -> None:
    def receipt(missing: tuple[str, ...], files: int) -> SimpleNamespace:
        trees = (SimpleNamespace(missing=missing, files=files),)
        return SimpleNamespace(contents=SimpleNamespace(missing=missing, trees=trees))

    backup.require_missing_named(receipt(("a.txt",), 2))  # type: ignore[arg-type]
    with pytest.raises(Finding, match=r"missing by the backup: \[\]; expected: one file"):
        backup.require_missing_named(receipt((), 2))  # type: ignore[arg-type]
    with pytest.raises(Finding, match="no other file is in the backup"):
        backup.require_missing_named(receipt(("a.txt",), 0))  # type: ignore[arg-type]


def test_an_alert_that_does_not_arrive_is_waited_for_and_said(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.alert", 0.02)
    sink = SimpleNamespace(received=[SimpleNamespace(title="backup is incomplete")])
    monkeypatch.setattr(type(drill.environment), "alert_sink", sink, raising=False)
    backup.require_alert_of_missing(drill)
    sink.received[0].title = "another alert"
    with pytest.raises(TookTooLong, match="no alert 'is incomplete' has arrived"):
        backup.require_alert_of_missing(drill)


def test_a_service_that_runs_although_the_restore_failed_is_a_finding(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["127.0.0.2"]
    names = SimpleNamespace(resolve=lambda _name: addresses[0])
    monkeypatch.setattr(type(drill.environment), "opened_edge", SimpleNamespace(names=names))
    recovery.require_nothing_started(drill)
    addresses[0] = "127.0.0.3"
    with pytest.raises(Finding, match=r"the public name was switched to 127\.0\.0\.3"):
        recovery.require_nothing_started(drill)
    with pytest.raises(Finding, match="services were started or traffic was switched"):
        recovery.require_nothing_started(with_events(drill, event("status", message="2.7")))
    start_of_shop = SimpleNamespace(nodes={"shop": None})
    drill.environment.dr = start_of_shop  # type: ignore[assignment]
    with pytest.raises(Finding, match="started although the restore failed: shop"):
        recovery.require_nothing_started(drill)


def test_a_stopped_recovery_must_have_been_reported() -> None:
    drill = SimpleNamespace(stopped="fetch", journal=SimpleNamespace(events=()))
    with pytest.raises(Finding, match=r"messages not seen: 2\.5\.1"):
        recovery.require_stopped(drill, ["fetch"])  # type: ignore[arg-type]


def test_clients_that_are_served_by_the_other_site_are_a_finding(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.served_by", 0.02)
    door = SimpleNamespace(request=lambda *_words, **_more: Answer(200, b"", {"x-site": "primary"}))
    monkeypatch.setattr(type(drill.environment), "door", door)
    recovery.require_served_by(drill, "primary")
    with pytest.raises(TookTooLong, match="clients are answered by primary, not by dr"):
        recovery.require_served_by(drill, "dr")


class Growing(list[int]):
    """Writes that become more whenever they are counted."""

    def __len__(self) -> int:
        self.append(0)
        return super().__len__()


class Late(list[int]):
    """Writes that become more only when they are counted for the fourth time."""

    counted = 0

    def __len__(self) -> int:
        self.counted += 1
        return super().__len__() + (self.counted > 3)


def test_a_write_inside_the_old_primary_is_waited_for(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.inside_write", 5.0)
    inside = InsideClients(running=None, acknowledged=Late([1]))  # type: ignore[arg-type]
    fenced = with_events(drill, event("fenced", 1.0), event("status", 2.0, subject="routing"))
    with pytest.raises(Finding, match="still acknowledges"):
        old_primary.require_fenced(fenced, inside)


def test_an_old_primary_must_be_fenced_before_traffic_is_switched_and_be_silent(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.inside_write", 0.05)
    fenced, routed = event("fenced", 1.0), event("status", 2.0, subject="routing")
    inside = InsideClients(running=None)  # type: ignore[arg-type]
    old_primary.require_fenced(with_events(drill, fenced, routed), inside)
    with pytest.raises(Finding, match="traffic was not switched"):
        old_primary.require_fenced(with_events(drill, fenced), inside)
    with pytest.raises(Finding, match="switched before the old primary was fenced"):
        old_primary.require_fenced(with_events(drill, event("fenced", 3.0), routed), inside)
    with pytest.raises(Finding, match="no event 'fenced' in the journal"):
        old_primary.require_fenced(with_events(drill, routed), inside)
    inside.acknowledged = Growing([1])
    with pytest.raises(Finding, match="still acknowledges"):
        old_primary.require_fenced(with_events(drill, fenced, routed), inside)


def test_work_that_fails_for_another_reason_than_its_fault_is_a_finding(drill: Drill) -> None:
    start(drill)
    state = [0]

    def unlock(_scene: Scene) -> None:
        state[0] += 1
        drill.environment.secrets.put("primary", "recipient-escrow.pub", b"nonsense")

    fault = Fault("another", When.BEFORE_BACKUP, unlock, None, lambda _scene: state[0], named="no such words")
    with pytest.raises(Finding, match="another: its failure does not match 'no such words'"):
        attempts.back_up(Scene(drill), fault)
    drill.close()


def test_a_recovery_that_succeeds_with_a_fault_is_a_finding(drill: Drill) -> None:
    start(drill)
    drill.back_up()
    drill.strike()
    state = [0]

    def nothing(_scene: Scene) -> None:
        state[0] += 1

    fault = Fault("harmless", When.AFTER_SELECTION, nothing, None, lambda _scene: state[0], named="no such words")
    with pytest.raises(Finding, match=r"harmless: its failure does not match .*: it did not fail"):
        attempts.recover(Scene(drill), fault)
    drill.close()


def test_a_restore_test_that_is_not_refused_with_a_fault_is_a_finding(drill: Drill) -> None:
    state = [0]

    def nothing(_scene: Scene) -> None:
        state[0] += 1

    fault = Fault("harmless", When.BEFORE_RESTORE_TEST, nothing, None, lambda _scene: state[0], named="refused")
    kept = SimpleNamespace(reasons=())
    scene = Scene(drill, SimpleNamespace(run_on_existing_site=lambda: kept))  # type: ignore[arg-type]
    with pytest.raises(Finding, match="harmless: its failure does not match"):
        attempts.run_restore_test(scene, fault)


def test_a_fault_is_suffered_by_its_own_target_alone_and_must_be_known() -> None:
    assert attempts.suffered("the newest backup", "a flipped bit").phrase == "a flipped bit"
    with pytest.raises(UsageError, match="does not fit 'the primary': the newest backup suffers it"):
        attempts.suffered("the primary", "a flipped bit")
    with pytest.raises(UsageError, match="the nearest is 'a flipped bit'"):
        find("a flipped bat")
