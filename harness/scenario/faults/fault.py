"""Fault: injection, check by an independent observer, and undo in reverse order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.journal import phase
from harness.estate.substrates import serving
from harness.patience import PATIENCE
from harness.substrate.embedded.undo_journal import Undo, UndoJournal

if TYPE_CHECKING:
    from harness.drill.drill import Drill
    from harness.drill.environment import DrillEnvironment
    from harness.scenario.foreign_repository import ForeignRepository


class When(StrEnum):
    """Phase of a drill in which a fault is injected."""

    NOW = "at once"
    STRIKE = "as the strike"
    BEFORE_BACKUP = "before a backup"
    DURING_BACKUP = "during a backup"
    BEFORE_RECOVERY = "before the recovery"
    AFTER_SELECTION = "after a backup is selected"
    AFTER_RESTORE = "after the restore"
    BEFORE_RESTORE_TEST = "before a restore test"


@dataclass(slots=True)
class Scene:
    """State of a scenario. `foreign`: the repository of another estate, None in most scenarios."""

    opened: Drill | None = None
    foreign: ForeignRepository | None = None
    failure: str = ""
    _undo: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def drill(self) -> Drill:
        """The drill; raises HarnessError before one is opened."""
        if self.opened is None:
            raise HarnessError("no drill is open; begin the scenario with a Given step that opens an estate")
        return self.opened

    @property
    def environment(self) -> DrillEnvironment:
        """Environment of the drill; raises HarnessError before one is opened."""
        return self.drill.environment

    @property
    def foreign_repository(self) -> ForeignRepository:
        """The repository of another estate; raises HarnessError in a scenario without one."""
        if self.foreign is None:
            raise HarnessError("this fault needs a repository of another estate; add that Given step")
        return self.foreign

    @property
    def backups(self) -> DrillEnvironment:
        """Environment of the used repository: the other estate, or the estate of the drill."""
        return self.foreign.other if self.foreign is not None else self.environment

    def later(self, undo: Callable[[], object]) -> None:
        """Register `undo` to be called by the method `undo`."""
        self._undo.callback(undo)

    def undo(self) -> None:
        """Undo every injected fault, last first."""
        self._undo.close()


Observer = Callable[[Scene], object]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that a feature can inject, by its phrase."""

    phrase: str
    when: When
    inject: Callable[[Scene], object]  # into the real system
    undo: Callable[[Scene], object] | None  # None where the estate is deleted anyway
    witness: Observer  # an independent observation, changed by the injection and back after `undo`
    needs: str = ""  # tag of the features that can use it, "" for all
    named: str = ""  # a pattern that the resulting error must match
    target: str = ""  # who suffers it, "" for one that work is attempted with

    @property
    def substrates(self) -> tuple[str, ...]:
        """The substrates on which it can be injected."""
        return serving(self.needs)


def inject(fault: Fault, scene: Scene, during: Callable[[], None] = lambda: None) -> None:
    """Inject a fault (a phase of its own), call `during`, and raise HarnessError unless the witness saw the fault."""
    before = fault.witness(scene)
    with _named(scene.drill):
        scene.drill.journal.mark("fault", fault.phrase, when=str(fault.when))
        # Whatever it does is done to this run's own estate.
        noted = UndoJournal(scene.environment.run).note(Undo.RUN, what=f"fault: {fault.phrase}")
        if fault.undo is not None:
            scene.later(lambda: _undo_fault(fault, scene, before, noted))
        fault.inject(scene)
    during()
    with _named(scene.drill):
        _require_seen(fault, scene, before)


def _named(drill: Drill) -> AbstractContextManager[None]:
    return phase(drill.journal, "fault") if drill.struck is not None else nullcontext()


def _require_seen(fault: Fault, scene: Scene, before: object) -> None:
    def seen() -> None:
        if (now := fault.witness(scene)) == before:
            raise NotYet(f"still {now}")

    wait_until(seen, patience=PATIENCE.fault_seen, every=0.1, what=f"fault {fault.phrase!r}: seen by its witness")


def _undo_fault(fault: Fault, scene: Scene, before: object, noted: str) -> None:
    if fault.undo is None:
        return
    fault.undo(scene)

    def gone() -> None:
        if (now := fault.witness(scene)) != before:
            raise NotYet(f"{now}, before the fault {before}")

    scene.drill.journal.mark("fault undone", fault.phrase)
    wait_until(gone, patience=PATIENCE.fault_gone, every=0.1, what=f"fault {fault.phrase!r}: gone after its undo")
    UndoJournal(scene.environment.run).undone(noted)
