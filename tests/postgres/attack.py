"""A database server that dumps are restored into which somebody wrote to run programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.contents import DatabaseFacts
from harness.postgres.allowed import NOTHING
from harness.postgres.restoring.database import Loaded, Spooled, restore_database
from harness.postgres.server import connect
from tests.postgres_archive import Made, archive
from tests.servers import DatabaseServer

DATABASE = "attacked"
LEFT = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname LIKE 'blackstart%' AND rolcanlogin"


@dataclass(frozen=True)
class Attack:
    """A database on DR that dumps are restored into. `proof`: a file that a program of an attack makes."""

    dr: DatabaseServer
    facts: DatabaseFacts
    proof: Path

    @property
    def program(self) -> str:
        return f"COPY (SELECT 1) TO PROGRAM 'touch {self.proof}'"

    def restore(self, *entries: Made, dump: bytes = b"", allow: tuple[str, ...] = (), anew: bool = True) -> Loaded:
        """Restore a dump, into a new database where it is made `anew`; the program must not have run."""
        if anew:
            self.dr.execute("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
        with self.dr.site.volume("spool").open("attack.dump", "wb") as spool:
            spool.write(dump or archive(*entries))
        allowed = replace(NOTHING, allow=tuple((name, "a test") for name in allow))
        try:
            return restore_database(self.dr.sql, self.facts, Spooled(self.dr.site, "spool", "attack.dump", 1), allowed)
        finally:
            assert not self.proof.exists()
            assert self.dr.one("postgres", LEFT) is None


def rows(server: DatabaseServer, database: str, query: str) -> list[tuple[object, ...]]:
    with connect(server.sql, database) as connection:
        return list(connection.execute(query.encode()).fetchall())


EVIL = "LANGUAGE plpgsql AS $$ BEGIN COPY (SELECT 1) TO PROGRAM 'touch {}'; {} END $$"


def evil(attack: Attack, returns: str, answer: str, name: str = "evil()") -> Made:
    body = EVIL.format(attack.proof, answer)
    return Made("FUNCTION", "evil()", f"CREATE FUNCTION public.{name} RETURNS {returns}\n    {body};\n", "public")
