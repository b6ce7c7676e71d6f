"""Check of what a backup of the declared primary would contain, and what it would not."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.backup.plan import Plan, plan_of, uncounted, undeclared, unread
from harness.backup.tree import FolderName, pack_tree
from harness.core.contents import PREPARED, Gap
from harness.core.errors import HarnessError
from harness.core.service import Place, Service, Sql, Tree
from harness.estate.config import Config
from harness.estate.existing import connect_site
from harness.estate.isolation import outside_volumes
from harness.estate.report import Report
from harness.postgres.checks import outdated_collations
from harness.substrate.embedded.substrate import Embedded

UNASKED = ("bucket *",)  # of [backup.exclude]: it may stand for nothing
ABSENT = "it is not there"  # why a check leaves something out of the plan of a backup


def check_coverage(report: Report, config: Config, services: Sequence[Service]) -> None:
    """Find what would be in a backup of the declared primary, and what would not; nothing where it does not answer."""
    reached = ("existing.primary.secrets", "existing.primary.sql", "existing.primary.s3")
    if config.existing is None or config.existing.primary is None or {d.where for d in report.defects} & {*reached}:
        return
    exclude = {**config.backup.exclude, **dict.fromkeys(report.absent, ABSENT)}
    found: list[Gap] = []
    with TemporaryDirectory(prefix="blackstart-check-") as folder, report.noting("existing.primary"):
        local = Embedded(Path(folder) / "run", Path(folder) / "logs")
        try:
            place = connect_site(config, "primary", local).place
            plan = plan_of(place, services, exclude)
            for tree in [tree for tree in plan.trees if not tree.referenced]:
                with report.noting(f"existing.primary.volumes.{tree.volume}"):
                    found += _found(place, tree)
            check_collations(report, place.sql, plan.databases)
            report.covered += [f"database {name}" for name in plan.databases]
            report.covered += [tree.name for tree in plan.trees if not tree.found]
            report.covered += [f"bucket {objects.bucket}" for objects in plan.objects]
        finally:
            local.sweep()
        check_excluded(report, config, plan)
        for gap in (*plan.gaps, *found):
            if gap.excluded and gap.excluded != ABSENT:
                report.excluded.append(str(gap))
            elif not gap.excluded:
                report.gap(gap.what, f"would not be in a backup: {gap.why}")


def _found(place: Place, tree: Tree) -> Iterator[Gap]:
    """Yield what a backup would say of a tree of which it takes every file. Raises OSError of the volume."""
    archive = pack_tree(place, tree, None)
    files = sum(not isinstance(name, FolderName) for name in archive.names())
    lost = unread(tree, archive.lost) if tree.found else uncounted(tree, archive.lost)
    yield from filter(None, (undeclared(tree, files), lost))


def check_collations(report: Report, sql: Sql, databases: Sequence[str]) -> None:
    """Warn of each collation by whose version the server sorts no more, and of a database that does not say so."""
    for name in databases:
        try:
            lines = outdated_collations(sql, name)
        except HarnessError as error:
            lines = (f"its collations are not known: {error}",)
        for line in lines:
            report.warn(f"database {name}", line)


def check_excluded(report: Report, config: Config, plan: Plan) -> None:
    """Find what `[backup.exclude]` names and is not there. Of a part of something absent nobody knows."""
    known = {gap.what for gap in plan.gaps} | {f"path {path.rpartition(': ')[2]}" for path in outside_volumes(config)}
    unknown = tuple(f" of {what}" for what in report.absent)
    for name in config.backup.exclude:
        if name not in known and name not in UNASKED and not name.startswith(PREPARED) and not name.endswith(unknown):
            report.found("backup.exclude", f"{name}: there is none to leave out; correct the name, or remove it")
