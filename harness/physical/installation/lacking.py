"""What an installation lacks of what a base backup needs, in lines: what it is, for what, and what to do."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from harness.core.contents import DatabaseNeeds, Needs
from harness.physical.installation.needs import PRELOADS
from harness.physical.installation.offered import PLUGINS, Offered

TEMPLATE = "template1"  # to which every restore connects
SHOWN = 5  # databases that a line names


@dataclass(frozen=True, slots=True)
class Lacking:
    """What an installation lacks, a line each. `own`: of template1, so that no restore is done there.

    `locales`: for which PostgreSQL refuses connections to a database; `start`: libraries without which a server with
    the primary's configuration does not start or takes no connection; `libraries`: those without which some sessions
    or functions fail.
    """

    own: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.own, *self.locales, *self.start, *self.libraries)


def lacking(needs: Needs, offered: Offered, database: str = "") -> Lacking:
    """Return what an installation lacks. `database`: the one that is used of a server, "": all.

    Raises HarnessError where it is a server that does not answer.
    """
    used = [one for one in needs.databases if database in ("", one.name)]
    own = [one for one in needs.databases if one.name == TEMPLATE]
    found = _preloads(needs, offered)
    start = tuple(line for setting, line in found if setting in PRELOADS)
    others = tuple(line for setting, line in found if setting not in PRELOADS)
    return Lacking(
        _locales(own, offered),
        _locales([one for one in used if one not in own], offered),
        start,
        (*others, *_libraries(used, needs, offered)),
    )


def not_compared(needs: Needs, database: str = "") -> tuple[str, ...]:
    """Return a line for what the role of a backup was not told. `database`: the one that is used, "": all."""
    lines = []
    if needs.untold:
        lines.append(
            f"{', '.join(needs.untold)}: not compared, for the role of the backup was not told; `blackstart check` "
            "names the grants"
        )
    unread = [one for one in needs.databases if one.unread and database in ("", one.name)]
    for reason in dict.fromkeys(one.unread for one in unread):
        of = named(one.name for one in unread if one.unread == reason)
        lines.append(f"{of}: libraries and collations are not compared: {reason}")
    return tuple(lines)


def _locales(databases: Collection[DatabaseNeeds], offered: Offered) -> tuple[str, ...]:
    lines = []
    for name in dict.fromkeys(name for one in databases for name in (one.collate, one.ctype)):
        if not offered.has_locale(name):
            of = named(one.name for one in databases if name in (one.collate, one.ctype))
            lines.append(f"{of}: {offered.where} refuses connections: its machine lacks the locale {name}; generate it")
    if any(one.provider == "i" for one in databases) and not offered.has_icu():
        of = named(one.name for one in databases if one.provider == "i")
        lines.append(
            f"{of}: {offered.where} was built without ICU, by which they sort, and refuses connections; install a "
            "build with ICU"
        )
    return tuple(lines)


def _preloads(needs: Needs, offered: Offered) -> tuple[tuple[str, str], ...]:
    """Return each setting that loads a library which is not there, and a line for it."""
    found = []
    for setting, library in needs.preloaded:
        plugin = f"{PLUGINS}/{library}" if setting.startswith("local_") and "/" not in library else library
        if not offered.has_library(plugin, needs.library_path):
            line = f"{setting}: {offered.where} lacks the library {library}; install it, or take it out of the setting"
            found.append((setting, line))
    return tuple(found)


def _libraries(databases: Collection[DatabaseNeeds], needs: Needs, offered: Offered) -> tuple[str, ...]:
    lines = []
    for wanted in dict.fromkeys(wanted for one in databases for wanted in one.libraries):
        library, extension = wanted
        if not offered.has_library(library, needs.library_path):
            of = named(one.name for one in databases if wanted in one.libraries)
            what = f"the library {library}" + (f" of the extension {extension}" if extension else "")
            lines.append(f"{of}: {offered.where} lacks {what}, and what needs it fails; install it there")
    return tuple(lines)


def named(databases: Iterable[str]) -> str:
    """Return how a line names databases."""
    names = tuple(databases)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"database{'s' if len(names) > 1 else ''} {', '.join(names[:SHOWN])}{more}"
