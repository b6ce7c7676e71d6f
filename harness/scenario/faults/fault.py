"""What a fault is, and how one is injected: witnessed by an independent observer, and undone last first."""

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

if TYPE_CHECKING:
    from harness.drill.drill import Drill
    from harness.drill.environment import DrillEnvironment
    from harness.scenario.foreign_repository import ForeignRepository


class When(StrEnum):
    """The moment of a drill at which a fault is injected."""

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
    """What a scenario works with. `opened`: its drill; `foreign`: the repository of another estate, if it has one."""

    opened: Drill | None = None
    foreign: ForeignRepository | None = None
    failure: str = ""
    _undo: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def drill(self) -> Drill:
        """The drill; raises HarnessError before one is opened."""
        if self.opened is None:
            raise HarnessError("no drill is open yet; begin the scenario with an estate")
        return self.opened

    @property
    def environment(self) -> DrillEnvironment:
        """The estate of the drill."""
        return self.drill.environment

    @property
    def borrowed(self) -> ForeignRepository:
        """The repository of another estate; raises HarnessError in a scenario without one."""
        if self.foreign is None:
            raise HarnessError("this fault needs a repository that another estate wrote")
        return self.foreign

    @property
    def backups(self) -> DrillEnvironment:
        """The estate whose repository is used: the other one's, where there is one."""
        return self.foreign.other if self.foreign is not None else self.environment

    def later(self, undo: Callable[[], object]) -> None:
        """Have `undo` called when faults are undone."""
        self._undo.callback(undo)

    def undo(self) -> None:
        """Undo every fault that was injected, last first."""
        self._undo.close()


Observer = Callable[[Scene], object]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that a feature can inject, by its phrase.

    `inject` does it to the real thing; `undo` takes it back, None where the estate is thrown away. `witness` is what an
    independent observer sees: another value after the injection than before, and the old one after `undo`. `needs`: the
    tag of the substrates that it needs, "" for all. `named`: a pattern that the error which it causes must match.
    """

    phrase: str
    when: When
    inject: Callable[[Scene], object]
    undo: Callable[[Scene], object] | None
    witness: Observer
    needs: str = ""
    named: str = ""

    @property
    def substrates(self) -> tuple[str, ...]:
        """The substrates on which it can be injected."""
        return serving(self.needs)


def inject(fault: Fault, scene: Scene, during: Callable[[], None] = lambda: None) -> None:
    """Inject a fault, do `during`, and require that it was seen. Raises HarnessError when it was not.

    After the strike the injection is a phase of its own: no second of a recovery may be without a name.
    """
    before = fault.witness(scene)
    with _named(scene.drill):
        scene.drill.journal.mark("fault", fault.phrase, when=str(fault.when))
        if fault.undo is not None:
            scene.later(lambda: _take_back(fault, scene, before))
        fault.inject(scene)
    if fault.when is When.DURING_BACKUP:
        during()
    with _named(scene.drill):
        _require_seen(fault, scene, before)
    if fault.when is not When.DURING_BACKUP:
        during()


def _named(drill: Drill) -> AbstractContextManager[None]:
    return phase(drill.journal, "fault") if drill.struck is not None else nullcontext()


def _require_seen(fault: Fault, scene: Scene, before: object) -> None:
    def seen() -> None:
        if (now := fault.witness(scene)) == before:
            raise NotYet(f"still {now}")

    wait_until(seen, patience=PATIENCE.fault_seen, every=0.1, what=f"fault {fault.phrase!r}: seen by its witness")


def _take_back(fault: Fault, scene: Scene, before: object) -> None:
    if fault.undo is None:
        return
    fault.undo(scene)

    def gone() -> None:
        if (now := fault.witness(scene)) != before:
            raise NotYet(f"{now}, before the fault {before}")

    scene.drill.journal.mark("fault undone", fault.phrase)
    wait_until(gone, patience=PATIENCE.fault_gone, every=0.1, what=f"fault {fault.phrase!r}: gone after its undo")
