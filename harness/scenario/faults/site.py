"""Faults of whole sites and of their edge: a strike without effect, a mistaken target, a bad configuration."""

from __future__ import annotations

from dataclasses import replace

from harness.core.errors import Finding, Refused, reason_of
from harness.scenario.faults.fault import Fault, Scene, When

BAD_CONFIGURATION = "events {}\nhttp { nonsense on; }\n"
OTHER_SYSTEM = "1234567890123456789"


def mistake_target(scene: Scene) -> None:
    """Have the drill expect another database system than the one that runs."""
    drill = scene.drill
    right = drill.target
    scene.later(lambda: setattr(drill, "target", right))
    drill.target = replace(right, system=OTHER_SYSTEM)


def configure_front_door(scene: Scene) -> None:
    """Give the front door a configuration that it must refuse; raises Finding when it takes it."""
    try:
        scene.environment.opened_edge.front.route_raw(BAD_CONFIGURATION)
    except Refused as error:
        scene.failure = reason_of(error)
        return
    raise Finding("the front door took a configuration with a mistake in it")


FAULTS = (
    Fault(
        "a strike without effect", When.STRIKE, lambda s: s.drill.strike(destroy=lambda _site: None), None,
        lambda s: s.drill.struck is None,
    ),
    Fault("a mistaken target", When.NOW, mistake_target, None, lambda s: s.drill.target.system),
    Fault("a bad configuration", When.NOW, configure_front_door, None, lambda s: s.failure, named="nonsense"),
)  # fmt: skip
