"""A seeded Odoo on a real PostgreSQL, for tests: each uses copies of its database and of its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg.sql

from harness.core.errors import Finding
from harness.core.node import Node
from harness.core.service import Place
from harness.postgres.server import connect
from harness.services.odoo.app import Odoo
from tests.services.doors import DirectDoor


@dataclass(frozen=True)
class Shop:
    """A seeded site. Each test uses a copy of the database and of its files, with another name."""

    place: Place

    def copy(self, name: str, *, files: bool = True) -> Odoo:
        statement = psycopg.sql.SQL("create database {} template odoo owner odoo").format(psycopg.sql.Identifier(name))
        with connect(self.place.sql) as connection:
            connection.execute(statement)
        volume = self.place.site.volume("odoo")
        for path in [p for p in volume.walk() if files and p.startswith("filestore/odoo/")]:
            with volume.open(path, "rb") as source, volume.open(path.replace("/odoo/", f"/{name}/", 1), "wb") as target:
                target.write(source.read())
        return Odoo(name, (name,))

    def rows(self, odoo: Odoo, query: str) -> list[tuple[object, ...]]:
        with connect(self.place.sql, odoo.databases[0]) as connection:
            return connection.execute(query.encode()).fetchall()

    def outward(self, odoo: Odoo) -> list[list[tuple[object, ...]]]:
        queries = (
            "select id, active from ir_cron order by id",
            "select id, smtp_host, active from ir_mail_server order by id",
            "select id, active from fetchmail_server order by id",
            "select id, webhook_url from ir_act_server order by id",
            "select key, value from ir_config_parameter order by key",
        )
        return [self.rows(odoo, query) for query in queries]

    @contextmanager
    def running(self, odoo: Odoo) -> Iterator[DirectDoor]:
        (spec,) = odoo.nodes(self.place)
        node: Node = self.place.site.launch(spec)
        try:
            yield DirectDoor(node)
        finally:
            node.kill()

    def verdicts(self, odoo: Odoo, door: DirectDoor) -> dict[str, str]:
        """Return `passed` or the finding for each key function."""
        found = {}
        for function in odoo.key_functions(self.place.secrets):
            try:
                found[function.name] = "passed" if function.check(door) else ""
            except Finding as finding:
                found[function.name] = str(finding)
        return found
