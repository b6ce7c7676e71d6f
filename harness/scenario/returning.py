"""An old primary that was fenced, and not destroyed: what it took alone, and that nothing of it comes back."""

from harness.drill.drill import Drill
from harness.estate.site import DATABASE, EstateSite
from harness.postgres.server import ask_row, connect
from harness.scenario.checks.verdict import require, require_verdict

ALONE = "taken_alone"  # table that the old primary alone has
FOUND = "SELECT pg_catalog.to_regclass('public.taken_alone') IS NOT NULL"


def recovered_behind_a_fence(drill: Drill) -> Drill:
    """Back up, fence the primary, whose volumes are kept, recover on DR and conclude; return the drill.

    Raises Finding unless it is KEPT, HarnessError.
    """
    drill.back_up()
    if drill.environment.standby is not None:
        drill.environment.await_standby()
    drill.strike(destroy=EstateSite.fence)
    drill.recover()
    require_verdict(drill.conclude(), "KEPT")
    return drill


def write_alone(drill: Drill) -> None:
    """Start the old primary's database, have it take a write that nobody else has, and fence it again."""
    primary = drill.environment.primary
    primary.nodes[DATABASE].start()
    with connect(primary.place.sql, reading=False) as connection:
        connection.execute(f"CREATE TABLE {ALONE} AS SELECT 1 AS n")
    primary.fence()
    drill.journal.mark("taken alone", "primary site", table=ALONE)


def require_nothing_alone(drill: Drill) -> None:
    """Raise Finding when the site that took over has what the old primary took alone."""
    require(not ask_row(drill.environment.dr.place.sql, FOUND)[0], "what the old primary took alone has come back")
