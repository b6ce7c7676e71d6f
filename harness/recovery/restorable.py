"""Whether a base backup can be restored onto a DR site: all that keeps it from that is named before it is fetched."""

from collections.abc import Callable
from functools import partial

from harness.core.errors import RestoreFailed
from harness.core.service import Sql
from harness.physical.choice import Way
from harness.physical.installation.lacking import Lacking, lacking
from harness.physical.installation.offered import Here, Offered, There
from harness.physical.preflight import require_all
from harness.physical.programs import Programs


def require_restorable(
    way: Way, programs: Callable[[], Programs], sql: Sql, *checks: Callable[[], object]
) -> tuple[str, ...]:
    """Return which libraries DR's server lacks, a line each: the functions that need them fail there.

    `programs`: of the replay here; that server and DR's are both connected to for every database. `sql`: of DR's
    server; libraries that the primary loads at its start do not matter to it, it has its own configuration. `checks`:
    what else is needed. Raises UsageError with all obstacles, HarnessError when DR's server does not answer.
    """
    found: list[Lacking] = []

    def connectable(offered: Callable[[], Offered]) -> None:
        lacks = lacking(way.facts.needs, offered())
        found.append(lacks)
        if lacks.own or lacks.locales:
            raise RestoreFailed("; ".join((*lacks.own, *lacks.locales)))

    def here() -> Offered:
        return Here(programs())

    require_all(
        partial(_no_tablespaces, way), *checks, partial(connectable, here), lambda: connectable(lambda: There(sql))
    )
    return found[-1].libraries


def _no_tablespaces(way: Way) -> None:
    if way.facts.tablespaces:
        raise RestoreFailed('tablespaces are not restored onto a DR site; set [backup] mode = "logical"')
