"""Check before sign-off: what was restored is still there after the services started and were tested."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.core.contents import DatabaseFacts
from harness.core.errors import Finding
from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.service import Place, Service
from harness.postgres import checks
from harness.postgres.restoring.restorer import clerk
from harness.recovery.restore import Restored
from harness.recovery.restore_databases import schema_path
from harness.recovery.restore_files import files_lost_since
from harness.repository.catalogue import OpenBackup

SHOWN = 5  # differences that a finding names


@dataclass(frozen=True, slots=True)
class SignOff:
    """Result of the check. `changed`: files that programs replaced since the restore, one line each."""

    databases: int
    changed: tuple[str, ...]


def check_again(
    place: Place, services: Sequence[Service], restored: Restored, backup: OpenBackup, journal: Journal, parallel: int
) -> SignOff:
    """Compare the DR site with the backup once more. Raises Finding for what is lost or altered, HarnessError.

    A database that no service declares must be equal to the backup, its schema too; one that services write to must
    have at least its rows, without the tables that its service empties by itself (`Sources.volatile`). Every restored
    file that is still referenced must have its content.
    """
    written: dict[str, list[str]] = {}
    for service in services:
        for name in service.sources().databases:
            written.setdefault(name, []).extend(service.sources().volatile)

    def differences(facts: DatabaseFacts) -> tuple[str, ...]:
        if facts.name in written:
            return checks.losses(place.sql, facts)
        return checks.differences(place.sql, facts, place.site, partial(backup.read, schema_path(facts)))

    calls = {facts.name: partial(differences, facts) for facts in restored.contents.databases}
    found = in_parallel(calls, limit=parallel)
    lost = [
        f"{name}: {line}"
        for name, lines in found.items()
        for line in lines
        if not any(line.startswith(f"table {table}: ") for table in written.get(name, ()))
    ]
    with clerk(place.sql) as sql:
        files = files_lost_since(replace(place, sql=sql), services, restored.contents, restored.inventories)
    lost += files.lost
    journal.mark(
        "checked", "restored data", databases=len(found), lost="; ".join(lost[:SHOWN]), changed=len(files.changed)
    )
    if lost:
        more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        raise Finding(f"restored data was lost before sign-off: {'; '.join(lost[:SHOWN])}{more}")
    return SignOff(len(found), files.changed)
