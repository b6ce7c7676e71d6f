"""Writes that an old primary took while it was being lost, while DR already served clients, or while it was cut off."""

from collections.abc import Mapping, Sequence

from harness.core.journal import END, Event
from harness.core.judge import SWITCH, Clients
from harness.core.ledger import Ledger
from harness.declaration import ClientLoad
from harness.drill.environment import DrillEnvironment


def taken_alone(load: ClientLoad, ledger: Ledger, fault: float, environment: DrillEnvironment) -> tuple[int, ...]:
    """Return the writes that the old primary has and DR has not, without those acknowledged before `fault`.

    `fault`: monotonic seconds. Raises HarnessError when one of both cannot be read.
    """
    known = {w.number for w in ledger.acknowledged() if w.acked is not None and w.acked <= fault}
    taken = load.restored(environment.primary.place.sql)
    recovered = load.restored(environment.dr.place.sql)
    return tuple(sorted(taken - recovered - known))


def late_writes(clients: Clients, events: Sequence[Event]) -> Mapping[str, str]:
    """Return the note about the writes that were acknowledged between the begin of the strike and the switch to DR.

    Empty where there were none, and where the surviving writes were not read.
    """
    led = max((event.at for event in events if (event.kind, event.subject) == (END, SWITCH)), default=0.0)
    if clients.struck is None or clients.survivors is None:
        return {}
    acknowledged = ((w.acked, w.number) for w in clients.ledger.acknowledged() if w.acked is not None)
    late = [number for at, number in acknowledged if clients.struck < at <= led]
    lost = ", ".join(str(number) for number in late if number not in clients.survivors) or "none"
    said = f"{len(late)} writes, before clients had been led to the DR site; lost of these: {lost}"
    return {"acknowledged after the strike had begun": said} if late else {}
