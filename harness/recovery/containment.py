"""Containment: what a restored copy would do to the world is held before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.service import Containable, Held, Mode, Place, Service


def hold(services: Sequence[Service], place: Place, mode: Mode, journal: Journal) -> tuple[Held, ...]:
    """Contain every service that can be; return what was held."""
    held = in_parallel({s.name: lambda s=s: s.contain(place, mode) for s in services if isinstance(s, Containable)})  # type: ignore[misc]
    for entry in held.values():
        journal.mark("held back", entry.service, mode=mode, actions="; ".join(entry.actions))
    return tuple(held.values())


def let_go(services: Sequence[Service], place: Place, held: Sequence[Held], journal: Journal) -> None:
    """Release what `hold` of mode `real` held, last first."""
    by_name = {service.name: service for service in services}
    for entry in reversed(held):
        service = by_name[entry.service]
        if isinstance(service, Containable):
            service.release(place, entry)
            journal.mark("released", entry.service, actions="; ".join(entry.actions))
