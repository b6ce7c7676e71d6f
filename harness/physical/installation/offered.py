"""What an installation of PostgreSQL offers: libraries, locales, ICU; by its files here, or asked of a server."""

import ctypes
import locale
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql as compose

from harness.core.service import Sql
from harness.physical.programs import Programs
from harness.postgres.identity import ask
from harness.postgres.server import connect, one_line

LIBDIR = "$libdir"
SUFFIX = ".so"
PLUGINS = f"{LIBDIR}/plugins"  # where `local_preload_libraries` looks alone
ALWAYS = "plpgsql.so"  # in the folder of libraries of every installation
WITHOUT_ICU = b"ICU is not supported in this build"  # a message that only such a build has
NO_LOCALE = "could not create locale"
THERE = "SELECT (pg_catalog.pg_stat_file(%s, true)).size IS NOT NULL"
PKGLIBDIR = "SELECT setting FROM pg_catalog.pg_config WHERE name = 'PKGLIBDIR'"
PROBE = "CREATE COLLATION pg_temp.blackstart_probe "


class Offered(Protocol):
    """What an installation offers. Each question that cannot be answered counts as yes."""

    @property
    def where(self) -> str:
        """How a message names it."""

    def has_library(self, name: str, library_path: str) -> bool:
        """Return whether a library is there. `library_path`: dynamic_library_path of its server, "" the default."""

    def has_locale(self, name: str) -> bool:
        """Return whether the C library has a locale."""

    def has_icu(self) -> bool:
        """Return whether it was built with ICU."""


def paths(name: str, libraries: Path, library_path: str) -> Iterator[Path]:
    """Yield where PostgreSQL looks for a library. `libraries`: the folder that `$libdir` stands for."""
    if "/" in name:
        folders = [name]
    else:
        folders = [f"{part.strip()}/{name}" for part in (library_path or LIBDIR).split(":") if part.strip()]
    for one in folders:
        whole = one.replace(LIBDIR, str(libraries), 1) if one.startswith(LIBDIR) else one
        yield Path(whole)
        yield Path(f"{whole}{SUFFIX}")


@dataclass(frozen=True)
class Here:
    """The installation of some programs of this machine."""

    programs: Programs

    @property
    def where(self) -> str:
        """How a message names it."""
        return f"PostgreSQL {self.programs.major} in {self.programs.folder}"

    @cached_property
    def libraries(self) -> Path | None:
        """The folder that `$libdir` stands for, None where it is not found: it is beside that of the programs."""
        home = self.programs.folder.resolve().parent
        found = (one.parent for below in ("lib*", "lib*/*") for one in home.glob(f"{below}/{ALWAYS}"))
        return next(found, None)

    def has_library(self, name: str, library_path: str) -> bool:
        """As of `Offered`."""
        folder = self.libraries
        return folder is None or any(path.is_file() for path in paths(name, folder, library_path))

    def has_locale(self, name: str) -> bool:
        """As of `Offered`."""
        return _has_locale(name)

    def has_icu(self) -> bool:
        """As of `Offered`."""
        return not _built_without_icu(self.programs.folder / "postgres")


@cache
def _has_locale(name: str) -> bool:
    """Return whether the C library of this machine has a locale; `setlocale` would change that of all threads."""
    library = ctypes.CDLL(None)
    library.newlocale.restype = ctypes.c_void_p
    library.newlocale.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    library.freelocale.argtypes = (ctypes.c_void_p,)
    made = library.newlocale(1 << locale.LC_COLLATE | 1 << locale.LC_CTYPE, name.encode(), None)
    if made:
        library.freelocale(made)
    return bool(made)


@cache
def _built_without_icu(postgres: Path) -> bool:
    with postgres.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        return program.find(WITHOUT_ICU) >= 0


@dataclass(frozen=True)
class There:
    """The installation of a server that runs, which is asked as its superuser. Each question raises HarnessError."""

    sql: Sql

    @property
    def where(self) -> str:
        """How a message names it."""
        return f"PostgreSQL at {self.sql}"

    @cached_property
    def libraries(self) -> Path:
        """The folder that `$libdir` stands for."""
        ((folder,),) = ask(self.sql, PKGLIBDIR)
        return Path(str(folder))

    @cached_property
    def library_path(self) -> str:
        """Its dynamic_library_path."""
        ((path,),) = ask(self.sql, "SHOW dynamic_library_path")
        return str(path)

    def has_library(self, name: str, library_path: str) -> bool:
        """As of `Offered`; the server's own path counts."""
        del library_path
        return any(
            ask(self.sql, THERE, values=(str(path),)) == [(True,)]
            for path in paths(name, self.libraries, self.library_path)
        )

    def has_locale(self, name: str) -> bool:
        """As of `Offered`."""
        return NO_LOCALE not in self._probed("(LC_COLLATE = {0}, LC_CTYPE = {0})", name)

    def has_icu(self) -> bool:
        """As of `Offered`."""
        return WITHOUT_ICU.decode() not in self._probed("(PROVIDER = icu, LOCALE = {0})", "und")

    def _probed(self, definition: str, name: str) -> str:
        """Return what the server says to a collation, which goes with the session; "" where it makes it."""
        statement = compose.SQL(PROBE + definition).format(compose.Literal(name))
        with connect(self.sql) as connection:
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                return one_line(error)
        return ""
