"""Steps that inject faults by their phrase in the catalogue, which `blackstart faults` prints."""

from pytest_bdd import parsers, step, then, when

from harness.scenario.attempts import ATTEMPTED, SUFFERS, attempt, attempted, suffer, suffered
from harness.scenario.checks.verdict import require
from harness.scenario.faults.fault import Scene


@step(parsers.re(SUFFERS))
def _(scene: Scene, target: str, phrase: str) -> None:
    suffer(scene, suffered(target, phrase))


@when(parsers.re(ATTEMPTED))
def _(scene: Scene, work: str, phrase: str) -> None:
    attempt(scene, work, attempted(work, phrase))


@when("the fault is undone")
def _(scene: Scene) -> None:
    scene.undo()


@then(parsers.parse('it failed, naming "{cause}"'))
def _(scene: Scene, cause: str) -> None:
    require(cause in scene.failure, f"{cause!r} is not in the failure: {scene.failure or 'it did not fail'}")
