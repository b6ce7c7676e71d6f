"""A fault is witnessed, and undone last first whatever happens."""

from __future__ import annotations

import pytest

from harness.core.errors import HarnessError, TookTooLong
from harness.drill.drill import Drill
from harness.scenario.checks.old_primary import require_diverged_named, require_no_write_believed
from harness.scenario.faults.fault import Fault, Scene, When, inject
from harness.scenario.inside_clients import InsideClients
from tests.memory_drill import start


@pytest.fixture
def scene(drill: Drill) -> Scene:
    return Scene(drill)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.fault_seen", 0.02)
    monkeypatch.setattr("harness.patience.PATIENCE.fault_gone", 0.02)


def switch(phrase: str, state: set[str], log: list[str], *, undone: bool = True) -> Fault:
    """Return a fault that adds its phrase to `state`, and removes it at its undo if `undone`."""

    def undo(_scene: Scene) -> None:
        log.append(phrase)
        if undone:
            state.remove(phrase)

    return Fault(phrase, When.NOW, lambda _scene: state.add(phrase), undo, lambda _scene: phrase in state)


def test_faults_are_undone_last_first_and_once(scene: Scene) -> None:
    state, log = set[str](), list[str]()
    for phrase in ("first", "second"):
        inject(switch(phrase, state, log), scene)
    assert state == {"first", "second"}
    scene.undo()
    scene.undo()
    assert (state, log) == (set(), ["second", "first"])


def test_an_undo_that_fails_does_not_keep_the_others_from_being_called(scene: Scene) -> None:
    state, log = set[str](), list[str]()
    inject(switch("first", state, log), scene)
    inject(switch("second", state, log, undone=False), scene)
    with pytest.raises(TookTooLong, match=r"'second': .*undo"):
        scene.undo()
    assert (state, log) == ({"second"}, ["second", "first"])


def test_a_fault_that_its_witness_does_not_see_is_not_accepted_and_still_undone(scene: Scene) -> None:
    log = list[str]()
    unseen = Fault("unseen", When.NOW, lambda _scene: None, lambda _scene: log.append("undone"), lambda _scene: 0)
    with pytest.raises(TookTooLong, match="'unseen'"):
        inject(unseen, scene)
    scene.undo()
    assert log == ["undone"]


def test_a_fault_whose_injection_fails_half_way_is_undone(scene: Scene) -> None:
    log = list[str]()

    def fail(_scene: Scene) -> None:
        raise HarnessError("half done")

    broken = Fault("broken", When.NOW, fail, lambda _scene: log.append("undone"), lambda _scene: 0)
    with pytest.raises(HarnessError, match="half done"):
        inject(broken, scene)
    scene.undo()
    assert log == ["undone"]


def test_writes_that_clients_believe_of_the_old_primary_are_named(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(drill)
    drill.back_up()
    drill.strike()
    drill.recover()
    drill.journal.mark("fault undone", "a freeze")
    monkeypatch.setattr("harness.scenario.checks.old_primary.ENOUGH", 3)
    monkeypatch.setattr(Drill, "read_old_primary", lambda _drill: tuple(range(1_000_000)))
    with pytest.raises(AssertionError, match="the old primary took writes that clients believe: "):
        require_no_write_believed(drill)
    monkeypatch.setattr(Drill, "read_old_primary", lambda _drill: (10**6,))
    require_no_write_believed(drill)
    record = drill.conclude()
    drill.close()
    inside = InsideClients(running=None, acknowledged=[10**6])  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=r"not in the record: \[1000000\]"):
        require_diverged_named(record, inside)
    with pytest.raises(AssertionError, match="no write was acknowledged inside"):
        require_diverged_named(record, InsideClients(running=None))  # type: ignore[arg-type]
