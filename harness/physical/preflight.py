"""Preflight of a restore: every obstacle is named at once, before anything is fetched or written."""

from collections.abc import Callable, Mapping
from pathlib import Path

from harness.core.errors import Finding, MissingPart, UsageError
from harness.physical.choice import Way
from harness.physical.incremental.parts import held, require_parts
from harness.physical.installation.lacking import Lacking, lacking, not_compared
from harness.physical.installation.offered import Here
from harness.physical.programs import Programs, programs_of
from harness.physical.unpack import require_empty, require_room, spaces_of


def preflight(
    way: Way,
    folder: Path,
    aside: Callable[[Way], None] | None,
    tags: Mapping[str, str] | None = None,
    *,
    elsewhere: bool,
    database: str,
) -> tuple[Programs, tuple[str, ...]]:
    """Return the programs of the restore, and what the installation lacks that keeps nobody from it, a line each.

    What is not compared has a line as well. The arguments are those of `harness.physical.restore.restore`. Raises
    UsageError that names every obstacle.
    """
    found: list[Programs] = []
    told: list[str] = []

    def installed() -> None:
        found.append(programs_of(way.backup.manifest.contents.system.major, tags))
        lacks = lacking(way.facts.needs, Here(found[0]), database)
        refused, others = _weighed(lacks, aside=aside is not None, elsewhere=elsewhere)
        told.extend((*others, *not_compared(way.facts.needs, database)))
        if refused:
            raise UsageError("; ".join(refused))

    require_all(
        *((lambda: aside(way),) if aside is not None else ()),
        lambda: require_empty(folder),
        lambda: require_empty(spaces_of(folder)),
        lambda: require_parts(folder, (*way.parents, way.backup)),
        lambda: require_room(folder, way.size() - held(folder)),
        installed,
    )
    return found[0], tuple(told)


def require_all(*checks: Callable[[], object]) -> None:
    """Make all checks, and raise one UsageError with a line of each that failed."""
    obstacles = []
    for check in checks:
        try:
            check()
        except (UsageError, MissingPart, Finding) as error:
            obstacles.append(str(error))
        except OSError as error:  # of a folder that cannot be looked into
            obstacles.append(f"{error.filename}: {error.strerror}")
    if obstacles:
        raise UsageError("; ".join(dict.fromkeys(obstacles)))


def _weighed(found: Lacking, *, aside: bool, elsewhere: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what of the lacking things is an obstacle, and what is told alone.

    An obstacle is what PostgreSQL would refuse itself: a start with the configuration in the data folder, a connection
    to a database. A server that is used here alone loads no library at its start.
    """
    if aside:
        return (*found.own, *found.locales), found.libraries
    if elsewhere:
        return found.own, (*found.locales, *found.start, *found.libraries)
    mine = (*found.locales, *found.start)
    hint = ("if it will run on another machine, or with another configuration, give --elsewhere",) if mine else ()
    return (*found.own, *mine, *hint), found.libraries
