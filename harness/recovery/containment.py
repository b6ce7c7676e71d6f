"""Containment, message 2.6: blocks the outbound actions of restored services, and releases them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.core.errors import REPORTED, Finding, HarnessError, reason_of
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


@dataclass(frozen=True, slots=True)
class Released:
    """Result of a release. `lines`: what its services say of it; `failed`: why each entry that stays was not released.

    `done` and `kept` are in the order of the containment.
    """

    done: tuple[Contained, ...]
    kept: tuple[Contained, ...]
    lines: tuple[str, ...]
    failed: tuple[str, ...]

    def require(self) -> None:
        """Raise Finding, which names each entry that was not released."""
        if self.failed:
            raise Finding(
                f"not released: {'; '.join(self.failed)}; mend that and run `blackstart release` again: "
                f"{', '.join(entry.service for entry in self.done) or 'nothing else'} was released"
            )


def release_all(
    services: Sequence[Service], place: Place, contained: Sequence[Contained], journal: Journal
) -> Released:
    """Release what a reversible `contain_all` contained, last first, and what remains when one fails; return it."""
    by_name = {service.name: service for service in services}
    done, kept, lines, failed = [], [], [], []
    for entry in reversed(contained):
        actions = "; ".join(entry.actions)
        try:
            said = [f"{entry.service}: {line}" for line in _release(by_name.get(entry.service), place, entry)]
        except REPORTED as error:
            kept.append(entry)
            failed.append(f"{entry.service}: {reason_of(error)}")
            journal.mark("not released", entry.service, actions=actions, error=reason_of(error))
            continue
        done.append(entry)
        lines += said
        journal.mark("released", entry.service, actions=actions, **({"said": "; ".join(said)} if said else {}))
    return Released(tuple(reversed(done)), tuple(reversed(kept)), tuple(lines), tuple(failed))


def _release(service: Service | None, place: Place, entry: Contained) -> Sequence[str]:
    """Release one entry; return what is said of it. Raises as `Containable.release`."""
    if entry.service == quiet.SERVICE:
        return quiet.release(place.sql, entry)
    if not isinstance(service, Containable):
        raise HarnessError("was contained and cannot be released: estate.toml declares no such service any more")
    with clerk(place.sql) as sql:
        return service.release(replace(place, sql=sql), entry)
