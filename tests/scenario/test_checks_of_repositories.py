"""The checks of a restore test's site, of locked backups, of calls outside and of a failback fail on what they find."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from minio.error import S3Error

from harness.core.errors import Finding
from harness.core.service import REACHED
from harness.scenario import foreign_repository, object_lock, outward
from harness.scenario.checks import failback, recovery
from harness.scenario.foreign_repository import ForeignRepository, RepositorySnapshot
from harness.substrate.existing.site import NOT_DRILLED

BEFORE = RepositorySnapshot({"shop/commit/a": "1"}, {"shop": ("odoo", (), ())}, frozenset({"file 1"}))


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another estate's repository and the drill on whose DR site it is restored, in which nothing has changed."""
    made = ForeignRepository.__new__(ForeignRepository)
    node = SimpleNamespace(alive=True)
    dr = SimpleNamespace(place=SimpleNamespace(s3=None), nodes={"postgres": node, "shop": SimpleNamespace(alive=False)})
    environment = SimpleNamespace(dr=dr, services=())
    made.drill = SimpleNamespace(environment=environment, journal=SimpleNamespace(events=[]))  # type: ignore[assignment]
    made.other = SimpleNamespace(template=SimpleNamespace(identity=SimpleNamespace(bucket="files")))  # type: ignore[assignment]
    made._before_test, made._before = BEFORE, "as before"  # type: ignore[assignment]
    made._contents = (BEFORE.facts, BEFORE.objects)
    seen = SimpleNamespace(observed=BEFORE, inventory="as before", facts=BEFORE.facts)
    monkeypatch.setattr(ForeignRepository, "_observe", lambda _self: seen.observed)
    monkeypatch.setattr(foreign_repository, "take_snapshot", lambda _place, _services: seen.inventory)
    monkeypatch.setattr(foreign_repository, "facts_of", lambda _place: seen.facts)
    monkeypatch.setattr(foreign_repository, "objects_of", lambda _s3, _bucket: BEFORE.objects)
    return SimpleNamespace(made=made, seen=seen)


def test_what_is_never_done_to_an_existing_site_must_be_named(foreign: Any) -> None:
    foreign.made.require_named(SimpleNamespace(not_drilled=NOT_DRILLED))
    with pytest.raises(Finding, match="not named: "):
        foreign.made.require_named(SimpleNamespace(not_drilled=NOT_DRILLED[1:]))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("repository", {}, "the repository was changed"),
        ("facts", {}, "the other estate's databases were changed"),
        ("objects", frozenset(), "the other estate's objects were changed"),
    ],
)
def test_a_change_of_the_other_estate_is_a_finding(foreign: Any, field: str, value: Any, said: str) -> None:
    foreign.made.require_untouched()
    facts = {name: getattr(BEFORE, name) for name in ("repository", "facts", "objects")}
    foreign.seen.observed = RepositorySnapshot(**(facts | {field: value}))
    with pytest.raises(Finding, match=said):
        foreign.made.require_untouched()


def test_a_dr_site_that_was_written_to_is_a_finding(foreign: Any) -> None:
    foreign.made.require_unwritten()
    foreign.made.drill.journal.events.append(SimpleNamespace(kind="selected"))
    with pytest.raises(Finding, match="refused, but the journal says: selected"):
        foreign.made.require_unwritten()
    foreign.seen.facts = {}
    with pytest.raises(Finding, match="the DR site was written to"):
        foreign.made.require_unwritten()
    foreign.seen.inventory = "with a database more"
    with pytest.raises(Finding, match="the DR site was not cleaned up"):
        foreign.made.require_unwritten()


def test_a_service_that_runs_after_a_restore_test_is_a_finding(foreign: Any) -> None:
    foreign.made.require_cleared()
    foreign.made.drill.environment.dr.nodes["shop"].alive = True
    with pytest.raises(Finding, match="still running: shop"):
        foreign.made.require_cleared()


class Locked:
    """A store whose administrator may delete what is in `open`."""

    def __init__(self, kinds: tuple[str, ...], opened: tuple[str, ...] = ()) -> None:
        self.kinds, self.open = kinds, opened

    def list_objects(self, *_words: Any, **_more: Any) -> list[Any]:
        return [SimpleNamespace(object_name=f"shop/{kind}/one", version_id="1") for kind in (*self.kinds, "intent")]

    def remove_object(self, _bucket: str, key: str, _version: str) -> None:
        if key.split("/")[1] not in self.open:
            raise S3Error(None, "AccessDenied", "locked", key, "", "")  # type: ignore[arg-type]


def undeletable(monkeypatch: pytest.MonkeyPatch, store: Locked, *, locked: bool = True) -> list[Any]:
    monkeypatch.setattr(object_lock, "client", lambda _s3: store)
    monkeypatch.setattr(object_lock, "asked", lambda *_words: nullcontext())
    marks: list[Any] = []
    journal = SimpleNamespace(mark=lambda *words, **_facts: marks.append(words))
    drill: Any = SimpleNamespace(environment=SimpleNamespace(offsite_s3=None), journal=journal)
    receipt: Any = SimpleNamespace(backup_id="one", locked_until="2999" if locked else None)
    object_lock.require_undeletable(drill, receipt)
    return marks


def test_a_backup_that_an_administrator_can_delete_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    every = ("commit", "data", "keys", "manifest")
    assert undeletable(monkeypatch, Locked(every)) == [("refused", "deletion of a locked backup")]
    with pytest.raises(Finding, match="an administrator deleted shop/keys/one"):
        undeletable(monkeypatch, Locked(every, ("keys",)))
    with pytest.raises(Finding, match="the backup has commit, data alone"):
        undeletable(monkeypatch, Locked(("commit", "data")))
    with pytest.raises(Finding, match="backup one was not locked"):
        undeletable(monkeypatch, Locked(every), locked=False)


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        (outward.Calls({"shop": REACHED}, 0, {"shop": 1}), "0 calls outside arrived; through the wall: shop"),
        (outward.Calls({"shop": "refused"}, 1, {"shop": 1}), "1 calls outside arrived; through the wall: unknown"),
        (outward.Calls({"shop": "refused", "n8n": "no"}, 0, {"n8n": 1}), "the wall counted no packet of shop"),
    ],
)
def test_a_call_that_came_through_or_was_not_counted_is_a_finding(calls: outward.Calls, said: str) -> None:
    outward.require_refused(outward.Calls({"shop": "refused"}, 0, {"shop": 2}))
    with pytest.raises(Finding, match=said):
        outward.require_refused(calls)


def test_a_dr_site_without_a_wall_is_a_finding() -> None:
    with pytest.raises(Finding, match="nothing keeps the programs of the DR site from other addresses"):
        outward.counted(None)


def ledger(acknowledged: int, lost: tuple[int, ...] | None) -> SimpleNamespace:
    return SimpleNamespace(name="clients", acknowledged=acknowledged, lost=lost)


@pytest.mark.parametrize(
    ("ledgers", "said"),
    [
        ((), "no ledger was written on the DR site"),
        ((ledger(0, ()),), "ledger clients: nothing was measured"),
        ((ledger(3, None),), "ledger clients: nothing was measured"),
        ((ledger(3, (2,)),), r"ledger clients: writes \(2,\) to the DR site are lost"),
    ],
)
def test_a_failback_that_lost_a_write_or_measured_nothing_is_a_finding(ledgers: Any, said: str) -> None:
    failback.require_nothing_lost(SimpleNamespace(ledgers=(ledger(3, ()),)))  # type: ignore[arg-type]
    with pytest.raises(Finding, match=said):
        failback.require_nothing_lost(SimpleNamespace(ledgers=ledgers))  # type: ignore[arg-type]


def test_a_failback_begins_after_a_drill_that_was_kept_alone() -> None:
    def drill(verdict: str) -> Any:
        record = SimpleNamespace(verdict=verdict, reasons=("why",))
        done = {name: lambda: None for name in ("back_up", "strike", "recover")}
        return SimpleNamespace(**done, conclude=lambda: record)

    failback.recovered(drill("KEPT"))
    with pytest.raises(Finding, match="why"):
        failback.recovered(drill("BROKEN"))


def test_databases_that_were_restored_another_way_are_a_finding() -> None:
    recovery.require_restored_from(SimpleNamespace(backup={"mode": "physical"}), "physical")  # type: ignore[arg-type]
    with pytest.raises(Finding, match="in mode logical, not physical"):
        recovery.require_restored_from(SimpleNamespace(backup={"mode": "logical"}), "physical")  # type: ignore[arg-type]
    sites = SimpleNamespace(dr=SimpleNamespace(strategy="warm"))
    warm: Any = SimpleNamespace(sites=sites, backup=SimpleNamespace(mode="physical"))
    recovery.require_declared_mode(SimpleNamespace(backup={"mode": "standby"}), warm)  # type: ignore[arg-type]
    with pytest.raises(Finding, match="in mode logical, not physical or standby"):
        recovery.require_declared_mode(SimpleNamespace(backup={"mode": "logical"}), warm)  # type: ignore[arg-type]
    with pytest.raises(Finding, match="in mode none, not logical"):
        recovery.require_restored_from(SimpleNamespace(backup={}), "logical")  # type: ignore[arg-type]
