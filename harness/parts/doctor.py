"""Survey of the parts on this machine: which are installed, and what to do about the others."""

from dataclasses import dataclass

from harness.core.errors import MissingPart
from harness.parts.cache import version_in
from harness.parts.programs import ClientPrograms, client_programs, program
from harness.parts.recipes import where
from harness.parts.table import PARTS, Part


@dataclass(frozen=True, slots=True)
class PartStatus:
    """State of a part: `where` is its folder and its source, `remedy` what to type when it is missing."""

    name: str
    version: str
    where: str
    present: bool
    remedy: str


def survey() -> tuple[PartStatus, ...]:
    """Return the state of every part, in the order of the table, and the client programs of PostgreSQL here.

    A part is present when each of its programs is.
    """
    return (*(_look(part) for part in PARTS), *map(_clients, client_programs()))


def _clients(found: ClientPrograms) -> PartStatus:
    where = f"{found.folder} ({'with' if found.tls else 'without'} TLS)"
    return PartStatus("pg_dump, pg_restore", found.version, where, present=True, remedy="")


def _look(part: Part) -> PartStatus:
    folder = where(part.name)
    try:
        for brought in part.programs:
            program(brought.name)
    except MissingPart:
        remedy = f"remove {folder}, then `blackstart prepare`" if folder.is_dir() else "`blackstart prepare`"
        return PartStatus(part.name, part.version, f"{part.source}: {part.package}", present=False, remedy=remedy)
    return PartStatus(
        part.name, version_in(folder), f"{folder} ({part.source}: {part.package})", present=True, remedy=""
    )
