"""Faults of whole sites and of the front door."""

from dataclasses import replace

from harness.core.errors import Finding, HarnessError, Refused, reason_of
from harness.core.node import Freezable, Isolatable
from harness.estate.site import DATABASE, EstateSite
from harness.estate.state_file import WITNESS
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import database_answers

BAD_CONFIGURATION = "events {}\nhttp { nonsense on; }\n"
OTHER_SYSTEM = "1234567890123456789"


def set_wrong_target(scene: Scene) -> None:
    """Make the drill expect another database system than the running one."""
    drill = scene.drill
    right = drill.target
    scene.later(lambda: setattr(drill, "target", right))
    drill.target = replace(right, system=OTHER_SYSTEM)


def configure_front_door(scene: Scene) -> None:
    """Load an invalid configuration into the front door; raises Finding when it is accepted."""
    try:
        scene.environment.opened_edge.front.route_raw(BAD_CONFIGURATION)
    except Refused as error:
        scene.failure = reason_of(error)
        return
    raise Finding("the front door accepted an invalid configuration")


def freezable(site: EstateSite) -> Freezable:
    """Return a site as one that can be frozen; raises HarnessError when it cannot."""
    if not isinstance(site.site, Freezable):
        raise HarnessError(f"site {site.site.name} cannot be frozen on this substrate")
    return site.site


def isolatable(site: EstateSite) -> Isolatable:
    """Return a site as one that can be isolated; raises HarnessError when it cannot."""
    if not isinstance(site.site, Isolatable):
        raise HarnessError(f"site {site.site.name} cannot be isolated on this substrate")
    return site.site


def isolate(scene: Scene) -> None:
    """Partition the primary from everything outside it; the recovery fences it before traffic is switched."""
    scene.drill.strike(destroy=lambda site: isolatable(site).isolate())
    scene.drill.recovery.fence = scene.drill.fence


def rejoin(scene: Scene) -> None:
    """End the partition. A primary that was fenced has its database started, to be read."""
    primary = scene.environment.primary
    isolatable(primary).rejoin()
    if not primary.nodes[DATABASE].alive:
        primary.nodes[DATABASE].start()


def primary_answers(scene: Scene) -> bool:
    """Whether the primary's database answers from outside the site."""
    return database_answers(scene.environment.primary.place.sql)


def lose_witness(scene: Scene) -> None:
    """Remove what DR has seen of the repository. Raises HarnessError where it has seen nothing yet."""
    path = scene.environment.run / WITNESS
    if not path.is_file():
        raise HarnessError(f"{path}: DR has seen nothing of the repository; take a backup first")
    path.unlink()


PRIMARY = "the primary"
FAULTS = (
    Fault(
        "a freeze of all its processes", When.STRIKE,
        lambda s: s.drill.strike(destroy=lambda site: freezable(site).freeze()),
        lambda s: freezable(s.environment.primary).thaw(), primary_answers, target=PRIMARY,
    ),
    Fault(
        "a partition from everything outside it", When.STRIKE, isolate, rejoin, primary_answers,
        needs="isolates", target=PRIMARY,
    ),
    Fault(
        "a strike without effect", When.STRIKE, lambda s: s.drill.strike(destroy=lambda _site: None), None,
        lambda s: s.drill.struck is None, target=PRIMARY,
    ),
    Fault(
        "the loss of all that it has seen", When.NOW, lose_witness, None,
        lambda s: (s.environment.run / WITNESS).exists(), target="the DR site",
    ),
    Fault("a wrong target", When.NOW, set_wrong_target, None, lambda s: s.drill.target.system, target="the drill"),
    Fault(
        "a bad configuration", When.NOW, configure_front_door, None, lambda s: s.failure, named="nonsense",
        target="the front door",
    ),
)  # fmt: skip
