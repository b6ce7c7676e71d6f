"""Restore of a logical backup into a scratch server and store, as a restore test does it before services start."""

from contextlib import suppress

from harness.core.errors import (
    RestoreFailed,
    Unreadable,
    reason_of,
)
from harness.estate.registry import build_services
from harness.estate.secrets import Secrets, make_site_secrets
from harness.estate.site import EstateSite
from harness.estate.space import MB, require_space
from harness.estate.space import SITE as SITE_MB
from harness.parts.install import ensure
from harness.postgres.restoring.restorer import clerk
from harness.recovery.assertions import run_assertions
from harness.recovery.restore import Restore
from harness.repository.catalogue import CommittedBackup, OpenBackup
from harness.restore_test.scratch.outcome import DAMAGES, OBSTACLES, SITE, Outcome, Scratch, some
from harness.substrate.embedded.substrate import Embedded

PARTS = ("postgres", "seaweedfs")
COPIES = 2  # of the dumps: in the spool, and restored


def check_logical(scratch: Scratch, entry: CommittedBackup, *, newest: bool) -> Outcome:
    """Open a logical backup whole, restore it, and compare what was restored with it; nothing of it is left.

    `newest`: the declared assertions are asked as well. Raises HarnessError of the store or of the disk.
    """
    try:
        backup = scratch.repository.verified(entry, scratch.private_pem)
    except Unreadable as error:
        return Outcome((str(error),))
    size = sum(one.size for one in backup.manifest.contents.databases) + COPIES * backup.manifest.plain_size
    require_space({scratch.runs: SITE_MB + size // MB}, "name another disk with --scratch")
    for part in PARTS:
        ensure(part)
    with scratch.made() as local:
        try:
            return _restored(scratch, backup, local, newest=newest)
        except OBSTACLES as error:
            return Outcome(unchecked=(f"could not be restored here: {error}",))
        except DAMAGES as error:
            return Outcome((f"cannot be restored: {reason_of(error)}",))


def _restored(scratch: Scratch, backup: OpenBackup, local: Embedded, *, newest: bool) -> Outcome:
    secrets = Secrets(local.run / "secrets")
    make_site_secrets(secrets, SITE)
    site = EstateSite(local.site(SITE), secrets.of(SITE), {})
    site.activate()
    config = scratch.config
    work = Restore(
        site.place, build_services(config), backup, scratch.journal, scratch.progress, config.backup.parallel,
        config.restore.allowed,
    )  # fmt: skip
    try:
        work.prepare()
        work.open()
        work.execute()
    except BaseException:
        with suppress(RestoreFailed):  # the whole run folder is removed anyway
            work.wipe()
        raise
    work.wipe()
    done = work.check(lambda _sql: None)
    findings = [*done.findings, *(f"lacking: {line}" for line in done.lost_objects)]
    if newest and config.databases:
        with clerk(site.place.sql) as sql:
            findings += [one.line for one in run_assertions(config, sql) if not one.passed]
    files = sum(tree.files for tree in done.contents.trees)
    tables = sum(len(one.tables) for one in done.contents.databases)
    said = (
        f"restored and equal: {len(done.contents.databases)} databases, {tables} tables with {done.rows} rows, "
        f"{files} files and objects"
    )
    return Outcome(some(tuple(findings)), (), done.notes, said)
