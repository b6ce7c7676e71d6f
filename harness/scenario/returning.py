"""An old primary that was fenced, and not destroyed: rewound it follows the DR site, and takes over from it again."""

from dataclasses import replace

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError, Refused
from harness.core.service import Sql
from harness.core.wal import read_lsn, show_lsn
from harness.drill.drill import NO_CLIENTS, Drill
from harness.estate.secrets import PRIVATE_KEY
from harness.estate.site import DATA, DATABASE, VOLUME, EstateSite
from harness.patience import PATIENCE
from harness.physical.standby.old_primary import plan_rewind
from harness.physical.standby.rewind import rewind
from harness.postgres.server import ask_row, connect, transaction
from harness.scenario.checks.old_primary import routed_at
from harness.scenario.checks.verdict import require
from harness.substrate.common.filesystem import write_files
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.embedded.process_tree import Owner
from harness.vault import for_password_file, read_secret

ALONE = "taken_alone"  # table that the old primary alone has
FOUND = "SELECT pg_catalog.to_regclass('public.taken_alone') IS NOT NULL"
PASSWORDS = "pgpass"  # beside the data folder, where the site's programs may read it


def lose_to_a_fence(drill: Drill) -> None:
    """Take the primary from its clients by a fence: all its nodes are killed, its volumes are kept."""
    drill.strike(destroy=EstateSite.fence)


def write_alone(drill: Drill) -> None:
    """Start the old primary's database, have it take a write that nobody else has, and fence it again."""
    primary = drill.environment.primary
    primary.nodes[DATABASE].start()
    with connect(primary.place.sql, reading=False) as connection:
        connection.execute(f"CREATE TABLE {ALONE} AS SELECT 1 AS n")
    primary.fence()
    drill.journal.mark("taken alone", "primary site", table=ALONE)


def rewind_primary(drill: Drill) -> Sql:
    """Rewind the old primary and start its database; return the connection to it, which has DR's password by now.

    Raises Finding where it had nothing of its own, HarnessError.
    """
    environment = drill.environment
    dr, primary, run = environment.dr.place.sql, environment.primary, environment.run
    volume = primary.site.volume(VOLUME)
    if not isinstance(volume, FolderVolume):
        raise HarnessError(f"site {primary.site.name}: its data are in no folder of this machine")
    key = read_secret(environment.secrets.of("dr")[PRIVATE_KEY])
    plan = plan_rewind(volume.root / DATA, dr, lambda: (environment.repository, key), Owner(run, "primary/rewind").tags)
    own = plan.own
    if own is None:
        raise Refused("the old primary has nothing of its own: a rewind would show nothing")
    write_files(volume.root, {PASSWORDS: f"*:*:*:*:{for_password_file(dr.password_ref)}\n"})
    rewind(plan, own.fork.at, volume.root / PASSWORDS, drill.journal)
    primary.nodes[DATABASE].start()
    return replace(primary.place.sql, password_ref=dr.password_ref)


def require_follows(drill: Drill, returned: Sql) -> None:
    """The old primary is a standby with every write that DR has, and without what it took alone."""
    written = ask_row(drill.environment.dr.place.sql, "SELECT pg_catalog.pg_current_wal_flush_lsn()::text")[0]

    def applied() -> None:
        at = ask_row(returned, "SELECT pg_catalog.pg_last_wal_replay_lsn()::text")[0]
        if not at or read_lsn(at) < read_lsn(written):
            raise NotYet(f"applied up to {at}, DR has written up to {show_lsn(read_lsn(written))}")

    wait_until(applied, patience=PATIENCE.standby_made, every=0.2, what="the old primary follows DR")
    require(ask_row(returned, "SELECT pg_catalog.pg_is_in_recovery()")[0], "the old primary is no standby")
    require(not ask_row(returned, FOUND)[0], "the old primary still has what it took alone")
    if drill.load is None:
        raise HarnessError(NO_CLIENTS)
    there, here = drill.load.restored(drill.environment.dr.place.sql), drill.load.restored(returned)
    require(there, "DR has no write of clients: nothing was shown")
    require(there == here, f"writes of clients that one of both lacks: {sorted(there ^ here)[:5]}")


def promote(drill: Drill, returned: Sql) -> None:
    """Fence DR, and promote the old primary. Raises Finding unless it is promoted."""
    drill.environment.dr.fence()
    require(ask_row(returned, "SELECT pg_catalog.pg_promote()")[0], "the old primary was not promoted")


def require_takes_writes(drill: Drill, returned: Sql) -> None:
    """The promoted old primary has every write that DR acknowledged, and takes new ones."""
    if drill.load is None:
        raise HarnessError(NO_CLIENTS)
    at = routed_at(drill)
    acknowledged = {w.number for w in drill.ledger.ledger.acknowledged() if w.acked is not None and w.acked > at}
    require(acknowledged, "DR acknowledged no write: nothing was shown")
    lacking = sorted(acknowledged - drill.load.restored(returned))
    require(not lacking, f"writes that DR acknowledged are lost: {lacking[:5]}")
    with transaction(returned, "", "is it promoted?") as connection:
        connection.execute("CREATE TABLE back_again ()")
