"""Writes that an old primary took while DR already served clients, or while it was cut off."""

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
