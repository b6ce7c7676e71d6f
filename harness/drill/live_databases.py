"""The databases that the primary had when it was lost: one that is in no backup is a loss, whoever owns it."""

from harness.core.contents import Contents
from harness.core.errors import Finding, HarnessError
from harness.core.service import Sql
from harness.evidence.failures import Failures
from harness.postgres.identity import catalogue, holds_user_data


def live_databases(sql: Sql, failures: Failures) -> frozenset[str]:
    """Return the names of the databases with data of users; none, and a doubt, where the server does not answer."""
    try:
        return frozenset(one.name for one in catalogue(sql) if one.valid and holds_user_data(sql, one.name))
    except HarnessError as error:
        failures.note(error, "")
        return frozenset()


def note_absent(live: frozenset[str], contents: Contents, failures: Failures) -> None:
    """Note a finding for each of the live databases that a backup neither has nor names as left out."""
    known = {f"database {one.name}" for one in contents.databases} | {gap.what for gap in contents.gaps}
    for name in sorted(live):
        if f"database {name}" not in known:
            failures.note(Finding(f"database {name}: the primary had it, and the backup does not; back it up"), "")
