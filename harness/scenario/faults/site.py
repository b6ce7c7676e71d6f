"""Faults of whole sites and of the front door."""

from __future__ import annotations

from dataclasses import replace

from harness.core.errors import Finding, Refused, reason_of
from harness.scenario.faults.fault import Fault, Scene, When

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


FAULTS = (
    Fault(
        "a strike without effect", When.STRIKE, lambda s: s.drill.strike(destroy=lambda _site: None), None,
        lambda s: s.drill.struck is None,
    ),
    Fault("a wrong target", When.NOW, set_wrong_target, None, lambda s: s.drill.target.system),
    Fault("a bad configuration", When.NOW, configure_front_door, None, lambda s: s.failure, named="nonsense"),
)  # fmt: skip
