"""Guard of an undo: refuses a DR site on which something was made that is not of the interrupted restore test."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Refused
from harness.core.node import Site
from harness.core.service import S3, Place, Sql
from harness.core.text import some
from harness.postgres.identity import ask, system_facts
from harness.restore_test.cleanup import Snapshot, origin
from harness.s3.client import asked, client
from harness.substrate.common.folder_volume import FolderVolume

# Seconds since each database was made: its folder gets this file then, and keeps it. Those of other tablespaces are
# not found there, and are not dropped without their age.
AGES = """
SELECT d.datname, extract(epoch FROM now() - f.modification)
FROM pg_catalog.pg_database d, pg_catalog.pg_stat_file('base/' || d.oid || '/PG_VERSION', true) f
WHERE d.datname <> 'template0'
"""
SLACK = timedelta(minutes=1)  # between the clocks of machines, and after the last line of a journal
SHOWN = 5  # things that a message names


@dataclass(frozen=True, slots=True)
class Traces:
    """What an interrupted restore test made on a site that was `before`: from `begin` to `end`, its last line."""

    system: str
    backup: str
    databases: frozenset[str]
    before: Snapshot
    begin: datetime
    end: datetime

    def made(self, moment: datetime) -> bool:
        """Return whether the test may have made something at that moment."""
        return self.begin - SLACK < moment < self.end + SLACK


def require_unused(place: Place, traces: Traces, *, store: bool) -> None:
    """Raise Refused, naming them, when the site has things that the test did not make: a recovery may have been there.

    `store`: whether its object store runs. Raises HarnessError, OSError when the site cannot be read.
    """
    if (found := system_facts(place.sql).identifier) != traces.system:
        raise Refused(
            f"site {place.site.name}: is system {found} by now, the interrupted test was on {traces.system}; "
            "nothing was removed there; if that site is gone, remove the run folder"
        )
    late = [*_databases(place.sql, traces), *_files(place.site, traces)]
    late += _objects(place.s3, traces) if store else ()
    if late:
        raise Refused(
            f"site {place.site.name}: not made by the interrupted test, which changed it from {_shown(traces.begin)} "
            f"to {_shown(traces.end)}: {some(late, SHOWN)}; nothing was removed. Remove by hand what "
            "nobody needs, then sweep again"
        )


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _databases(sql: Sql, traces: Traces) -> Iterator[str]:
    for name, age in ask(sql, AGES):
        if name in traces.before.server.names:
            continue
        made = None if age is None else SYSTEM.wall() - timedelta(seconds=float(str(age)))
        if name not in traces.databases or made is None or not traces.made(made):
            yield f"database {name} at {sql.outside} (made at {_shown(made) if made else 'an unknown time'})"


def _files(site: Site, traces: Traces) -> Iterator[str]:
    for name, earlier in traces.before.files.items():
        volume = site.volume(name)
        if not isinstance(volume, FolderVolume):
            raise HarnessError(f"volume {name} of {site.name}: is no folder here, so that its files have no time")
        for path in volume.walk():
            if path in earlier:
                continue
            with suppress(FileNotFoundError):  # removed meanwhile
                changed = datetime.fromtimestamp(volume.changed_at(path), UTC)
                if not traces.made(changed):
                    yield f"file {path} in volume {name} (changed at {_shown(changed)})"


def _objects(s3: S3, traces: Traces) -> Iterator[str]:
    """Yield objects that the cleanup would remove, though they are of another time."""
    store = client(s3)
    for bucket, earlier in traces.before.objects.items():
        with asked(s3, bucket, "cannot be listed"):
            for entry in store.list_objects(bucket, recursive=True) if store.bucket_exists(bucket) else ():
                key, written = str(entry.object_name), entry.last_modified
                if written is None or traces.made(written) or (key in (earlier or ()) and written < traces.end):
                    continue
                if earlier is None or origin(store, bucket, key) == traces.backup:
                    yield f"object {key} in bucket {bucket} (written at {_shown(written)})"
