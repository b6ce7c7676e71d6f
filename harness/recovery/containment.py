"""Containment, message 2.6: blocks the outbound actions of restored services, and releases them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from harness.core.errors import HarnessError
from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.service import Containable, Contained, Containment, Place, Service
from harness.postgres.restoring import quiet
from harness.postgres.restoring.restorer import clerk


def contain_all(
    services: Sequence[Service], place: Place, containment: Containment, journal: Journal
) -> tuple[Contained, ...]:
    """Contain every service that has outbound actions; return the actions taken. Raises HarnessError."""
    held = [service for service in services if isinstance(service, Containable)]
    if not held:
        return ()
    with clerk(place.sql) as sql:
        its = replace(place, sql=sql)
        done = in_parallel({s.name: partial(s.contain, its, containment) for s in held})
    for entry in done.values():
        journal.mark("contained", entry.service, containment=containment, actions="; ".join(entry.actions))
    return tuple(done.values())


def release_all(services: Sequence[Service], place: Place, contained: Sequence[Contained], journal: Journal) -> None:
    """Release what a reversible `contain_all` contained, last first; raises HarnessError."""
    by_name = {service.name: service for service in services}
    for entry in reversed(contained):
        if entry.service == quiet.SERVICE:
            quiet.release(place.sql, entry)
            journal.mark("released", entry.service, actions="; ".join(entry.actions))
            continue
        service = by_name.get(entry.service)
        if not isinstance(service, Containable):
            raise HarnessError(
                f"{entry.service}: was contained and cannot be released: estate.toml declares no such service any more"
            )
        with clerk(place.sql) as sql:
            service.release(replace(place, sql=sql), entry)
        journal.mark("released", entry.service, actions="; ".join(entry.actions))
