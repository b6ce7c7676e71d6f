"""Backups, recoveries and restore tests that are attempted with a fault and must fail or be refused."""

import re
from collections.abc import Callable, Mapping

from harness.core.errors import BackupFailed, Finding, UsageError, reason_of
from harness.scenario.faults.catalog import find
from harness.scenario.faults.fault import Fault, Scene, When, inject


def back_up(scene: Scene, fault: Fault) -> None:
    """Attempt a backup with a fault; raises Finding unless it fails with the error that the fault names."""

    def fail() -> None:
        try:
            scene.drill.back_up()
        except BackupFailed as error:
            scene.failure = reason_of(error)
        else:
            raise Finding(f"the backup succeeded with {fault.phrase}")

    if fault.when is When.DURING_BACKUP:
        inject(fault, scene, fail)
    else:
        inject(fault, scene)
        fail()
    require_named(fault, scene.failure)


def recover(scene: Scene, fault: Fault) -> None:
    """Attempt the recovery with a fault injected in its phase; raises Finding unless it fails with its error."""
    drill = scene.drill

    def work() -> None:
        if fault.when is When.BEFORE_RECOVERY:
            inject(fault, scene)
        selected = drill.select()
        if fault.when is When.AFTER_SELECTION:
            inject(fault, scene)
        restored = drill.restore(selected)
        if fault.when is When.AFTER_RESTORE:
            inject(fault, scene)
        drill.finish(restored)

    scene.failure = drill.attempt(work)
    require_named(fault, scene.failure)


def run_restore_test(scene: Scene, fault: Fault) -> None:
    """Attempt a restore test on the existing DR site; raises Finding unless the fault causes a refusal."""
    inject(fault, scene)
    scene.failure = "; ".join(scene.foreign_repository.run_on_existing_site().reasons)
    require_named(fault, scene.failure)


# The sentences of Gherkin that inject a fault.
SUFFERS = r'(?P<target>the [A-Za-z ]+) suffers "(?P<phrase>[^"]+)"'
ATTEMPTED = r'(?P<work>[a-z ]+) is attempted with "(?P<phrase>[^"]+)"'

ATTEMPTS: Mapping[str, tuple[Callable[[Scene, Fault], None], tuple[When, ...]]] = {
    "a backup": (back_up, (When.BEFORE_BACKUP, When.DURING_BACKUP)),
    "recovery": (recover, (When.BEFORE_RECOVERY, When.AFTER_SELECTION, When.AFTER_RESTORE)),
    "a restore test": (run_restore_test, (When.BEFORE_RESTORE_TEST,)),
}


def suffer(scene: Scene, fault: Fault) -> None:
    """Inject a fault at once. Raises HarnessError."""
    inject(fault, scene)
    if scene.foreign is not None:
        scene.foreign.take_snapshots()


def attempt(scene: Scene, work: str, fault: Fault) -> None:
    """Attempt `work` with a fault; raises Finding when the work succeeds."""
    ATTEMPTS[work][0](scene, fault)


def suffered(target: str, phrase: str) -> Fault:
    """Return the fault that a target suffers; raises UsageError when it is unknown, or not one of that target."""
    fault = find(phrase)
    if fault.target != target:
        right = f"{fault.target} suffers it" if fault.target else "work is attempted with it"
        raise UsageError(f"fault {phrase!r} does not fit {target!r}: {right}")
    return fault


def attempted(work: str, phrase: str) -> Fault:
    """Return the fault that work is attempted with; raises UsageError when it is unknown, or not one of that work."""
    if work not in ATTEMPTS:
        raise UsageError(f"{work!r} cannot be attempted; known: {', '.join(ATTEMPTS)}")
    fault = find(phrase)
    if fault.when not in ATTEMPTS[work][1]:
        raise UsageError(f"fault {phrase!r} is injected {fault.when}, which does not fit {work!r}")
    return fault


def fault_in(sentence: str) -> Fault | None:
    """Return the fault that a step injects, None for none. Raises UsageError for one that is unknown or unsuited."""
    if at_once := re.fullmatch(SUFFERS, sentence):
        return suffered(**at_once.groupdict())
    during = re.fullmatch(ATTEMPTED, sentence)
    return attempted(**during.groupdict()) if during else None


def require_named(fault: Fault, failure: str) -> None:
    """Raise Finding unless the failure message matches the pattern of the fault."""
    if not fault.named or not re.search(fault.named, failure):
        raise Finding(f"{fault.phrase}: its failure does not match {fault.named!r}: {failure or 'it did not fail'}")
